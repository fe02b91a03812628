"""The generated files are what the models say, and the trainer's contract refuses what it must."""

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from fakes.finetune import manifest
from tunebird.api import crds
from tunebird.api.finetunejob import FineTuneJob
from tunebird.api.trainer import TrainerConfig, json_schema
from tunebird.finetune.config import trainer_config
from tunebird.finetune.plan import resolve
from tunebird.kube.meta import FINE_TUNE_JOB, MODEL_ROLLOUT


def test_nothing_generated_is_stale() -> None:
    assert crds.stale() == []


def test_the_definitions_are_of_the_kinds_that_the_operator_watches() -> None:
    kinds = {(resource.kind, resource.plural, f"{crds.GROUP}/{crds.VERSION}") for resource in crds.RESOURCES}
    assert kinds == {(kind.kind, kind.plural, kind.api_version) for kind in (FINE_TUNE_JOB, MODEL_ROLLOUT)}


def test_the_check_names_a_file_that_was_edited(tmp_path: Path) -> None:
    for path, text in crds.outputs(tmp_path).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert crds.stale(tmp_path) == []
    edited = tmp_path / "crds" / "tunebird.dev_finetunejobs.yaml"
    edited.write_text(edited.read_text() + "# mine\n")
    assert crds.stale(tmp_path) == [edited]


def test_the_charts_copy_is_kept_and_can_be_left_out(tmp_path: Path) -> None:
    (tmp_path / "helm" / "tunebird" / "templates" / "crds").mkdir(parents=True)
    copies = [text for path, text in crds.outputs(tmp_path).items() if "helm" in path.parts]
    assert len(copies) == 2
    for text in copies:
        assert text.startswith("{{- if .Values.crds.enabled }}\n")
        assert text.endswith("{{- end }}\n")
        body = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("{{-"))
        assert yaml.safe_load(body)["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
        assert "{{selector}}" not in text


def _described(schema: Any, path: str) -> list[str]:
    missing = []
    for name, child in schema.get("properties", {}).items():
        if "description" not in child and path + name not in (".metadata", ".metadata.name"):
            missing.append(f"{path}{name}")
        missing += _described(child, f"{path}{name}.")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            missing += _described(schema[key], f"{path}[].")
    return missing


@pytest.mark.parametrize("resource", crds.RESOURCES, ids=lambda resource: resource.short)
def test_every_field_is_described(resource: crds.Resource) -> None:
    schema = crds.openapi(resource.model)
    del schema["properties"]["metadata"]
    assert _described(schema, "") == []


@pytest.mark.parametrize("resource", crds.RESOURCES, ids=lambda resource: resource.short)
def test_there_are_no_floats_in_the_api(resource: crds.Resource) -> None:
    assert '"type": "number"' not in json.dumps(crds.openapi(resource.model))


def test_the_planned_config_satisfies_the_contract() -> None:
    body = manifest()
    body["metadata"]["uid"] = "0a1b2c3d-0000-0000-0000-000000000000"
    job = FineTuneJob.model_validate(body)
    config = json.loads(trainer_config(job, resolve(job.spec), 1).model_dump_json(by_alias=True))
    validator = jsonschema_rs.validator_for(json_schema())
    assert validator.is_valid(config)
    assert TrainerConfig.model_validate(config).output.uri == "pvc://models/bot/0a1b2c3d-1"
    assert not validator.is_valid({**config, "surprise": 1})
    assert not validator.is_valid({**config, "training": {**config["training"], "surprise": 1}})
    assert not validator.is_valid({key: value for key, value in config.items() if key != "output"})
