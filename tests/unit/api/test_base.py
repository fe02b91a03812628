"""Scalars, leniency and messages of the API models."""

from typing import Any

import pytest
from pydantic import ValidationError

from fakes.finetune import manifest
from tunebird.api.base import duration_seconds, fraction, problems, quantity
from tunebird.api.finetunejob import FineTuneJob
from tunebird.api.modelrollout import ModelRollout
from tunebird.api.strategy import step_kind


@pytest.mark.parametrize(("text", "seconds"), [("1h30m", 5400.0), ("500ms", 0.5), ("24h", 86400.0), ("90s", 90.0)])
def test_durations_are_seconds(text: str, seconds: float) -> None:
    assert duration_seconds(text) == seconds


@pytest.mark.parametrize(("text", "number"), [("1%", 0.01), ("0.05", 0.05), ("100%", 1.0), ("0", 0.0)])
def test_rates_are_fractions(text: str, number: float) -> None:
    assert fraction(text) == number


@pytest.mark.parametrize(
    ("text", "amount"),
    [("500m", 0.5), ("79Gi", 79 * 1024**3), ("2", 2.0), ("1e3", 1000.0), ("5G", 5e9), ("12E", 12e18)],
)
def test_quantities_are_in_base_units(text: str, amount: float) -> None:
    assert quantity(text) == amount


def _rollout(**spec: Any) -> dict[str, Any]:
    base = {"model": {"jobRef": {"name": "bot"}}, "traffic": {"type": "Replicas"}}
    return {"metadata": {"name": "bot"}, "spec": {**base, **spec}}


def test_an_unknown_field_is_ignored_but_not_where_a_check_would_be_skipped() -> None:
    newer = {**manifest(), "surprise": 1}
    newer["spec"] = {**newer["spec"], "surprise": 1}
    assert FineTuneJob.model_validate(newer).spec.mixing == "concatenate"
    with pytest.raises(ValidationError, match="newCheck"):
        ModelRollout.model_validate(_rollout(strategy={"steps": [{"setWeight": 5, "newCheck": {}}]}))
    with pytest.raises(ValidationError, match="newCheck"):
        FineTuneJob.model_validate(
            manifest(
                evaluation={
                    "suites": [{"name": "core", "source": {"uri": "pvc://a/b"}}],
                    "gates": [{"metric": "core.success", "minimum": "1%", "newCheck": 1}],
                }
            )
        )


def test_all_problems_are_told_with_path_and_value() -> None:
    wrong = manifest(training={"epochs": 0, "learningRate": "fast"}, datasets=[])
    with pytest.raises(ValidationError) as caught:
        FineTuneJob.model_validate(wrong)
    found = problems(caught.value)
    assert len(found) == 3
    assert any(text.startswith("spec.training.epochs: ") and text.endswith("(is 0)") for text in found)


def test_keyed_lists_refuse_a_second_entry_of_a_name() -> None:
    twice = [{"name": "a", "source": {"uri": "pvc://x/y"}}] * 2
    with pytest.raises(ValidationError, match="name a is there more than once"):
        FineTuneJob.model_validate(manifest(datasets=twice))


def test_numbers_are_taken_where_kubernetes_takes_both() -> None:
    assert ModelRollout.model_validate(_rollout(strategy={"canaryReplicas": 3})).spec.strategy.canary_replicas == "3"
    assert FineTuneJob.model_validate(manifest(deepspeed={"zeroStage": 2})).spec.deepspeed is not None


def test_a_step_knows_its_kind() -> None:
    steps = [{"setWeight": 0}, {"bake": {"for": "1h"}}, {"pause": {}}, {"mirror": {"percent": 5, "for": "1m"}}]
    rollout = ModelRollout.model_validate(_rollout(strategy={"steps": steps}))
    assert [step_kind(step) for step in rollout.spec.strategy.steps] == ["setWeight", "bake", "pause", "mirror"]


def test_a_manifest_reads_back_as_itself() -> None:
    job = FineTuneJob.model_validate(manifest(training={"maxSteps": 7}))
    assert FineTuneJob.model_validate(job.manifest()) == job
