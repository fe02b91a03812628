"""The objects of a revision, and what makes a revision another one."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from fakes.podsecurity import violations
from fakes.rolling import plan
from tunebird.kube.meta import MODELROLLOUT, OWNER_UID, REVISION
from tunebird.rollout.manifests import (
    child_name,
    deployment,
    differs,
    model_of,
    revision_name,
    revision_service,
    stable_service,
    unservable,
)
from tunebird.rollout.plan import Gateway, Model, Runtime, Server
from tunebird.rollout.progress import Revision
from tunebird.rollout.resolve import plan as resolved

EXAMPLES = Path(__file__).parents[3] / "examples"
OWNER = {
    "apiVersion": "tunebird.dev/v1alpha1",
    "kind": "ModelRollout",
    "metadata": {"name": "support", "namespace": "default", "uid": "u", "labels": {"app": "mine"}},
}
SERVER = Server(Runtime.TUNEBIRD, "", 2, 8000, ("--inject-errors", "30%"), 0, "nvidia.com/gpu", {})


def made(server=SERVER, uri="pvc://models/a/merged", **changes):
    revision = Revision("r1", "sha256:a", uri, "", "image:1", json.dumps(server.identity))
    return deployment(OWNER, replace(plan(), **changes), revision, 2, 7)


def container(manifest):
    return manifest["spec"]["template"]["spec"]["containers"][0]


def test_our_server_gets_its_model_its_address_and_the_users_arguments():
    assert container(made())["command"] == ["tunebird-server"]
    arguments = "--host $(POD_IP) --port 8000 --model-uri pvc://models/a/merged --model-digest sha256:a"
    names = "--served-model-name support --model-version r1 --inject-errors 30%"
    assert container(made())["args"] == f"{arguments} {names}".split()


def test_the_models_claim_is_mounted_read_only_where_the_environment_says():
    spec = made()["spec"]["template"]["spec"]
    assert spec["volumes"] == [{"name": "model", "persistentVolumeClaim": {"claimName": "models", "readOnly": True}}]
    assert container(made())["volumeMounts"][0]["mountPath"] == "/tunebird/volumes/models"
    environment = {item["name"]: item.get("value") for item in container(made())["env"]}
    assert json.loads(environment["TUNEBIRD_VOLUMES"]) == {"models": "/tunebird/volumes/models"}


def test_our_server_is_admitted_where_pod_security_is_restricted():
    assert violations(made()["spec"]["template"]["spec"]) == []


def test_a_template_may_change_the_security_of_our_server():
    template = {"spec": {"securityContext": {"runAsUser": 1000, "fsGroup": None}}}
    security = made(replace(SERVER, template=template))["spec"]["template"]["spec"]["securityContext"]
    assert (security["runAsUser"], security["runAsNonRoot"], "fsGroup" in security) == (1000, True, False)


def test_the_servers_of_others_run_as_their_images_say():
    spec = made(replace(SERVER, runtime=Runtime.VLLM, args=()))["spec"]["template"]["spec"]
    assert "securityContext" not in spec
    assert "securityContext" not in spec["containers"][0]


def test_vllm_gets_the_mounted_path_its_gpus_and_the_image_of_the_revision():
    server = replace(SERVER, runtime=Runtime.VLLM, args=(), gpus=2)
    made_container = container(made(server))
    assert made_container["args"][:2] == ["--model", "/tunebird/volumes/models/a/merged"]
    assert made_container["resources"] == {"limits": {"nvidia.com/gpu": "2"}}
    assert made_container["image"] == "image:1"
    assert "command" not in made_container


def test_vllm_loads_a_hub_model_by_its_revision():
    server = replace(SERVER, runtime=Runtime.VLLM, args=())
    arguments = container(made(server, "hf://org/model", model=Model("", "", "", "abc")))["args"]
    assert arguments[:4] == ["--model", "org/model", "--revision", "abc"]


def test_no_request_is_cut_by_a_rolling_update():
    manifest = made(gateway=Gateway((), (), (), {"request": "10m"}))
    assert manifest["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert manifest["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 605
    assert container(manifest)["readinessProbe"]["httpGet"] == {"path": "/ready", "port": "http"}
    assert container(manifest)["livenessProbe"]["httpGet"] == {"path": "/health", "port": "http"}


def test_children_carry_our_labels_and_none_of_the_owners():
    labels = made()["spec"]["template"]["metadata"]["labels"]
    assert labels[MODELROLLOUT] == "support"
    assert labels[OWNER_UID] == "u"
    assert labels[REVISION] == "r1"
    assert "app" not in labels


def test_a_template_is_merged_but_can_not_change_our_labels():
    template = {
        "metadata": {"labels": {REVISION: "mine", "team": "a"}},
        "spec": {
            "nodeSelector": {"gpu": "a100"},
            "containers": [{"name": "server", "env": [{"name": "A", "value": "1"}]}],
        },
    }
    spec = made(replace(SERVER, template=template))["spec"]["template"]
    assert spec["metadata"]["labels"][REVISION] == "r1"
    assert spec["metadata"]["labels"]["team"] == "a"
    assert spec["spec"]["nodeSelector"] == {"gpu": "a100"}
    assert {"name": "A", "value": "1"} in spec["spec"]["containers"][0]["env"]
    assert spec["spec"]["containers"][0]["command"] == ["tunebird-server"]


def test_a_revision_is_the_model_and_the_servers_without_their_number():
    name = revision_name("sha256:a", SERVER)
    assert revision_name("sha256:a", replace(SERVER, replicas=9)) == name
    assert revision_name("sha256:b", SERVER) != name
    assert revision_name("sha256:a", replace(SERVER, args=())) != name


def test_the_services_select_one_revision():
    own, stable = revision_service(OWNER, plan(), "r2"), stable_service(OWNER, plan(), "r1")
    assert own["metadata"]["name"] == child_name(plan(), "r2")
    assert own["spec"]["selector"][REVISION] == "r2"
    assert stable["metadata"]["name"] == "support"
    assert stable["spec"]["selector"][REVISION] == "r1"
    assert stable["spec"]["ports"] == [{"name": "http", "protocol": "TCP", "port": 80, "targetPort": "http"}]


@pytest.mark.parametrize(
    ("uri", "runtime", "served"),
    [
        ("pvc://m/a", Runtime.VLLM, True),
        ("hf://a/b", Runtime.TUNEBIRD, True),
        ("s3://a/b", Runtime.VLLM, False),
        ("oci://a/b", Runtime.TUNEBIRD, False),
        ("s3://a/b", Runtime.CUSTOM, True),
    ],
)
def test_a_uri_that_a_runtime_can_not_load_is_refused(uri, runtime, served):
    assert (unservable(uri, runtime) == "") is served


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("pvc://models/bot/1", ("sha256:m", "pvc://models/bot/1/merged")),
        ("s3://bucket/bot/1/", ("sha256:m", "s3://bucket/bot/1/merged")),
        ("oci://registry:5000/ml/bot:1", ("sha256:a", "oci://registry:5000/ml/bot:1")),
    ],
)
def test_a_form_is_a_folder_but_in_a_registry(uri, expected):
    artifact = {"uri": uri, "digest": "sha256:a"}
    assert model_of(artifact, {"path": "merged", "digest": "sha256:m"}) == expected


def test_what_the_server_adds_is_no_difference():
    assert not differs({"a": 1, "b": [{"c": 2, "added": 3}]}, {"b": [{"c": 2}]})
    assert differs({"a": 1}, {"a": 2})
    assert differs({"b": [1, 2]}, {"b": [1]})


@pytest.mark.parametrize("name", ["modelrollout.yaml", "modelrollout-vllm.yaml"])
def test_the_examples_can_be_carried_out(name):
    manifest = yaml.safe_load((EXAMPLES / name).read_text())
    manifest["metadata"] |= {"namespace": "default", "uid": "u"}
    assert resolved(manifest).steps
