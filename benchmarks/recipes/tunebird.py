"""The same run by Tunebird's recipe in this process, with its checks, reports and checkpoints. Prints its clocks."""

import json
import sys
from pathlib import Path

from clocks import clocked

with clocked() as clocks:
    from tunebird_trainer import config_file, run
    from tunebird_trainer.outcome import Journal
    from tunebird_trainer.training import environment

    config = config_file.load(Path(sys.argv[1]))
    environment.prepare(config)
    manifest = run.run(config, run.Session(config, Journal(None)))
    print(json.dumps(manifest.get("metrics", {})), file=sys.stderr)
    clocks.tokens = manifest["metrics"]["tokens"]
