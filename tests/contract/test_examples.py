"""Every example parses, is accepted by the CRD as it stands, can be planned, and runs where security is strict."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from devplane.custom.schema import Structural
from fakes.podsecurity import violations
from tunebird.api import crds
from tunebird.api.finetunejob import FineTuneJob
from tunebird.finetune.manifests import Run, batch_job
from tunebird.finetune.plan import explain, resolve
from tunebird.finetune.settings import FineTuneJobSettings

EXAMPLES = Path(__file__).parents[2] / "examples"
FILES = sorted(EXAMPLES.rglob("*.yaml"))
STRUCTURES = {resource.kind: Structural(crds.openapi(resource.model)) for resource in crds.RESOURCES}


def _of(*kinds: str) -> list[Any]:
    documents = ((path, body) for path in FILES for body in yaml.safe_load_all(path.read_text(encoding="utf-8")))
    return [
        pytest.param(body, id=f"{path.relative_to(EXAMPLES)}: {body['metadata']['name']}")
        for path, body in documents
        if body and body.get("kind") in kinds
    ]


@pytest.mark.parametrize("body", _of(*STRUCTURES))
def test_an_example_is_accepted_without_unknown_fields(body: Any) -> None:
    structure = STRUCTURES[body["kind"]]
    assert structure.prune(body) == []
    assert structure.validate(body, None) == []
    if body["kind"] == "FineTuneJob":
        assert explain(body).refusals == ()


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("model", "source", "uri"), "ftp://host/path", "https://host/path or file:///path"),
        (
            ("model", "source", "digest"),
            "sha256:0",
            "sha256: and 64 hexadecimal digits in lower case",
        ),
        (
            ("training", "learningRate"),
            "fast",
            "a number that is not negative, as text, such as 0.0002 or 2e-4",
        ),
        (
            ("checkpoint", "every"),
            "5 minutes",
            "a duration in h, m, s and ms, such as 90s, 15m or 1h30m",
        ),
    ],
)
def test_what_a_value_should_be_is_told_in_words_and_by_no_pattern(
    place: tuple[str, ...], value: str, words: str
) -> None:
    body = yaml.safe_load((EXAMPLES / "demo" / "21-tiny-v1.yaml").read_text(encoding="utf-8"))
    field = body["spec"]
    for step in place[:-1]:
        field = field.setdefault(step, {})
    field[place[-1]] = value
    found = STRUCTURES["FineTuneJob"].validate(body, None)
    [message] = [one.message for one in found if one.field == ".".join(("spec", *place))]
    assert message.endswith(f"{words}, not {value}")


@pytest.mark.parametrize("body", _of("Job"))
def test_a_job_is_admitted_where_pod_security_is_restricted_and_may_write_its_volumes(body: Any) -> None:
    spec = body["spec"]["template"]["spec"]
    assert violations(spec) == []
    assert spec["securityContext"]["fsGroup"] == 65532, "a new volume belongs to root: the group makes it writable"


@pytest.mark.parametrize("body", _of("FineTuneJob"))
def test_a_trainer_is_admitted_where_pod_security_is_restricted(body: Any) -> None:
    job = FineTuneJob.model_validate({**body, "metadata": {"namespace": "default", "uid": "u", **body["metadata"]}})
    pod = batch_job(Run(job, resolve(job.spec), 1, FineTuneJobSettings("trainer:1", "http://operator:8082")))
    assert violations(pod["spec"]["template"]["spec"]) == []
