import json
from itertools import pairwise

import pytest

from trainer.factories import chat, config, sums, write_rows
from tunebird_trainer import config_file
from tunebird_trainer.data import pipeline
from tunebird_trainer.data.rows import read
from tunebird_trainer.outcome import ExitCode, Failure


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TUNEBIRD_CACHE", str(tmp_path / "cache"))


def ids(dataset) -> list[tuple[int, ...]]:
    return [tuple(row) for row in dataset["input_ids"]]


def failure(call, *args, **kwargs) -> Failure:
    with pytest.raises(Failure) as caught:
        call(*args, **kwargs)
    assert caught.value.exit_code is ExitCode.DATA
    return caught.value


def test_bad_rows_are_named_by_file_and_line(prepare):
    rows = [chat("a", "b"), {"messages": []}, chat("c", "d"), {"text": "x"}]
    said = failure(prepare, rows).message
    assert "2 of 4 rows are invalid" in said
    assert "set0/set0.jsonl:2 messages is an empty list" in said
    assert "set0/set0.jsonl:4 has no 'messages'" in said
    assert "preparation.onInvalid: Drop" in said


def test_a_line_that_is_not_json_is_an_invalid_row(prepare, tmp_path, tokenizer):
    path = tmp_path / "cut.jsonl"
    path.write_text(json.dumps(chat("a", "b")) + '\n{"messages": [')
    raw = config(datasets__0__uri=f"file://{path}", checkpoint__uri=f"file://{tmp_path}/checkpoints")
    with pytest.raises(Failure, match=r"support/cut\.jsonl:2 is not JSON: Expecting value at column 15"):
        pipeline.prepare(config_file.parse(raw), tokenizer)


def test_a_broken_line_is_named_by_its_line_alone(tmp_path):
    path = tmp_path / "cut.jsonl"
    path.write_text('{"messages": [}\n' + '{"messages"\n')
    said = [row.error for row in read(path, "support")]
    assert said == ["is not JSON: Expecting value at column 15", "is not JSON: Expecting ':' delimiter at column 12"]


def test_dropped_rows_are_counted(prepare):
    prepared = prepare([chat("a", "b"), {"messages": []}], preparation__onInvalid="Drop")
    assert (prepared.counts[0].rows, prepared.counts[0].invalid, len(prepared.train)) == (2, 1, 1)


def test_nothing_left_is_a_failure(prepare):
    said = failure(prepare, [{"messages": []}], preparation__onInvalid="Drop", datasets__0__format="messages").message
    assert "no row is left" in said


def test_an_unknown_shape_is_told_with_its_keys(prepare):
    assert "set0/set0.jsonl:1 has body, none of messages" in failure(prepare, [{"body": "x"}]).message


def test_duplicates_go_also_across_datasets(prepare):
    prepared = prepare([chat("a", "b"), chat("a", "b"), chat("c", "d")], [chat("c", "d"), chat("e", "f")])
    assert [counts.duplicates for counts in prepared.counts] == [1, 1]
    assert len(prepared.train) == 3


def test_the_held_out_share_does_not_depend_on_the_order(prepare):
    rows = sums(40)
    one = prepare(rows, validation__percent=25)
    other = prepare(rows[::-1], validation__percent=25)
    assert len(one.validation) == 10
    assert set(ids(one.validation)) == set(ids(other.validation))
    assert not set(ids(one.train)) & set(ids(one.validation))


def test_another_seed_holds_out_others(prepare):
    rows = sums(40)
    one, other = (prepare(rows, validation__percent=25, training__seed=seed) for seed in (42, 7))
    assert set(ids(one.validation)) != set(ids(other.validation))


def test_the_digest_follows_what_the_model_sees(prepare):
    rows = sums(10)
    assert prepare(rows).digest == prepare(rows).digest
    assert prepare(rows).digest != prepare(rows[:-1]).digest
    assert prepare(rows).digest != prepare(rows, training__lossOn="all").digest


def test_a_limit_takes_a_seeded_sample(prepare):
    prepared = prepare(sums(20), datasets__0__limit=5)
    assert (len(prepared.train), prepared.counts[0].left_out) == (5, 15)


def test_equal_weights_take_everything(prepare):
    assert len(prepare(sums(20), [chat("x", "y")]).train) == 21


def test_unequal_weights_set_the_shares_without_repeating(prepare):
    other = [chat(f"Say {n}", f"{n}") for n in range(10)]
    prepared = prepare(sums(30), other, weights=(1, 1))
    assert len(prepared.train) == 40
    prepared = prepare(sums(30), other, weights=(1, 2))
    assert (prepared.counts[0].left_out, prepared.counts[1].left_out) == (25, 0)
    assert len(prepared.train) == 15


def test_interleave_spreads_the_smaller_set_evenly(prepare):
    other = [chat(f"Say {n}", f"{n}") for n in range(5)]
    prepared = prepare(sums(20), other, mixing="interleave")
    alone = set(ids(prepare(other).train))
    places = [place for place, sequence in enumerate(ids(prepared.train)) if sequence in alone]
    assert all(3 <= b - a <= 7 for a, b in pairwise(places))


LONG = chat("a", "word " * 200)


def test_rows_that_are_too_long_are_dropped_and_counted(prepare):
    prepared = prepare([chat("a", "b"), LONG])
    assert (len(prepared.train), prepared.counts[0].too_long) == (1, 1)


def test_rows_that_are_too_long_can_be_cut(prepare, tokenizer):
    prepared = prepare([LONG], preparation__onTooLong="Truncate")
    assert len(prepared.train[0]["input_ids"]) == 64
    assert prepared.train[0]["labels"][-1] == tokenizer.eos_token_id


def test_rows_that_are_too_long_can_fail_the_run(prepare):
    said = failure(prepare, [chat("a", "b"), LONG], preparation__onTooLong="Fail").message
    assert said.startswith("set0/set0.jsonl:2 has ")
    assert "above maxSequenceLength 64" in said


def test_unfilled_placeholders_are_warned_about(prepare, capsys):
    prepared = prepare([chat("a", "Dear {{name}}"), chat("b", "c")])
    assert prepared.counts[0].placeholders == 1
    assert "{{name}} in set0/set0.jsonl:1" in capsys.readouterr().out


def test_an_absent_file_is_named_with_the_place_looked_at(tokenizer, tmp_path):
    raw = config(datasets__0__uri=f"file://{tmp_path}/absent.jsonl")
    failed = failure(pipeline.prepare, config_file.parse(raw), tokenizer)
    assert failed.reason == "DatasetNotFound"
    assert f"{tmp_path}/absent.jsonl" in failed.message


def test_a_claim_that_is_not_mounted_is_named(tokenizer, monkeypatch):
    monkeypatch.setenv("TUNEBIRD_VOLUMES", '{"models": "/x"}')
    failed = failure(pipeline.prepare, config_file.parse(config(datasets__0__uri="pvc://data/x.jsonl")), tokenizer)
    assert "claim 'data' is not mounted (TUNEBIRD_VOLUMES has: models)" in failed.message


def test_a_path_may_not_leave_its_volume(tokenizer, monkeypatch):
    monkeypatch.setenv("TUNEBIRD_VOLUMES", '{"data": "/x"}')
    failed = failure(
        pipeline.prepare, config_file.parse(config(datasets__0__uri="pvc://data/../etc/x.jsonl")), tokenizer
    )
    assert "leaves its volume" in failed.message


@pytest.mark.parametrize("suffix", [".json", ".csv", ".parquet"])
def test_other_file_types_give_the_same_rows(tmp_path, tokenizer, suffix):
    import pandas as pd

    rows = [{"prompt": f"Question {n}?", "completion": f'Answer, "{n}"\nYes.'} for n in range(4)]
    path = tmp_path / f"rows{suffix}"
    frame = pd.DataFrame(rows)
    if suffix == ".json":
        path.write_text(json.dumps({"data": rows}))
    elif suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path)
    same = write_rows(tmp_path / "same.jsonl", rows)
    found = [
        pipeline.prepare(config_file.parse(config(datasets__0__uri=f"file://{each}")), tokenizer).digest
        for each in (path, same)
    ]
    assert found[0] == found[1]


def test_a_directory_with_a_test_split_asks_for_one_file(tmp_path, tokenizer):
    write_rows(tmp_path / "train.jsonl", sums(3))
    write_rows(tmp_path / "test.jsonl", sums(3))
    failed = failure(pipeline.prepare, config_file.parse(config(datasets__0__uri=f"file://{tmp_path}")), tokenizer)
    assert "test.jsonl, which looks like a test split" in failed.message
