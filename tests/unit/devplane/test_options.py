"""`devplane serve` refuses numbers that can't be meant, before it makes or touches anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from devplane.__main__ import main


@pytest.mark.parametrize(
    ("option", "value", "remedy"),
    [
        ("--gpus", "-1", "give each node 0 to 1024"),
        ("--gpus", "1025", "give each node 0 to 1024"),
        ("--nodes", "0", "give 1 to 100"),
        ("--nodes", "101", "give 1 to 100"),
        ("--port", "-1", "give 1 to 65535, or 0 for a free one"),
        ("--port", "65536", "give 1 to 65535, or 0 for a free one"),
        ("--shutdown-seconds", "-1", "give 0 to 86400"),
        ("--shutdown-seconds", "inf", "give 0 to 86400"),
        ("--shutdown-seconds", "nan", "give 0 to 86400"),
    ],
)
def test_number_that_can_not_be_meant_is_refused_by_its_option_with_what_can(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, value: str, remedy: str
) -> None:
    assert main(["serve", "--data-dir", str(tmp_path / "data"), option, value]) == 2
    assert capsys.readouterr().err == f"devplane: {option} {value}: {remedy}\n"
    assert not (tmp_path / "data").exists()
