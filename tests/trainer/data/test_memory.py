"""Memory grows with the number of rows by what is kept of each, not by its text."""

import json
import os
import random
import subprocess
import sys
import tracemalloc

import pytest

from trainer.factories import config
from tunebird_trainer import config_file
from tunebird_trainer.data import balance, reading, redaction, safety
from tunebird_trainer.data.bad_rows import BadRows
from tunebird_trainer.data.intake import Intake
from tunebird_trainer.data.work import Desk, Ledger, Work

PREPARE = """
import json, resource, sys
from transformers import AutoTokenizer
from tunebird_trainer import config_file
from tunebird_trainer.data import pipeline
prepared = pipeline.prepare(config_file.parse(json.loads(sys.argv[1])), AutoTokenizer.from_pretrained(sys.argv[2]))
print("PEAK", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, len(prepared.train), prepared.counts[0].rows)
"""


def peak(home, model, rows, words):
    """Bytes, of a process that prepares so many generated rows of so many words; and the size of their file."""
    home.mkdir()
    path = home / "rows.jsonl"
    draw = random.Random(0)
    with path.open("w") as file:
        for n in range(rows):
            said = " ".join(draw.choices(("red", "green", "blue", "one", "two", "ship", "river"), k=words))
            file.write(json.dumps({"prompt": f"Row {n}?", "completion": f"{n} {said}"}) + "\n")
    raw = config(
        datasets__0__uri=f"file://{path}", checkpoint__uri=f"file://{home}/checkpoints",
        training__maxSequenceLength=4096, preparation__deduplicate={"near": 0.9},
    )  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", PREPARE, json.dumps(raw), str(model)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    bytes_, trained, read = (int(each) for each in done.stdout.rpartition("PEAK")[2].split())
    assert read == rows
    assert trained > rows * 0.8
    return bytes_, path.stat().st_size


@pytest.mark.slow
def test_many_rows_take_a_fixed_number_of_bytes_each(tmp_path, tiny_model):
    """The whole of preparation, in a process of its own."""
    base, _ = peak(tmp_path / "few", tiny_model, 200, 30)
    most, size = peak(tmp_path / "many", tiny_model, 30_000, 30)
    print(f"{most - base:,} bytes more for 30,000 rows of {size:,} bytes in all")
    assert (most - base) / 30_000 < 2500


def test_what_is_read_does_not_stay_in_memory(tmp_path):
    """Rows of 4 kB each, 2 MB in all, through reading, checking, looking for personal data, and the work file."""
    path, draw = tmp_path / "rows.jsonl", random.Random(0)
    with path.open("w") as file:
        for n in range(500):
            said = " ".join(draw.choices(("red", "green", "blue", "one", "two", "ship", "river"), k=800))
            file.write(json.dumps({"prompt": f"Row {n}?", "completion": f"{n} {said}"}) + "\n")
    made = config_file.parse(config(datasets__0__uri=f"file://{path}"))
    (source,) = reading.found(made)
    desk = Desk(made, Work(tmp_path / "examples.jsonl"), Ledger(), BadRows(None))
    intake = Intake(desk)
    chosen = reading.format_of(source, made)
    next(iter(reading.checked(source, chosen, desk)))
    safety.categories("warm"), redaction.redacted("warm +1", ["phone"]), balance._language("warm up the model first")
    tracemalloc.start()
    intake.take(source, chosen)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    desk.work.close()
    assert len(intake.entries) == 500
    assert path.stat().st_size > 1_800_000
    assert most < 900_000
