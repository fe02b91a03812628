import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "trainer_image"


def test_the_dockerfile_is_clean_to_hadolint():
    program = shutil.which("hadolint", path=f"{ROOT}/.tools/tests/bin{os.pathsep}{os.environ['PATH']}")
    if program is None:
        pytest.skip("hadolint is not installed (requirements/test-tools.txt)")
    done = subprocess.run([program, FOLDER / "Dockerfile"], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout


def test_the_image_has_the_versions_that_were_tested():
    """What the Dockerfile installs before the package itself is what the package asks for."""
    text, project = (FOLDER / "Dockerfile").read_text(), (FOLDER / "pyproject.toml").read_text()
    for name in ("torch", "deepspeed"):
        pinned = next(line.strip(' ",') for line in project.splitlines() if line.strip().startswith(f'"{name}=='))
        assert pinned in text


@pytest.mark.parametrize(
    ("arch", "given", "passed"),
    [
        ("x86-64-v3", "-march=native -D__AVX512__ -O3", "-march=x86-64-v3 -D__AVX256__ -O3"),
        ("x86-64-v4", "-march=native -D__AVX512__ -O3", "-march=x86-64-v4 -D__AVX512__ -O3"),
        ("x86-64-v3", "-c a.cpp -o 'b c.o'", "-c a.cpp -o b c.o"),
    ],
)
def test_operators_are_compiled_for_the_instruction_set_that_was_asked_for(tmp_path, arch, given, passed):
    """The script is run with a pip that calls the compiler, and a compiler that tells its arguments."""
    pip = f'#!/bin/sh\ncase "$*" in *deepspeed*) $CXX {given} ;; esac\n'
    for name, text in {"pip": pip, "g++": '#!/bin/sh\necho "$@"\n'}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "CPU_ARCH": arch}
    done = subprocess.run(
        ["sh", FOLDER / "deepspeed-build.sh", "deepspeed==1"], capture_output=True, text=True, env=environment,
        check=False, timeout=60,
    )  # fmt: skip
    assert done.stdout.strip() == passed, done.stderr
