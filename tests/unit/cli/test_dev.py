"""`tunebird dev` says what runs, and starts what does not without touching the rest."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from tunebird.cli import dev, local, programs
from tunebird.cli.main import main
from tunebird.cli.story.load import Sample

SLEEPER = [sys.executable, "-c", "import time; time.sleep(600)"]
PORTS = {"web": 20001, "traefik": 20002, "http": 20003, "report": 20004}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder whose three programs run, as far as anybody can see."""
    (tmp_path / "local.json").write_text(json.dumps(PORTS))
    for name in ("devplane", "traefik", "operator"):
        programs.start(name, SLEEPER, tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def all_ended(tmp_path: Path) -> object:
    yield
    programs.stop_all(tmp_path)


def pids(home: Path) -> dict[str, int]:
    return {program.name: program.pid for program in programs.recall(home)}


def kill(home: Path, name: str) -> None:
    os.kill(pids(home)[name], signal.SIGKILL)
    os.waitpid(pids(home)[name], 0)


def test_status_tells_of_a_killed_operator_and_of_the_command_that_starts_only_it(home: Path) -> None:
    kill(home, "operator")
    done = CliRunner().invoke(main, ["dev", "status", "--home", str(home)])
    assert done.exit_code == 1
    assert "gateway    http://127.0.0.1:20001" in done.output
    assert f"operator ended: `tunebird dev up --home {home}` starts operator again" in done.output
    assert "no cluster is up" not in done.output


def test_status_of_a_cluster_that_is_down_says_so(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["dev", "status", "--home", str(tmp_path)])
    assert (done.exit_code, done.output) == (
        1,
        f"no cluster is up in {tmp_path}: `tunebird dev up --home {tmp_path}` starts one\n",
    )


def test_up_starts_only_the_operator_that_was_killed_on_its_ports(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []

    def started(home: Path, http_port: int, report_port: int) -> programs.Program:
        asked.append((http_port, report_port))
        return programs.start("operator", SLEEPER, home)

    monkeypatch.setattr(local, "start_operator", started)
    before = pids(home)
    kill(home, "operator")
    running = local.up(local.Options(home), say=lambda _: None)
    after = pids(home)
    assert asked == [(20003, 20004)]
    assert running.gateway == "http://127.0.0.1:20001"
    assert [*after] == ["devplane", "traefik", "operator"]
    assert {name for name in before if before[name] != after[name]} == {"operator"}
    assert local.read(home) == running


def test_control_plane_that_was_killed_starts_again_with_the_options_that_it_had(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = ({"image": "mine:*", "entrypoint": ["mine"]},)
    local._save_options(local.Options(home, gpus=4, nodes=2, environment={"A": "B"}, images=images))
    asked: list[tuple[local.Options, int]] = []

    def started(options: local.Options, port: int = 0) -> None:
        asked.append((options, port))
        programs.start("devplane", SLEEPER, home)

    monkeypatch.setattr(local, "_devplane", started)
    monkeypatch.setattr(local, "_api_port", lambda _: 20005)
    kill(home, "devplane")
    said: list[str] = []
    local.up(local.Options(home, gpus=4, nodes=3), say=said.append)
    assert asked == [(local.Options(home, gpus=4, nodes=2, environment={"A": "B"}, images=images), 20005)]
    changes = "--nodes stays as it was: `tunebird dev down`, then `tunebird dev up` with what you want, changes it"
    assert changes in said
    said.clear()
    local.up(local.Options(home, environment={"A": "C"}, images=images), say=said.append)
    assert said == [f"already up in {home}", changes.replace("--nodes", "--env")]


def test_the_gateway_keeps_its_port_and_says_where_it_had_to_move(tmp_path: Path) -> None:
    said: list[str] = []
    first = local._gateway_port(tmp_path, said.append)
    assert local._gateway_port(tmp_path, said.append) == first
    assert said == []
    with socket.socket() as other:
        other.bind(("127.0.0.1", first))
        other.listen()
        moved = local._gateway_port(tmp_path, said.append)
    assert moved != first
    assert said == [f"the gateway is at port {moved} now: {first}, where it was, is taken"]
    assert local._gateway_port(tmp_path, said.append) == moved


def test_up_starts_all_anew_where_nothing_runs(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = local.Local(home, home / "kubeconfig", "http://127.0.0.1:1", "http://127.0.0.1:2")
    monkeypatch.setattr(local, "_start", lambda *_: fresh)
    for name in pids(home):
        kill(home, name)
    assert local.up(local.Options(home), say=lambda _: None) is fresh


def test_a_program_that_fails_to_start_again_stays_known_as_ended(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> programs.Program:
        raise local.click.ClickException("it was not ready")

    monkeypatch.setattr(local, "start_operator", failing)
    kill(home, "operator")
    with pytest.raises(local.click.ClickException, match=r"not ready\n`tunebird dev down`"):
        local.up(local.Options(home), say=lambda _: None)
    assert local.ended(home) == ("operator",)


def test_images_of_the_user_come_before_our_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "images.yaml"
    table.write_text("images: [{image: 'mine:*', entrypoint: [mine]}]")
    asked: list[local.Options] = []

    def started(options: local.Options, _say: object) -> local.Local:
        asked.append(options)
        return local.Local(tmp_path, tmp_path / "kubeconfig", "http://127.0.0.1:1", "http://127.0.0.1:2")

    monkeypatch.setattr(local, "_start", started)
    argv = ["dev", "up", "--home", str(tmp_path / "home"), "--images", str(table)]
    assert CliRunner().invoke(main, argv).exit_code == 0
    assert asked[0].images == ({"image": "mine:*", "entrypoint": ["mine"]},)
    table.write_text("image: mine")
    assert "holds no list `images`" in CliRunner().invoke(main, argv).output
    table.write_bytes(b"images:\n\t- image: mine\n")
    assert "it is not YAML: while scanning" in CliRunner().invoke(main, argv).output
    table.unlink()
    assert "No such file or directory; give the path of a YAML file" in " ".join(
        CliRunner().invoke(main, argv).output.split()
    )


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["dev", "up", "--gpus", "-1"], "'--gpus': -1 is not in the range 0<=x<=1024"),
        (["dev", "up", "--nodes", "0"], "'--nodes': 0 is not in the range 1<=x<=100"),
        (["dev", "logs", "--lines", "0"], "'--lines': 0 is not in the range x>=1"),
        (["dev", "load", "--host", "h", "--model", "m", "--rate", "0"], "'--rate': 0.0 is not in the range"),
        (["dev", "load", "--host", "h", "--model", "m", "--seconds", "-1"], "'--seconds': -1.0 is not in the range"),
        (["demo", "--rate", "-1"], "'--rate': -1.0 is not in the range 0.01<=x<=1000"),
        (["wait", "one", "--timeout", "-1"], "'--timeout': -1.0 is not in the range x>=0"),
    ],
)
def test_number_that_can_not_be_meant_is_refused_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, argv: list[str], said: str
) -> None:
    monkeypatch.setenv("TUNEBIRD_HOME", str(tmp_path / "home"))
    done = CliRunner().invoke(main, argv)
    assert (done.exit_code, said in " ".join(done.output.split())) == (2, True), done.output
    assert not (tmp_path / "home").exists()


def test_load_says_why_nothing_answered() -> None:
    lost = [Sample(0, 0.1, 404, error="404 page not found\n"), Sample(1, 0.1, 404, error="404 page not found\n")]
    assert dev._answers(lost) == "no version 2 (2 failed: 404 page not found; no route for this host (yet))"
    cut = [Sample(0, 0.1, 200, "a"), Sample(1, 0.1, 200, "a", cut=True)]
    assert dev._answers(cut) == "a 2 (1 failed: 200 the stream was cut)"
    assert dev._answers([Sample(0, 0.1, 200, "a")]) == "a 1"
