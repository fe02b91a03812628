"""An S3 store and a registry on this host, for as long as the tests run; what is absent skips with its reason."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from fakes.ports import free_port

ROOT = Path(__file__).resolve().parents[2]


def answering(url, process, deadline=60.0):
    import requests

    until = time.monotonic() + deadline
    while time.monotonic() < until:
        try:
            return requests.get(url, timeout=5)
        except (requests.ConnectionError, requests.Timeout):
            assert process.poll() is None, f"{process.args[0]} ended with {process.returncode}"
            time.sleep(0.05)
    raise AssertionError(f"{url} did not answer within {deadline:g} s")


@pytest.fixture(scope="session")
def s3_server():
    """moto's S3 as a process of its own, in an environment of its own: its libraries and the trainer's disagree."""
    program = shutil.which("moto_server", path=f"{ROOT}/.tools/tests/bin{os.pathsep}{os.environ['PATH']}")
    if program is None:
        pytest.skip("moto_server is not installed (requirements/test-tools.txt)")
    port = free_port()
    process = subprocess.Popen(
        [program, "-H", "127.0.0.1", "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        answering(f"http://127.0.0.1:{port}/", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def cached(tmp_path, monkeypatch):
    monkeypatch.setenv("TUNEBIRD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def bucket(s3_server, cached, monkeypatch, request):
    """A fresh bucket and the environment that reaches it."""
    import requests

    for name, value in {
        "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": s3_server,
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    name = f"b{abs(hash(request.node.nodeid))}"
    requests.put(f"{s3_server}/{name}", timeout=60).raise_for_status()
    return f"s3://{name}"


@pytest.fixture(scope="session")
def registry_server(tmp_path_factory):
    """Debian's docker-registry on a loopback port."""
    program = shutil.which("docker-registry")
    if program is None:
        pytest.skip("docker-registry is not installed (apt-get install docker-registry)")
    home, port = tmp_path_factory.mktemp("registry"), free_port()
    settings = home / "config.yml"
    settings.write_text(
        f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {home}/data}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}'}}\n"
    )
    process = subprocess.Popen([program, "serve", str(settings)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        answering(f"http://127.0.0.1:{port}/v2/", process)
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()
