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
