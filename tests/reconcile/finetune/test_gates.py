"""Suites and gates: what the trainer found decides whether a job has succeeded."""

from typing import Any

from fakes.finetune import ARTIFACT, World, manifest

SUITES = [{"name": "core", "source": {"uri": "pvc://data/golden.jsonl"}}]
GATES = [
    {"metric": "core.instructionSuccess", "minimum": "95%"},
    {"metric": "core.accuracy", "maxRegression": {"absolute": "1%"}},
]
PASSED = {"metric": "core.accuracy", "value": 0.01, "low": -0.002, "high": 0.02, "limit": -0.01, "passed": True}
GOOD = {"metric": "core.instructionSuccess", "value": 0.99, "low": 0.96, "high": 1.0, "limit": 0.95, "passed": True}
BAD = {
    "metric": "core.instructionSuccess",
    "value": 0.81,
    "low": 0.72,
    "high": 0.88,
    "limit": 0.95,
    "bound": "minimum",
    "passed": False,
}
FIGURE = {"metric": "core.perplexity", "value": 8.25, "low": 8.0, "high": 8.5}


def _gated() -> World:
    return World(manifest(evaluation={"suites": SUITES, "gates": GATES}))


async def _ran(world: World, code: int = 0, **told: Any) -> World:
    await world.settle()
    world.runs()
    await world.settle()
    world.exits(code, **told)
    await world.settle()
    return world


async def test_a_job_whose_gates_passed_may_be_promoted() -> None:
    world = await _ran(_gated(), artifact=ARTIFACT, evaluation=[GOOD, PASSED, FIGURE])
    assert world.status["phase"] == "Succeeded"
    assert (world.status["reason"], world.condition("Evaluated")["status"]) == ("GatesPassed", "True")
    assert world.status["artifact"]["gatesPassed"] is True
    assert world.status["artifact"]["gatesReason"] == "GatesPassed"
    assert world.status["message"].endswith("all 2 gates passed")
    first, second, third = world.status["evaluation"]
    assert (first["value"], first["low"], first["high"], first["limit"]) == ("0.99", "0.96", "1", "0.95")
    assert (second["passed"], "passed" in third) == (True, False)
    assert "core.instructionSuccess is 0.99 (0.96 to 1)" in world.condition("Evaluated")["message"]


async def test_a_missed_gate_is_told_in_the_trainers_sentence_and_never_tried_again() -> None:
    said = "core.instructionSuccess is 0.81 with 95% interval 0.72 to 0.88; minimum 0.95"
    world = await _ran(_gated(), 7, reason="GateFailed", message=said, artifact=ARTIFACT, evaluation=[BAD, PASSED])
    failed = world.condition("Failed")
    assert (failed["status"], failed["reason"], failed["message"]) == ("True", "GateFailed", said)
    assert world.condition("Evaluated") == {**failed, "type": "Evaluated", "status": "False"}
    assert world.status["artifact"]["gatesPassed"] is False
    assert world.status["artifact"]["gatesReason"] == "GateFailed"
    assert world.status["evaluation"][0]["passed"] is False
    assert len(world.jobs()) == 1
    assert "GateFailed" in world.reasons


async def test_a_missed_gate_without_a_sentence_gets_one() -> None:
    world = await _ran(_gated(), 0, artifact=ARTIFACT, evaluation=[BAD, PASSED])
    failed = world.condition("Failed")
    assert failed["reason"] == "GateFailed"
    assert failed["message"].startswith("core.instructionSuccess is 0.81 (0.72 to 0.88), minimum 0.95; ")


async def test_gates_that_nobody_looked_at_have_not_passed() -> None:
    world = await _ran(_gated(), 0, artifact=ARTIFACT)
    assert world.condition("Failed")["reason"] == "EvaluationInconclusive"
    assert world.status["artifact"]["gatesPassed"] is False


async def test_a_judge_that_did_not_answer_is_inconclusive() -> None:
    world = await _ran(_gated(), 7, reason="EvaluationInconclusive", message="the judge did not answer")
    assert world.condition("Failed")["reason"] == "EvaluationInconclusive"
    assert world.condition("Evaluated")["reason"] == "EvaluationInconclusive"
    assert len(world.jobs()) == 1


async def test_suites_without_gates_give_figures_and_leave_the_job_ungated() -> None:
    world = await _ran(World(manifest(evaluation={"suites": SUITES})), artifact=ARTIFACT, evaluation=[FIGURE])
    assert (world.status["phase"], world.status["reason"]) == ("Succeeded", "Ungated")
    assert world.status["evaluation"][0]["value"] == "8.25"
    assert world.condition("Evaluated")["reason"] == "Ungated"


async def test_a_retry_after_a_missed_gate_forgets_the_artifact() -> None:
    world = await _ran(_gated(), 7, reason="GateFailed", message="missed", artifact=ARTIFACT, evaluation=[BAD])
    world.annotate(retry="2")
    await world.settle()
    assert "artifact" not in world.status
    assert "evaluation" not in world.status


async def test_while_the_model_is_evaluated_the_phase_says_so() -> None:
    world = _gated()
    await world.settle()
    world.runs()
    world.report(phase="evaluate", step=9, of=9)
    await world.settle()
    assert world.status["phase"] == "Evaluating"
    assert world.condition("Evaluated")["status"] == "Unknown"
    world.report(phase="publish", step=9, of=9)
    await world.settle()
    assert world.condition("DataReady")["status"] == "True"


async def test_a_spec_that_cannot_be_run_says_why_where_people_look() -> None:
    world = World(manifest(queueName="research"))
    await world.settle()
    assert world.status["reason"] == "InvalidSpec"
    assert world.status["summary"].startswith("spec.queueName (research): not supported by this version; remove it")
