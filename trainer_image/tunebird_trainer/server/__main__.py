"""`python -m tunebird_trainer.server`: arguments in, exit code and termination message out."""

import asyncio
import logging
import os
import sys
from pathlib import Path

from tunebird_trainer import quiet
from tunebird_trainer.outcome import Failure, Reason, termination_message, write_termination_message
from tunebird_trainer.server import settings, source

log = logging.getLogger("tunebird_trainer.server")


def main() -> int:
    """0 after a drain, 2 for bad arguments, 4 for a model that isn't there or isn't the promised one, 203 for a bug."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    quiet.libraries()
    try:
        given = settings.read(sys.argv[1:])
        return _serve(given)
    except settings.InvalidArguments as error:
        return _last_word(Failure(Reason.INVALID_CONFIG, str(error)))
    except Failure as failure:
        return _last_word(failure)
    except Exception as error:
        log.exception("The server failed")
        return _last_word(Failure(Reason.INTERNAL, f"{type(error).__name__}: {error}; the log has the traceback"))


def _serve(given: settings.Settings) -> int:
    source.check(given.model_uri)
    log.info("Loading libraries threads=%d", given.threads)
    os.environ["OMP_NUM_THREADS"] = str(given.threads)  # read when torch is imported, so before the next lines
    import torch

    from tunebird_trainer.server.serve import Server

    torch.set_num_threads(given.threads)
    asyncio.run(Server(given).run())
    return 0


def _last_word(failure: Failure) -> int:
    """Says why the process ends where people and the operator look: the log and the termination message."""
    sys.stderr.write(f"{failure.reason}: {failure.message}\n")
    path = settings.termination_log(os.environ)
    if path is not None:
        facts = {"phase": "serve", "reason": failure.reason, "exitCode": failure.exit_code, "message": failure.message}
        write_termination_message(Path(path), termination_message(facts))
    return int(failure.exit_code)


if __name__ == "__main__":
    sys.exit(main())
