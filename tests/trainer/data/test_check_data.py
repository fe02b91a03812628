"""`--check-data` shows what would be learned and fails as a run would, after telling everything."""

import json

import pytest

from trainer.factories import chat, placed, sums, write_rows
from tunebird_trainer import check_data, config_file
from tunebird_trainer.outcome import Failure


@pytest.fixture
def check(tmp_path, tiny_model, monkeypatch, capsys):
    monkeypatch.setenv("TUNEBIRD_SCRATCH", str(tmp_path))

    def run(rows, **changes):
        write_rows(tmp_path / "data.jsonl", rows)
        asked = config_file.parse(placed(tmp_path, tiny_model, **changes))
        try:
            check_data.main(asked)
            return capsys.readouterr().out, ""
        except Failure as failure:
            return capsys.readouterr().out, failure.message

    return run


def test_rows_are_shown_with_what_is_learned_marked(check):
    said, failed = check(sums(24))
    assert not failed
    assert "rows by format: 24 messages" in said
    assert said.count("(⟦learned⟧, read):") == 3
    assert "<|im_start|>assistant\n⟦It is " in said
    assert "longest" in said


def test_colours_are_for_terminals():
    text = check_data._coloured([5, 6], [-100, 6], _Words(), colours=True)
    assert text == "\033[2mfive\033[0m\033[32msix\033[0m"
    assert check_data._coloured([5, 6], [-100, 6], _Words(), colours=False) == "five⟦six⟧"


class _Words:
    def decode(self, ids):
        return " ".join({5: "five", 6: "six"}[each] for each in ids)


def test_bad_rows_are_all_told_before_the_check_fails(check, tmp_path):
    said, failed = check([*sums(8), chat("", "x"), chat("x", ""), {"messages": 3}])
    for line, error in ((9, "messages[0].content is empty"), (10, "messages[1].content is empty"), (11, "the value 3")):
        assert f"support/data.jsonl:{line} " in said
        assert error in said
    assert "data: support: 11 rows read as messages from" in said
    assert "rows by format: 8 messages, 3 invalid" in said
    assert "⟦learned⟧" in said
    assert failed == "3 of 11 rows are invalid; correct them or set preparation.onInvalid: Drop"
    listed = (tmp_path / "checkpoints" / "bad-rows.jsonl").read_text().splitlines()
    assert [json.loads(line)["line"] for line in listed] == [9, 10, 11]


def test_too_long_rows_fail_the_check_where_none_may_be(check):
    said, failed = check([*sums(8), chat("x", "long " * 90)], preparation__onTooLong="Fail")
    assert "1 of 9 rows are too long; raise training.maxSequenceLength" in failed
    assert "rows by format" in said


def test_labelled_answers_are_read_and_checked_though_nothing_trains_on_them(check):
    rows = [{"prompt": "q", "completion": "a", "label": True}, {"prompt": "q", "completion": "b", "label": "x"}]
    said, failed = check(rows)
    assert "support/data.jsonl:2 label is str 'x'" in said
    assert "2 rows read as unpaired, 1 good, 0 bad, 1 invalid" in said
    assert "no objective of this version trains on labelled answers" in failed


def test_preferences_show_both_answers(check):
    rows = [{"prompt": f"q{n}", "chosen": "good", "rejected": "bad"} for n in range(8)]
    said, failed = check(rows, method__objective="dpo")
    assert not failed
    assert "chosen: ⟦good<|im_end|>⟧" in said
    assert "rejected: ⟦bad<|im_end|>⟧" in said


def test_a_row_of_which_several_parts_are_too_long_counts_once(check):
    talk = [message for _ in range(4) for message in chat("x", "long " * 90)["messages"]]
    said, failed = check([*sums(8), {"messages": talk}], preparation__onTooLong="Split", preparation__maxTooLong=0.12)
    assert not failed
    assert "support/data.jsonl:9 is above 64 tokens" in said


def test_a_row_of_another_format_is_told_what_it_looks_like(check):
    said, _ = check([*sums(8), {"prompt": "2 + 2?", "completion": "4"}])
    assert "support/data.jsonl:9 has no 'messages'" in said
    assert "it looks like promptCompletion, and this dataset is read as messages: give rows of each format" in said


def test_a_file_of_another_encoding_is_said_to_be_one(check, tmp_path, monkeypatch):
    def utf_16(path, rows):
        path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-16")

    monkeypatch.setitem(globals(), "write_rows", utf_16)
    _, failed = check(sums(8))
    assert failed.startswith("dataset support: support/data.jsonl:1 is not UTF-8 at byte 1 of the line")
