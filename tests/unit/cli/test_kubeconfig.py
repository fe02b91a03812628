"""The context in the user's own kubeconfig: read by the real kubectl, and nothing else of it is touched."""

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
import yaml

from tunebird.cli import kubeconfig

KUBECTL = Path(sys.prefix) / "bin" / "kubectl"
THEIRS = """
apiVersion: v1
kind: Config
current-context: prod
clusters:
- {name: prod, cluster: {server: "https://prod.example.com", insecure-skip-tls-verify: true}}
users:
- {name: prod, user: {token: "1e345"}}
- {name: gone, user: {username: "no", password: "0o17"}}
contexts:
- name: prod
  context: {cluster: prod, user: prod, extensions: [{name: seen, extension: {at: 2026-01-02T03:04:05Z}}]}
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def ours(home: Path) -> Path:
    """As devplane writes it."""
    home.mkdir()
    path = home / "kubeconfig"
    document = {
        "clusters": [
            {"name": "devplane", "cluster": {"server": "https://127.0.0.1:7", "certificate-authority-data": "YQ=="}}
        ],
        "users": [{"name": "devplane-admin", "user": {"token": "secret"}}],
    }
    path.write_text(json.dumps(document))
    return path


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    path = tmp_path / "config"
    path.write_text(THEIRS)
    path.chmod(0o640)
    return path


def view(path: Path, *words: str) -> str:
    """What the real kubectl reads there."""
    command = [str(KUBECTL), "--kubeconfig", str(path), "config", *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_kubectl_finds_the_new_context_beside_the_others(ours: Path, home: Path, theirs: Path) -> None:
    before = json.loads(view(theirs, "view", "--raw", "-o", "json"))
    kubeconfig.merge(ours, home, theirs)
    assert view(theirs, "get-contexts", "-o", "name").split() == ["prod", "tunebird-dev"]
    assert view(theirs, "current-context") == "prod"
    path = '{.clusters[?(@.name=="tunebird-dev")].cluster.server}'
    assert view(theirs, "view", "-o", f"jsonpath={path}") == "https://127.0.0.1:7"
    kubeconfig.unmerge(home, theirs)
    assert json.loads(view(theirs, "view", "--raw", "-o", "json")) == before


def test_it_is_current_where_none_was(ours: Path, home: Path, tmp_path: Path) -> None:
    target = tmp_path / "new" / "config"
    kubeconfig.merge(ours, home, target)
    assert view(target, "current-context") == "tunebird-dev"
    assert target.stat().st_mode & 0o777 == 0o600
    kubeconfig.unmerge(home, target)
    assert view(target, "get-contexts", "-o", "name") == ""
    assert yaml.safe_load(target.read_text())["current-context"] == ""


def test_a_second_merge_replaces_the_first(ours: Path, home: Path, theirs: Path) -> None:
    kubeconfig.merge(ours, home, theirs)
    ours.write_text(ours.read_text().replace(":7", ":8"))
    kubeconfig.merge(ours, home, theirs)
    assert theirs.read_text().count("name: tunebird-dev") == 3
    assert "127.0.0.1:8" in theirs.read_text()


def test_values_keep_their_types_for_readers_of_other_languages(ours: Path, home: Path, theirs: Path) -> None:
    kubeconfig.merge(ours, home, theirs)
    assert 'token: "1e345"' in theirs.read_text()
    assert 'password: "0o17"' in theirs.read_text()
    assert "insecure-skip-tls-verify: true" in theirs.read_text()
    assert '"2026-01-02T03:04:05Z"' in theirs.read_text()


def test_the_file_keeps_its_mode_and_its_link(ours: Path, home: Path, theirs: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(theirs)
    kubeconfig.merge(ours, home, link)
    assert link.is_symlink()
    assert theirs.stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config", "home", "link"]


def test_a_context_of_another_cluster_is_not_taken_over(ours: Path, home: Path, theirs: Path, tmp_path: Path) -> None:
    kubeconfig.merge(ours, home, theirs)
    kept = theirs.read_text()
    with pytest.raises(click.ClickException, match=f"dev down --home {home}"):
        kubeconfig.merge(ours, tmp_path / "other", theirs)
    kubeconfig.unmerge(tmp_path / "other", theirs)
    assert theirs.read_text() == kept


def test_a_context_that_somebody_wrote_is_not_taken_over(ours: Path, home: Path, theirs: Path) -> None:
    view(theirs, "set-context", "tunebird-dev", "--cluster=prod", "--user=prod")
    with pytest.raises(click.ClickException, match="rename or delete it"):
        kubeconfig.merge(ours, home, theirs)
    kubeconfig.unmerge(home, theirs)
    assert "tunebird-dev" in view(theirs, "get-contexts", "-o", "name")


def test_nothing_is_written_while_another_program_holds_the_lock(
    ours: Path, home: Path, theirs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubeconfig, "LOCK_SECONDS", 0.1)
    lock = theirs.with_name("config.lock")
    lock.touch()
    with pytest.raises(click.ClickException, match="is held"):
        kubeconfig.merge(ours, home, theirs)
    assert theirs.read_text() == THEIRS
    assert lock.exists()


@pytest.mark.parametrize(
    ("named", "existing", "chosen"),
    [
        ("", (), ".kube/config"),
        ("a", (), "a"),
        ("a:b", (), "b"),
        ("a:b", ("a",), "a"),
        ("a:b", ("a", "b"), "b"),
        ("home/kubeconfig", (), ".kube/config"),
        ("a:home/kubeconfig", ("a",), "a"),
    ],
)
def test_the_file_is_the_one_that_kubectl_would_write(
    ours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str, existing: tuple[str, ...], chosen: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    paths = [str(tmp_path / one) for one in named.split(":") if one]
    monkeypatch.setenv("KUBECONFIG", os.pathsep.join(paths))
    for name in existing:
        (tmp_path / name).touch()
    assert kubeconfig.users_file(ours) == tmp_path / chosen
