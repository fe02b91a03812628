"""`tunebird lint` and `tunebird plan` find what the API server and the operator would refuse."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from tunebird.cli.files import lint, plan, problems

EXAMPLES = Path(__file__).parents[3] / "examples"


def a_job(**spec: Any) -> dict[str, Any]:
    source = {"uri": "pvc://models/base"}
    given = {
        "model": {"source": source},
        "datasets": [{"name": "support", "source": {"uri": "pvc://data/support.jsonl"}}],
        "output": {"storage": {"uri": "pvc://models/bot"}},
    }
    return {
        "apiVersion": "tunebird.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": "bot", "namespace": "ml"},
        "spec": {**given, **spec},
    }


def a_rollout(**spec: Any) -> dict[str, Any]:
    given = {
        "model": {"source": {"uri": "pvc://models/bot", "digest": "sha256:" + "0" * 64}},
        "server": {"runtime": "tunebird"},
        "traffic": {"type": "GatewayAPI", "gatewayAPI": {"parentRefs": [{"name": "public"}]}},
    }
    return {
        "apiVersion": "tunebird.dev/v1alpha1",
        "kind": "ModelRollout",
        "metadata": {"name": "chat", "namespace": "ml"},
        "spec": {**given, **spec},
    }


def test_a_sound_manifest_has_no_problems() -> None:
    assert problems(a_job()) == []
    assert problems(a_rollout()) == []


def test_an_unknown_field_is_named_with_the_one_that_was_meant() -> None:
    assert problems(a_job(training={"learnigRate": "1e-4"})) == [
        "spec.training.learnigRate: unknown field; did you mean learningRate?"
    ]


def test_an_unknown_field_in_a_list_is_named_with_its_position() -> None:
    found = problems(a_rollout(strategy={"type": "Canary", "steps": [{"setWeigth": 5}]}))
    assert [line for line in found if "setWeigth" in line] == [
        "spec.strategy.steps[0].setWeigth: unknown field; did you mean setWeight?"
    ]
    assert not any("Extra inputs" in line for line in found)


def test_a_step_with_two_keys_is_refused_with_its_position() -> None:
    found = problems(a_rollout(strategy={"type": "Canary", "steps": [{"setWeight": 5, "pause": {}}]}))
    assert any("steps[0]" in line for line in found), found


def test_what_only_the_operator_refuses_is_said_too() -> None:
    (said,) = problems(a_job(method={"objective": "kto"}))
    assert said.startswith("spec.method.objective (kto)")


def test_another_kind_is_not_ours() -> None:
    assert problems({"kind": "Job"}) == ["kind: 'Job' is not FineTuneJob or ModelRollout"]


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("*.yaml")), ids=lambda path: path.name)
def test_every_example_is_sound(path: Path) -> None:
    result = CliRunner().invoke(lint, ["-f", str(path)])
    assert result.exit_code == 0, result.output


def test_lint_finds_two_rollouts_of_one_file_that_claim_the_same_requests(tmp_path: Path) -> None:
    second = a_rollout()
    second["metadata"]["name"] = "chat-2"
    file = tmp_path / "rollouts.yaml"
    file.write_text(yaml.safe_dump_all([a_rollout(), second]))
    result = CliRunner().invoke(lint, ["-f", str(file)])
    assert result.exit_code == 1
    assert "chat: ok" in result.output
    assert (
        "chat-2: spec.traffic.gatewayAPI: every hostname with path / on Gateway ml/public is chat's too"
        in result.output
    )


def test_lint_ends_with_1_and_plan_refuses_what_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(yaml.safe_dump(a_job(method={"objective": "kto"})))
    for command in (lint, plan):
        result = CliRunner().invoke(command, ["-f", str(file)])
        assert result.exit_code == 1
        assert "kto" in result.output
