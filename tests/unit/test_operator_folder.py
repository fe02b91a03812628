"""The folder `operator/` at the repository's root must never stand in for the standard library's module."""

import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_import_operator_gives_the_standard_library_even_with_the_root_first_on_the_path() -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); sys.modules.pop('operator', None); "
        "import operator; print(operator.__file__)"
    )
    found = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert Path(found).parent == Path(sysconfig.get_path("stdlib"))


def test_nothing_in_the_repository_could_shadow_it() -> None:
    assert not (ROOT / "operator" / "__init__.py").exists()
    tracked = subprocess.run(["git", "ls-files", "*operator.py"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert [name for name in tracked.stdout.split() if Path(name).name == "operator.py"] == []
