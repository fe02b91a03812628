import pytest

from trainer.factories import chat
from tunebird_trainer.config import LossOn
from tunebird_trainer.data import masks
from tunebird_trainer.data.formats import Format, InvalidRow, example

SMOLLM2 = (  # no generation markers, and a system message that nobody wrote
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou help<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
FORGETFUL = (  # drops what the assistant thought in earlier turns, as reasoning models do
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['role'] == 'assistant' and not loop.last %}{{ message['content'].split('</think>')[-1] }}"
    "{% else %}{{ message['content'] }}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
ENDLESS = "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"
ENDLESS += "{% if add_generation_prompt %}assistant: {% endif %}"
PICKY = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('No system message, please') }}{% endif %}x"


@pytest.fixture
def template_of(tokenizer):
    original = tokenizer.chat_template

    def change(text):
        tokenizer.chat_template = text
        return masks.Template.of(tokenizer)

    yield change
    tokenizer.chat_template = original


def turns(*texts):
    pairs = [chat(question, answer)["messages"] for question, answer in zip(texts[::2], texts[1::2], strict=True)]
    return example({"messages": [message for pair in pairs for message in pair]}, Format.MESSAGES).messages


def learned(sequence, template):
    """The text in the loss, with a bar where something else stands between."""
    parts, last = [], None
    for place, label in enumerate(sequence.labels):
        if label != masks.IGNORED:
            parts += [] if last in (None, place - 1) else ["|"]
            parts.append(template.tokenizer.decode([label]))
            last = place
    return "".join(parts)


def test_only_the_answer_and_its_end_token_are_learned(template_of):
    template = template_of(SMOLLM2)
    (sequence,) = masks.sequences(turns("Where is it?", "On the way."), template, LossOn.COMPLETIONS)
    assert learned(sequence, template) == "On the way.<|im_end|>"


def test_every_answer_of_a_long_conversation_is_learned(template_of):
    template = template_of(SMOLLM2)
    (sequence,) = masks.sequences(turns("a", "One.", "b", "Two."), template, LossOn.COMPLETIONS)
    assert learned(sequence, template) == "One.<|im_end|>|Two.<|im_end|>"


def test_labels_are_the_ids_themselves_where_they_count(template_of):
    (sequence,) = masks.sequences(turns("a", "Two words"), template_of(SMOLLM2), LossOn.COMPLETIONS)
    pairs = [(i, label) for i, label in zip(sequence.input_ids, sequence.labels, strict=True) if label != masks.IGNORED]
    assert pairs
    assert all(token == label for token, label in pairs)


def test_what_is_fed_is_what_the_template_writes(template_of):
    template = template_of(SMOLLM2)
    (sequence,) = masks.sequences(turns("Ünïcode?", "Grüße 👋"), template, LossOn.COMPLETIONS)
    assert template.tokenizer.decode(sequence.input_ids).endswith(
        "user\nÜnïcode?<|im_end|>\n<|im_start|>assistant\nGrüße 👋<|im_end|>\n"
    )
    assert learned(sequence, template).endswith("<|im_end|>")


def test_a_template_that_rewrites_history_gives_one_sequence_an_answer(template_of):
    template = template_of(FORGETFUL)
    both = masks.sequences(turns("a", "<think>x</think>One.", "b", "Two."), template, LossOn.COMPLETIONS)
    assert [learned(each, template) for each in both] == ["<think>x</think>One.<|im_end|>", "Two.<|im_end|>"]


def test_a_template_without_an_end_gets_the_tokenizers(template_of):
    template = template_of(ENDLESS)
    (sequence,) = masks.sequences(turns("a", "Yes."), template, LossOn.COMPLETIONS)
    assert learned(sequence, template).endswith("<|im_end|>")
    assert sequence.input_ids[-1] == template.tokenizer.eos_token_id


def test_a_conversation_that_the_template_refuses_is_an_invalid_row(template_of):
    row = {"messages": [{"role": "system", "content": "Be kind"}, *chat("a", "b")["messages"]]}
    messages = example(row, Format.MESSAGES).messages
    with pytest.raises(InvalidRow, match="No system message, please"):
        masks.sequences(messages, template_of(PICKY), LossOn.COMPLETIONS)


def test_a_template_that_hides_where_answers_begin_is_refused(template_of):
    hidden = "{{ messages | length }} {% for m in messages | reverse %}{{ m['content'] }}{% endfor %}"
    with pytest.raises(InvalidRow, match="use lossOn: all"):
        masks.sequences(turns("a", "b"), template_of(hidden), LossOn.COMPLETIONS)


def test_loss_on_all_counts_every_token(template_of):
    (sequence,) = masks.sequences(turns("Where?", "Here."), template_of(SMOLLM2), LossOn.ALL)
    assert sequence.labels.count(masks.IGNORED) <= 1  # the line break after the last end token


def test_truncation_keeps_the_end_token(template_of):
    template = template_of(SMOLLM2)
    (sequence,) = masks.sequences(turns("a", "one two three four five six seven eight"), template, LossOn.COMPLETIONS)
    cut = masks.truncated(sequence, len(sequence.input_ids) - 6)
    assert len(cut.input_ids) == len(cut.labels) == len(sequence.input_ids) - 6
    assert cut.input_ids[-1] == cut.labels[-1] == template.tokenizer.eos_token_id


def test_truncation_before_the_answer_learns_nothing(template_of):
    (sequence,) = masks.sequences(turns("a long question " * 5, "yes"), template_of(SMOLLM2), LossOn.COMPLETIONS)
    assert not masks.truncated(sequence, 10).learns


def test_end_tokens_are_the_tokenizers_the_models_and_the_templates(template_of):
    template = template_of(SMOLLM2.replace("<|im_end|>", "<|endoftext|>"))
    ids = template.tokenizer.convert_tokens_to_ids
    assert masks.end_tokens(template, (7,)) == {7, ids("<|im_end|>"), ids("<|endoftext|>")}
