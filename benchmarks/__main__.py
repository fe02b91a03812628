"""Run every benchmark in a process of its own: `python -m benchmarks`."""

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main() -> int:
    """The number of benchmarks that failed."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(str(HERE.parent / part) for part in ("operator", "tests")),
    }
    failed = 0
    for script in sorted(HERE.glob("[a-z]*.py")):
        print(f"== {script.stem}", flush=True)
        failed += bool(subprocess.run([sys.executable, str(script)], env=environment, check=False).returncode)
    return failed


if __name__ == "__main__":
    sys.exit(main())
