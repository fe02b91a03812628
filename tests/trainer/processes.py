"""Runs of the recipe in processes forked from one that has the libraries loaded: a second each instead of ten. A
run can be told to die like under `kill -9` at the n-th thing it does to the file system."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer.factories import placed

# The server that is forked gets no sys.path of ours, and would skip what it can't import without a word.
_SOURCE = Path(__file__).parents[2] / "trainer_image"
os.environ["PYTHONPATH"] = os.pathsep.join([str(_SOURCE), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    ["tunebird_trainer.run", "tunebird_trainer.artifacts.artifact", "tunebird_trainer.training.trainer"]
)
# Audit events of the interpreter that change what lies under the run's directories.
_CHANGES = {"open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "shutil.rmtree"}


@dataclass(frozen=True)
class Death:
    """Die at the `change`-th change below `below`."""

    below: Path
    change: int


@dataclass(frozen=True)
class Result:
    code: int  # negative: the signal that ended it
    journal: dict[str, Any]
    log: str

    @property
    def message(self) -> str:
        return self.journal.get("message", "")


def run(config: dict[str, Any], home: Path, death: Death | None = None, *, sigterm_at: int = 0) -> Result:
    """One attempt, as a process of its own; SIGTERM comes when it asks for the `sigterm_at`-th time whether to stop."""
    path, journal, log = home / "config.json", home / "journal.json", home / "log.txt"
    path.write_text(json.dumps(config))
    journal.unlink(missing_ok=True)
    # The server that is forked keeps the environment that it was started in; a test may have set more since.
    arguments = (str(path), str(journal), str(log), death, sigterm_at, dict(os.environ))
    process = _CONTEXT.Process(target=_main, args=arguments)
    process.start()
    process.join(timeout=500)
    assert not process.is_alive(), log.read_text()
    told = json.loads(journal.read_text()) if journal.exists() else {}
    return Result(process.exitcode or 0, told, log.read_text())


def finished(home: Path, model: Path, **changes: Any) -> Result:
    """A run under `home` that ends well."""
    result = run(placed(home, model, **changes), home)
    assert result.code == 0, result.log
    return result


def manifest(home: Path) -> dict[str, Any]:
    """Of the artifact that a run under `home` published."""
    return json.loads((home / "out" / "tunebird.json").read_text())


def count_changes(config: dict[str, Any], home: Path, below: Path) -> int:
    """How many changes a whole run makes below a directory; `run` can then die at any of them."""
    result = run(config, home, Death(below, 10**9))
    assert result.code == 0, result.log
    return int((home / "changes.txt").read_text())


def _main(path: str, journal: str, log: str, death: Death | None, sigterm_at: int, environment: dict[str, str]) -> None:
    os.environ.update(environment)
    os.environ["TUNEBIRD_JOURNAL"] = journal
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    if death:
        sys.addaudithook(_Reaper(death, Path(path).with_name("changes.txt")))
    from tunebird_trainer import run as recipe

    if sigterm_at:
        recipe.Session.stop_requested = _impatient(recipe.Session.stop_requested, sigterm_at)
    code = recipe.main(path)
    sys.stdout.flush()
    os._exit(code)


def _impatient(look: Any, sigterm_at: int) -> Any:
    """SIGTERM at the n-th look. Looks while waiting for the others to come don't count: nobody knows how many."""
    import torch

    looks = iter(range(1, 10**6))

    def looked(session: Any) -> bool:
        met = "RANK" not in os.environ or torch.distributed.is_initialized()
        if met and next(looks) == sigterm_at:
            os.kill(os.getpid(), signal.SIGTERM)
        return look(session)

    return looked


class _Reaper:
    def __init__(self, death: Death, tally: Path) -> None:
        self.death, self.count = death, 0
        self.tally = os.open(tally, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in _CHANGES or not str(arguments[0]).startswith(str(self.death.below)):
            return
        self.count += 1
        os.pwrite(self.tally, str(self.count).encode(), 0)
        if self.count == self.death.change:
            os.kill(os.getpid(), signal.SIGKILL)
