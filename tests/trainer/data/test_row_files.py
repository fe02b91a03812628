"""Files of every kind become rows with their place; every bad one is listed."""

import csv
import json

import pytest

from trainer.factories import chat, write_rows
from tunebird_trainer.config import OnInvalid, OnTooLong, Preparation
from tunebird_trainer.data.bad_rows import BadRows, check_ceilings
from tunebird_trainer.data.formats import Format, detected, example
from tunebird_trainer.data.rows import files_of, read
from tunebird_trainer.outcome import Failure

TOOLS = [{"name": "weather", "parameters": {}}]


def rows(path):
    return list(read(path, "set"))


def test_a_row_knows_its_file_and_line(tmp_path):
    folder = tmp_path / "train"
    folder.mkdir()
    write_rows(folder / "a.jsonl", [chat("a", "b")])
    (folder / "b.json").write_text(json.dumps([chat("a", "b"), chat("c", "d")]))
    assert [(row.where, row.file, row.line) for row in read(tmp_path, "set")] == [
        ("set/train/a.jsonl:1", "set/train/a.jsonl", 1),
        ("set/train/b.json:row 1", "set/train/b.json", 1),
        ("set/train/b.json:row 2", "set/train/b.json", 2),
    ]


def test_a_byte_that_is_not_utf_8_costs_its_own_row_alone(tmp_path):
    good = json.dumps(chat("a", "ü"), ensure_ascii=False).encode()
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + good + b"\n" + good.replace(b"a", b"\xfc", 1) + b"\n{\n" + good + b"\n")
    first, broken, cut, last = rows(path)
    assert first.value == last.value == chat("a", "ü")
    assert broken.where == "set/a.jsonl:2"
    assert broken.error.startswith("is not UTF-8 at byte ")
    assert broken.error.endswith(" of the line; convert the file")
    assert cut.error.startswith("is not JSON")


def test_a_string_without_end_is_told_in_whole_words(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"a": "b\n')
    assert rows(tmp_path / "a.jsonl")[0].error == "is not JSON: Unterminated string starting at column 7"


def test_more_bad_rows_than_are_shown_are_said_to_be_listed(capsys):
    bad = BadRows(None)
    for line in range(9):
        bad.add("set", f"set/a.jsonl:{line}", "invalid", "is empty")
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == 6
    assert shown[5] == "data: set: further rows that are invalid are listed and not shown"


@pytest.mark.parametrize("name", ["notes.txt", "notes.md"])
def test_a_text_is_one_document(tmp_path, name):
    (tmp_path / name).write_text("One.\n\nTwo.\n")
    (row,) = rows(tmp_path / name)
    assert detected(row.value) is Format.TEXT
    assert example(row.value, Format.TEXT).text == "One.\n\nTwo.\n"


def test_texts_beside_rows_are_about_them(tmp_path):
    write_rows(tmp_path / "a.jsonl", [chat("a", "b")])
    (tmp_path / "README.md").write_text("About the rows.")
    assert [file.name for file in files_of(tmp_path)] == ["a.jsonl"]


def test_csv_columns_may_hold_messages_as_json(tmp_path):
    path = tmp_path / "talks.csv"
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["messages", "tools"])
        writer.writerow([json.dumps(chat("a", "b\nc")["messages"]), json.dumps(TOOLS)])
    (row,) = rows(path)
    found = example(row.value, Format.MESSAGES)
    assert [message.content for message in found.messages] == ["a", "b\nc"]
    assert "weather" in found.tools[0]


def test_a_csv_line_with_another_number_of_fields_is_a_bad_row(tmp_path):
    path = tmp_path / "talks.csv"
    path.write_text("prompt,completion\na,b\na,b,c\na\n")
    assert [bool(row.error) for row in rows(path)] == [False, True, True]


def test_parquet_lists_are_messages(tmp_path):
    import pyarrow as pa
    from pyarrow import parquet

    path = tmp_path / "talks.parquet"
    plain, calling = chat("a", "b"), chat("c", "d")
    calling["messages"][1] |= {"content": None, "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}
    parquet.write_table(pa.Table.from_pylist([plain, calling]), path)
    found = [example(row.value, Format.MESSAGES) for row in rows(path)]
    assert [each.messages[1].content for each in found] == ["b", ""]
    assert found[1].messages[1].tool_calls[0].name == "f"


def test_every_bad_row_is_in_the_list_and_the_first_are_printed(tmp_path, capsys):
    bad = BadRows(tmp_path / "below" / "bad-rows.jsonl")
    for line in range(1, 21):
        bad.add("set", f"set/a.jsonl:{line}", "invalid", "is empty")
    bad.add("set", "set/b.json:row 3", "tooLong", "is above 64 tokens")
    bad.close()
    listed = [json.loads(line) for line in bad.path.read_text().splitlines()]
    assert len(listed) == 21
    assert listed[-1] == {
        "dataset": "set", "file": "set/b.json", "line": 3, "what": "tooLong", "error": "is above 64 tokens",
    }  # fmt: skip
    said = capsys.readouterr().out
    assert said.count("is empty") == 5
    assert "21 bad rows are listed in" in said


def test_a_run_without_bad_rows_leaves_no_list_of_an_earlier_one(tmp_path):
    path = tmp_path / "bad-rows.jsonl"
    path.write_text("{}\n")
    BadRows(path).close()
    assert not path.exists()


def test_a_ceiling_is_told_with_counts_and_remedy():
    asked = Preparation(OnInvalid.DROP, OnTooLong.DROP, max_invalid=0.1, max_too_long=0.5)
    check_ceilings(asked, rows=100, invalid=10, too_long=50)
    with pytest.raises(Failure, match=r"11 of 100 rows \(11.0%\) are invalid, above preparation.maxInvalid 10.0%"):
        check_ceilings(asked, rows=100, invalid=11, too_long=0)
    with pytest.raises(Failure, match=r"51 of 100 rows .* preparation.maxTooLong 50.0%; raise training"):
        check_ceilings(asked, rows=100, invalid=0, too_long=51)
