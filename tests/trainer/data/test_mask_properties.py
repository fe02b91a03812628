"""Whatever the conversation and the template: exactly the answers and their end tokens are learned."""

import json

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tunebird_trainer.config import LossOn
from tunebird_trainer.data import lengths, masks, templates
from tunebird_trainer.data.examples import Conversation, Document, Message, Preference, ToolCall

from .test_templates import BOS, WEATHER, config

ALPHABET = "ab é\n\t:]👋<|[{\"'\\Éı漢"
TEXTS = st.text(ALPHABET, min_size=1, max_size=12).filter(lambda text: text.strip())
WORDS = TEXTS.map(str.strip).filter(lambda text: text and "\t" not in text)
PAIRS = st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=3)
TRIMMED = ("llama2", "llama3", "gemma")
AROUND = {"llama2": " {} ", "mistral": " {}", "vicuna": " {}"}  # spaces that the template writes into the answer
REWRITES = "{% for m in messages %}{{ m.role }}: "  # forgets what it said earlier
REWRITES += "{{ '(said)' if m.role == 'assistant' and not loop.last else m.content }}{{ eos_token }}\n{% endfor %}"
REWRITES += "{% if add_generation_prompt %}assistant: {% endif %}"
ENDLESS = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
ENDLESS += "{% if add_generation_prompt %}assistant: {% endif %}"
EASY = settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


@pytest.fixture(scope="module")
def template_of(make_tokenizer):
    made = {}

    def make(name):
        if name not in made:
            tokenizer = make_tokenizer(bos=BOS.get(name, "<s>"))
            templates.apply(tokenizer, config(name))
            made[name] = masks.Template.of(tokenizer)
        return made[name]

    return make


@pytest.fixture(scope="module")
def piece_template_of(make_piece_tokenizer):
    made = {}

    def make(name):
        if name not in made:
            tokenizer = make_piece_tokenizer()
            templates.apply(tokenizer, config(name))
            made[name] = masks.Template.of(tokenizer)
        return made[name]

    return make


@pytest.fixture(scope="module")
def own_template(make_tokenizer):
    def make(text):
        tokenizer = make_tokenizer()
        tokenizer.chat_template = text
        return masks.Template.of(tokenizer)

    return make


def conversation(pairs, system=None):
    turns = [Message(role, text) for pair in pairs for role, text in zip(("user", "assistant"), pair, strict=True)]
    return (Message("system", system), *turns) if system else tuple(turns)


def runs(sequence):
    """The ids of each unbroken stretch of the loss."""
    found, last = [], None
    for place, label in enumerate(sequence.labels):
        if label == masks.IGNORED:
            continue
        assert label == sequence.input_ids[place]
        if last is None or place != last + 1:
            found.append([])
        found[-1].append(label)
        last = place
    return found


def end_of(name, template):
    return templates._END.search(template.tokenizer.chat_template).group(1) if name not in (
        "llama2", "mistral", "alpaca", "vicuna") else "</s>"  # fmt: skip


def said(name, answer):
    return AROUND.get(name, "{}").format(answer.strip() if name in TRIMMED else answer)


@pytest.mark.parametrize("name", templates.NAMES)
@EASY
@given(pairs=PAIRS, system=st.none() | TEXTS)
def test_each_answer_and_its_end_token_are_learned_and_nothing_else(template_of, name, pairs, system):
    template = template_of(name)
    (sequence,) = masks.sequences(conversation(pairs, system), template, LossOn.COMPLETIONS)
    learned = [template.tokenizer.decode(ids) for ids in runs(sequence)]
    assert learned == [said(name, answer) + end_of(name, template) for _, answer in pairs]


@pytest.mark.parametrize("name", templates.NAMES)
@EASY
@given(question=TEXTS, answer=TEXTS, system=st.none() | TEXTS)
def test_what_comes_before_an_answer_is_what_the_model_is_asked_with(template_of, name, question, answer, system):
    """Token by token: training sees the question exactly as serving does."""
    template, messages = template_of(name), conversation([(question, answer)], system)
    (sequence,) = masks.sequences(messages, template, LossOn.COMPLETIONS)
    start = next(place for place, label in enumerate(sequence.labels) if label != masks.IGNORED)
    asked = masks.rendered(messages[:-1], template, ask=True)
    assert list(sequence.input_ids[:start]) == template.tokenizer(asked, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("name", templates.NAMES)
@EASY
@given(pairs=st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=3))
def test_a_tokenizer_of_word_pieces_learns_the_same(piece_template_of, name, pairs):
    template = piece_template_of(name)
    (sequence,) = masks.sequences(conversation(pairs), template, LossOn.COMPLETIONS)
    found = runs(sequence)
    assert [ids[-1] for ids in found] == [template.tokenizer.eos_token_id] * len(pairs)
    # The decoder drops the space before a text, as it drops the one that the tokenizer added.
    assert [template.tokenizer.decode(ids[:-1]).strip() for ids in found] == [answer for _, answer in pairs]


@pytest.mark.parametrize("text", [REWRITES, ENDLESS], ids=["rewrites", "endless"])
@EASY
@given(pairs=PAIRS)
def test_an_own_template_teaches_every_answer_with_its_end(own_template, text, pairs):
    template = own_template(text)
    sequences = masks.sequences(conversation(pairs), template, LossOn.COMPLETIONS)
    learned = [template.tokenizer.decode(ids) for sequence in sequences for ids in runs(sequence)]
    newline = "\n" if text == ENDLESS else ""
    assert learned == [answer + newline + "</s>" for _, answer in pairs]


@pytest.mark.parametrize("name", ["qwen", "llama3", "mistral"])
@EASY
@given(city=TEXTS, result=TEXTS, answer=TEXTS)
def test_a_tool_call_is_learned_and_its_result_is_not(template_of, name, city, result, answer):
    template = template_of(name)
    call = ToolCall("weather", json.dumps({"city": city}), "abcdefghi")
    messages = (
        Message("user", "q"), Message("assistant", "", (call,)), Message("tool", result, tool_call_id="abcdefghi"),
        Message("assistant", answer),
    )  # fmt: skip
    (sequence,) = masks.sequences(messages, template, LossOn.COMPLETIONS, (WEATHER,))
    called, answered = (template.tokenizer.decode(ids) for ids in runs(sequence))
    assert json.loads(called[called.index('{"city"') :].split("}")[0] + "}" if "}" not in city else "{}") in (
        {"city": city}, {})  # fmt: skip
    assert called.endswith(end_of(name, template))
    assert answered == said(name, answer) + end_of(name, template)


@pytest.mark.parametrize("name", templates.NAMES)
@EASY
@given(pairs=PAIRS, question=TEXTS, chosen=TEXTS, rejected=TEXTS)
def test_a_pair_shares_its_prompt_and_both_answers_end(template_of, name, pairs, question, chosen, rejected):
    assume(chosen.strip() != rejected.strip())
    template, prompt = template_of(name), (*conversation(pairs), Message("user", question))
    answers = [(Message("assistant", each),) for each in (chosen, rejected)]
    pair = masks.pair(Preference(prompt, *answers), template)
    decode, end = template.tokenizer.decode, end_of(name, template)
    asked = masks.rendered(prompt, template, ask=True)
    assert list(pair.prompt_ids) == template.tokenizer(asked, add_special_tokens=False)["input_ids"]
    assert decode(pair.chosen_ids) == said(name, chosen) + end
    assert decode(pair.rejected_ids) == said(name, rejected) + end


@EASY
@given(text=TEXTS)
def test_a_document_is_learned_whole_with_an_end_token(own_template, text):
    template = own_template(ENDLESS)
    sequence = masks.document(text, template)
    (learned,) = runs(sequence)
    assert template.tokenizer.decode(learned) == text + "</s>"


@pytest.mark.parametrize("name", templates.NAMES)
@EASY
@given(pairs=st.lists(st.tuples(TEXTS, TEXTS), min_size=2, max_size=5), system=st.none() | TEXTS)
def test_a_split_conversation_teaches_the_same_answers_under_the_same_system_message(template_of, name, pairs, system):
    template, whole = template_of(name), Conversation(conversation(pairs, system))
    single = max(
        lengths.length(masks.sequences(conversation([pair], system), template, LossOn.COMPLETIONS)[0]) for pair in pairs
    )
    asked = limited(name, single + 8, "Split")
    fit = lengths.fitted(whole, template, asked)
    assert not fit.too_long
    assert all(lengths.length(each) <= single + 8 for each in fit.encoded)
    learned = [template.tokenizer.decode(ids) for sequence in fit.encoded for ids in runs(sequence)]
    assert learned == [said(name, answer) + end_of(name, template) for _, answer in pairs]
    shown = system and (system.strip() if name in TRIMMED else system)
    assert not system or all(shown in template.tokenizer.decode(each.input_ids) for each in fit.encoded)


@pytest.mark.parametrize("name", templates.NAMES)
@EASY
@given(pairs=PAIRS, cut=st.integers(1, 40))
def test_truncation_keeps_the_end_token_of_a_cut_answer_and_counts_it(template_of, name, pairs, cut):
    template = template_of(name)
    (whole,) = masks.sequences(conversation(pairs), template, LossOn.COMPLETIONS)
    limit = max(8, len(whole.input_ids) - cut)
    fit = lengths.fitted(Conversation(conversation(pairs)), template, limited(name, limit, "Truncate"))
    assert fit.truncated + fit.too_long == (len(whole.input_ids) > limit)
    for sequence in fit.encoded:
        assert len(sequence.input_ids) <= limit
        for ids in runs(sequence):
            assert ids[-1] in template.special
        intact = template.tokenizer.decode(runs(sequence)[-1]) in [
            template.tokenizer.decode(ids) for ids in runs(whole)
        ]
        assert intact or fit.cut_answers


def limited(name, length, on_too_long):
    import dataclasses

    from tunebird_trainer.config import OnTooLong

    made = config(name)
    return dataclasses.replace(
        made,
        training=dataclasses.replace(made.training, max_sequence_length=length),
        preparation=dataclasses.replace(made.preparation, on_too_long=OnTooLong(on_too_long)),
    )


def test_documents_of_any_length_are_left_to_the_blocks(own_template):
    template = own_template(ENDLESS)
    import dataclasses

    from tunebird_trainer.config import Objective

    asked = limited("chatml", 16, "Drop")
    asked = dataclasses.replace(asked, method=dataclasses.replace(asked.method, objective=Objective.CONTINUE))
    assert lengths.fitted(Document("a" * 100), template, asked).too_long == 0
