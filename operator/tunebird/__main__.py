"""`python -m tunebird` runs the operator."""

from __future__ import annotations

import asyncio
import os
import sys

from tunebird.config import Config, ConfigError


def main() -> int:
    """Exit code 2: the environment is wrong or a port is taken; 1: stopped acting; 0: asked to end."""
    try:
        config = Config.from_env(os.environ)
    except ConfigError as error:
        print(f"The operator's environment is wrong:\n{error}", file=sys.stderr)
        return 2
    from tunebird import handlers, wiring
    from tunebird.runtime import logs
    from tunebird.runtime.http import ListenError
    from tunebird.runtime.run import run

    logs.configure(config.log_format)
    try:
        return asyncio.run(run(config, wiring.reconcilers, handlers.registry()))
    except ListenError as error:
        print(f"The operator {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
