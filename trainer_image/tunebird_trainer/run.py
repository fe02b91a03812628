"""A run from top to bottom, whatever its objective: config, data, model, train, save, publish, report."""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunebird_trainer import config as configs
from tunebird_trainer import config_file, quiet
from tunebird_trainer.config import Config, Form, Tuning
from tunebird_trainer.outcome import EXIT_CODES, ExitCode, Failure, Journal, Reason
from tunebird_trainer.progress import Endpoint, Progress, Reporter
from tunebird_trainer.stamped import Stamped
from tunebird_trainer.stores import outputs, sources, storage
from tunebird_trainer.survival import group, heartbeat
from tunebird_trainer.training import deepspeed, environment, objectives, resize
from tunebird_trainer.training.loading import load_model, load_tokenizer, shape

if TYPE_CHECKING:
    from tunebird_trainer.data.prepared import Prepared
    from tunebird_trainer.survival.checkpoints import Checkpoints, Saved
    from tunebird_trainer.training.keeper import Keeper
    from tunebird_trainer.training.trainer import Start


_JOURNAL_SECONDS = 1.0
_LARGE_BYTES = 1 << 30  # a second or two from memory, minutes from a network


@dataclass(frozen=True, slots=True)
class Setting:
    """What training begins with."""

    config: Config
    base: Path
    tokenizer: Any
    data: Prepared
    checkpoints: Checkpoints


def run(config: Config, session: Session) -> dict[str, Any]:
    """Train and publish; returns the artifact's manifest."""
    with environment.importing():
        from transformers import set_seed

        from tunebird_trainer import evaluation
        from tunebird_trainer.artifacts import artifact
        from tunebird_trainer.data import pipeline, reporting
        from tunebird_trainer.survival.checkpoints import Checkpoints, Fingerprint
        from tunebird_trainer.training import trainer as _  # noqa: F401  needed later, cheaper now

    root = sources.place(config.checkpoint.uri)
    config_digest, code = configs.run_digest(config), environment.code_digest()
    if done := outputs.existing(config, config_digest):
        print(f"output: {config.output.uri} was published by an earlier try of this run", flush=True)
        return done
    outputs.check_writable(config.output.uri)
    storage.check_writable(root, f"checkpoint.uri {config.checkpoint.uri}")

    session.enter("load")
    evaluation.preflight(config)
    set_seed(config.training.seed)
    base = sources.fetch_model(config.model)
    base_digest = config.model.digest or _hashed(base, session)
    tokenizer = load_tokenizer(base, config)

    session.enter("data")
    with group.first_then_others():
        prepared = pipeline.prepare(config, tokenizer)
    print("\n".join(reporting.summary(prepared)), flush=True)

    fingerprint = Fingerprint(base_digest, prepared.digest, config_digest, code)
    checkpoints = Checkpoints(root, config.checkpoint.keep, fingerprint)
    saved = trained(Setting(config, base, tokenizer, prepared, checkpoints), session)
    deepspeed.release(config)

    if not session.first:
        return {}
    session.enter("save")

    def evaluate(model: Path, out: Path) -> evaluation.EvaluationReport:
        if config.evaluation.suites or config.evaluation.gates or config.evaluation.canaries:
            session.enter("evaluate")
        report = evaluation.evaluate(config, session, model, base, prepared, out)
        session.enter("publish")
        return report

    versions = environment.versions()
    made = artifact.Run(
        config, base, base_digest, config_digest, code, versions, prepared, saved, evaluate, session.doing
    )
    return artifact.publish(made)


def _hashed(base: Path, session: Session) -> str:
    """The base's digest; said first where reading it all takes a while."""
    size = sum(path.stat().st_size for path in storage.files_in(base))
    if session.first and size >= _LARGE_BYTES:
        print(f"load: reading the base's {storage.readable(size)} for its digest", flush=True)
    return storage.directory_digest(base)


def trained(setting: Setting, session: Session) -> Saved:
    """The checkpoint to publish, whether this process made it or an earlier one: the last, or the best where asked."""
    from tunebird_trainer.training.trainer import build

    config, checkpoints = setting.config, setting.checkpoints
    if session.first:
        checkpoints.clear_unfinished()
    saved = checkpoints.newest()
    if saved:
        print(f"checkpoints: resuming after {saved.name} of {saved.facts['of']} steps", flush=True)
        session.saved(saved)
    keeper = _keeper(setting, session, saved)
    if saved and session.first:
        checkpoints.let_go(saved.step)
    session.enter("train")
    if saved and (saved.step >= saved.facts["of"] or saved.facts.get("stoppedEarly")):
        return _chosen(setting, evaluated(setting, session, keeper, saved))
    model = load_model(setting.base, config)
    config = settled(config, model, setting.data)
    resume = resize.ready(config, checkpoints, saved) if saved else None
    trainer = build(config, model, setting.tokenizer, setting.data, keeper, _start(setting, keeper, saved, resume))
    print(f"train: {trainable(trainer.model)} on {trainer.args.device}", flush=True)
    _check_room(setting, trainer.model)
    trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    checkpoints.finish()
    last = checkpoints.newest()
    _check_ended(trainer.state, session, last)
    assert last is not None
    return _chosen(setting, last)


def _keeper(setting: Setting, session: Session, saved: Saved | None) -> Keeper:
    from tunebird_trainer.training.curves import NAME, Curves
    from tunebird_trainer.training.keeper import Keeper, Watch

    watch = Watch(session.stop_requested, session.tell, session.saved, setting.config.job.attempt, session.shaped)
    if saved:
        watch.facts, watch.checkpoint = dict(saved.facts), saved.name
    written = Curves(setting.checkpoints.root / NAME, saved.step if saved else None) if session.first else None
    return Keeper(setting.config, setting.checkpoints, watch, written)


def _start(setting: Setting, keeper: Keeper, saved: Saved | None, resume: Path | None) -> Start:
    """A fresh run begins with an evaluation; a resumed one makes up for the one that a stop cut off."""
    from tunebird_trainer.training.trainer import Start

    missed = saved is not None and saved.facts.get("evaluatedStep") != saved.step
    due = saved is None or (missed and keeper.evaluation_due(saved.step, saved.facts["epoch"]))
    reference = None
    if setting.config.method.dpo.reference and objectives.needs_reference(setting.config):
        reference = load_model(_reference(setting), setting.config)
    return Start(resume, reference, measure_first=due and len(setting.data.validation) > 0)


def _reference(setting: Setting) -> Path:
    asked = setting.config.method.dpo.reference
    return (
        sources.fetch_model(replace(setting.config.model, uri=asked, revision="", digest="")) if asked else setting.base
    )


def settled(config: Config, model: Any, data: Prepared) -> Config:
    """The config as it is carried out: packing only where the loaded model keeps packed examples apart."""
    from tunebird_trainer.training import arguments, devices, packing

    plan = arguments.resolved_arguments(config, devices.here())
    reasons = list(plan["reasons"])
    if config.training.packing and (problem := packing.problem(model, data.train, config)):
        reasons.append(f"packing is switched off: {problem}")
        config = replace(config, training=replace(config.training, packing=False))
        plan = arguments.resolved_arguments(config, devices.here())
    print(json.dumps({"resolved": {**plan, "reasons": reasons}}), flush=True)
    for reason in reasons:
        print(f"train: {reason}", flush=True)
    return config


def _check_room(setting: Setting, model: Any) -> None:
    """The merged weights are as large as the base's, and written in any case; adapters are written in 32-bit floats."""
    weights = sorted(setting.base.glob("model*.safetensors")) or sorted(setting.base.glob("*.safetensors"))
    adapter = 4 * shape(model)["trainable"] if Form.ADAPTER in setting.config.output.forms else 0
    outputs.check_room(setting.config.output.uri, sum(path.stat().st_size for path in weights) + adapter)
    purpose = f"checkpoint.uri {setting.config.checkpoint.uri}: a checkpoint takes at least"
    storage.check_room(setting.checkpoints.root, checkpoint_bytes(setting.config, shape(model)["trainable"]), purpose)


def checkpoint_bytes(config: Config, trained: int) -> int:
    """At least: trained weights in 32 bits, and what AdamW keeps of each. Other optimizers keep less."""
    return trained * (12 if config.training.optimizer == "adamw" else 4)


def _check_ended(state: Any, session: Session, last: Saved | None) -> None:
    """Stopped early, or was the last evaluation left out? Then the next attempt goes on from here."""
    if state.global_step < state.max_steps and last is None:
        raise Failure(Reason.PREEMPTED, "stopped by SIGTERM or Ctrl-C before the first step; nothing was lost")
    if last is None or last.step != state.global_step:
        raise Failure(Reason.INTERNAL, f"no checkpoint of step {state.global_step} was found after training")
    if session.stop_requested() or (state.global_step < state.max_steps and not last.facts.get("stoppedEarly")):
        raise Failure(
            Reason.PREEMPTED, f"checkpointed at step {state.global_step} of {state.max_steps} after SIGTERM or Ctrl-C"
        )


def _chosen(setting: Setting, last: Saved) -> Saved:
    """What is published: the last checkpoint, or the best one where that was asked for."""
    step = last.facts.get("bestStep")
    if step is None or step == last.step:
        return last
    best = setting.checkpoints.at(step)
    loss = f"eval loss {best.facts['bestLoss']:.4f} against {last.facts['evalLoss']:.4f} of {last.name}"
    print(f"train: {best.name} is the best: {loss}", flush=True)
    return best


def evaluated(setting: Setting, session: Session, keeper: Keeper, saved: Saved) -> Saved:
    """A finished run that was stopped in its last evaluation gets it now, so that its metrics are whole."""
    from peft import PeftModel

    from tunebird_trainer.training.trainer import Start, build

    config, data = setting.config, setting.data
    if not len(data.validation) or saved.facts.get("evaluatedStep") == saved.step:
        return saved
    session.enter("evaluate")
    full = config.method.tuning is Tuning.FULL
    model = load_model(saved.path if full else setting.base, config)
    model = model if full else PeftModel.from_pretrained(model, saved.path)
    reference = load_model(_reference(setting), config) if objectives.needs_reference(config) else None
    trainer = build(config, model, setting.tokenizer, data, keeper, Start(saved.path, reference))
    trainer.state.global_step = trainer.state.max_steps = saved.step
    trainer.evaluate()
    if keeper.curves:
        keeper.curves.flush()
    if session.stop_requested():
        raise Failure(Reason.PREEMPTED, f"checkpointed at step {saved.step} of {saved.step} after SIGTERM or Ctrl-C")
    return replace(saved, facts=dict(keeper.watch.facts))


def trainable(model: Any) -> str:
    found = shape(model)
    return f"{found['trainable']:,} parameters on a base of {found['parameters']:,}"


class Session:
    """One process of a run: what the outside asked of it and what it tells the outside."""

    def __init__(self, config: Config, journal: Journal) -> None:
        self.config, self.journal = config, journal
        self.rank = int(os.environ.get("RANK", "0"))
        self.stop = environment.StopFlag()
        self.last_saved: Saved | None = None
        self.noted_at = 0.0
        self.latest = Progress(config.job.attempt, "start")
        self.reporter = Reporter(config.report.every_seconds, Endpoint.from_environment()) if self.first else None

    @property
    def first(self) -> bool:
        return self.rank == 0

    def stop_requested(self) -> bool:
        return self.stop.is_set

    def enter(self, phase: str) -> None:
        """Begin a phase, or stop before it: between phases there is nothing to save."""
        if self.stop.is_set and phase not in ("save", "publish"):
            raise Failure(Reason.PREEMPTED, f"stopped by SIGTERM or Ctrl-C before {phase}; nothing was lost")
        if self.reporter:
            self.reporter.show()
        print(f"phase: {phase}", flush=True)
        heartbeat.pulse.beat(heartbeat.PHASES.get(phase))
        self.journal.note(attempt=self.config.job.attempt, phase=phase)
        self._offer(replace(self.latest, phase=phase, activity=""))

    def doing(self, activity: str) -> None:
        """What is done within the phase, as often as it changes: a sign of life, too."""
        heartbeat.pulse.beat()
        self._offer(replace(self.latest, activity=activity))

    def tell(self, progress: Progress) -> None:
        """After each step, so the journal is written once a second at most; whatever ends the run writes it whole."""
        metrics = {"trainLoss": progress.loss, "evalLoss": progress.eval_loss}
        self.journal.facts.update(step=progress.step, of=progress.of, metrics=_present(metrics))
        if time.monotonic() - self.noted_at >= _JOURNAL_SECONDS:
            self.noted_at = time.monotonic()
            self.journal.note()
        self._offer(progress)

    def saved(self, saved: Saved) -> None:
        self.last_saved = saved
        metrics = _present({key: saved.facts.get(key) for key in ("trainLoss", "evalLoss", "evalLossBefore", "tokens")})
        self.journal.note(
            step=saved.step, of=saved.facts["of"], checkpoint=saved.name, checkpointDigest=saved.digest, metrics=metrics
        )

    def shaped(self, shape: dict[str, int]) -> None:
        """What the planner of memory compares its estimate with."""
        self.journal.note(shape=shape)

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
    config = config_file.load(Path(path))
    _begin_log(config)
    from tunebird_trainer import evaluation
    from tunebird_trainer.artifacts import artifact

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
    told = manifest["evaluation"]
    failure = evaluation.failure_of(told)
    reason, message = Reason.COMPLETED, f"published {config.output.uri}"
    if failure:
        reason, message = failure.reason, failure.message
    return session.finish(
        reason, message, phase="evaluate" if failure else "done", step=manifest["steps"], of=manifest["steps"],
        artifact=artifact.summary(manifest, config.output.uri), evaluation=evaluation.entries_of(told) or None,
    )  # fmt: skip


def _begin_log(config: Config) -> None:
    quiet.libraries()
    if int(os.environ.get("RANK", "0")):
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115  process 0 tells it all
    elif not sys.stdout.isatty():
        sys.stdout = Stamped(sys.stdout)
    print(json.dumps({"config": configs.as_json(config)}), flush=True)
    print("start: loading libraries", flush=True)


def _whence(failure: Failure, session: Session) -> str:
    """Where a run that broke down can go on from."""
    if failure.reason not in (Reason.NAN_LOSS, Reason.DISK_FULL, Reason.CUDA_OUT_OF_MEMORY) or not session.last_saved:
        return ""
    return f"; the last good checkpoint is {session.last_saved.name}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
