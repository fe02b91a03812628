"""Every example parses, is accepted by the CRD as it stands, and can be planned."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from devplane.custom.schema import Structural
from tunebird.api import crds
from tunebird.finetune.plan import explain

EXAMPLES = Path(__file__).parents[2] / "examples"
FILES = sorted(EXAMPLES.rglob("*.yaml"))
STRUCTURES = {resource.kind: Structural(crds.openapi(resource.model)) for resource in crds.RESOURCES}


def _ours() -> list[Any]:
    documents = ((path, body) for path in FILES for body in yaml.safe_load_all(path.read_text(encoding="utf-8")))
    return [
        pytest.param(body, id=f"{path.relative_to(EXAMPLES)}: {body['metadata']['name']}")
        for path, body in documents
        if body and body.get("kind") in STRUCTURES
    ]


@pytest.mark.parametrize("body", _ours())
def test_an_example_is_accepted_without_unknown_fields(body: Any) -> None:
    structure = STRUCTURES[body["kind"]]
    assert structure.prune(body) == []
    assert structure.validate(body, None) == []
    if body["kind"] == "FineTuneJob":
        assert explain(body).refusals == ()
