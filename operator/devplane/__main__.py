"""`python -m devplane serve`: runs the control plane until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import errno
import gc
import json
import logging
import signal
import sys
from pathlib import Path

from devplane.context import ImageTable, ImageTableError


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="devplane", description="An embedded Kubernetes control plane.")
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="run until SIGTERM; prints one JSON line when ready")
    serve.add_argument("--data-dir", type=Path, required=True, help="where state, keys, volumes and logs are kept")
    serve.add_argument("--host", default="127.0.0.1", help="a loopback address (default: 127.0.0.1)")
    serve.add_argument("--port", type=int, default=0, help="0 picks a free one (default: 0)")
    serve.add_argument("--images", type=Path, help="YAML table of the local programs that stand for images")
    serve.add_argument("--kubeconfig", type=Path, help="where to write it (default: DATA_DIR/kubeconfig)")
    serve.add_argument("--nodes", type=int, default=1, help="how many nodes there are (default: 1)")
    serve.add_argument("--gpus", type=int, default=0, help="nvidia.com/gpu that each node declares (default: 0)")
    serve.add_argument(
        "--shutdown-seconds", type=float, default=25, help="how long pods have to end on SIGTERM (default: 25)"
    )
    serve.add_argument("--cgroup", type=Path, help="the control group below which those with a memory limit are made")
    serve.add_argument("--api-only", action="store_true", help="no controllers and no kubelet")
    serve.add_argument("--log-level", default="warning", choices=("debug", "info", "warning", "error"))
    node = commands.add_parser("node", help="let a node of a running control plane fail, or return")
    node.add_argument("change", choices=("fail", "return"))
    node.add_argument("name", help="as `kubectl get nodes` shows it")
    where = node.add_mutually_exclusive_group(required=True)
    where.add_argument("--data-dir", type=Path, help="of the control plane")
    where.add_argument("--kubeconfig", type=Path, help="if it was not written to the data directory")
    return parser.parse_args(argv)


async def _serve(arguments: argparse.Namespace) -> None:
    gc.disable()  # until all is imported and loaded, of which nothing is garbage
    from devplane.app import Devplane, Options

    images = ImageTable.load(arguments.images) if arguments.images else ImageTable()
    options = Options(
        data_dir=arguments.data_dir.resolve(),
        host=arguments.host,
        port=arguments.port,
        images=images,
        kubeconfig=arguments.kubeconfig,
        has_nodes=not arguments.api_only,
        nodes=arguments.nodes,
        gpus=arguments.gpus,
        shutdown_seconds=arguments.shutdown_seconds,
        cgroup=arguments.cgroup,
    )
    plane = Devplane(options)
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    try:
        await plane.start()
        ready = {"ready": True, "server": plane.server_url, "kubeconfig": str(plane.kubeconfig)}
        sys.stdout.write(f"{json.dumps(ready)}\n")
        sys.stdout.flush()
        gc.freeze()  # code, schemas and what was stored before: the collector need not look at it again and again
        gc.enable()
        await stopping.wait()
    finally:
        await plane.stop()


def _remedy(error: Exception, arguments: argparse.Namespace) -> str:
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return f"port {arguments.port} of {arguments.host} is taken: end what uses it, or let --port 0 find a free one"
    return str(error)


def _node(arguments: argparse.Namespace) -> int:
    from devplane.outside.remote import RemoteError, mark_node

    kubeconfig = arguments.kubeconfig or arguments.data_dir / "kubeconfig"
    try:
        mark_node(kubeconfig, arguments.name, failed=arguments.change == "fail")
    except RemoteError as error:
        sys.stderr.write(f"devplane: {error}\n")
        return 1
    sys.stdout.write(f"node/{arguments.name} {'failed' if arguments.change == 'fail' else 'returned'}\n")
    return 0


def main(argv: list[str] | None = None) -> int:
    arguments = _arguments(sys.argv[1:] if argv is None else argv)
    if arguments.command == "node":
        return _node(arguments)
    logging.basicConfig(level=arguments.log_level.upper(), format="%(levelname)s %(name)s %(message)s")
    try:
        asyncio.run(_serve(arguments))
    except (ImageTableError, ValueError, OSError) as error:
        sys.stderr.write(f"devplane: {_remedy(error, arguments)}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
