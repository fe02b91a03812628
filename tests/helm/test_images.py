import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCKERFILES = [ROOT / "operator" / "Dockerfile", ROOT / "trainer_image" / "Dockerfile"]
CONTEXTS = {"operator": ROOT, "trainer_image": ROOT / "trainer_image"}


@pytest.fixture(params=DOCKERFILES, ids=lambda path: path.parent.name)
def dockerfile(request: pytest.FixtureRequest) -> Path:
    return request.param


def test_hadolint_finds_nothing(dockerfile: Path):
    hadolint = Path(sys.executable).with_name("hadolint")
    program = str(hadolint) if hadolint.exists() else shutil.which("hadolint")
    if program is None:
        pytest.skip("no hadolint: it is among the project's dev packages")
    done = subprocess.run([program, dockerfile], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_base_is_an_argument_of_every_stage(dockerfile: Path):
    text = dockerfile.read_text(encoding="utf-8")
    assert re.match(r"(#.*\n)*ARG BASE=python:3\.11-slim\n", text)
    arguments = {f"${{{name}}}" for name in re.findall(r"^ARG (\w*BASE)=python:3\.11", text, re.MULTILINE)}
    stages = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    assert set(stages) == arguments
    assert stages[-1] == "${BASE}"


def test_the_process_is_not_root_and_has_a_passwd_entry(dockerfile: Path):
    final = dockerfile.read_text(encoding="utf-8").rpartition("\nFROM ")[2]
    assert "useradd --uid 65532" in final
    assert final.index("useradd") < final.index("USER 65532:65532") < final.index("ENTRYPOINT")


def test_everything_copied_is_in_the_build_context(dockerfile: Path):
    context = CONTEXTS[dockerfile.parent.name]
    lines = re.findall(r"^COPY (?!--from)(.+)$", dockerfile.read_text(encoding="utf-8"), re.MULTILINE)
    sources = [source for line in lines for source in line.split()[:-1]]
    assert sources
    assert [source for source in sources if not (context / source).exists()] == []


def test_torch_is_the_trainers_own_version():
    pinned = re.search(r'"(torch==[\d.]+)"', (ROOT / "trainer_image" / "pyproject.toml").read_text(encoding="utf-8"))
    assert pinned is not None
    assert pinned[1] in (ROOT / "trainer_image" / "Dockerfile").read_text(encoding="utf-8")


def test_the_entrypoints_are_commands_that_are_installed():
    project = (ROOT / "trainer_image" / "pyproject.toml").read_text(encoding="utf-8")
    assert 'tunebird-trainer = "tunebird_trainer.__main__:main"' in project
    assert 'tunebird-server = "tunebird_trainer.server.__main__:main"' in project
    assert 'ENTRYPOINT ["tunebird-trainer"]' in (ROOT / "trainer_image" / "Dockerfile").read_text(encoding="utf-8")
    assert 'ENTRYPOINT ["python", "-m", "tunebird"]' in (ROOT / "operator" / "Dockerfile").read_text(encoding="utf-8")
