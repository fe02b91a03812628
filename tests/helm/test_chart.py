import json
import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

CHART = Path(__file__).parents[2] / "helm" / "tunebird"
SUPPORTED = sorted((CHART / "ci").glob("*-values.yaml"))
NOT_BUILT_IN = {"ServiceMonitor"}


def only(manifests: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (found,) = [manifest for manifest in manifests if manifest["kind"] == kind]
    return found


def environment(manifests: list[dict[str, Any]]) -> dict[str, Any]:
    (container,) = only(manifests, "Deployment")["spec"]["template"]["spec"]["containers"]
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in container["env"]}


@pytest.mark.parametrize("values", [None, *SUPPORTED], ids=lambda path: path.stem if path else "default")
def test_the_chart_lints_strictly(helm: Any, values: Path | None):
    done = helm("lint", "--strict", CHART, *(["--values", values] if values else []))
    assert done.code == 0, done.out + done.error


@pytest.mark.parametrize("values", SUPPORTED, ids=lambda path: path.stem)
def test_every_supported_configuration_is_valid_kubernetes(render: Any, values: Path):
    _check(render("tunebird", "--values", values))


@pytest.mark.parametrize("release", ["tunebird", "y", "123", "null", "a" * 53])
def test_a_release_of_any_name_is_valid_kubernetes(render: Any, release: str):
    _check(render(release, "--values", CHART / "ci" / "namespaced-values.yaml"))


def _check(manifests: list[dict[str, Any]]) -> None:
    for manifest in manifests:
        if manifest["kind"] not in NOT_BUILT_IN:
            kubernetes_validate.validate(manifest, "1.33", strict=True)
        assert re.fullmatch(r"[a-z]([-a-z0-9.]{0,251}[a-z0-9])?", manifest["metadata"]["name"])
        labels = manifest["metadata"].get("labels", {})
        assert all(isinstance(value, str) and len(value) <= 63 for value in labels.values())


def test_a_release_named_like_a_boolean_or_a_number_keeps_its_name(render: Any):
    for release in ("y", "123"):
        labels = only(render(release), "Deployment")["spec"]["selector"]["matchLabels"]
        assert labels["app.kubernetes.io/instance"] == release
    assert only(render("123"), "Service")["metadata"]["name"] == "r123-tunebird"


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("replicas=2", "replicas"),
        ("image.repo=x", "repo"),
        ("rbac.creat=true", "creat"),
        ("crds.enabled=maybe", "enabled"),
        ("image.digest=sha256:12", "digest"),
        ("resync=soon", "resync"),
        ("logFormat=xml", "logFormat"),
        ("watchNamespaces={Not A Name}", "watchNamespaces"),
        ("image.pullPolicy=Sometimes", "pullPolicy"),
    ],
)
def test_a_typo_in_the_values_is_refused_by_name(helm: Any, setting: str, told: str):
    done = helm("template", "tunebird", CHART, "--set", setting)
    assert done.code != 0
    assert told in done.error


def test_every_value_is_in_the_schema_and_has_a_comment():
    text = (CHART / "values.yaml").read_text(encoding="utf-8")
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    assert _keys(yaml.safe_load(text)) == _described(schema) - {"global"}
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if re.match(r"\s*\w+:\s*\S", line) and not _commented(lines, number):
            pytest.fail(f"values.yaml:{number + 1}: {line.strip()} has no comment")


def _commented(lines: list[str], number: int) -> bool:
    """A comment stands above the key, or above the block of keys right before it."""
    while number and re.match(r"\s*\w+:", lines[number - 1]):
        number -= 1
    return number > 0 and lines[number - 1].lstrip().startswith("#")


def _keys(values: dict[str, Any], below: str = "") -> set[str]:
    found = set()
    for key, value in values.items():
        inner = isinstance(value, dict) and value and key != "resources"
        found |= _keys(value, f"{below}{key}.") if inner else {f"{below}{key}"}
    return found


def _described(schema: dict[str, Any], below: str = "") -> set[str]:
    found = set()
    for key, value in schema["properties"].items():
        inner = "properties" in value and key != "resources"
        found |= _described(value, f"{below}{key}.") if inner else {f"{below}{key}"}
    return found


def test_the_operator_runs_once_restricted_and_with_probes(render: Any):
    spec = only(render(), "Deployment")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container["resources"]["limits"]["memory"]


def test_the_environment_is_what_the_operator_reads(render: Any):
    from tunebird.config import Config

    given = environment(render("tunebird", "--values", CHART / "ci" / "everything-values.yaml"))
    plain = {name: value for name, value in given.items() if isinstance(value, str)}
    config = Config.from_env({**plain, "POD_NAMESPACE": "platform"})
    assert config.trainer_image == "registry.example.com/tunebird/trainer:0.1.0"
    assert config.server_image == "registry.example.com/tunebird/server:0.1.0"
    assert (config.report_url, config.resync_seconds, config.log_format) == ("https://reports.example.com", 300, "text")
    assert given["POD_NAMESPACE"] == {"fieldRef": {"fieldPath": "metadata.namespace"}}
    assert given["HTTPS_PROXY"] == "http://proxy:3128"


def test_every_variable_of_the_operator_is_set_or_has_a_reason(render: Any):
    source = (CHART.parents[1] / "operator" / "tunebird" / "config.py").read_text(encoding="utf-8")
    known = set(re.findall(r"""["'](TUNEBIRD_[A-Z_]+|POD_[A-Z]+)["']""", source))
    left_out = {"TUNEBIRD_ALLOW_FILE_URIS"}  # on a cluster a file:// uri would read the node's or the image's files
    set_here = {name for name in environment(render()) if name.startswith(("TUNEBIRD_", "POD_"))}
    assert known - left_out == set_here - {"POD_IP"}  # which the addresses to listen on are made of


def test_trainers_are_told_the_service_that_is_rendered(render: Any):
    manifests = render("prod")
    service = only(manifests, "Service")
    url = environment(manifests)["TUNEBIRD_REPORT_URL"]
    assert url == f"http://{service['metadata']['name']}.platform:8082"
    assert {port["name"]: port["port"] for port in service["spec"]["ports"]} == {"http": 8080, "reports": 8082}


def test_service_and_deployment_select_the_operators_pod(render: Any):
    for values in SUPPORTED:
        manifests = render("prod", "--values", values)
        deployment = only(manifests, "Deployment")["spec"]
        labels = deployment["template"]["metadata"]["labels"].items()
        assert deployment["selector"]["matchLabels"].items() <= labels
        assert only(manifests, "Service")["spec"]["selector"].items() <= labels


def test_a_digest_wins_over_the_tag(render: Any):
    digest = "sha256:" + "a" * 64
    manifests = render("tunebird", "--set", f"image.digest={digest},image.tag=9.9.9")
    (container,) = only(manifests, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"tunebird/operator@{digest}"


def test_crds_are_those_of_the_repository_and_are_kept(render: Any):
    rendered = {one["metadata"]["name"]: one for one in render() if one["kind"] == "CustomResourceDefinition"}
    files = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in (CHART.parents[1] / "crds").glob("*.yaml")]
    assert set(rendered) == {crd["metadata"]["name"] for crd in files}
    for crd in files:
        assert rendered[crd["metadata"]["name"]]["spec"] == crd["spec"]
        assert rendered[crd["metadata"]["name"]]["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_crds_can_be_left_out(render: Any):
    kinds = {manifest["kind"] for manifest in render("tunebird", "--set", "crds.enabled=false")}
    assert "CustomResourceDefinition" not in kinds


def test_the_chart_says_the_operators_version():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    from tunebird import __version__

    assert chart["appVersion"] == __version__
