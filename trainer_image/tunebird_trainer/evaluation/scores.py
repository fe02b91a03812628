"""Answers of a model on a suite, kept under the digest of all that decides them, so that a base is asked once."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from tunebird_checks.answers import Outcome
from tunebird_checks.results import Results
from tunebird_trainer.stores import sources, storage
from tunebird_trainer.training import environment

if TYPE_CHECKING:
    from tunebird_checks import Suite
    from tunebird_checks.chat import Generation
    from tunebird_checks.results import Result
    from tunebird_trainer.config import Config, Judge


class Scores:
    """One directory of JSON files. A damaged one is made again; an unfinished one never gets its name."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def of(cls, config: Config) -> Scores:
        shared = os.environ.get("TUNEBIRD_CACHE")
        root = Path(shared) if shared else sources.place(config.checkpoint.uri)
        return cls(root / "evaluation")

    def read(self, key: str) -> Results | None:
        try:
            return Results.from_json((self.root / f"{key}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, key: str, results: Results) -> None:
        """Only what is whole: an answer or a judgement that could not be had may be had next time."""
        if any(each.answer.error or _unjudged(each) for each in results.results):
            return
        self.root.mkdir(parents=True, exist_ok=True)
        aside = self.root / f".partial-{key}-{os.getpid()}"
        aside.write_text(results.to_json(), encoding="utf-8")
        aside.replace(self.root / f"{key}.json")


def _unjudged(result: Result) -> bool:
    return any(each.type == "judge" and each.outcome is Outcome.INCONCLUSIVE for each in result.verdicts)


def key(model_digest: str, suite: Suite, generation: Generation, judge: Judge | None) -> str:
    decisive = {
        "model": model_digest, "suite": suite.digest, "generation": asdict(generation),
        "judge": asdict(judge) if judge else None, "code": _code(), "libraries": environment.versions(),
    }  # fmt: skip
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:32]


def _code() -> str:
    """Over the checks and the backend: another refusal pattern gives other scores."""
    import tunebird_checks

    here, checks = Path(__file__).parent, Path(tunebird_checks.__file__).parent
    files = sorted([*checks.glob("*.py"), here / "in_process.py"])
    return storage.digest_of({path.name: storage.file_digest(path) for path in files})
