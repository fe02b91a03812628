"""Each named template against the format that its family documents, and what is said where a tokenizer differs."""

import dataclasses

import pytest

from trainer import factories
from tunebird_trainer import config_file
from tunebird_trainer.config import Objective
from tunebird_trainer.data import masks, templates
from tunebird_trainer.data.examples import Message, ToolCall
from tunebird_trainer.outcome import Failure

TALK = (
    Message("system", "Be brief."),
    Message("user", "Hi"),
    Message("assistant", "Hello."),
    Message("user", "Bye"),
    Message("assistant", "See you."),
)
BOS = {"llama3": "<|begin_of_text|>", "gemma": "<bos>"}
# After the model cards and documentation of each family.
GOLDEN = {
    "chatml": "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
    "<|im_start|>assistant\nHello.<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n"
    "<|im_start|>assistant\nSee you.<|im_end|>\n",
    "qwen": "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
    "<|im_start|>assistant\nHello.<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n"
    "<|im_start|>assistant\nSee you.<|im_end|>\n",
    "llama2": "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi [/INST] Hello. </s><s>[INST] Bye [/INST] See you. </s>",
    "llama3": "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\nHello.<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\nSee you.<|eot_id|>",
    "mistral": "<s>[INST] Be brief.\n\nHi[/INST] Hello.</s>[INST] Bye[/INST] See you.</s>",
    "alpaca": "<s>Be brief.\n\n### Instruction:\nHi\n\n### Response:\nHello.</s>"
    "\n\n### Instruction:\nBye\n\n### Response:\nSee you.</s>",
    "vicuna": "<s>Be brief. USER: Hi ASSISTANT: Hello.</s>USER: Bye ASSISTANT: See you.</s>",
    "gemma": "<bos><start_of_turn>user\nBe brief.\n\nHi<end_of_turn>\n<start_of_turn>model\nHello.<end_of_turn>\n"
    "<start_of_turn>user\nBye<end_of_turn>\n<start_of_turn>model\nSee you.<end_of_turn>\n",
}
DEFAULT_SYSTEM = {
    "chatml": "<|im_start|>user\nHi",
    "qwen": "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n",
    "llama2": "<s>[INST] Hi [/INST]",
    "llama3": "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>",
    "mistral": "<s>[INST] Hi[/INST]",
    "alpaca": "<s>Below is an instruction that describes a task. Write a response that appropriately completes the "
    "request.\n\n### Instruction:\nHi\n\n### Response:\n",
    "vicuna": "<s>A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, "
    "detailed, and polite answers to the user's questions. USER: Hi ASSISTANT:",
    "gemma": "<bos><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\n",
}
WEATHER = '{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}'
CALLING = (
    Message("user", "Warm in Bonn?"),
    Message("assistant", "", (ToolCall("weather", '{"city": "Bonn"}', "abcdefghi"),)),
    Message("tool", "20 degrees", tool_call_id="abcdefghi"),
    Message("assistant", "Yes."),
)
TOOLS_GOLDEN = {
    "qwen": "<|im_start|>assistant\n<tool_call>\n"
    '{"name": "weather", "arguments": {"city": "Bonn"}}\n</tool_call><|im_end|>\n'
    "<|im_start|>user\n<tool_response>\n20 degrees\n</tool_response><|im_end|>\n"
    "<|im_start|>assistant\nYes.<|im_end|>\n",
    "llama3": "<|start_header_id|>assistant<|end_header_id|>\n\n"
    '{"name": "weather", "parameters": {"city": "Bonn"}}<|eot_id|>'
    "<|start_header_id|>ipython<|end_header_id|>\n\n20 degrees<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\nYes.<|eot_id|>",
    "mistral": "[INST] Warm in Bonn?[/INST]"
    '[TOOL_CALLS] [{"name": "weather", "arguments": {"city": "Bonn"}, "id": "abcdefghi"}]</s>'
    '[TOOL_RESULTS] {"content": "20 degrees", "call_id": "abcdefghi"}[/TOOL_RESULTS] Yes.</s>',
}


def config(template, objective="sft"):
    made = config_file._built(config_file.Config, factories.config(model__chatTemplate=template))
    return dataclasses.replace(made, method=dataclasses.replace(made.method, objective=Objective(objective)))


@pytest.fixture(scope="module")
def applied(make_tokenizer):
    def apply(name, **changes):
        tokenizer = make_tokenizer(**({"bos": BOS.get(name, "<s>")} | changes))
        templates.apply(tokenizer, config(name))
        return tokenizer

    return apply


def written(tokenizer, messages, tools=(), *, ask=False):
    return masks.rendered(messages, masks.Template.of(tokenizer), tools, ask=ask)


@pytest.mark.parametrize("name", templates.NAMES)
def test_a_named_template_writes_its_familys_format(applied, name):
    assert written(applied(name), TALK) == GOLDEN[name]


@pytest.mark.parametrize("name", templates.NAMES)
def test_a_conversation_without_a_system_message_begins_as_its_family_does(applied, name):
    assert written(applied(name), TALK[1:2], ask=True).startswith(DEFAULT_SYSTEM[name])


@pytest.mark.parametrize("name", templates.NAMES)
def test_conversations_only_grow_by_appending(applied, name):
    tokenizer = applied(name)
    whole = written(tokenizer, TALK)
    for count in range(2, len(TALK) + 1):
        assert whole.startswith(written(tokenizer, TALK[:count], ask=TALK[count - 1].role == "user"))


@pytest.mark.parametrize("name", TOOLS_GOLDEN)
def test_tool_calls_and_results_are_written_as_the_family_does(applied, name):
    text = written(applied(name), CALLING, (WEATHER,))
    assert text.endswith(TOOLS_GOLDEN[name])
    assert text.index('"name": "weather"') < text.index("Warm in Bonn?")  # the list of tools comes first


@pytest.mark.parametrize("name", sorted(set(templates.NAMES) - set(TOOLS_GOLDEN)))
def test_a_family_without_tools_refuses_them_by_name(applied, name):
    tokenizer = applied(name)
    for messages, tools in ((CALLING, ()), (TALK, (WEATHER,)), (CALLING[2:], ())):
        with pytest.raises(masks.InvalidRow, match="has no tool calls; use qwen"):
            written(tokenizer, messages, tools)


@pytest.mark.parametrize(
    ("name", "end"),
    [("chatml", "<|im_end|>"), ("llama3", "<|eot_id|>"), ("gemma", "<end_of_turn>"), ("vicuna", "</s>")],
)
def test_the_templates_end_token_stops_generation(applied, name, end):
    tokenizer = applied(name)
    ends = tokenizer.convert_ids_to_tokens(templates.stop_token_ids(tokenizer))
    assert set(ends) == {end, "</s>"}


@pytest.mark.parametrize("name", ["chatml", "qwen", "llama3", "gemma"])
def test_an_end_token_outside_the_vocabulary_becomes_the_tokenizers_own(applied, name, capsys):
    tokenizer = applied(name, bos="<s>", controls=["<s>", "</s>"])
    assert "is not in the vocabulary: answers end with </s> instead" in capsys.readouterr().out
    assert written(tokenizer, TALK).rstrip().endswith("See you.</s>")
    assert templates.stop_token_ids(tokenizer) == (tokenizer.eos_token_id,)


def test_the_vocabulary_never_grows(make_tokenizer):
    for name in templates.NAMES:
        tokenizer = make_tokenizer(controls=["<s>", "</s>"])
        before = len(tokenizer)
        templates.apply(tokenizer, config(name))
        assert len(tokenizer) == before


@pytest.mark.parametrize("said", ["Llama 3", "llama-3", "LLAMA3", "llama_3"])
def test_a_name_may_be_written_as_people_do(said):
    assert templates.named(said) == templates.named("llama3")


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(Failure, match="'lama3' is unknown; did you mean llama3"):
        templates.named("lama3")


def test_a_template_may_be_a_file(make_tokenizer, tmp_path):
    file = tmp_path / "own.jinja"
    file.write_text("{% for m in messages %}<{{ m.role }}> {{ m.content }}{{ eos_token }}{% endfor %}")
    tokenizer = make_tokenizer()
    templates.apply(tokenizer, config(f"file://{file}"))
    assert written(tokenizer, TALK[1:3]) == "<user> Hi</s><assistant> Hello.</s>"


def test_a_broken_file_is_told_with_its_line(make_tokenizer, tmp_path):
    file = tmp_path / "broken.jinja"
    file.write_text("{% for m in messages %}\n{{ m.content }")
    with pytest.raises(Failure, match=r"broken.jinja:2: .*correct it"):
        templates.apply(make_tokenizer(), config(f"file://{file}"))
    with pytest.raises(Failure, match="No such file"):
        templates.apply(make_tokenizer(), config(f"file://{tmp_path}/absent.jinja"))


def test_a_model_without_a_template_needs_one_unless_it_reads_documents(make_tokenizer):
    with pytest.raises(Failure, match="has none; choose an instruction-tuned model, or name a template: alpaca"):
        templates.apply(make_tokenizer(), config("model"))
    tokenizer = make_tokenizer()
    templates.apply(tokenizer, config("model", objective="continue"))
    assert tokenizer.chat_template is None


def test_a_saved_tokenizer_keeps_template_and_end_token(applied, tmp_path):
    from transformers import AutoTokenizer

    tokenizer = applied("chatml")
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert written(again, TALK) == GOLDEN["chatml"]
    assert templates.stop_token_ids(again) == templates.stop_token_ids(tokenizer)
