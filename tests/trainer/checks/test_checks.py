"""Every check both ways."""

import json

import pytest

from tunebird_checks import Answer, Outcome, check, overall
from tunebird_checks.answers import ToolCall, Verdict
from tunebird_checks.suite import Case


def case(*checks, **fields):
    row = {"id": "a", "prompt": "Which city?", "checks": list(checks), **fields}
    return Case.model_validate_json(json.dumps(row))


def outcome(asked, text, **fields):
    answer = text if isinstance(text, Answer) else Answer(text)
    return check(answer, case(asked, **fields))[0].outcome


SCHEMA = {"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}}
REFERENCE = {"reference": "Paris is the capital of France."}
CALL = Answer("", tool_calls=(ToolCall("weather", {"city": "Paris", "days": 3}),))


@pytest.mark.parametrize(
    ("asked", "passes", "fails", "fields"),
    [
        ({"type": "contains", "any": ["paris", "lyon"]}, "It is Paris.", "It is Nice.", {}),
        ({"type": "contains", "all": ["Paris", "France"]}, "Paris, France", "Paris", {}),
        ({"type": "contains", "none": ["Berlin"]}, "Paris", "not berlin", {}),
        ({"type": "contains", "all": ["Paris"], "ignoreCase": False}, "Paris", "paris", {}),
        ({"type": "regex", "pattern": r"^\d{3}$"}, "123", "1234", {}),
        ({"type": "regex", "pattern": "berlin", "found": False, "ignoreCase": True}, "Paris", "Berlin", {}),
        ({"type": "jsonSchema", "schema": SCHEMA}, '{"city": "Paris"}', '{"town": "Paris"}', {}),
        ({"type": "jsonSchema", "schema": SCHEMA}, '```json\n{"city": "Paris"}\n```', "city: Paris", {}),
        ({"type": "exact", "texts": ["Paris", "Lutetia"]}, " paris. ", "Paris, France", {}),
        ({"type": "exact"}, "paris is  the capital of France", "Paris", REFERENCE),
        ({"type": "exact", "texts": ["Paris"], "normalise": False}, "Paris", "paris", {}),
        ({"type": "number", "value": 1234.5}, "First 7, then 1,234.5", "1,234.5, then 7", {}),
        ({"type": "number", "value": 100, "relativeTolerance": 0.05}, "about 104", "about 106", {}),
        ({"type": "number", "value": -3, "tolerance": 0.5}, "it is \u22123.4 degrees", "it is 3.4 degrees", {}),
        ({"type": "rouge1", "minimum": 0.6}, "The capital of France is Paris", "I do not know", REFERENCE),
        (
            {"type": "rouge2", "minimum": 0.6},
            "Paris is the capital of France",
            "France capital the is Paris",
            REFERENCE,
        ),
        ({"type": "rougeL", "minimum": 0.6}, "Paris is the capital", "Berlin", REFERENCE),
        ({"type": "bleu", "minimum": 0.6}, "Paris is the capital of France.", "Berlin is a city.", REFERENCE),
        ({"type": "chrf", "minimum": 0.6}, "Paris is the capital of France", "Berlin", REFERENCE),
        ({"type": "refusal", "expected": True}, "I'm sorry, but I can\u2019t help with that.", "Sure: first, …", {}),
        ({"type": "refusal", "expected": False}, "I can't stress enough: back it up.", "I must decline.", {}),
        ({"type": "length", "maxWords": 3}, "one two three", "one two three four", {}),
        ({"type": "length", "minWords": 2, "minCharacters": 5}, "one two", "one", {}),
        ({"type": "length", "maxCharacters": 4}, "four", "fives", {}),
        ({"type": "toolCall", "name": "weather", "arguments": {"city": "Paris"}}, CALL, "Let me look.", {}),
        ({"type": "toolCall", "name": None}, "It is sunny.", CALL, {}),
    ],
    ids=lambda value: value["type"] if isinstance(value, dict) and "type" in value else "",
)
def test_a_check_passes_what_it_asks_for_and_fails_the_rest(asked, passes, fails, fields):
    assert outcome(asked, passes, **fields) is Outcome.PASS
    assert outcome(asked, fails, **fields) is Outcome.FAIL


def test_a_pattern_that_backtracks_for_ever_is_inconclusive():
    slow = {"type": "regex", "pattern": "(a|aa)+$", "timeoutSeconds": 0.05}
    assert outcome(slow, "a" * 60 + "b") is Outcome.INCONCLUSIVE


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call>\n{"name": "weather", "arguments": {"city": "Paris"}}\n</tool_call>',
        '{"name": "weather", "parameters": {"city": "Paris"}}',
        '[TOOL_CALLS][{"name": "weather", "arguments": "{\\"city\\": \\"Paris\\"}"}]',
    ],
)
def test_calls_are_read_from_the_text_in_which_models_write_them(text):
    asked = {"type": "toolCall", "name": "weather", "arguments": {"city": "Paris"}}
    assert outcome(asked, text) is Outcome.PASS


@pytest.mark.parametrize("wrong", [{"city": "Lyon"}, {"city": "Paris", "days": "3"}, {"cities": ["Paris"]}])
def test_a_call_with_other_arguments_fails(wrong):
    assert outcome({"type": "toolCall", "name": "weather", "arguments": wrong}, CALL) is Outcome.FAIL


def test_a_true_argument_is_not_the_number_one():
    asked = {"type": "toolCall", "name": "f", "arguments": {"x": True}}
    assert outcome(asked, Answer("", (ToolCall("f", {"x": 1}),))) is Outcome.FAIL


def test_without_an_answer_every_check_is_inconclusive():
    verdicts = check(Answer("", error="timed out"), case({"type": "length", "maxWords": 3}))
    assert [verdict.outcome for verdict in verdicts] == [Outcome.INCONCLUSIVE]
    assert "timed out" in verdicts[0].reason


def test_a_judge_that_was_not_asked_is_no_pass():
    assert outcome({"type": "judge", "rubric": "Is it kind?"}, "Yes") is Outcome.INCONCLUSIVE


@pytest.mark.parametrize(
    ("outcomes", "whole"),
    [("pp", "pass"), ("pf", "fail"), ("pi", "inconclusive"), ("fi", "fail"), ("", "inconclusive")],
)
def test_a_case_passes_only_with_all_its_checks(outcomes, whole):
    names = {"p": Outcome.PASS, "f": Outcome.FAIL, "i": Outcome.INCONCLUSIVE}
    assert overall(Verdict("x", names[each], "") for each in outcomes) == whole


@pytest.mark.parametrize(
    ("text", "refuses"),
    [
        ("I cannot help you with that request.", True),
        ("I won't write malware. What I can do is explain how it is found.", True),
        ("I am not able to share other people's data.", True),
        ("That's not something I can do.", True),
        ("You can't mount the same volume twice.", False),
        ("I can't see your cluster, so run kubectl describe first.", False),
        ("Sorry for the delay! Here is the command.", False),
        ("Use kubectl. " * 30 + "I can't do that.", False),
    ],
)
def test_refusals_are_told_from_explanations(text, refuses):
    assert outcome({"type": "refusal", "expected": refuses}, text) is Outcome.PASS
