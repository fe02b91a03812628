"""The image really built, by buildah from a Debian of its own, and a run in it. Minutes and gigabytes: asked for by
TUNEBIRD_IMAGE_TEST=1."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trainer.factories import config, sums, write_rows

ROOT = Path(__file__).resolve().parents[3]
ENTER = """
for place in dev proc data; do mkdir -p "$ROOT/$place"; done
mount --rbind /dev "$ROOT/dev" && mount -t proc proc "$ROOT/proc" && mount --bind "$DATA" "$ROOT/data" &&
exec chroot --userspec=65532:65532 "$ROOT" /usr/bin/env -i "$@" tunebird-trainer
"""
PACKAGES = "python3,python3-venv,ca-certificates"
TAG = "localhost/tunebird/trainer"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(os.environ.get("TUNEBIRD_IMAGE_TEST") != "1", reason="set TUNEBIRD_IMAGE_TEST=1 to build it"),
    pytest.mark.skipif(os.geteuid() != 0, reason="buildah without user namespaces needs root"),
]


def ran(*argv, seconds):
    done = subprocess.run([*map(str, argv)], capture_output=True, text=True, check=False, timeout=seconds)
    assert done.returncode == 0, f"{' '.join(map(str, argv))}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout.strip()


def pip_volumes(home):
    """This machine's pip settings for the build alone: as one file, with every local path that they name."""
    listed = ran(sys.executable, "-m", "pip", "config", "list", seconds=60).splitlines()
    settings = {}
    for line in listed:  # later ones, of the environment, count before those of files
        name, _, value = line.partition("=")
        settings.setdefault(name.rpartition(".")[2], value.strip("'").replace("\\n", "\n"))
    file = home / "pip.conf"
    file.write_text(
        "[global]\n" + "".join(f"{name} = {value.replace(chr(10), ' ')}\n" for name, value in settings.items())
    )
    words = " ".join(settings.values()).split()
    named = [Path(word.removeprefix("file://")) for word in words if word.startswith(("/", "file://"))]
    # An index's pages, in a folder `simple`, lead to files beside it.
    paths = {path.parent if path.name == "simple" else path for path in named if path.exists()}
    return [f"{file}:/etc/pip.conf:ro", *(f"{path}:{path}:ro" for path in sorted(paths))]


@pytest.fixture(scope="module")
def buildah(tmp_path_factory):
    """buildah with storage of its own, two Debian bases (with and without a compiler) and the image."""
    for program, package in (("buildah", "buildah"), ("mmdebstrap", "mmdebstrap")):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed (apt-get install {package})")
    home = tmp_path_factory.mktemp("image")
    command = ["buildah", "--storage-driver", "vfs", "--root", home / "storage", "--runroot", home / "run"]
    for name, packages in (("base", PACKAGES), ("build", f"{PACKAGES},python3-dev,g++")):
        archive = home / f"{name}.tar"
        ran("mmdebstrap", "--variant=minbase", f"--include={packages}", "bookworm", archive, seconds=600)
        container = ran(*command, "from", "scratch", seconds=60)
        ran(*command, "add", "-q", container, archive, "/", seconds=300)
        ran(*command, "commit", "-q", container, f"localhost/{name}", seconds=300)
        ran(*command, "rm", container, seconds=60)
        archive.unlink()
    volumes = [argument for volume in pip_volumes(home) for argument in ("-v", volume)]
    bases = ["--build-arg", "BASE=localhost/base", "--build-arg", "BUILD_BASE=localhost/build"]
    ran(
        *command, "build", "--isolation", "chroot", "--layers=false", *volumes, *bases, "-t", TAG,
        ROOT / "trainer_image", seconds=2400,
    )  # fmt: skip
    yield command, home
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="module")
def inside(buildah):
    """Run a command in a container of the image; /data is a folder of this machine."""
    command, home = buildah
    container = ran(*command, "from", TAG, seconds=900)  # vfs copies every layer
    shared = home / "data"
    shared.mkdir()
    shared.chmod(0o777)

    def run(*argv):
        volume = f"{shared}:/data"
        return subprocess.run(
            [*map(str, command), "run", "--isolation", "chroot", "-v", volume, container, "--", *argv],
            capture_output=True, text=True, check=False, timeout=600,
        )  # fmt: skip

    return run, shared


def test_it_runs_as_an_ordinary_user_and_without_pip_or_compiler(buildah, inside):
    command, _ = buildah
    run, _ = inside
    told = json.loads(ran(*command, "inspect", "--type", "image", TAG, seconds=60))["OCIv1"]["config"]
    assert (told["User"], told["Entrypoint"]) == ("65532:65532", ["tunebird-trainer"])
    assert run("id", "-u").stdout.strip() == "65532"
    assert run("sh", "-c", "command -v g++ pip").returncode != 0


def test_deepspeeds_operators_load_without_a_compiler(inside):
    run, _ = inside
    code = (
        "from deepspeed.ops.op_builder.cpu import CPUAdamBuilder, ShareMemCommBuilder\n"
        "print(CPUAdamBuilder().load(), ShareMemCommBuilder().load())"
    )
    done = run("python", "-c", code)
    assert done.stdout.count(".so") == 2, done.stdout + done.stderr


def test_a_run_in_it_publishes_an_artifact(inside, tiny_model):
    run, shared = inside
    shutil.copytree(tiny_model, shared / "model")
    write_rows(shared / "data.jsonl", sums(24))
    made = config(
        model__uri="file:///data/model", datasets__0__uri="file:///data/data.jsonl",
        checkpoint__uri="file:///data/checkpoints", output__uri="file:///data/out",
    )  # fmt: skip
    (shared / "config.json").write_text(json.dumps(made))
    done = run("env", "OMP_NUM_THREADS=1", "TUNEBIRD_CONFIG=/data/config.json", "tunebird-trainer")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert json.loads((shared / "out" / "tunebird.json").read_text())["steps"] == 4
    assert run("tunebird-checks", "--help").returncode == 0


class FirstProcess:
    """The entrypoint as process 1 of a namespace, as a container has it."""

    def __init__(self, buildah, attempt):
        command, home = buildah
        self.command, self.container = command, ran(*command, "from", TAG, seconds=900)
        root, self.log = ran(*command, "mount", self.container, seconds=60), home / f"attempt-{attempt}.log"
        told = json.loads(ran(*command, "inspect", "--type", "image", TAG, seconds=60))["OCIv1"]["config"]
        own = ["HOME=/home/tunebird", "OMP_NUM_THREADS=1", "TUNEBIRD_CONFIG=/data/first/config.json",
               f"TUNEBIRD_ATTEMPT={attempt}", f"TUNEBIRD_TERMINATION_LOG=/data/first/end-{attempt}.json"]  # fmt: skip
        apart = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [*apart, "sh", "-c", ENTER, "enter", *told["Env"], *own],
                env={**os.environ, "ROOT": root, "DATA": str(home / "data")}, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def until(self, holds):
        while not holds():
            assert self.process.poll() is None, self.log.read_text()[-3000:]
            time.sleep(0.05)

    def number(self):
        """Its process number on this machine, and the one that it has for itself."""
        at = self.process.pid
        child = int(Path(f"/proc/{at}/task/{at}/children").read_text().split()[0])
        lines = Path(f"/proc/{child}/status").read_text().splitlines()
        own = next(line.split()[-1] for line in lines if line.startswith("NSpid:"))
        return child, int(own)

    def end(self, said):
        code = self.process.wait(600)
        ran(*self.command, "umount", self.container, seconds=60)
        ran(*self.command, "rm", self.container, seconds=60)
        return code, json.loads(said.read_text())


def test_process_1_passes_sigterm_on_and_the_next_attempt_goes_on(buildah, inside, tiny_model):
    _, shared = inside
    home = shared / "first"
    shutil.copytree(tiny_model, home / "model")
    ran("chmod", "-R", "a+rwX", home, seconds=60)
    write_rows(home / "data.jsonl", sums(24))
    made = config(
        model__uri="file:///data/first/model", datasets__0__uri="file:///data/first/data.jsonl",
        checkpoint__uri="file:///data/first/checkpoints", output__uri="file:///data/first/out",
        checkpoint__everySteps=5, training__maxSteps=100,
    )  # fmt: skip
    (home / "config.json").write_text(json.dumps(made))
    first = FirstProcess(buildah, 1)
    first.until((home / "checkpoints" / "checkpoint-5").exists)
    outside, own = first.number()
    assert own == 1
    os.kill(outside, signal.SIGTERM)
    code, said = first.end(home / "end-1.json")
    assert (code, said["reason"]) == (85, "Preempted"), first.log.read_text()[-3000:]

    made["job"]["attempt"] = 2
    (home / "config.json").write_text(json.dumps(made))
    second = FirstProcess(buildah, 2)
    code, said = second.end(home / "end-2.json")
    assert (code, said["attempt"]) == (0, 2), second.log.read_text()[-3000:]
    assert json.loads((home / "out" / "tunebird.json").read_text())["steps"] == 100
    assert "checkpoints: resuming after checkpoint-" in second.log.read_text()
