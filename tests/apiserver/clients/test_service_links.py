"""The Services of its namespace in a container's environment."""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.clients.citing import docs, source
from apiserver.clients.raw import Raw
from apiserver.clients.stories import becomes, in_phase, pod, script
from apiserver.clients.waiting import until

LINKS = "tutorials/services/connect-applications-service/#environment-variables"
DISCOVERY = "concepts/services-networking/service/#environment-variables"
ENVVARS = "pkg/kubelet/envvars/envvars.go"
PORTS = [{"name": "http", "port": 80}, {"name": "dns-a", "port": 53, "protocol": "UDP"}]


def environment(raw: Raw, env: Any = (), **spec: Any) -> dict[str, str]:
    """That of a container that starts now."""
    raw.made(raw.at("pods"), pod(script("env", env=list(env)), name="p", **spec))
    becomes(raw, "pods", "p", in_phase("Succeeded"))
    text = until(lambda: raw.get(raw.at("pods", "p", "log")).body, "log of p").decode()
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


@pytest.fixture
def address(raw: Raw) -> str:
    """The cluster IP of the Service `my-web`; beside it are some that give no variables."""
    raw.made(raw.at("services"), {"metadata": {"name": "bare"}, "spec": {"clusterIP": "None", "ports": [{"port": 80}]}})
    outside = {"type": "ExternalName", "externalName": "a.example"}
    raw.made(raw.at("services"), {"metadata": {"name": "outside"}, "spec": outside})
    made = raw.made(raw.at("services"), {"metadata": {"name": "my-web"}, "spec": {"ports": PORTS}})
    found: str = made["spec"]["clusterIP"]
    return found


@docs(DISCOVERY, LINKS)
@source(ENVVARS)
def test_container_knows_the_services_that_were_there_before_it(raw: Raw, address: str) -> None:
    found = environment(raw)
    tcp, udp = "MY_WEB_PORT_80_TCP", "MY_WEB_PORT_53_UDP"
    assert {name: value for name, value in found.items() if name.startswith("MY_WEB")} == {
        "MY_WEB_SERVICE_HOST": address, "MY_WEB_SERVICE_PORT": "80", "MY_WEB_SERVICE_PORT_HTTP": "80",
        "MY_WEB_SERVICE_PORT_DNS_A": "53", "MY_WEB_PORT": f"tcp://{address}:80", tcp: f"tcp://{address}:80",
        f"{tcp}_PROTO": "tcp", f"{tcp}_PORT": "80", f"{tcp}_ADDR": address, udp: f"udp://{address}:53",
        f"{udp}_PROTO": "udp", f"{udp}_PORT": "53", f"{udp}_ADDR": address}  # fmt: skip
    assert not [name for name in found if name.startswith(("BARE", "OUTSIDE"))]


@docs(DISCOVERY)
@source(ENVVARS)
def test_container_without_service_links_knows_the_api_server_alone(raw: Raw, address: str) -> None:
    found = environment(raw, enableServiceLinks=False)
    assert not [name for name in found if name.startswith("MY_WEB")]
    host, port = found["KUBERNETES_SERVICE_HOST"], found["KUBERNETES_SERVICE_PORT"]
    assert found["KUBERNETES_SERVICE_PORT_HTTPS"] == port
    assert found["KUBERNETES_PORT"] == found[f"KUBERNETES_PORT_{port}_TCP"] == f"tcp://{host}:{port}"


@docs("tasks/inject-data-application/define-interdependent-environment-variables/")
@source("pkg/kubelet/kubelet_pods.go")
def test_own_variable_can_name_a_services_and_can_take_its_place(raw: Raw, address: str) -> None:
    env = [{"name": "URL", "value": "http://$(MY_WEB_SERVICE_HOST)"}, {"name": "MY_WEB_SERVICE_PORT", "value": "81"},
           {"name": "AT", "value": ":$(MY_WEB_SERVICE_PORT)"}]  # fmt: skip
    found = environment(raw, env)
    assert (found["URL"], found["MY_WEB_SERVICE_PORT"], found["AT"]) == (f"http://{address}", "81", ":81")
