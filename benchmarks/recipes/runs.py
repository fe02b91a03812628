"""Runs of the recipes, each in processes of its own, and the arithmetic of pairs."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
PYTHON = ROOT / ".venv-trainer" / "bin" / "python"
DATA = ROOT / "examples" / "data" / "support.jsonl"
STEPS = 30
# Two-sided 95 % quantiles of Student's t by degrees of freedom, for the interval of a mean of ratios.
T95 = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262, 10: 2.228, 11: 2.201}

Clocks = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Interval:
    """The mean of paired ratios with its 95 % interval."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, ratios: list[float]) -> Interval:
        mean = statistics.fmean(ratios)
        half = T95[len(ratios) - 1] * statistics.stdev(ratios) / len(ratios) ** 0.5
        return cls(mean, mean - half, mean + half)

    def __str__(self) -> str:
        return f"{self.mean:.3f} (95 % interval {self.low:.3f} to {self.high:.3f})"


class Bench:
    """A folder with the tiny model, and an endpoint that takes the reports."""

    def __init__(self, home: Path, reports: str) -> None:
        self.home, self.reports, self.count = home, reports, 0
        self._python("-m", "tunebird_trainer.models", "tiny", "--out", home / "tiny")
        origin = Path(self._python("-c", "import tunebird_trainer as t; print(t.__file__)").strip())
        if ROOT not in origin.parents:
            raise SystemExit(f"{origin} would be measured, which is not in {ROOT}")

    def ran(self, recipe: str, *, steps: int | None = STEPS, **training: Any) -> Clocks:
        """One run; nothing that an earlier one prepared is there."""
        self.count += 1
        folder = self.home / f"{recipe}-{self.count}"
        folder.mkdir()
        config, clocks = folder / "config.json", folder / "clocks.json"
        config.write_text(json.dumps(self._config(folder, {"maxSteps": steps, **training})))
        output = self._python(ROOT / "benchmarks" / "recipes" / f"{recipe}.py", config, TUNEBIRD_CLOCKS=str(clocks))
        if not clocks.exists():
            raise SystemExit(f"{recipe} has not trained:\n{output[-3000:]}")
        found: Clocks = json.loads(clocks.read_text())
        return found

    def lengths(self) -> list[int]:
        """Of the rows, in tokens, sorted."""
        script = (
            "import json, sys; from transformers import AutoTokenizer as T; t = T.from_pretrained(sys.argv[1]);"
            "rows = [json.loads(row)['messages'] for row in open(sys.argv[2])];"
            "print(sorted(len(t.apply_chat_template(row, return_dict=False)) for row in rows))"
        )
        found: list[int] = json.loads(self._python("-c", script, self.home / "tiny", DATA).splitlines()[-1])
        return found

    def _config(self, folder: Path, training: dict[str, Any]) -> dict[str, Any]:
        config: dict[str, Any] = json.loads((ROOT / "trainer_image" / "example.json").read_text())
        config["model"]["uri"] = f"file://{self.home}/tiny"
        config["datasets"][0]["uri"] = f"file://{DATA}"
        config["checkpoint"] |= {"uri": f"file://{folder}/checkpoints", "everySteps": STEPS // 3}
        config["output"]["uri"] = f"file://{folder}/out"
        config["validation"]["percent"] = 0
        sizes = {"microBatchSize": 4, "gradientAccumulationSteps": 1, "globalBatchSize": 4}
        config["training"] |= {**sizes, **training}
        return config

    def _python(self, *command: Any, **variables: str) -> str:
        """One thread, this checkout's trainer, and no settings of whoever runs the benchmark."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("TUNEBIRD_", "HF_"))}
        ours = {"PYTHONPATH": str(ROOT / "trainer_image"), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1",
                "TUNEBIRD_REPORT_URL": self.reports, **variables}  # fmt: skip
        done = subprocess.run(
            [PYTHON, *command], env={**kept, **ours}, check=False, capture_output=True, text=True, cwd=self.home
        )
        return done.stdout if done.returncode == 0 else done.stdout + done.stderr


@contextmanager
def endpoint() -> Iterator[tuple[str, list[int]]]:
    """A server that takes reports, and the number of bytes of each."""
    taken: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            taken.append(len(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/", taken
        server.shutdown()


def tokens_per_second(clocks: Clocks) -> float:
    """Of training alone, without padding, per CPU second."""
    return float(clocks["tokens"] / (clocks["trained"] - clocks["first_step"]))
