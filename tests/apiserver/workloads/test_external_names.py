"""ExternalName Services inside pods, resolved by a program that knows nothing of devplane."""

from __future__ import annotations

import pytest
from tests.apiserver.workloads.conftest import World, pod

from devplane.kubelet.network.services import refusal

pytestmark = pytest.mark.skipif(bool(refusal()), reason=f"no private mounts here: {refusal()}")

WAIT = "until getent ahostsv4 {0} > /dev/null; do sleep 0.05; done; getent ahostsv4 {0} | cut -d' ' -f1 | sort -u"


async def test_external_names_lead_to_services_and_to_names_of_the_machine(world: World) -> None:
    for name, target in (("store", "db.default.svc.cluster.local"), ("outside", "localhost")):
        spec = {"type": "ExternalName", "externalName": target}
        world.client.create("services", "default", {"metadata": {"name": name}, "spec": spec})
    db = world.client.create("services", "default", {"metadata": {"name": "db"}, "spec": {"ports": [{"port": 80}]}})
    script = f"{WAIT.format('store')}; {WAIT.format('outside.default.svc')}"
    world.client.create("pods", "default", pod("client", "sh", "-c", script))
    await world.until(lambda: world.client.get("pods", "default", "client")["status"]["phase"] == "Succeeded")  # type: ignore[index]
    assert (await world.log("client")).split() == [db["spec"]["clusterIP"], "127.0.0.1"]
