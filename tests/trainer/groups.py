"""Runs of several processes that are forked from one with the libraries loaded, on Gloo over loopback. Each can be told
to die or to get SIGTERM; when one is gone the others are killed, as with their node."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fakes.ports import free_port
from trainer import processes
from trainer.processes import Death, Result

processes._CONTEXT.set_forkserver_preload(
    ["tunebird_trainer.run", "tunebird_trainer.artifacts.artifact", "tunebird_trainer.training.trainer", "deepspeed"]
)
_TIMEOUT_SECONDS = 500


@dataclass(frozen=True)
class Fate:
    """What happens to processes of a run, by rank."""

    deaths: dict[int, Death] = field(default_factory=dict)
    sigterm_at: dict[int, int] = field(default_factory=dict)  # at the n-th look at whether to stop
    record: bool = False  # the rows of each batch into rows-<rank>.jsonl, moments into moments.jsonl
    spoil: str = ""  # after a resume: other "rows", no "moments", or the step "counter" as DeepSpeed leaves it


def run(config: dict[str, Any], home: Path, fate: Fate | None = None) -> list[Result]:
    """One attempt; the result of each process by rank."""
    fate = fate or Fate()
    path = home / "config.json"
    path.write_text(json.dumps(config))
    port, size = free_port(), config["distributed"]["processesPerNode"]
    children = []
    for rank in range(size):
        (home / f"journal-{rank}.json").unlink(missing_ok=True)
        environment = {
            "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_WORLD_SIZE": str(size),
            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": "lo",
            "TUNEBIRD_GROUP": f"attempt-{config['job']['attempt']}", "TUNEBIRD_RENDEZVOUS_SECONDS": "60",
            "TUNEBIRD_JOURNAL": str(home / f"journal-{rank}.json"),
        }  # fmt: skip
        child = processes._CONTEXT.Process(target=_main, args=(str(path), rank, environment, fate))
        child.start()
        children.append(child)
    _join(children)
    return [_result(child, home, rank) for rank, child in enumerate(children)]


def logs(results: list[Result]) -> str:
    return "\n".join(f"--- process {rank}, code {each.code}\n{each.log}" for rank, each in enumerate(results))


def _join(children: list[Any]) -> None:
    deadline = time.monotonic() + _TIMEOUT_SECONDS
    while any(child.is_alive() for child in children):
        time.sleep(0.02)
        gone = any(not child.is_alive() and child.exitcode not in (0, 85) for child in children)
        if gone or time.monotonic() > deadline:
            for child in children:
                child.join(timeout=3)  # those that notice say why
                child.kill()
                child.join()


def _result(child: Any, home: Path, rank: int) -> Result:
    journal = home / f"journal-{rank}.json"
    told = json.loads(journal.read_text()) if journal.exists() else {}
    return Result(child.exitcode or 0, told, (home / f"log-{rank}.txt").read_text())


def _main(path: str, rank: int, environment: dict[str, str], fate: Fate) -> None:
    os.environ.update(environment)
    home = Path(path).parent
    output = os.open(home / f"log-{rank}.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    if rank in fate.deaths:
        sys.addaudithook(processes._Reaper(fate.deaths[rank], home / f"changes-{rank}.txt"))
    from tunebird_trainer import run as recipe

    if rank in fate.sigterm_at:
        recipe.Session.stop_requested = processes._impatient(recipe.Session.stop_requested, fate.sigterm_at[rank])
    if fate.record:
        _record(home / f"rows-{rank}.jsonl")
        if json.loads(Path(path).read_text())["distributed"].get("zeroStage"):
            _record_moments(home / "moments.jsonl")
    if fate.spoil:
        {"rows": _spoil_rows, "moments": _spoil_moments, "counter": _spoil_counter}[fate.spoil]()
    code = recipe.main(path)
    sys.stdout.flush()
    os._exit(code)


def _record(path: Path) -> None:
    """Append the token ids of each row that this process trains on, by step; a resumed attempt appends too."""
    from tunebird_trainer.training.trainer import Supervised

    original = Supervised.training_step

    def step(trainer: Any, model: Any, inputs: Any, *rest: Any, **more: Any) -> Any:
        batch = zip(inputs["input_ids"].tolist(), inputs["attention_mask"].tolist(), strict=True)
        rows = [[token for token, kept in zip(*each, strict=True) if kept] for each in batch]
        with path.open("a") as stream:
            stream.write(json.dumps({"step": trainer.state.global_step + 1, "rows": rows}) + "\n")
        return original(trainer, model, inputs, *rest, **more)

    Supervised.training_step = step


def _record_moments(path: Path) -> None:
    """Append a digest of each weight and its moments, whole: when a checkpoint was saved and when training begins."""
    from tunebird_trainer.training.keeper import Keeper

    for event in ("on_save", "on_train_begin"):
        setattr(Keeper, event, _telling(getattr(Keeper, event), event, path))


def _telling(original: Any, event: str, path: Path) -> Any:
    def told(keeper: Any, args: Any, state: Any, control: Any, model: Any = None, **more: Any) -> Any:
        sharded = more["optimizer"].optimizer
        if state.global_step and hasattr(sharded, "_lazy_init_hp_params_optimizer_state"):
            # It links after the step of the first of two parameter groups, and misses the second: DeepSpeed 0.19.8.
            sharded._hp_optimizer_states_linked = False
            sharded._lazy_init_hp_params_optimizer_state()
        digests = {name: _digests(weight) for name, weight in model.named_parameters()} if state.global_step else {}
        if state.is_world_process_zero:
            with path.open("a") as stream:
                stream.write(json.dumps({"event": event, "step": state.global_step, "digests": digests}) + "\n")
        return original(keeper, args, state, control, model=model, **more)

    return told


def _digests(weight: Any) -> list[str]:
    """All processes take part, because each holds a shard."""
    from deepspeed.utils import safe_get_full_fp32_param, safe_get_full_optimizer_state

    whole = [safe_get_full_fp32_param(weight)]
    whole += [safe_get_full_optimizer_state(weight, name) for name in ("exp_avg", "exp_avg_sq")]
    return [hashlib.sha256(each.contiguous().numpy().tobytes()).hexdigest() for each in whole]


def _spoil_rows() -> None:
    import transformers
    from torch.utils.data import SequentialSampler

    transformers.Trainer._get_train_sampler = lambda trainer, rows=None: SequentialSampler(
        rows if rows is not None else trainer.train_dataset
    )


def _spoil_moments() -> None:
    from tunebird_trainer.training import deepspeed

    def forgetful(optimizer: Any, _: float) -> None:
        for state in optimizer.state.values():
            state["exp_avg"].zero_()
            state["exp_avg_sq"].zero_()

    deepspeed.mend = forgetful


def _spoil_counter() -> None:
    from tunebird_trainer.training import deepspeed

    deepspeed.mend = lambda optimizer, weight_decay: None


KILLED = -signal.SIGKILL
