import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

DATA = Path(__file__).parents[3] / "examples" / "data"
TEXT = (DATA / "support.jsonl").read_text(encoding="utf-8")


def load_validator():
    spec = importlib.util.spec_from_file_location("validate", DATA / "validate.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["validate"] = module  # dataclasses look their module up by name
    spec.loader.exec_module(module)
    return module


validate = load_validator()

GOOD = ("How do I list pods?", "Run `kubectl get pods` in the namespace that you want to look at.")


def line(*turns: str) -> str:
    roles = ("user", "assistant")
    return json.dumps({"messages": [{"role": roles[n % 2], "content": text} for n, text in enumerate(turns)]})


def test_the_support_set_has_no_faults():
    assert list(validate.faults(TEXT)) == []


def test_the_support_set_is_large_and_varied():
    rows = [json.loads(row)["messages"] for row in TEXT.splitlines()]
    assert len(rows) >= 320
    assert sum(len(messages) > 2 for messages in rows) >= 20
    assert validate.openings(TEXT).most_common(1)[0][1] <= len(rows) // 30


def test_the_readme_counts_the_rows_that_are_there():
    rows = TEXT.splitlines()
    several = sum(len(json.loads(row)["messages"]) > 2 for row in rows)
    readme = (DATA / "README.md").read_text(encoding="utf-8")
    assert f"{len(rows)} conversations" in readme
    assert f"{several} of them have several" in readme


TRAINED = ("support.jsonl", "tunebird.jsonl", "border.jsonl", "general.jsonl")
FILES = (*TRAINED, "heldout.suite.jsonl")


def test_rows_to_train_on_and_held_out_rows_are_many_and_without_faults():
    command = [sys.executable, str(DATA / "validate.py"), *(str(DATA / name) for name in FILES)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.count("no faults")) == (0, len(FILES)), done.stdout
    counts = {name.partition(".")[0]: len(_rows(name)) for name in FILES}
    trained = sum(counts.values()) - counts["heldout"]
    assert trained >= 700
    assert counts["heldout"] >= 200
    readme = (DATA / "README.md").read_text(encoding="utf-8")
    assert f"{counts['tunebird']} more rows" in readme
    assert f"`border.jsonl` holds {counts['border']} harmless rows" in readme
    assert f"`general.jsonl` {counts['general']} rows" in readme
    assert f"{trained} in all" in readme
    assert f"{counts['heldout']} cases" in readme


def test_each_held_out_case_has_checks_and_the_readme_counts_them():
    cases = _rows("heldout.suite.jsonl")
    assert len({case["id"] for case in cases}) == len(cases)
    assert all(case["checks"] and case["reference"] for case in cases)
    readme = (DATA / "README.md").read_text(encoding="utf-8")
    for tag in ("tunebird", "platform", "ticket", "refusal", "sentence"):
        assert f"| `{tag}` | {sum(tag in case['tags'] for case in cases)} |" in readme


def test_the_general_suite_is_as_large_as_the_readme_says():
    cases = _rows("general.suite.jsonl")
    assert len({case["prompt"] for case in cases}) == len(cases)
    assert len(cases) >= 200
    assert f"asks {len(cases)} simple questions" in (DATA / "README.md").read_text(encoding="utf-8")


def test_no_held_out_question_was_trained():
    asked = {case["prompt"] for name in ("heldout", "general") for case in _rows(f"{name}.suite.jsonl")}
    trained = {turn["content"] for name in TRAINED for row in _rows(name) for turn in row["messages"]}
    assert not asked & trained


@pytest.mark.parametrize("name", ["tunebird.jsonl", "general.jsonl"])
def test_no_opening_betrays_a_template(name: str):
    text = (DATA / name).read_text(encoding="utf-8")
    assert validate.openings(text).most_common(1)[0][1] <= len(text.splitlines()) // 30


def test_a_row_that_an_earlier_file_has_is_found(tmp_path: Path):
    first, second = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    first.write_text(line(*GOOD) + "\n")
    asked = json.dumps({"id": "1", "prompt": GOOD[0], "reference": GOOD[1], "checks": []})
    second.write_text(asked + "\n")
    command = [sys.executable, str(DATA / "validate.py"), str(first), str(second)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"{second}:1: says nearly the same as {first}:1" in done.stdout


def test_an_answer_may_be_a_json_object():
    assert list(validate.faults(line("File it as JSON.", '{"area": "data", "urgent": false}'))) == []


def test_a_good_row_passes():
    assert list(validate.faults(line(*GOOD))) == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "Expecting"),
        ('{"prompt": "a"}', "one key `messages`"),
        ('{"messages": [{"role": "user", "content": "x", "name": "n"}]}', "no others"),
        (line(GOOD[0]), "must alternate"),
        (line(GOOD[0], "Too short."), "characters is outside"),
        (line(GOOD[0], GOOD[1] + " "), "white space"),
        (line(GOOD[0], GOOD[1].replace("Run", "R\u00fcn")), "beyond ASCII"),
        (line("Who is jane.doe@corp.io here?", GOOD[1]), "email address"),
        (line("Call +49 170 1234567 please.", GOOD[1]), "phone number"),
        (line("The node 203.0.113.7 is down.", GOOD[1]), "IP address"),
        (line(GOOD[0], "Use the token hf_abcdefghijkl for it."), "a key"),
        (line(GOOD[0], "TODO: write the answer to this one."), "placeholder"),
        (line(GOOD[0], "As an AI, I can tell you to list pods."), "boilerplate"),
        (line(GOOD[0], "Run this:\n```\nkubectl get pods"), "code block open"),
        (line(GOOD[0], "Run kubectl get pods in the namespace that"), "ends in the middle"),
        (line(GOOD[0], "Zeige Pods mit einem Befehl an, dann lies deren Ausgabe genau."), "English"),
        (line(GOOD[0], "Do it now. " * 12 + "Do it."), "sentences is too long"),
    ],
)
def test_each_fault_is_found(text: str, told: str):
    assert any(told in fault for fault in validate.faults(text))


def test_exact_and_near_duplicates_are_found():
    near = line(GOOD[0] + " Please.", GOOD[1].replace("that you want", "you want"))
    found = list(validate.faults("\n".join([line(*GOOD), line(*GOOD), near])))
    assert "2: same user turn as line 1" in found
    assert any(fault.startswith("3: says nearly the same as line 1") for fault in found)


def test_the_command_says_what_is_wrong_and_fails(tmp_path: Path):
    broken = tmp_path / "rows.jsonl"
    broken.write_text(line(GOOD[0]) + "\n")
    command = [sys.executable, str(DATA / "validate.py")]
    failed = subprocess.run([*command, str(broken)], capture_output=True, text=True, check=False)
    assert failed.returncode == 1
    assert f"{broken}:1: roles must alternate" in failed.stdout
    passed = subprocess.run([*command, str(DATA / "support.jsonl")], capture_output=True, text=True, check=False)
    assert (passed.returncode, passed.stdout.endswith("rows, no faults\n")) == (0, True)


def _rows(name: str) -> list[dict]:
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


def test_the_preferences_are_different_pairs_without_faults():
    rows = _rows("preferences.jsonl")
    assert len(rows) == len({row["prompt"] for row in rows}) == 60
    for row in rows:
        assert set(row) == {"prompt", "chosen", "rejected"}
        assert row["chosen"] != row["rejected"]
        assert list(validate.faults(line(row["prompt"], row["chosen"]))) == []


def test_the_suite_does_not_ask_what_was_trained():
    asked = [row["prompt"] for row in _rows("golden.jsonl")]
    assert len(asked) == len(set(asked)) == 32
    trained = {row["prompt"] for row in _rows("preferences.jsonl")}
    trained |= {message["content"] for row in _rows("support.jsonl") for message in row["messages"]}
    assert not trained & set(asked)
