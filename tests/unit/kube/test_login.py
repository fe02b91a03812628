"""Which credentials are taken, from where."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tunebird.kube.errors import Unavailable
from tunebird.kube.login import login


def kubeconfig(folder: Path, user: dict[str, object], server: str = "http://127.0.0.1:6443") -> Path:
    path = folder / "kubeconfig"
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "clusters": [{"name": "k", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": user}],
    }
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture(autouse=True)
def outside_of_pods(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)


async def test_token_of_the_kubeconfig_is_sent_as_bearer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path, {"token": "secret"})))
    access = await login()
    assert access.server == "http://127.0.0.1:6443"
    assert await access.authorization() == "Bearer secret"


async def test_exec_plugin_is_asked_for_its_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin = tmp_path / "plugin"
    plugin.write_text(
        "#!/bin/sh\n"
        'echo \'{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",'
        ' "status": {"token": "minted"}}\'\n'
    )
    plugin.chmod(0o755)
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(plugin), "args": []}}
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path, user)))
    access = await login()
    assert await access.authorization() == "Bearer minted"


async def test_missing_kubeconfig_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "absent"))
    with pytest.raises(Unavailable, match="set KUBECONFIG"):
        await login()


async def test_kubeconfig_that_makes_no_sense_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump({"current-context": "c", "contexts": [], "clusters": [], "users": []}))
    monkeypatch.setenv("KUBECONFIG", str(path))
    with pytest.raises(Unavailable, match="cannot log in"):
        await login()


async def test_pod_without_its_token_is_told_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "1")
    with pytest.raises(Unavailable, match="Service token file does not exist"):
        await login()
