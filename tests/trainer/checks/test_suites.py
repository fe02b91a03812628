"""Suite files: what is read, and how every fault is named."""

import json

import pytest

import tunebird_checks
from tunebird_checks import InvalidSuite


def write(path, *rows):
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def faults(path):
    with pytest.raises(InvalidSuite) as found:
        tunebird_checks.load(path)
    return "\n".join(found.value.faults)


GOOD = {"id": "a", "prompt": "Hello", "checks": [{"type": "length", "maxWords": 9}], "tags": ["benign"]}


def test_a_suite_is_read_with_its_digest(tmp_path):
    path = write(tmp_path / "s.jsonl", GOOD, "", {**GOOD, "id": "b"})
    suite = tunebird_checks.load(path)
    assert [case.id for case in suite.cases] == ["a", "b"]
    assert suite.digest.startswith("sha256:")
    assert suite.digest != tunebird_checks.load(write(tmp_path / "t.jsonl", GOOD)).digest


def test_messages_keep_their_tool_calls(tmp_path):
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    turns = [
        {"role": "user", "content": "Look"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "content": "42", "tool_call_id": "1"},
    ]
    row = {"id": "a", "messages": turns, "checks": [{"type": "number", "value": 42}]}
    (case,) = tunebird_checks.load(write(tmp_path / "s.jsonl", row)).cases
    assert list(case.turns) == turns


def test_all_faults_are_named_at_once_with_line_and_field(tmp_path):
    said = faults(
        write(
            tmp_path / "s.jsonl",
            GOOD,
            {**GOOD, "id": "b", "checks": [{"type": "number", "value": "x"}, {"type": "regex", "pattern": "("}]},
            "{broken",
            {**GOOD, "id": "c", "colour": 1},
            {**GOOD},
        )
    )
    assert "s.jsonl:2 checks[0].value: " in said
    assert "s.jsonl:2 checks[1].pattern: is no regular expression" in said
    assert "s.jsonl:3 is not JSON" in said
    assert "s.jsonl:4 colour: " in said
    assert "s.jsonl: id 'a' is used 2 times" in said


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"prompt": None}, "give prompt or messages"),
        ({"messages": [{"role": "user", "content": "x"}]}, "give prompt or messages"),
        ({"checks": [], "tags": []}, "nothing is checked"),
        ({"tags": ["harmful", "benign"]}, "not both"),
        ({"checks": [{"type": "bleu", "minimum": 0.5}]}, "reference: missing"),
        ({"checks": [{"type": "exact"}]}, "reference: missing"),
        ({"labels": [{"answer": "x", "pass": True}]}, "no check of type judge"),
        ({"checks": [{"type": "contains"}]}, "checks[0]: give all, any or none"),
        ({"checks": [{"type": "length", "minWords": 3, "maxWords": 2}]}, "minimum is above the maximum"),
        ({"checks": [{"type": "length"}]}, "give minWords"),
        ({"checks": [{"type": "jsonSchema", "schema": {"type": "nonsense"}}]}, "is no JSON schema"),
        ({"checks": [{"type": "smell"}]}, "checks[0].type: 'smell' is none of contains, regex, jsonSchema, "),
        ({"checks": [{"type": "contain", "all": ["x"]}]}, "; did you mean 'contains'?"),
        ({"checks": [{"all": ["x"]}]}, "checks[0].type: missing; give one of contains, regex"),
        ({"checks": [{"type": "refusal"}]}, "checks[0].expected: missing"),
        ({"checks": [{"type": "number", "value": "x"}]}, "checks[0].value: should be a valid number, not 'x'"),
        ({"checks": [{"type": "length", "maxWord": 3}]}, "checks[0].maxWord: unknown key, did you mean 'maxWords'?"),
        ({"messages": [{"role": "user", "text": "x"}], "prompt": None}, "messages[0].text: unknown key"),
        ({"tags": "benign"}, "tags: should be a list, not 'benign'"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path, change, told):
    row = {key: value for key, value in {**GOOD, **change}.items() if value is not None}
    assert told in faults(write(tmp_path / "s.jsonl", row))


def test_a_misspelt_key_hides_nothing_else(tmp_path):
    said = faults(write(tmp_path / "s.jsonl", {"id": "1", "promt": "y"}))
    assert "s.jsonl:1 promt: unknown key, did you mean 'prompt'?" in said
    assert "s.jsonl:1 give prompt or messages, one of them" in said
    assert "nothing is checked: give checks" in said


def test_a_misspelt_key_of_a_check_hides_nothing_else(tmp_path):
    said = faults(
        write(tmp_path / "s.jsonl", {**GOOD, "checks": [{"type": "length", "maxWord": 3}, {"type": "exact"}]})
    )
    assert said.splitlines() == [
        "s.jsonl:1 checks[0].maxWord: unknown key, did you mean 'maxWords'?",
        "s.jsonl:1 checks[0]: give minWords, maxWords, minCharacters or maxCharacters",
    ]


def test_a_broken_line_is_named_by_its_line_and_column(tmp_path):
    said = faults(write(tmp_path / "s.jsonl", GOOD, '{"id": "b",'))
    assert said.endswith("s.jsonl:2 is not JSON: Expecting property name enclosed in double quotes at column 12")


def test_a_row_that_is_no_object_is_said_to_be_none(tmp_path):
    assert faults(write(tmp_path / "s.jsonl", "[1]")) == "s.jsonl:1 should be an object, not [1]"


def test_a_missing_file_is_the_callers_business(tmp_path):
    with pytest.raises(FileNotFoundError):
        tunebird_checks.load(tmp_path / "absent.jsonl")
