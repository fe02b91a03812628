"""A run from top to bottom, whatever its objective: config, data, model, train, save, publish, report."""

from __future__ import annotations

import json
import os
import sys
import traceback
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunebird_trainer import config as configs
from tunebird_trainer import config_file, deepspeed, environment, group, heartbeat, sources, storage
from tunebird_trainer.config import Config, Precision, Tuning
from tunebird_trainer.outcome import EXIT_CODES, ExitCode, Failure, Journal, Reason
from tunebird_trainer.progress import Endpoint, Progress, Reporter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tunebird_trainer.checkpoints import Checkpoints, Saved
    from tunebird_trainer.data import Prepared
    from tunebird_trainer.trainer import Keeper


def run(config: Config, session: Session) -> dict[str, Any]:
    """Train and publish; returns the artifact's manifest."""
    from transformers import set_seed

    from tunebird_trainer import artifact, data
    from tunebird_trainer.checkpoints import Checkpoints, Fingerprint

    print(json.dumps({"config": configs.as_json(config)}), flush=True)
    final, root = sources.place(config.output.uri), sources.place(config.checkpoint.uri)
    config_digest, code = configs.run_digest(config), environment.code_digest()
    if done := artifact.existing(final, config, config_digest):
        print(f"output: {final} was published by an earlier try of this run", flush=True)
        return done
    storage.check_writable(final.parent, "output")
    storage.check_writable(root, "checkpoint directory")

    session.enter("load")
    set_seed(config.training.seed)
    base = sources.fetch_model(config.model)
    base_digest = config.model.digest or storage.directory_digest(base)
    tokenizer = load_tokenizer(base, config)

    session.enter("data")
    with group.first_then_others():
        prepared = data.prepare(config, tokenizer)
    print("\n".join(data.summary(prepared)), flush=True)

    fingerprint = Fingerprint(base_digest, prepared.digest, config_digest, code)
    checkpoints = Checkpoints(root, config.checkpoint.keep, fingerprint)
    saved = trained(config, session, base, tokenizer, prepared, checkpoints)
    deepspeed.release(config)

    session.enter("save")
    made = artifact.Run(config, base, base_digest, config_digest, code, environment.versions(), prepared, saved)
    return artifact.publish(made, final) if session.first else {}


def trained(
    config: Config, session: Session, base: Path, tokenizer: Any, data: Prepared, checkpoints: Checkpoints
) -> Saved:
    """The last checkpoint of the run, whether this process made it or an earlier one."""
    from tunebird_trainer.trainer import Keeper, Watch, build

    if session.first:
        checkpoints.clear_unfinished()
    saved = checkpoints.newest()
    if saved:
        print(f"checkpoints: resuming after {saved.name} of {saved.facts['of']} steps", flush=True)
        session.saved(saved)
        if session.first:
            checkpoints.let_go(saved.step)
    session.enter("train")
    watch = Watch(session.stop_requested, session.tell, session.saved, config.job.attempt)
    if saved:
        watch.facts, watch.checkpoint = dict(saved.facts), saved.name
    keeper = Keeper(config, checkpoints, watch)
    if saved and saved.step >= saved.facts["of"]:
        return evaluated(config, session, base, tokenizer, data, keeper, saved)
    trainer = build(config, load_model(base, config), tokenizer, data, keeper, fresh=saved is None)
    print(f"train: {trainable(trainer.model)} on {trainer.args.device}", flush=True)
    trainer.train(resume_from_checkpoint=str(saved.path) if saved else None)
    storage.discard(checkpoints.writing)
    last = checkpoints.newest()
    _check_ended(trainer.state, session, last)
    assert last is not None
    return last


def _check_ended(state: Any, session: Session, last: Saved | None) -> None:
    """Stopped early, or was the last evaluation left out? Then the next attempt goes on from here."""
    if state.global_step < state.max_steps and last is None:
        raise Failure(Reason.PREEMPTED, "stopped by SIGTERM before the first step; nothing was lost")
    if last is None or last.step != state.global_step:
        raise Failure(Reason.INTERNAL, f"no checkpoint of step {state.global_step} was found after training")
    if state.global_step < state.max_steps or session.stop_requested():
        raise Failure(Reason.PREEMPTED, f"checkpointed at step {state.global_step} of {state.max_steps} after SIGTERM")


def evaluated(
    config: Config, session: Session, base: Path, tokenizer: Any, data: Prepared, keeper: Keeper, saved: Saved
) -> Saved:
    """A finished run that was stopped in its last evaluation gets it now, so that its metrics are whole."""
    from peft import PeftModel

    from tunebird_trainer.trainer import build

    if not data.validation or saved.facts.get("evaluatedStep") == saved.step:
        return saved
    session.enter("evaluate")
    full = config.method.tuning is Tuning.FULL
    model = load_model(saved.path if full else base, config)
    model = model if full else PeftModel.from_pretrained(model, saved.path)
    trainer = build(config, model, tokenizer, data, keeper, fresh=False)
    trainer.state.global_step = trainer.state.max_steps = saved.step
    metrics = trainer.evaluate()
    if session.stop_requested():
        raise Failure(Reason.PREEMPTED, f"checkpointed at step {saved.step} of {saved.step} after SIGTERM")
    return replace(saved, facts={**saved.facts, "evalLoss": metrics["eval_loss"], "evaluatedStep": saved.step})


def load_tokenizer(base: Path, config: Config) -> Any:
    from transformers import AutoTokenizer

    with _loading(config):
        tokenizer = AutoTokenizer.from_pretrained(base)
    match config.model.chat_template:
        case "model" if not tokenizer.chat_template:
            remedy = "choose an instruction-tuned model"
            raise Failure(Reason.INVALID_CONFIG, f"model.chatTemplate: {config.model.uri} has none; {remedy}")
        case "model":
            return tokenizer
        case other:
            raise Failure(
                Reason.INVALID_CONFIG, f"model.chatTemplate: {other!r} is not supported by this version; use model"
            )


def load_model(base: Path, config: Config) -> Any:
    """Frozen weights under LoRA are held as narrow as the arithmetic; weights that are trained stay in fp32."""
    import torch
    from transformers import AutoModelForCausalLM

    wide = config.method.tuning is Tuning.FULL or config.training.precision is Precision.FP32
    narrow = torch.bfloat16 if config.training.precision is Precision.BF16 else torch.float16
    if config.training.precision is Precision.FP16 and not torch.cuda.is_available():
        raise Failure(Reason.INVALID_CONFIG, "training.precision: fp16 needs a GPU; use fp32 or bf16")
    with _loading(config):
        return AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32 if wide else narrow, use_safetensors=True)


@contextmanager
def _loading(config: Config) -> Iterator[None]:
    """What can't be read as a model is the model's fault, not a bug."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, ValueError, SafetensorError) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        remedy = "fetch it again, or choose a causal language model that this version of transformers knows"
        raise Failure(Reason.MODEL_NOT_FOUND, f"model {config.model.uri} can't be loaded: {said}; {remedy}") from error


def trainable(model: Any) -> str:
    counts = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    learning = sum(number for number, grad in counts if grad)
    return f"{learning:,} of {sum(number for number, _ in counts):,} parameters"


class Session:
    """One process of a run: what the outside asked of it and what it tells the outside."""

    def __init__(self, config: Config, journal: Journal) -> None:
        self.config, self.journal = config, journal
        self.rank = int(os.environ.get("RANK", "0"))
        self.stop = environment.StopFlag()
        self.last_saved: Saved | None = None
        self.latest = Progress(config.job.attempt, "start")
        self.reporter = Reporter(config.report.every_seconds, Endpoint.from_environment()) if self.first else None

    @property
    def first(self) -> bool:
        return self.rank == 0

    def stop_requested(self) -> bool:
        return self.stop.is_set

    def enter(self, phase: str) -> None:
        """Begin a phase, or stop before it: between phases there is nothing to save."""
        if self.stop.is_set and phase != "save":
            raise Failure(Reason.PREEMPTED, f"stopped by SIGTERM before {phase}; nothing was lost")
        print(f"phase: {phase}", flush=True)
        heartbeat.pulse.beat(heartbeat.PHASES.get(phase))
        self.journal.note(attempt=self.config.job.attempt, phase=phase)
        self._offer(replace(self.latest, phase=phase))

    def tell(self, progress: Progress) -> None:
        metrics = {"trainLoss": progress.loss, "evalLoss": progress.eval_loss}
        self.journal.note(step=progress.step, of=progress.of, metrics=_present(metrics))
        self._offer(progress)

    def saved(self, saved: Saved) -> None:
        self.last_saved = saved
        metrics = _present({key: saved.facts.get(key) for key in ("trainLoss", "evalLoss", "evalLossBefore", "tokens")})
        self.journal.note(
            step=saved.step, of=saved.facts["of"], checkpoint=saved.name, checkpointDigest=saved.digest, metrics=metrics
        )

    def finish(self, reason: Reason, message: str, **facts: Any) -> ExitCode:
        self.journal.note(
            reason=reason, exitCode=EXIT_CODES[reason], message=message, peakBytes=environment.peak_bytes(), **facts
        )
        if self.reporter:
            self.reporter.close()
        return EXIT_CODES[reason]

    def _offer(self, progress: Progress) -> None:
        saved = self.last_saved.name if self.last_saved else None
        self.latest = replace(progress, checkpoint=progress.checkpoint or saved)
        if self.reporter:
            self.reporter.offer(self.latest)


def _present(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def main(path: str) -> ExitCode:
    """Run the config at `path`; every end, good or bad, becomes an exit code and an entry in the journal."""
    from tunebird_trainer import artifact

    config = config_file.load(Path(path))
    if int(os.environ.get("RANK", "0")):
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115  process 0 tells it all
    journal = os.environ.get("TUNEBIRD_JOURNAL")
    session = Session(config, Journal(Path(journal) if journal else None))
    try:
        environment.prepare(config, session.stop_requested)
        manifest = run(config, session)
    except Exception as error:  # noqa: BLE001  the top of the process: every end becomes an exit code
        failure = environment.classified(error, config)
        if failure.reason is Reason.INTERNAL:
            traceback.print_exc()
        return session.finish(failure.reason, failure.message + _whence(failure, session))
    if not session.first:
        return ExitCode.DONE
    print(f"done: {config.output.uri} {manifest['digest']}", flush=True)
    return session.finish(
        Reason.COMPLETED, f"published {config.output.uri}", phase="done", step=manifest["steps"], of=manifest["steps"],
        artifact=artifact.summary(manifest, config.output.uri),
    )  # fmt: skip


def _whence(failure: Failure, session: Session) -> str:
    """Where a run that broke down can go on from."""
    if failure.reason not in (Reason.NAN_LOSS, Reason.DISK_FULL, Reason.CUDA_OUT_OF_MEMORY) or not session.last_saved:
        return ""
    return f"; the last good checkpoint is {session.last_saved.name}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
