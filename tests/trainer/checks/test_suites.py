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
        ({"checks": [{"type": "smell"}]}, "checks[0]: "),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path, change, told):
    row = {key: value for key, value in {**GOOD, **change}.items() if value is not None}
    assert told in faults(write(tmp_path / "s.jsonl", row))


def test_a_missing_file_is_the_callers_business(tmp_path):
    with pytest.raises(FileNotFoundError):
        tunebird_checks.load(tmp_path / "absent.jsonl")
