"""PID 1 of a trainer pod and the command line: checks the config, starts the run's processes, and turns the first
failure into the exit code and termination message of the contract, even when a process was killed and said nothing."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunebird_trainer import config_file, quiet
from tunebird_trainer.outcome import (
    EXIT_CODES,
    ExitCode,
    Failure,
    Reason,
    read_journal,
    termination_message,
    write_termination_message,
)
from tunebird_trainer.stores import preflight
from tunebird_trainer.survival import faults, launch
from tunebird_trainer.training import memory

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tunebird_trainer.config import Config
    from tunebird_trainer.survival.launch import Ended


def main() -> None:
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    path = options.config or os.environ.get("TUNEBIRD_CONFIG", "")
    if not path:
        print("tunebird-trainer: name a config file, or set TUNEBIRD_CONFIG", file=sys.stderr)
        return ExitCode.CONFIG
    quiet.libraries()
    attempt = int(os.environ.get("TUNEBIRD_ATTEMPT") or 1)
    try:
        config = config_file.load(Path(path))
        other = _other_errand(config, options)
        return other if other is not None else _trained(path, config)
    except Failure as failure:
        facts = {"phase": "config", "reason": failure.reason, "exitCode": failure.exit_code, "message": failure.message}
        return _say({"attempt": attempt, **facts}, getattr(failure, "lines", ()))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tunebird-trainer", description="Train from one config file, or look first.")
    parser.add_argument("config", nargs="?", help="the config (default: the file named by TUNEBIRD_CONFIG)")
    errand = parser.add_mutually_exclusive_group()
    errand.add_argument("--plan", action="store_true", help="print the config, steps and memory; load no weights")
    errand.add_argument("--check-data", action="store_true", help="read the data, show what would be learned from it")
    errand.add_argument("--evaluate", action="store_true", help="run the evaluation on the published model")
    parser.add_argument("--endpoint", metavar="URL", help="with --evaluate: an OpenAI-compatible server of the model")
    parser.add_argument(
        "--out", metavar="DIR", type=Path, default=Path(), help="with --evaluate: where to write (here)"
    )
    return parser


def _other_errand(config: Config, options: argparse.Namespace) -> int | None:
    if options.plan or options.check_data:
        preflight.check_inputs(config)
    if options.plan or options.check_data or options.evaluate:
        print("start: loading libraries", flush=True)
    if options.plan:
        from tunebird_trainer import plan

        return plan.main(config)
    if options.check_data:
        from tunebird_trainer import check_data

        return int(check_data.main(config))
    if options.evaluate:
        from tunebird_trainer import evaluation
        from tunebird_trainer.training import environment

        stop = environment.StopFlag("ending the evaluation")  # as PID 1 it would not hear SIGTERM by itself
        return int(evaluation.main(config, options.endpoint, lambda: stop.is_set, options.out))
    return None


def _trained(path: str, config: Config) -> int:
    preflight.check(config)
    launch.clear_stale_locks()
    accounts = memory.own()
    with _scratch() as scratch:
        before = memory.kills(accounts)
        ended = launch.Children(path, config, scratch).run()
        facts = {"attempt": config.job.attempt, **read_journal(launch.journal(scratch, ended.rank))}
        killed = _peaks(accounts) if memory.kills(accounts) > before else None
        return _say(_completed(facts, ended, killed))


def _completed(facts: dict[str, Any], ended: Ended, oom: str | None = None) -> dict[str, Any]:
    """The journal's verdict when the process gave one, else what its death tells. `oom` says what was used when the
    kernel killed for want of memory."""
    if facts.get("exitCode") == ended.code:
        return facts
    if ended.code == ExitCode.DONE and ended.rank:
        return {**facts, "reason": Reason.COMPLETED, "exitCode": 0, "message": "process 0 published what all trained"}
    where = f"step {facts['step']} of {facts['of']}" if facts.get("of") else f"phase {facts.get('phase', 'start')}"
    resumed = f"; {facts['checkpoint']} is kept" if facts.get("checkpoint") else ""
    peak = {"peakBytes": ended.peak_bytes} if ended.peak_bytes else {}
    reason, code, said = _meaning(ended, where + resumed, oom)
    return {**facts, **peak, "reason": reason, "exitCode": code, "message": said}


def _meaning(ended: Ended, where: str, oom: str | None) -> tuple[Reason, int, str]:
    if ended.hung:
        return Reason.HUNG, EXIT_CODES[Reason.HUNG], f"{ended.hung.sentence}; at {where}"
    if ended.code == 128 + signal.SIGKILL and oom is not None:
        said = f"the host's memory was used up{oom} at {where}; ask for more memory in compute.resources"
        return Reason.HOST_OUT_OF_MEMORY, ExitCode.HOST_MEMORY, said
    if ended.stop_asked and ended.code - 128 in (signal.SIGTERM, signal.SIGINT):
        said = f"stopped by SIGTERM or Ctrl-C at {where}; nothing that was saved is lost"
        return Reason.PREEMPTED, ExitCode.CHECKPOINTED, said
    fault = faults.found_in(ended.tail)
    if fault:
        return fault.reason, EXIT_CODES[fault.reason], f"{faults.sentence(fault)}; at {where}"
    if ended.code > 128 and ended.code - 128 in set(signal.Signals):
        name = signal.Signals(ended.code - 128).name
        return Reason.INTERNAL, ended.code, f"the training process was ended by {name} at {where}"
    said = f"the training process left with code {ended.code} at {where}; its log says why"
    return Reason.INTERNAL, ExitCode.INTERNAL, said


def _peaks(accounts: Path) -> str:
    """How much was held at most, and of how much."""
    peak, limit = memory.peak_bytes(accounts), memory.limit_bytes(accounts)
    said = f" with {peak / 2**30:.2f} GiB in use" if peak is not None else ""
    return said + (f" of {limit / 2**30:.2f} GiB" if said and limit is not None else "")


def _say(facts: dict[str, Any], lines: Sequence[str] = ()) -> int:
    """`lines` are what the message holds, where that is more than one thing."""
    code = int(facts["exitCode"])
    if code:
        said = "".join(f"\n  {line}" for line in lines) if len(lines) > 1 else f" {facts['message']}"
        print(f"tunebird-trainer: {facts['reason']}:{said}", file=sys.stderr, flush=True)
    log = os.environ.get("TUNEBIRD_TERMINATION_LOG")
    if code == ExitCode.CHECKPOINTED and not log:  # a person's, and no operator's that starts it again
        print("tunebird-trainer: start the same command again to go on", file=sys.stderr, flush=True)
    if log:
        write_termination_message(Path(log), termination_message(facts))
    return code


@contextmanager
def _scratch() -> Iterator[Path]:
    """A folder of this attempt's own, for the journals; gone afterwards."""
    parent = os.environ.get("TUNEBIRD_SCRATCH")
    if parent:
        Path(parent).mkdir(parents=True, exist_ok=True)
    path = Path(tempfile.mkdtemp(prefix="run-", dir=parent))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


if __name__ == "__main__":
    main()
