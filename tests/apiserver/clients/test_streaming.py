"""exec, attach, cp and port-forward with the real kubectl and the Python client.

https://kubernetes.io/docs/tasks/debug/debug-application/get-shell-running-container/
https://kubernetes.io/docs/tasks/access-application-cluster/port-forward-access-application-cluster/
https://kubernetes.io/docs/reference/kubectl/generated/kubectl_cp/
"""

from __future__ import annotations

import contextlib
import json
import re
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config
from kubernetes.client.rest import ApiException
from kubernetes.stream import stream

from apiserver.clients.citing import docs
from apiserver.conftest import KUBECTL, Cluster
from fakes.terminals import Terminal

pytestmark = docs("reference/kubectl/generated/kubectl_exec/", "reference/kubectl/generated/kubectl_port-forward/")

Obj = dict[str, Any]


def container(name: str, *command: str, **more: Any) -> Obj:
    return {"name": name, "image": "python:3", "command": list(command), **more}


def pod(name: str, *containers: Obj, **spec: Any) -> Obj:
    body = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": list(containers), **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": body}


def run(cluster: Cluster, *bodies: Obj) -> None:
    for body in bodies:
        cluster.kubectl("apply", "-f", "-", stdin=body)
        cluster.kubectl("wait", "--for=condition=Ready", f"pod/{body['metadata']['name']}", "--timeout=60s")


@pytest.fixture
def sleeper(cluster: Cluster) -> Cluster:
    """A pod `p` of two containers, `c` and `other`; `c` has a volume at /data."""
    mounts = [{"name": "data", "mountPath": "/data"}]
    env = [{"name": "COLOUR", "value": "red"}]
    first = container("c", "sleep", "3600", env=env, volumeMounts=mounts, workingDir="/data")
    run(cluster, pod("p", first, container("other", "sleep", "3600"), volumes=[{"name": "data", "emptyDir": {}}]))
    return cluster


def test_exec_runs_in_the_container_and_passes_its_exit_code_through(sleeper: Cluster) -> None:
    done = sleeper.run("exec", "p", "-c", "c", "--", "sh", "-c", "echo $COLOUR; hostname; echo no >&2; exit 7")
    assert (done.returncode, done.stdout) == (7, "red\np\n")
    assert done.stderr == "no\ncommand terminated with exit code 7\n"


def test_exec_takes_the_first_container_unless_told(sleeper: Cluster) -> None:
    script = ("--", "sh", "-c", "echo ${COLOUR-none}")
    assert sleeper.kubectl("exec", "p", *script) == "red\n"
    assert sleeper.kubectl("exec", "p", "-c", "other", *script) == "none\n"


def test_exec_reads_stdin_to_its_end(sleeper: Cluster) -> None:
    text = "line\n" * 200_000
    assert sleeper.kubectl("exec", "-i", "p", "-c", "c", "--", "cat", stdin=text) == text
    assert sleeper.kubectl("exec", "p", "-c", "c", "--", "cat", stdin=text) == ""


def test_exec_works_in_the_containers_volumes(sleeper: Cluster) -> None:
    sleeper.kubectl("exec", "p", "-c", "c", "--", "sh", "-c", "echo here > /data/file")
    assert sleeper.kubectl("exec", "p", "-c", "c", "--", "cat", "file") == "here\n"


def test_exec_of_a_program_that_is_not_there_says_so(sleeper: Cluster) -> None:
    done = sleeper.run("exec", "p", "-c", "c", "--", "no-such-program")
    assert done.returncode != 0
    assert 'exec: "no-such-program": executable file not found in $PATH' in done.stderr


def test_exec_in_what_does_not_run_is_refused(cluster: Cluster) -> None:
    cluster.kubectl("apply", "-f", "-", stdin=pod("gone", container("c", "true")))
    cluster.kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/gone", "--timeout=60s")
    done = cluster.run("exec", "gone", "--", "true")
    assert (done.returncode, done.stderr) == (
        1,
        "error: cannot exec into a container in a completed pod; current phase is Succeeded\n",
    )
    absent = cluster.run("exec", "absent", "--", "true")
    assert (absent.returncode, absent.stderr) == (1, 'Error from server (NotFound): pods "absent" not found\n')


def test_exec_in_a_container_that_waits_is_refused(cluster: Cluster) -> None:
    body = pod("half", container("c", "sleep", "3600"), {"name": "stuck", "image": "none.invalid/x:1"})
    cluster.kubectl("apply", "-f", "-", stdin=body)
    cluster.kubectl("wait", "--for=jsonpath={.status.containerStatuses[0].state.running}", "pod/half", "--timeout=60s")
    done = cluster.run("exec", "half", "-c", "stuck", "--", "true")
    assert done.returncode == 1
    assert 'unable to upgrade connection: container not found ("stuck")' in done.stderr


def test_cp_takes_files_there_and_back(sleeper: Cluster, tmp_path: Path) -> None:
    source, back = tmp_path / "there", tmp_path / "back"
    (source / "deep").mkdir(parents=True)
    (source / "deep" / "blob").write_bytes(bytes(range(256)) * 4096)
    sleeper.kubectl("cp", str(source), "p:/data/copy", "-c", "c")
    sleeper.kubectl("cp", "p:/data/copy", str(back), "-c", "c")
    assert (back / "deep" / "blob").read_bytes() == (source / "deep" / "blob").read_bytes()


def test_attach_hears_what_is_said_from_now_on(cluster: Cluster) -> None:
    script = "while read line; do echo heard $line; done; echo over"
    run(cluster, pod("ears", container("c", "sh", "-c", script, stdin=True, stdinOnce=True)))
    assert cluster.kubectl("attach", "-i", "ears", stdin="one\ntwo\n").splitlines()[-3:] == [
        "heard one",
        "heard two",
        "over",
    ]
    assert "heard two" in cluster.kubectl("logs", "ears")


@pytest.fixture
def api(cluster: Cluster) -> client.CoreV1Api:
    return client.CoreV1Api(config.new_client_from_config(str(cluster.kubeconfig)))


@pytest.mark.parametrize("protocol", ["v5.channel.k8s.io", "v4.channel.k8s.io"])
def test_python_client_executes(sleeper: Cluster, api: client.CoreV1Api, protocol: str) -> None:
    api.api_client.set_default_header("sec-websocket-protocol", protocol)
    command = ["sh", "-c", "echo out; echo err >&2"]
    options = {"container": "c", "command": command, "stderr": True, "stdin": False, "stdout": True, "tty": False}
    said = stream(api.connect_get_namespaced_pod_exec, "p", sleeper.namespace, **options)
    assert sorted(said.split()) == ["err", "out"]


def test_python_client_is_told_which_protocols_there_are(sleeper: Cluster, api: client.CoreV1Api) -> None:
    api.api_client.set_default_header("sec-websocket-protocol", "v9.channel.k8s.io")
    with pytest.raises(ApiException, match="403 Forbidden"):
        stream(
            api.connect_get_namespaced_pod_exec,
            "p",
            sleeper.namespace,
            container="c",
            command=["true"],
            stdout=True,
            stderr=False,
            stdin=False,
            tty=False,
        )


def test_python_client_talks_with_a_process_and_learns_its_end(sleeper: Cluster, api: client.CoreV1Api) -> None:
    command = ["sh", "-c", "read line; echo heard $line; exit 5"]
    options = {"container": "c", "command": command, "stderr": True, "stdin": True, "stdout": True, "tty": False}
    talk = stream(api.connect_get_namespaced_pod_exec, "p", sleeper.namespace, _preload_content=False, **options)
    talk.write_stdin("you\n")
    talk.run_forever(timeout=30)
    assert (talk.read_stdout(), talk.returncode) == ("heard you\n", 5)


# A port is forwarded to localhost of the pod's own network, or, where a pod has none of its own, to its address.
SERVER = """
import contextlib, http.server, os, threading
os.chdir("/data")
open("word", "w").write("spoken" * 100000)
for address in (os.environ["IP"], "127.0.0.1"):
    with contextlib.suppress(OSError):
        server = http.server.ThreadingHTTPServer((address, 8000), http.server.SimpleHTTPRequestHandler)
        threading.Thread(target=server.serve_forever).start()
"""


@pytest.fixture
def web(cluster: Cluster) -> Cluster:
    """A pod and a Service `web` that serve /word at port 8000, or 80."""
    address = [{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]
    mounts = [{"name": "data", "mountPath": "/data"}]
    probe = {"httpGet": {"port": 8000, "path": "/word"}, "periodSeconds": 1}
    served = container("c", "python", "-c", SERVER, env=address, volumeMounts=mounts, readinessProbe=probe)
    run(cluster, pod("web", served, volumes=[{"name": "data", "emptyDir": {}}]))
    spec = {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8000}]}
    body = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": spec}
    cluster.kubectl("apply", "-f", "-", stdin=body)
    return cluster


@dataclass(frozen=True)
class OverSpdy(Cluster):
    """kubectl as it was before it spoke WebSockets."""

    @property
    def env(self) -> dict[str, str]:
        off = {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "false", "KUBECTL_PORT_FORWARD_WEBSOCKETS": "false"}
        return {**super().env, **off}


def over_spdy(cluster: Cluster) -> Cluster:
    return OverSpdy(cluster.kubeconfig, cluster.namespace)


@contextlib.contextmanager
def forwarded(cluster: Cluster, what: str, port: int) -> Iterator[str]:
    process = cluster.start("port-forward", what, f":{port}")
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.match(r"Forwarding from (127.0.0.1:\d+)", line)
        assert found, line
        yield f"http://{found[1]}"
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(("what", "port"), [("pod/web", 8000), ("service/web", 80)])
def test_port_forward_reaches_a_pod_again_and_again(web: Cluster, what: str, port: int) -> None:
    with forwarded(web, what, port) as url:
        for _ in range(3):
            with urllib.request.urlopen(f"{url}/word", timeout=20) as answer:
                assert answer.read() == b"spoken" * 100_000


def test_port_forward_to_a_port_that_nobody_listens_on_says_so(web: Cluster) -> None:
    process = web.start("port-forward", "pod/web", ":9")
    assert process.stdout is not None
    found = re.match(r"Forwarding from (127.0.0.1:\d+)", process.stdout.readline())
    assert found
    with pytest.raises(OSError), urllib.request.urlopen(f"http://{found[1]}/", timeout=20):  # noqa: PT011
        pass
    process.kill()
    assert "error forwarding port 9 to pod" in process.communicate()[1]


def role(verbs: list[str], resources: list[str]) -> Obj:
    rule = {"apiGroups": [""], "resources": resources, "verbs": verbs}
    return {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "r"}, "rules": [rule]}


def granted(cluster: Cluster, *verbs: str) -> str:
    """Somebody who may see pods, and `verbs` their exec."""
    given = role(["get"], ["pods"])
    given["rules"].append({"apiGroups": [""], "resources": ["pods/exec"], "verbs": list(verbs)})
    cluster.kubectl("apply", "-f", "-", stdin=given)
    cluster.kubectl("create", "serviceaccount", "somebody")
    cluster.kubectl("create", "rolebinding", "b", "--role=r", f"--serviceaccount={cluster.namespace}:somebody")
    return f"--as=system:serviceaccount:{cluster.namespace}:somebody"


def test_exec_is_for_those_who_may_create_it(sleeper: Cluster) -> None:
    somebody = granted(sleeper, "get", "create")
    assert sleeper.kubectl("exec", somebody, "p", "-c", "c", "--", "echo", "allowed") == "allowed\n"


def test_exec_falls_back_to_spdy_for_those_who_may_not_get_it(sleeper: Cluster) -> None:
    somebody = granted(sleeper, "create")
    assert sleeper.kubectl("exec", somebody, "-i", "p", "-c", "c", "--", "cat", stdin="allowed") == "allowed"


def test_exec_is_refused_to_those_who_may_only_see_pods(sleeper: Cluster) -> None:
    somebody = granted(sleeper, "list")
    done = sleeper.run("exec", somebody, "p", "-c", "c", "--", "echo", "allowed")
    assert done.returncode != 0
    assert 'cannot create resource "pods/exec" in API group ""' in done.stderr


def test_what_can_be_streamed_is_in_the_discovery(cluster: Cluster) -> None:
    listed = json.loads(cluster.kubectl("get", "--raw", "/api/v1"))["resources"]
    found = {one["name"]: (one["kind"], sorted(one["verbs"])) for one in listed if one["name"].startswith("pods/")}
    assert found["pods/exec"] == ("PodExecOptions", ["create", "get"])
    assert found["pods/attach"] == ("PodAttachOptions", ["create", "get"])
    assert found["pods/portforward"] == ("PodPortForwardOptions", ["create", "get"])


def test_exec_takes_a_long_command(sleeper: Cluster) -> None:
    text = "x" * 50_000
    assert sleeper.kubectl("exec", "p", "-c", "c", "--", "echo", text) == f"{text}\n"


def on_terminal(cluster: Cluster, *args: str) -> Terminal:
    return Terminal([str(KUBECTL), "-n", cluster.namespace, *args], cluster.env)


def test_exec_on_a_terminal_has_its_size_and_follows_it(sleeper: Cluster) -> None:
    terminal = on_terminal(sleeper, "exec", "-it", "p", "-c", "c", "--", "sh")
    terminal.type("tty; until [ \"$(stty size)\" = '33 101' ]; do sleep 0.05; done; echo si''zed")
    assert "/dev/pts/" in terminal.until("sized")
    terminal.resize(50, 120)
    terminal.type("until [ \"$(stty size)\" = '50 120' ]; do sleep 0.05; done; echo fol''lowed; exit 9")
    terminal.until("followed")
    assert terminal.end() == 9


def test_run_with_a_terminal_is_a_shell_in_a_pod_of_its_own(cluster: Cluster) -> None:
    terminal = on_terminal(cluster, "run", "-it", "--rm", "shell", "--image=busybox", "--restart=Never", "--", "sh")
    terminal.until("press")
    terminal.type("echo in $(host''name); exit 4")
    terminal.until("in shell")
    assert terminal.end() == 4
    assert cluster.run("get", "pod", "shell").returncode == 1


def test_run_reads_stdin(cluster: Cluster) -> None:
    done = cluster.run(
        "run", "-i", "--rm", "-q", "reader", "--image=busybox", "--restart=Never", "--", "sh", stdin="echo $((6 * 7))"
    )
    assert (done.returncode, done.stdout.splitlines()[:1]) == (0, ["42"])


def test_executed_command_ends_with_its_container(cluster: Cluster) -> None:
    run(cluster, pod("short", container("c", "sh", "-c", "trap 'exit 0' TERM; sleep 3600 & wait")))
    running = cluster.start("exec", "short", "--", "sh", "-c", "echo begun; exec sleep 3600")
    assert running.stdout is not None
    assert running.stdout.readline() == "begun\n"
    cluster.kubectl("delete", "pod", "short", "--timeout=60s")
    assert running.wait(60) == 137
    running.communicate()


def test_exec_works_over_spdy(sleeper: Cluster) -> None:
    old, text = over_spdy(sleeper), "line\n" * 200_000
    assert old.kubectl("exec", "-i", "p", "-c", "c", "--", "cat", stdin=text) == text
    done = old.run("exec", "p", "-c", "c", "--", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.returncode, done.stdout, done.stderr.splitlines()[0]) == (7, "out\n", "err")
    terminal = on_terminal(old, "exec", "-it", "p", "-c", "c", "--", "sh")
    terminal.type("until [ \"$(stty size)\" = '33 101' ]; do sleep 0.05; done; echo si''zed; exit 3")
    terminal.until("sized")
    assert terminal.end() == 3


def test_attach_works_over_spdy(cluster: Cluster) -> None:
    script = "read line; echo heard $line; exit 2"
    run(cluster, pod("ears", container("c", "sh", "-c", script, stdin=True, stdinOnce=True)))
    assert "heard you" in over_spdy(cluster).kubectl("attach", "-i", "ears", stdin="you\n")


def test_port_forward_works_over_spdy(web: Cluster) -> None:
    with forwarded(over_spdy(web), "pod/web", 8000) as url, urllib.request.urlopen(f"{url}/word", timeout=20) as answer:
        assert answer.read() == b"spoken" * 100_000


def test_exec_without_an_upgrade_is_refused(sleeper: Cluster) -> None:
    path = f"/api/v1/namespaces/{sleeper.namespace}/pods/p/exec?command=true&stdout=true&container=c"
    done = sleeper.run("get", "--raw", path)
    assert (done.returncode, done.stderr) == (1, "Error from server (BadRequest): Upgrade request required\n")
