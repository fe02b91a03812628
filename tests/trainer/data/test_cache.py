import json
import os
import subprocess
import sys
import time

import pytest

from trainer.factories import config, sums, write_rows
from tunebird_trainer import config_file
from tunebird_trainer.data import cache, pipeline


@pytest.fixture
def here(tmp_path, tiny_model, monkeypatch):
    """A config with its own checkpoints and no shared cache."""
    monkeypatch.delenv("TUNEBIRD_CACHE", raising=False)
    rows = write_rows(tmp_path / "rows.jsonl", sums(20))

    def made(**changes):
        places = {"checkpoint__uri": f"file://{tmp_path}/checkpoints", "datasets__0__uri": f"file://{rows}"}
        return config_file.parse(config(model__uri=f"file://{tiny_model}", **{**places, **changes}))

    return made


def directories(tmp_path):
    return sorted((tmp_path / "checkpoints" / "data").iterdir())


def test_the_second_attempt_reads_what_the_first_prepared(here, tokenizer, tmp_path, monkeypatch, capsys):
    first = pipeline.prepare(here(), tokenizer)
    monkeypatch.setattr("tunebird_trainer.data.encoding.encoded", None)  # nothing is tokenized again
    again = pipeline.prepare(here(job__attempt=2), tokenizer)
    assert again.digest == first.digest
    assert again.train.to_dict() == first.train.to_dict()
    assert (again.counts, again.prompts, again.report) == (first.counts, first.prompts, first.report)
    assert "already prepared in" in capsys.readouterr().out
    assert len(directories(tmp_path)) == 1


def test_columns_are_memory_mapped_and_no_work_file_stays(here, tokenizer, tmp_path):
    prepared = pipeline.prepare(here(), tokenizer)
    (directory,) = directories(tmp_path)
    assert [file["filename"] for file in prepared.train.cache_files] == [str(directory / "train.arrow")]
    assert sorted(path.name for path in directory.iterdir()) == [
        "prepared.json",
        "train.arrow",
        "validation.arrow",
        "whole.json",
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"training__seed": 7},
        {"training__lossOn": "all"},
        {"validation__percent": 20},
        {"preparation__redact": ["email"]},
        {"training__maxSequenceLength": 63},
    ],
)
def test_what_decides_the_data_has_a_place_of_its_own(here, tokenizer, tmp_path, change):
    pipeline.prepare(here(), tokenizer)
    pipeline.prepare(here(**change), tokenizer)
    assert len(directories(tmp_path)) == 2


@pytest.mark.parametrize("change", [{"training__learningRate": 0.5}, {"job__attempt": 3}, {"training__epochs": 9.0}])
def test_what_does_not_decide_the_data_shares_its_place(here, tokenizer, tmp_path, change):
    pipeline.prepare(here(), tokenizer)
    pipeline.prepare(here(**change), tokenizer)
    assert len(directories(tmp_path)) == 1


def test_another_file_another_template_another_place(here, tokenizer, tmp_path):
    pipeline.prepare(here(), tokenizer)
    write_rows(tmp_path / "rows.jsonl", sums(21))
    pipeline.prepare(here(), tokenizer)
    assert len(directories(tmp_path)) == 2
    import copy

    other = copy.deepcopy(tokenizer)
    other.chat_template = tokenizer.chat_template + "{# another #}"
    pipeline.prepare(here(), other)
    assert len(directories(tmp_path)) == 3


@pytest.mark.parametrize("harm", ["cut", "flip", "manifest", "gone"])
def test_a_damaged_cache_is_made_again(here, tokenizer, tmp_path, capsys, harm):
    first = pipeline.prepare(here(), tokenizer)
    before = first.train.to_dict()
    (directory,) = directories(tmp_path)
    arrow = directory / "train.arrow"
    held = bytearray(arrow.read_bytes())
    match harm:
        case "cut":
            arrow.write_bytes(held[: len(held) // 2])
        case "flip":
            held[len(held) // 2] ^= 1
            arrow.write_bytes(held)
        case "manifest":
            (directory / "whole.json").write_text('{"train.arrow":')
        case "gone":
            arrow.unlink()
    again = pipeline.prepare(here(), tokenizer)
    assert "is damaged and is made again" in capsys.readouterr().out
    assert again.digest == first.digest
    assert again.train.to_dict() == before


def test_a_failed_preparation_leaves_nothing(here, tokenizer, tmp_path):
    from tunebird_trainer.outcome import Failure

    write_rows(tmp_path / "rows.jsonl", [{"messages": []}])
    with pytest.raises(Failure):
        pipeline.prepare(here(), tokenizer)
    assert directories(tmp_path) == []


def test_the_rest_of_a_killed_preparation_is_cleared_away(here, tokenizer, tmp_path):
    left = tmp_path / "checkpoints" / "data" / ".partial-abc-pod-17"
    left.mkdir(parents=True)
    (left / "train.arrow").write_bytes(b"half")
    pipeline.prepare(here(), tokenizer)
    assert not left.exists()


OTHER = """
import json, sys
from transformers import AutoTokenizer
from tunebird_trainer import config_file
from tunebird_trainer.data import pipeline
prepared = pipeline.prepare(config_file.parse(json.loads(sys.argv[1])), AutoTokenizer.from_pretrained(sys.argv[2]))
print("DIGEST", prepared.digest, len(prepared.train))
"""


def test_another_process_waits_and_reads_the_same(here, tokenizer, tmp_path, tiny_model):
    from tunebird_trainer.config import as_json

    raw = json.dumps(as_json(here()))
    waiting = subprocess.Popen(
        [sys.executable, "-c", OTHER, raw, str(tiny_model)],
        env={**os.environ, "RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2",
             "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    time.sleep(0.1)
    prepared = pipeline.prepare(here(), tokenizer)
    said, _ = waiting.communicate(timeout=100)
    assert f"DIGEST {prepared.digest} {len(prepared.train)}" in said


def test_only_the_first_process_prepares(monkeypatch):
    def prepares(**ranks):
        for name in ("RANK", "LOCAL_RANK", "TUNEBIRD_CACHE"):
            monkeypatch.delenv(name, raising=False)
        for name, value in ranks.items():
            monkeypatch.setenv(name, value)
        return cache._prepares()

    assert prepares()
    assert prepares(RANK="0", LOCAL_RANK="0")
    assert not prepares(RANK="1", LOCAL_RANK="1")
    assert not prepares(RANK="2", LOCAL_RANK="0")  # the checkpoints' volume is shared by all nodes
    assert prepares(RANK="2", LOCAL_RANK="0", TUNEBIRD_CACHE="/cache")  # each node has its own
