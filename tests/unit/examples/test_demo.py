"""The manifests of the demo, applied in the order of the README, do not run before what they read is there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[3]
DEMO = ROOT / "examples" / "demo"


def command_of(file: str, job: str) -> str:
    """The line of shell that a Job runs."""
    documents: list[dict[str, Any]] = list(yaml.safe_load_all((DEMO / file).read_text()))
    found = next(one for one in documents if one["kind"] == "Job" and one["metadata"]["name"] == job)
    shell, flag, line = found["spec"]["template"]["spec"]["containers"][0]["command"]
    assert (shell, flag) == ("sh", "-c")
    return str(line)


def test_the_base_model_waits_for_the_data_that_the_other_job_brings(tmp_path: Path) -> None:
    folders = {"/from/": tmp_path / "from", "/data/": tmp_path / "data", "/models/": tmp_path / "models"}
    for folder in folders.values():
        folder.mkdir()
    copy, make = command_of("00-storage.yaml", "copy-data"), command_of("10-tiny-base.yaml", "tiny-base")
    for inside, folder in folders.items():
        copy, make = copy.replace(inside, f"{folder}/"), make.replace(inside, f"{folder}/")
    make = make.replace("exec python", "echo made #")
    (tmp_path / "from" / "support.jsonl").write_text("{}\n")
    with subprocess.Popen(["/bin/sh", "-c", make], stdout=subprocess.PIPE, text=True) as waiting:
        assert waiting.stdout is not None
        assert waiting.poll() is None
        subprocess.run(["/bin/sh", "-c", copy], check=True)
        assert waiting.stdout.read() == "made\n"
    assert waiting.returncode == 0
    assert (tmp_path / "data" / "support.jsonl").read_text() == "{}\n"


def test_the_readme_waits_for_the_base_model_before_it_trains_on_it() -> None:
    lines = (ROOT / "README.md").read_text().splitlines()
    waits = next(number for number, line in enumerate(lines) if re.match(r"kubectl wait .*job/tiny-base", line))
    trains = next(number for number, line in enumerate(lines) if re.match(r"kubectl apply .*21-tiny-v1", line))
    assert waits < trains
