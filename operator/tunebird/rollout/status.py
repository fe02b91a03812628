"""The resource's status from a decision: phase, message, conditions, figures, and the record itself. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any

from tunebird.kube.conditions import (
    Condition,
    ConditionStatus,
    conditions_of,
    instant,
    set_condition,
    timestamp,
    without,
)
from tunebird.kube.meta import MODELROLLOUT, OWNER_UID, REVISION, Manifest
from tunebird.kube.summary import shortened
from tunebird.kube.verbs import asked
from tunebird.rollout.analysis import Outcome, Verdict, e_value, percent
from tunebird.rollout.codec import decoded, encoded
from tunebird.rollout.decide import Decision
from tunebird.rollout.plan import Bake
from tunebird.rollout.progress import ConsumedVerb, Notice, Progress, Revision
from tunebird.rollout.steps import action, deadline, describe
from tunebird.rollout.turn import Observed, label
from tunebird.rollout.verbs import NOT_WHILE_INVALID, REMEMBERED, VERBS

Json = dict[str, Any]
MESSAGE_LIMIT = 1024
SLI_LIMIT = 20


def progress_of(status: Manifest) -> Progress | None:
    """The progress that a status records; None if there is none, or none that this version reads."""
    progress = decoded(status.get("progress", ""))
    if progress is None:
        return None
    history = tuple(
        Notice(instant(item["time"]), item["reason"], item.get("message", "")) for item in status.get("history", ())
    )
    consumed = tuple(
        ConsumedVerb(item["verb"], item["value"], instant(item["time"]), item.get("refusal", ""))
        for item in status.get("consumedVerbs", ())
    )
    return replace(progress, history=history, consumed=consumed)


def status(owner: Manifest, seen: Observed, decision: Decision) -> Json:
    """The whole status. The same decision over the same world gives the same status."""
    progress = decision.progress
    phase = _phase(seen, decision)
    whole: Json = {
        "observedGeneration": owner["metadata"].get("generation", 0),
        "phase": phase,
        "message": _message(seen, decision),
        "summary": shortened(_message(seen, decision)),
        "rollout": _rollout(progress),
        "stable": _arm(seen, progress, progress.stable, 100 - progress.weight),
        "canary": _arm(seen, progress, progress.canary, progress.weight),
        "step": _step(seen, decision),
        "analysis": [_sli(verdict, progress) for verdict in decision.verdicts][:SLI_LIMIT],
        "history": [_entry(owner, notice, progress) for notice in progress.history],
        "consumedVerbs": [_verb(item) for item in progress.consumed],
        "replicas": seen.ready(progress.stable),
        "selector": _selector(owner, progress.stable),
        "progress": encoded(progress),
        "conditions": [item.manifest() for item in _conditions(owner, seen, decision, phase)],
    }
    return {key: value for key, value in whole.items() if value is not None}


def invalid(owner: Manifest, reasons: Iterable[str], now: datetime) -> Json:
    """The status of a specification that can't be carried out; what serves goes on serving."""
    before = owner.get("status") or {}
    generation = owner["metadata"].get("generation", 0)
    message = "; ".join(reasons)
    verbs = [*before.get("consumedVerbs", ()), *(_verb(item) for item in refused_while_invalid(owner, now))]
    there = asked(owner, VERBS)
    verbs.sort(key=lambda item: (item["verb"], item["value"]) in there)  # these are remembered first
    consumed = {"consumedVerbs": verbs[-REMEMBERED:]} if verbs else {}
    kept = without(conditions_of(before), "Reconciling")
    conditions = set_condition(kept, "Stalled", "True", "InvalidSpec", message, now, generation)
    phase = before.get("phase") if before.get("stable") else "Degraded"
    return {
        **before,
        "observedGeneration": generation,
        "phase": phase,
        "message": f"InvalidSpec: {message}"[:4096],
        "summary": shortened(f"InvalidSpec: {message}"),
        "conditions": [item.manifest() for item in conditions],
        **consumed,
    }


def refused_while_invalid(owner: Manifest, now: datetime) -> tuple[ConsumedVerb, ...]:
    """The new verbs on an object whose specification can't be carried out: nothing can obey them."""
    known = {(item["verb"], item["value"]) for item in (owner.get("status") or {}).get("consumedVerbs", ())}
    return tuple(
        ConsumedVerb(name, value, now, NOT_WHILE_INVALID)
        for name, value in asked(owner, VERBS)
        if (name, value) not in known
    )


def _phase(seen: Observed, decision: Decision) -> str:
    progress = decision.progress
    if progress.stable is None:
        overdue = progress.step is not None and progress.step.overdue
        return "Degraded" if overdue else "Initializing"
    if progress.rolled_back is not None:
        if progress.weight or not progress.accepted:
            return "RollingBack"
    elif progress.trial is not None:
        return "Paused" if progress.paused or _pausing(seen, progress) else "Progressing"
    if _outage(seen, progress.stable):
        return "Degraded"
    if progress.rolled_back is not None:
        return "RolledBack"
    return "Healthy" if progress.accepted else "Progressing"


def _pausing(seen: Observed, progress: Progress) -> bool:
    step, steps = progress.trial, seen.plan.steps
    return step is not None and step.index < len(steps) and action(steps[step.index]) == "pause"


def _message(seen: Observed, decision: Decision) -> str:
    progress = decision.progress
    if progress.rolled_back is not None:
        text = f"Rollout {progress.number} was rolled back: {progress.rolled_back.message}"
        outage = _outage(seen, progress.stable)
        return (f"{outage}. {text}" if outage else text)[:MESSAGE_LIMIT]
    if progress.outage is not None:
        return "Both revisions fail, so nobody is blamed; the step is repeated when stable is well"
    if progress.hold is not None:
        return f"Held until resume: {progress.hold.message}"[:MESSAGE_LIMIT]
    if progress.trial is not None:
        step = describe(seen.plan, progress.trial.index)
        waiting = "spec.paused is set" if seen.plan.paused else f"waiting for {decision.waiting}"
        return f"Rollout {progress.number}, step {step}: {waiting}"[:MESSAGE_LIMIT]
    if decision.waiting:
        return f"Waiting for {decision.waiting}"[:MESSAGE_LIMIT]
    if progress.stable is None:
        return "Waiting for a model"
    if not progress.accepted and seen.route is not None and seen.route.message:
        return f"{label(progress.stable)} is stable; the route is not accepted: {seen.route.message}"[:MESSAGE_LIMIT]
    if outage := _outage(seen, progress.stable):
        return f"{outage}."
    unseen = f", but {seen.route.shadow}" if seen.route is not None and seen.route.shadow else ""
    return f"{label(progress.stable)} serves{unseen}"[:MESSAGE_LIMIT]


def _outage(seen: Observed, stable: Revision | None) -> str:
    """That nothing of the stable revision answers, where so."""
    return f"{label(stable)} has no ready pod" if stable is not None and not seen.ready(stable) else ""


def _rollout(progress: Progress) -> Json:
    started = {"started": timestamp(progress.started)} if progress.started else {}
    return {"number": progress.number, **started}


def _arm(seen: Observed, progress: Progress, revision: Revision | None, weight: int) -> Json | None:
    if revision is None:
        return None
    server = seen.servers.get(revision.name)
    asked = weight if progress.stable is not None else 0
    accepted = {"acceptedWeight": asked} if progress.accepted else {}
    return {
        "revision": revision.name,
        "digest": revision.digest,
        "uri": revision.uri,
        "job": revision.job,
        "image": revision.image,
        "replicas": server.replicas if server else 0,
        "readyReplicas": server.ready if server else 0,
        "weight": asked,
        **accepted,
        **_measured_share(seen, progress, revision),
    }


def _measured_share(seen: Observed, progress: Progress, revision: Revision) -> Json:
    """The share of the requests that were counted in this trial."""
    first = next((item for item in progress.measured.evidence if item.canary.total + item.stable.total > 0), None)
    if first is None or progress.canary is None:
        return {}
    total = first.canary.total + first.stable.total
    mine = first.canary.total if revision.name == progress.canary.name else first.stable.total
    return {"measuredWeight": percent(mine / total)}


def _step(seen: Observed, decision: Decision) -> Json | None:
    step, plan = decision.progress.trial, seen.plan
    if step is None:
        return None
    current = plan.steps[step.index] if step.index < len(plan.steps) else None
    end = deadline(plan, step)
    kind = "promotion" if current is None else action(current).partition(" ")[0]
    return {
        "index": step.index,
        "of": len(plan.steps),
        "kind": kind,
        "name": current.name if current else "",
        "summary": f"{step.index}/{len(plan.steps)} {action(current) if current else kind}",
        "started": timestamp(step.started),
        **({"bakedSeconds": int(step.baked_seconds)} if isinstance(current, Bake) else {}),
        **({"deadline": timestamp(end)} if end else {}),
        "waitingFor": decision.waiting[:MESSAGE_LIMIT],
    }


def _sli(verdict: Verdict, progress: Progress) -> Json:
    counted = {}
    if verdict.value is None or verdict.canary.total or verdict.stable.total:
        counted = {
            "canaryGood": f"{verdict.canary.good:g}",
            "canaryTotal": f"{verdict.canary.total:g}",
            "stableGood": f"{verdict.stable.good:g}",
            "stableTotal": f"{verdict.stable.total:g}",
        }
    sampled = progress.measured.sampled
    return {
        "name": verdict.sli,
        "verdict": str(verdict.outcome),
        "reason": verdict.reason,
        "message": verdict.message[:MESSAGE_LIMIT],
        **counted,
        **({} if verdict.value is None else {"value": _value(verdict)}),
        "bound": f"≥ {percent(verdict.bound)}, e {e_value(verdict.log_e)}" if counted else "",
        "limit": verdict.limit,
        "observeOnly": verdict.observe_only,
        **({"updated": timestamp(sampled)} if sampled else {}),
    }


def _value(verdict: Verdict) -> str:
    assert verdict.value is not None
    return percent(verdict.value) if verdict.canary.total else f"{verdict.value:g}"


def _entry(owner: Manifest, notice: Notice, progress: Progress) -> Json:
    known = {item["message"]: item for item in (owner.get("status") or {}).get("history", ())}
    before = known.get(notice.message[:MESSAGE_LIMIT])
    if before is not None and before["time"] == timestamp(notice.time):
        return dict(before)
    revision = progress.canary or progress.stable
    return {
        "time": timestamp(notice.time),
        "rollout": progress.number,
        "revision": revision.name if revision else "",
        "reason": notice.reason,
        "message": notice.message[:MESSAGE_LIMIT],
    }


def _verb(item: ConsumedVerb) -> Json:
    refused = {"refusal": item.refusal[:MESSAGE_LIMIT]} if item.refusal else {}
    return {"verb": item.verb, "value": item.value[:128], "time": timestamp(item.time), **refused}


def _selector(owner: Manifest, stable: Revision | None) -> str:
    metadata = owner["metadata"]
    selector = {MODELROLLOUT: metadata["name"], OWNER_UID: metadata["uid"], REVISION: stable.name if stable else ""}
    return ",".join(f"{key}={value}" for key, value in selector.items()) if stable else ""


def _conditions(owner: Manifest, seen: Observed, decision: Decision, phase: str) -> tuple[Condition, ...]:
    generation = owner["metadata"].get("generation", 0)
    message = _message(seen, decision)
    facts = [_ready(seen, decision), _progressing(phase, message), _passing(decision), _traffic(seen, decision)]
    if phase in ("Initializing", "RollingBack") or (phase == "Progressing" and not decision.progress.accepted):
        facts.append(("Reconciling", "True", phase, message))
    if decision.progress.hold is not None:
        facts.append(("Stalled", "True", str(decision.progress.hold.holder), message))
    if seen.route is not None and seen.route.shadow:
        facts.append(("RouteShadowed", "True", "OlderRoute", seen.route.shadow))
    passing = {"Reconciling", "Stalled", "RouteShadowed"} - {kind for kind, *_ in facts}
    found = without(conditions_of(owner.get("status") or {}), *passing)
    for kind, state, reason, text in facts:
        found = set_condition(found, kind, state, reason, text, seen.now, generation)
    return found


Fact = tuple[str, ConditionStatus, str, str]


def _ready(seen: Observed, decision: Decision) -> Fact:
    stable = decision.progress.stable
    if stable is None:
        return ("Ready", "False", "NoStableRevision", "no revision serves yet")
    if outage := _outage(seen, stable):
        return ("Ready", "False", "StableUnavailable", outage)
    return ("Ready", "True", "StableServes", f"{label(stable)} has {seen.ready(stable)} ready pods")


def _progressing(phase: str, message: str) -> Fact:
    moving = phase in ("Initializing", "Progressing", "RollingBack")
    return ("Progressing", "True" if moving else "False", phase, message)


def _passing(decision: Decision) -> Fact:
    verdicts = [verdict for verdict in decision.verdicts if not verdict.observe_only]
    ended = decision.progress.rolled_back
    failed = next((verdict for verdict in verdicts if verdict.outcome is Outcome.FAIL), None)
    if failed is not None:
        return ("AnalysisPassing", "False", failed.reason, failed.message)
    if ended is not None:
        return ("AnalysisPassing", "False", ended.reason, ended.message[:MESSAGE_LIMIT])
    if not verdicts:
        return ("AnalysisPassing", "Unknown", "NotMeasured", "nothing is being judged")
    lacking = next((verdict for verdict in verdicts if verdict.outcome is Outcome.INCONCLUSIVE), None)
    if lacking is not None:
        return ("AnalysisPassing", "Unknown", lacking.reason, lacking.message)
    return ("AnalysisPassing", "True", "AllPass", "; ".join(verdict.message for verdict in verdicts))


def _traffic(seen: Observed, decision: Decision) -> Fact:
    progress = decision.progress
    if progress.accepted:
        return ("TrafficAccepted", "True", "Accepted", f"weight {progress.weight} for the canary")
    if progress.stable is None or seen.route is None:
        return ("TrafficAccepted", "False", "NoRoute", "the route is not written yet")
    return ("TrafficAccepted", "False", "NotAccepted", seen.route.message or "the route is being changed")
