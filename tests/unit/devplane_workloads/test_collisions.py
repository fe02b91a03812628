"""Which ports a container wants, as far as its pod, its Services and its command say."""

from __future__ import annotations

import pytest

from devplane.kubelet.collisions import declared, mentioned


def test_ports_are_those_of_the_container_its_probes_and_its_services() -> None:
    container = {
        "ports": [{"name": "web", "containerPort": 8080}, {"containerPort": 53, "protocol": "UDP"}],
        "readinessProbe": {"httpGet": {"port": 8081}},
        "livenessProbe": {"tcpSocket": {"port": "web"}},
        "startupProbe": {"grpc": {"port": 9000}},
    }
    pod = {"metadata": {"labels": {"app": "web", "tier": "front"}}}
    services = [
        {"spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8082}, {"port": 8083}]}},
        {"spec": {"selector": {"app": "web"}, "ports": [{"port": 81, "targetPort": "web"}]}},
        {"spec": {"selector": {"app": "other"}, "ports": [{"port": 1, "targetPort": 1}]}},
        {"spec": {"ports": [{"port": 2, "targetPort": 2}]}},
    ]
    assert list(declared(pod, container, services)) == [8080, 8081, 8080, 9000, 8082, 8083]


def test_probe_of_another_host_says_nothing_of_the_pod() -> None:
    container = {"readinessProbe": {"httpGet": {"host": "10.0.0.1", "port": 80}}}
    assert list(declared({"metadata": {}}, container, [])) == []


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["python", "-m", "http.server", "8080"], [8080]),
        (["serve", "--port=8000", "--bind", "0.0.0.0:9000"], [8000, 9000]),
        (["sh", "-c", "nc -l 7000; sleep 3600"], [7000, 3600]),
        (["serve-8080", "v1.33", "x8080", "99999", "1"], []),
    ],
)
def test_command_names_ports(words: list[str], found: list[int]) -> None:
    assert list(mentioned({"command": words[:1], "args": words[1:]})) == found
