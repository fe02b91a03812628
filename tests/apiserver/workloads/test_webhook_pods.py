"""A webhook that runs as a pod behind a Service changes the pods of a Job.

https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#service-reference
"""

from __future__ import annotations

import sys
from base64 import b64encode
from pathlib import Path

from tests.apiserver.workloads.conftest import Obj, World, job, pod

from fakes.webhooks import certificate

WEBHOOK = """
import base64, http.server, json, os, ssl
class Answer(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        patch = [{"op": "add", "path": "/metadata/annotations", "value": {"by": os.environ["HOSTNAME"]}}]
        encoded = base64.b64encode(json.dumps(patch).encode()).decode()
        response = {"uid": review["request"]["uid"], "allowed": True, "patchType": "JSONPatch", "patch": encoded}
        body = json.dumps({"apiVersion": review["apiVersion"], "kind": review["kind"], "response": response}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer((os.environ["POD_IP"], 8443), Answer)
context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain(os.environ["TLS"] + "/tls.crt", os.environ["TLS"] + "/tls.key")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""


def webhook_pod() -> Obj:
    environment = [
        {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "TLS", "value": "/tls"},
    ]
    container = {
        "env": environment,
        "image": "python:3",
        "readinessProbe": {"tcpSocket": {"port": 8443}, "periodSeconds": 1},
        "volumeMounts": [{"name": "tls", "mountPath": "/tls"}],
    }
    volumes = [{"name": "tls", "secret": {"secretName": "hooks-tls"}}]
    made = pod("hooks", sys.executable, "-c", WEBHOOK, container=container, volumes=volumes)
    made["metadata"]["labels"] = {"app": "hooks"}
    return made


def configuration(ca_bundle: str) -> Obj:
    rule = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}
    webhook = {
        "name": "by.example.com",
        "clientConfig": {"service": {"namespace": "default", "name": "hooks", "path": "/"}, "caBundle": ca_bundle},
        "rules": [rule],
        "objectSelector": {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["hooks"]}]},
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    return {"metadata": {"name": "hooks"}, "webhooks": [webhook]}


async def test_a_job_waits_for_its_webhook_and_its_pods_are_changed_by_it(world: World, tmp_path: Path) -> None:
    crt, key = (path.read_bytes() for path in certificate(tmp_path))
    data = {"tls.crt": b64encode(crt).decode(), "tls.key": b64encode(key).decode()}
    world.client.create("secrets", "default", {"metadata": {"name": "hooks-tls"}, "data": data})
    service = {"selector": {"app": "hooks"}, "ports": [{"port": 443, "targetPort": 8443}]}
    world.client.create("services", "default", {"metadata": {"name": "hooks"}, "spec": service})
    hooks = "mutatingwebhookconfigurations.admissionregistration.k8s.io"
    world.client.create(hooks, "", configuration(data["tls.crt"]))
    world.client.create("jobs.batch", "default", job("work", "true", parallelism=2, completions=2))
    refused = 'failed calling webhook "by.example.com": failed to call webhook: Post '
    refused += '"https://hooks.default.svc:443/?timeout=10s": no endpoints available for service "hooks"'
    await world.until(lambda: any(refused in one for one in world.messages("FailedCreate")))
    world.client.create("pods", "default", webhook_pod())
    await world.until(lambda: world.has("jobs.batch", "work", "Complete"))
    made = [one for one in world.pods() if one["metadata"]["name"] != "hooks"]
    assert [one["metadata"]["annotations"]["by"] for one in made] == ["hooks", "hooks"]
