"""`tunebird-trainer CONFIG`, whole: the wrapper starts this file again as the process that trains, under the clocks."""

import os
import sys
from pathlib import Path

if "TUNEBIRD_WRAPPER_PID" in os.environ:
    from clocks import clocked

    with clocked():
        from tunebird_trainer import run

        run.main(sys.argv[1])
else:
    from tunebird_trainer.__main__ import main
    from tunebird_trainer.survival import launch

    launch._COMMAND = (sys.executable, str(Path(__file__)))  # noqa: SLF001  the one place where it is not itself
    main()
