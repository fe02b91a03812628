"""The package is for pods without a GPU stack: importing it must not pull one in."""

import os
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).parents[3] / "trainer_image"


def test_importing_every_module_pulls_in_no_torch():
    modules = [f"tunebird_checks.{path.stem}" for path in (SOURCE / "tunebird_checks").glob("*.py")]
    assert len(modules) > 10
    code = f"""
import importlib, sys
for name in {modules!r}:
    importlib.import_module(name.removesuffix(".__init__"))
heavy = {{"torch", "transformers", "tunebird_trainer", "datasets", "peft", "trl"}} & set(sys.modules)
sys.exit(f"pulled in {{heavy}}" if heavy else 0)
"""
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    told = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
