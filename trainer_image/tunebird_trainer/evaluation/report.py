"""What the evaluation found, for the manifest, the card and the termination message."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from tunebird_checks.__main__ import table
from tunebird_trainer.evaluation.gates import Decided, Verdict
from tunebird_trainer.outcome import Failure, Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tunebird_checks.intervals import Interval

MESSAGE_BYTES = 2048  # of the termination message's 4096
CONFIDENCE = 0.95  # of the intervals that no gate asked for


class Status(StrEnum):
    UNGATED = "Ungated"
    PASSED = "Passed"
    GATE_FAILED = "GateFailed"
    INCONCLUSIVE = "EvaluationInconclusive"


@dataclass(frozen=True, slots=True)
class Line:
    """One metric: of this model, of the base, and their difference over the same cases."""

    metric: str
    higher_is_better: bool
    found: Interval
    base: Interval | None = None
    change: Interval | None = None


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """`suites` tells for each suite its digest and number of cases; `doubts` what weakens the gates; `troubles` what
    kept a suite from being run."""

    lines: tuple[Line, ...]
    gates: tuple[Decided, ...]
    suites: Mapping[str, dict[str, Any]]
    doubts: tuple[str, ...] = ()
    troubles: tuple[str, ...] = ()

    @property
    def status(self) -> Status:
        verdicts = {gate.verdict for gate in self.gates}
        if Verdict.FAILED in verdicts:
            return Status.GATE_FAILED
        if self.troubles or Verdict.INCONCLUSIVE in verdicts:
            return Status.INCONCLUSIVE
        return Status.PASSED if self.gates else Status.UNGATED

    @property
    def gates_passed(self) -> bool:
        return self.status is Status.PASSED

    def manifest(self) -> dict[str, Any]:
        """`evaluation` in tunebird.json: status, message, suites, metrics (value, low, high, n, unknown and, where
        compared, base and change), gates, doubts, troubles."""
        return {
            "status": self.status, "message": self._message(), "confidence": CONFIDENCE,
            "suites": dict(self.suites), "metrics": {line.metric: _line(line) for line in self.lines},
            "gates": [{**gate.entry(), "verdict": gate.verdict, "reason": gate.reason} for gate in self.gates],
            "doubts": list(self.doubts), "troubles": list(self.troubles),
        }  # fmt: skip

    def _message(self) -> str:
        match self.status:
            case Status.GATE_FAILED:
                said = _first([gate.reason for gate in self.gates if gate.verdict is Verdict.FAILED])
                return f"{said}; the failing cases are in the artifact's folder evaluation"
            case Status.INCONCLUSIVE:
                undecided = [gate.reason for gate in self.gates if gate.verdict is Verdict.INCONCLUSIVE]
                return f"the gates could not be decided: {_first([*self.troubles, *undecided])}"
            case Status.PASSED:
                return f"{len(self.gates)} gates passed"
            case Status.UNGATED:
                return "no gates were asked for"

    def table(self) -> str:
        """For people: this model, the base, the change, and the gates."""
        rows: list[tuple[str, Interval]] = []
        for line in self.lines:
            rows.append((line.metric, line.found))
            rows += [("  base", line.base)] if line.base else []
            rows += [("  change", line.change)] if line.change else []
        said = [f"{gate.verdict}: {gate.reason}" for gate in self.gates]
        return "\n".join([table(rows, CONFIDENCE), *said, *self.troubles])


def failure_of(told: dict[str, Any]) -> Failure | None:
    """Why a published artifact must not count as good, from `evaluation` of its manifest."""
    reasons = {Status.GATE_FAILED: Reason.GATE_FAILED, Status.INCONCLUSIVE: Reason.EVALUATION_INCONCLUSIVE}
    reason = reasons.get(Status(told["status"]))
    return Failure(reason, told["message"]) if reason else None


def entries_of(told: dict[str, Any]) -> list[dict[str, Any]]:
    """`evaluation` in the termination message, at most 2 KB: gates first, those that did not pass before others, then
    metrics without a gate as room is left."""
    gates = sorted(told["gates"], key=lambda gate: gate["passed"])
    gated = {gate["metric"] for gate in gates}
    kept: list[dict[str, Any]] = []
    for gate in gates:
        kept = _with(kept, {key: value for key, value in gate.items() if key not in ("verdict", "reason")})
    for metric, found in told["metrics"].items():
        if metric not in gated:
            kept = _with(kept, {"metric": metric, **{end: found[end] for end in ("value", "low", "high")}})
    return kept


def _with(kept: list[dict[str, Any]], entry: dict[str, Any]) -> list[dict[str, Any]]:
    longer = [*kept, entry]
    return longer if len(json.dumps(longer, separators=(",", ":")).encode()) <= MESSAGE_BYTES else kept


def _line(line: Line) -> dict[str, Any]:
    compared = {"base": line.base, "change": line.change}
    found = {name: _ends(each) for name, each in compared.items() if each is not None}
    return {**_ends(line.found), "n": line.found.n, "unknown": line.found.unknown,
            "higherIsBetter": line.higher_is_better, **found}  # fmt: skip


def _ends(found: Interval) -> dict[str, float | None]:
    named = {"value": found.value, "low": found.low, "high": found.high}
    return {name: float(f"{end:.6g}") if math.isfinite(end) else None for name, end in named.items()}


def _first(said: list[str]) -> str:
    more = f"; and {len(said) - 1} more" if len(said) > 1 else ""
    return f"{said[0]}{more}"
