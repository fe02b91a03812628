"""The command line of the server, read once into one frozen value. Nothing else reads arguments or the environment."""

import argparse
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from tunebird_trainer.server.faults import Faults

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0}
_PERCENT = re.compile(r"(\d+(?:\.\d+)?)%")


class InvalidArguments(ValueError):  # noqa: N818  a state of the command line, read as one
    """The command line does not parse; the message names the argument, its value and what would be accepted."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is done at once: sequences stepped together, requests waiting, tokens of context (None: the model's)."""

    running: int
    waiting: int
    context: int | None


@dataclass(frozen=True, slots=True)
class Settings:
    """Times are seconds."""

    host: str
    port: int
    model_uri: str
    model_digest: str
    model_name: str
    model_version: str
    limits: Limits
    faults: Faults
    threads: int
    drain_delay: float
    shutdown_timeout: float


def seconds(text: str) -> float:
    """`200ms`, `2s` or `1m` as seconds."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration; write it like 200ms, 2s or 1m")
    return float(match[1]) * _SECONDS[match[2]]


def fraction(text: str) -> float:
    """`30%` as 0.3."""
    match = _PERCENT.fullmatch(text)
    if match is None or float(match[1]) > 100:
        raise argparse.ArgumentTypeError(f"{text!r} is not a percentage; write it like 5%, between 0% and 100%")
    return float(match[1]) / 100


def positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port; write a number from 0 (any free port) to 65535")
    return int(text)


def read(argv: Sequence[str]) -> Settings:
    """Raises InvalidArguments; `--help` prints and exits as usual."""
    given = _parser().parse_args(argv)
    return Settings(
        host=given.host,
        port=given.port,
        model_uri=given.model_uri,
        model_digest=given.model_digest,
        model_name=given.served_model_name or given.model_uri,
        model_version=given.model_version,
        limits=Limits(given.max_num_seqs, given.max_num_queued_reqs, given.max_model_len),
        faults=Faults(given.inject_errors, given.inject_delay, given.inject_cut, given.inject_seed),
        threads=given.threads,
        drain_delay=given.drain_delay,
        shutdown_timeout=given.shutdown_timeout,
    )


def termination_log(environment: Mapping[str, str]) -> str | None:
    """Where the kubelet reads a last word. The default path is used only if a kubelet has put the file there."""
    default = "/dev/termination-log"
    return environment.get("TUNEBIRD_TERMINATION_LOG") or (default if os.path.isfile(default) else None)  # noqa: PTH113


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InvalidArguments(f"{message} (see --help)")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="tunebird-server", description="Serve one model over OpenAI's chat API, on the CPU.")
    _add_model_arguments(parser)
    _add_serving_arguments(parser)
    _add_fault_arguments(parser)
    return parser


def _add_model_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model-uri", required=True, help="pvc://claim/path, file:///path or hf://org/name")
    parser.add_argument("--model-digest", default="", help="sha256:… of the directory; refused if it differs")
    parser.add_argument("--served-model-name", default="", help="name in requests and metrics (default: the URI)")
    parser.add_argument(
        "--model-version", default="", help="label of every metric and, if given, header of every response"
    )
    parser.add_argument("--max-model-len", type=positive, default=None, help="context in tokens (default: the model's)")


def _add_serving_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=port, default=8000, help="0: any free port, printed in the log (default 8000)")
    parser.add_argument("--max-num-seqs", type=positive, default=4, help="requests generated at once (default 4)")
    parser.add_argument("--max-num-queued-reqs", type=positive, default=64, help="requests waiting; 503 beyond (64)")
    parser.add_argument("--threads", type=positive, default=1, help="CPU threads of one forward pass (default 1)")
    parser.add_argument("--drain-delay", type=seconds, default=2.0, help="served on after SIGTERM, not ready (2s)")
    text = "then for requests in flight; the kubelet's grace period may be shorter (default 15m)"
    parser.add_argument("--shutdown-timeout", type=seconds, default=900.0, help=text)


def _add_fault_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("faults", "for rehearsing a rollback; never on unless asked for")
    group.add_argument("--inject-errors", type=fraction, default=0.0, help="share of requests answered 500, like 30%%")
    group.add_argument("--inject-delay", type=seconds, default=0.0, help="added before the first token, like 200ms")
    group.add_argument("--inject-cut", type=fraction, default=0.0, help="share of streams cut half-way, like 5%%")
    group.add_argument("--inject-seed", type=int, default=0, help="which requests are hit (default 0)")
