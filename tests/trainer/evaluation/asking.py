"""Suites of a few rows, and an evaluation of a model with them."""

from trainer.factories import placed, write_rows
from tunebird_trainer import config_file, evaluation


class Calm:
    stops = False

    def __init__(self):
        self.told = []

    def doing(self, activity):
        self.told.append(activity)

    def stop_requested(self):
        return self.stops


def cases(count=10, checks=({"type": "length", "maxWords": 500},), **fields):
    return [{"id": str(n), "prompt": f"What is {n} and 2?", "checks": list(checks), **fields} for n in range(count)]


def asking(home, model, rows, gates=(), **suite):
    """A config with one suite, `core`, of these rows."""
    path = write_rows(home / "suite.jsonl", rows)
    suite = {"name": "core", "uri": f"file://{path}", "generation": {"maxTokens": 8}, **suite}
    return placed(home, model, evaluation={"suites": [suite], "gates": list(gates)})


def evaluated(raw, model, home, session=None):
    return evaluation.evaluate(config_file.parse(raw), session or Calm(), model, model, None, home / "out")
