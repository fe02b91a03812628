"""The real wrapper process, started as a pod would start it."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from tunebird_trainer.outcome import MESSAGE_LIMIT_BYTES

SOURCE = Path(__file__).parents[2] / "trainer_image"


class Wrapper:
    """One start of `python -m tunebird_trainer` as a pod would make it."""

    def __init__(self, home, config, *arguments, **environment):
        (home / "config.json").write_text(json.dumps(config))
        self.log_file, self.termination_log = home / "log.txt", home / "termination-log"
        self.termination_log.touch()
        environment = {
            "TUNEBIRD_CONFIG": home / "config.json",
            "TUNEBIRD_SCRATCH": home / "scratch",
            "TUNEBIRD_TERMINATION_LOG": self.termination_log,
            "PYTHONPATH": SOURCE,
            **environment,
        }
        with self.log_file.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tunebird_trainer", *arguments],
                env={**os.environ, **{name: str(value) for name, value in environment.items()}},
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=home,
            )

    @property
    def log(self):
        return self.log_file.read_text()

    def ended(self):
        """Exit code and termination message."""
        code = self.process.wait(timeout=500)
        raw = self.termination_log.read_bytes()
        assert len(raw) <= MESSAGE_LIMIT_BYTES
        message = json.loads(raw)
        assert (message["v"], message["exitCode"]) == (1, code), self.log
        return code, message

    def child(self):
        """The pid of the training process once it trains."""
        while "train: step" not in self.log:
            assert self.process.poll() is None, self.log
            time.sleep(0.02)
        return int(Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()[0])
