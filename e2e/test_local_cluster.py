"""`tunebird dev` from the shell: a cluster's context in the user's kubeconfig, its logs, and a fresh start."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent


class Shell:
    """A user with a kubeconfig of their own, and a home of the cluster."""

    def __init__(self, folder: Path) -> None:
        self.config, self.home = folder / "config", folder / "cluster"
        self.env = {**os.environ, "KUBECONFIG": str(self.config), "HOME": str(folder)}

    def run(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        command = [str(BIN / words[0]), *words[1:]]
        return subprocess.run(command, input=stdin, env=self.env, capture_output=True, text=True, check=False)

    def dev(self, *words: str, stdin: str = "") -> str:
        done = self.run("tunebird", "dev", *words, "--home", str(self.home), stdin=stdin)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def kubectl(self, *words: str) -> str:
        done = self.run("kubectl", "--context", "tunebird-dev", *words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    made = Shell(tmp_path)
    made.run("kubectl", "config", "set-cluster", "prod", "--server=https://prod.example.com")
    made.run("kubectl", "config", "set-context", "prod", "--cluster=prod")
    made.run("kubectl", "config", "use-context", "prod")
    yield made
    made.dev("down")


def test_context_logs_and_reset(shell: Shell) -> None:
    shell.dev("up", "--nodes", "2", "--gpus", "3", "--merge-kubeconfig")
    assert shell.kubectl("get", "nodes", "-o", "name").split() == ["node/n1", "node/n2"]
    assert shell.run("kubectl", "config", "current-context").stdout == "prod\n"
    shell.kubectl("create", "configmap", "kept")

    for program, line in (
        ("gateway", "Traefik version"),
        ("devplane", '{"ready": true'),
        ("operator", "Acquired the Lease"),
    ):
        assert line in shell.dev("logs", program, "--lines", "1000"), program

    refused = shell.run("tunebird", "dev", "reset", "--home", str(shell.home), stdin="n\n")
    assert refused.returncode == 1
    assert shell.kubectl("get", "configmap", "kept", "-o", "name") == "configmap/kept\n"

    shell.dev("reset", "--yes")
    assert "NotFound" in shell.run("kubectl", "--context", "tunebird-dev", "get", "configmap", "kept").stderr
    gpus = shell.kubectl("get", "nodes", "-o", r"jsonpath={.items[*].status.capacity.nvidia\.com/gpu}")
    assert gpus == "3 3"

    shell.dev("down")
    assert shell.run("kubectl", "config", "get-contexts", "-o", "name").stdout == "prod\n"


def test_what_was_never_up_can_not_be_reset(tmp_path: Path) -> None:
    done = Shell(tmp_path).run("tunebird", "dev", "reset", "--yes", "--home", str(tmp_path / "none"))
    assert done.returncode == 1
    assert "no cluster was ever up" in done.stderr
