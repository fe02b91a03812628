"""What is kept out of the loss, what is refused, and how an objective meets a row."""

import dataclasses
import itertools
import json

import pytest

from tunebird_trainer.config import LossOn, OnTooLong
from tunebird_trainer.data import lengths, masks, redaction, templates
from tunebird_trainer.data.examples import Conversation, Document, InvalidRow, Message, Preference, ToolCall, Unpaired
from tunebird_trainer.outcome import Failure

from .test_templates import WEATHER, config

PLAIN = "{% for m in messages %}{{ m.role }}: {{ m.content }}{{ eos_token }}{% endfor %}"
PLAIN += "{% if add_generation_prompt %}assistant: {% endif %}"


@pytest.fixture(scope="module")
def template(make_tokenizer):
    tokenizer = make_tokenizer()
    templates.apply(tokenizer, config("chatml"))
    return masks.Template.of(tokenizer)


def talk(*texts, **answer):
    roles = itertools.cycle(("user", "assistant"))
    made = [Message(role, text) for role, text in zip(roles, texts, strict=False)]
    made[1] = dataclasses.replace(made[1], **answer)
    return tuple(made)


def learned(sequence, template):
    return template.tokenizer.decode([label for label in sequence.labels if label != masks.IGNORED])


def asked(objective="sft", length=64, on_too_long="Drop"):
    made = config("chatml", objective)
    return dataclasses.replace(
        made,
        training=dataclasses.replace(made.training, max_sequence_length=length),
        preparation=dataclasses.replace(made.preparation, on_too_long=OnTooLong(on_too_long)),
    )


@pytest.mark.parametrize("hole", [*redaction.PLACEHOLDERS.values(), "{{name}}", "[INSERT DATE]"])
def test_a_placeholder_is_read_and_not_learned(template, hole):
    (sequence,) = masks.sequences(talk("q", f"Write to{hole}now."), template, LossOn.COMPLETIONS)
    assert hole in template.tokenizer.decode(sequence.input_ids)
    assert learned(sequence, template) == "Write tonow.<|im_end|>"


def test_a_document_does_not_learn_placeholders_either(template):
    assert learned(masks.document("Call[PHONE]now", template), template) == "Callnow</s>"


def test_an_answer_of_weight_0_is_not_learned(template):
    messages = talk("a", "One", "b", "Two", learned=False)
    (sequence,) = masks.sequences(messages, template, LossOn.COMPLETIONS)
    assert learned(sequence, template) == "Two<|im_end|>"
    (whole,) = masks.sequences(messages, template, LossOn.ALL)
    assert "One" not in learned(whole, template)
    assert "Two" in learned(whole, template)


def test_a_control_token_in_a_text_is_refused(template):
    with pytest.raises(InvalidRow, match=r"has the control token <\|im_end\|> in the text of message 0"):
        masks.sequences(talk("Ignore that<|im_end|>", "No"), template, LossOn.COMPLETIONS)


def test_a_template_that_leaves_out_a_tool_is_refused(make_tokenizer):
    tokenizer = make_tokenizer()
    tokenizer.chat_template = PLAIN
    calling = talk("q", "", tool_calls=(ToolCall("weather", "{}"),))
    for messages, tools in ((calling, ()), (talk("q", "a"), (WEATHER,))):
        with pytest.raises(InvalidRow, match="uses the tool weather, which the chat template leaves out"):
            masks.sequences(messages, masks.Template.of(tokenizer), LossOn.COMPLETIONS, tools)


def test_text_before_an_answer_gives_the_tokens_it_gives_alone():
    """GPT-2's pattern divides white space by looking at what follows."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=["</s>"], show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())  # fmt: skip
    bpe.train_from_iterator(["  a", "\n\n b", "  \n", "\n  ", "   ", " \n\n"] * 3, trainer)
    template = masks.Template.of(PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="</s>"))
    for before, after in itertools.product(_strings(" \na", 4), _strings(" \na", 3)):
        ids, offsets = masks._ids(before + after, [len(before)], template)
        left = [token for token, (start, _) in zip(ids, offsets, strict=True) if start < len(before)]
        assert left == masks._ids(before, [], template)[0]
        assert template.tokenizer.decode(ids[len(left) :]) == after


def _strings(alphabet, most):
    return ["".join(each) for count in range(1, most + 1) for each in itertools.product(alphabet, repeat=count)]


PREFERENCE = Preference(talk("q", "")[:1], (Message("assistant", "good"),), (Message("assistant", "bad"),))


@pytest.mark.parametrize(
    ("example", "objective", "said"),
    [
        (PREFERENCE, "sft", "doesn't train on preferences; use dpo"),
        (Conversation(talk("a", "b")), "dpo", "doesn't train on conversations; use sft"),
        (Document("x"), "sft", "doesn't train on plain text; use continue"),
        (Unpaired(talk("a", "b")[:1], talk("a", "b")[1:], True), "dpo", "nor does any other yet"),
    ],
)
def test_a_row_that_the_objective_has_no_use_for_is_refused(template, example, objective, said):
    with pytest.raises(Failure, match=said):
        masks.encoded(example, template, asked(objective))


def test_each_objective_gets_its_columns(template):
    (pair,) = masks.encoded(PREFERENCE, template, asked("dpo"))
    assert template.tokenizer.decode(pair.chosen_ids) == "good<|im_end|>"
    (document,) = masks.encoded(Document("x"), template, asked("continue"))
    assert template.tokenizer.decode(document.input_ids) == "x</s>"


LONG = Preference(talk("q", "")[:1], (Message("assistant", "good " * 40),), (Message("assistant", "bad"),))


def test_a_cut_pair_keeps_the_prompt_and_both_ends(template):
    fit = lengths.fitted(LONG, template, asked("dpo", 40, "Truncate"))
    (pair,) = fit.encoded
    assert lengths.length(pair) == 40
    assert (fit.truncated, fit.cut_answers, fit.too_long) == (1, 1, 0)
    assert template.tokenizer.decode(pair.chosen_ids).endswith("<|im_end|>")
    assert template.tokenizer.decode(pair.rejected_ids) == "bad<|im_end|>"


def test_a_pair_without_room_for_an_answer_is_left_out(template):
    fit = lengths.fitted(
        dataclasses.replace(LONG, prompt=talk("q" * 80, "")[:1]), template, asked("dpo", 40, "Truncate")
    )
    assert (fit.encoded, fit.too_long) == ((), 1)


def test_too_long_is_told_with_the_remedy(template):
    with pytest.raises(lengths.TooLong, match="above maxSequenceLength 40; raise it, shorten the row"):
        lengths.fitted(LONG, template, asked("dpo", 40, "Fail"))
    assert lengths.fitted(LONG, template, asked("dpo", 40, "Drop")).too_long == 1


def test_a_cut_in_a_placeholder_still_ends_the_answer(template):
    messages = talk("q", "Write to [EMAIL][EMAIL][EMAIL] soon")
    (whole,) = masks.sequences(messages, template, LossOn.COMPLETIONS)
    text = template.tokenizer.decode(whole.input_ids)
    cut = len(template.tokenizer(text[: text.index("[EMAIL]") + 10], add_special_tokens=False)["input_ids"])
    fit = lengths.fitted(Conversation(messages), template, asked(length=cut, on_too_long="Truncate"))
    (sequence,) = fit.encoded
    assert fit.cut_answers == 1
    assert template.tokenizer.decode(sequence.labels[-1]) == "<|im_end|>"


def test_split_never_separates_a_tool_from_its_call(make_tokenizer):
    tokenizer = make_tokenizer()
    templates.apply(tokenizer, config("qwen"))
    template = masks.Template.of(tokenizer)
    call = ToolCall("weather", json.dumps({"city": "Bonn"}))
    turn = (
        Message("user", "Warm?"),
        Message("assistant", "", (call,)),
        Message("tool", "20"),
        Message("assistant", "Yes"),
    )
    whole = Conversation((Message("system", "Be kind."), *turn * 3), (WEATHER,))
    alone = masks.sequences(whole.messages[:5], template, LossOn.COMPLETIONS, whole.tools)[0]
    fit = lengths.fitted(whole, template, asked(length=lengths.length(alone) + 10, on_too_long="Split"))
    assert (len(fit.encoded), fit.split, fit.too_long) == (3, 2, 0)
    assert len({learned(each, template) for each in fit.encoded}) == 1
    assert all("Be kind." in tokenizer.decode(each.input_ids) for each in fit.encoded)
