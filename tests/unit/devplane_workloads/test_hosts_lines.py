"""The lines of a pod's hosts file, of which a resolver takes the first that fits an address."""

from __future__ import annotations

from devplane.kubelet.network.names import Endpoint, Service, lines


def test_address_of_a_named_pod_has_its_own_name_before_that_of_the_service() -> None:
    service = Service("ml", "db", "", (Endpoint("127.64.0.2", "db-0"), Endpoint("127.64.0.3")), ())
    assert [line.split()[:2] for line in lines([service], "ml")] == [
        ["127.64.0.2", "db-0.db.ml.svc.cluster.local"],
        ["127.64.0.2", "db.ml.svc.cluster.local"],
        ["127.64.0.3", "db.ml.svc.cluster.local"],
    ]
