"""The command in the documentation gives the digest that the trainer, the operator and the server mean."""

import re
import subprocess
from pathlib import Path

from tunebird_trainer.stores.storage import directory_digest

PAGE = Path(__file__).parents[3] / "docs/trainer/artifacts.md"


def test_the_documented_command_prints_the_digest_of_a_directory(tmp_path: Path) -> None:
    files = ("b.safetensors", "B.json", "a b.txt", "é.txt", "sub/z", "sub/.hidden", ".git/x", "tunebird.json")
    for number, name in enumerate(files):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(str(number * 7919))
    command = re.search(r"^find \. .*sha256sum$", PAGE.read_text(), re.MULTILINE)
    assert command is not None
    printed = subprocess.run(["bash", "-c", command[0]], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert f"sha256:{printed.stdout.split()[0]}" == directory_digest(tmp_path, ["tunebird.json"])
