"""What an exec, attach or port-forward asks for, and whether its pod can give it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from devplane.errors import ApiError
from devplane.wire.requests import is_true

if TYPE_CHECKING:
    from multidict import MultiMapping

Obj = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Command:
    """`argv` is empty for attach."""

    namespace: str
    pod: str
    container: str
    argv: tuple[str, ...]
    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool


def command(pod: Obj, query: MultiMapping[str], *, is_exec: bool) -> Command:
    """Raises what the API server and the kubelet say to a request that can't be meant."""
    container = container_of(pod, query.get("container", ""))
    _check_assigned(pod)
    argv = tuple(query.getall("command", ())) if is_exec else ()
    if is_exec and not argv:
        raise ApiError.bad_request("you must specify at least one command for the container")
    tty = is_true(query.get("tty"))
    wants = {name: is_true(query.get(name)) for name in ("stdin", "stdout", "stderr")}
    if not any(wants.values()):
        raise ApiError.bad_request("you must specify at least 1 of stdin, stdout, stderr")
    metadata = pod["metadata"]
    return Command(
        metadata["namespace"],
        metadata["name"],
        container,
        argv,
        stdin=wants["stdin"],
        stdout=wants["stdout"],
        stderr=wants["stderr"] and not tty,
        tty=tty,
    )


def container_of(pod: Obj, asked: str) -> str:
    """The container asked for, or the only one."""
    spec, name = pod["spec"], pod["metadata"]["name"]
    main = [one["name"] for one in spec["containers"]]
    initial = [one["name"] for one in spec.get("initContainers") or ()]
    if asked:
        if asked not in main + initial:
            raise ApiError.bad_request(f"container {asked} is not valid for pod {name}")
        return asked
    if len(main) == 1:
        return str(main[0])
    choices = f"choose one of: [{' '.join(main)}]"
    more = f" or one of the init containers: [{' '.join(initial)}]" if initial else ""
    raise ApiError.bad_request(f"a container name must be specified for pod {name}, {choices}{more}")


def address(pod: Obj) -> str:
    """Where a pod's ports are."""
    _check_assigned(pod)
    found = (pod.get("status") or {}).get("podIP")
    if not found:
        raise ApiError.bad_request(f"unable to forward port because pod {pod['metadata']['name']} has no address yet")
    return str(found)


def _check_assigned(pod: Mapping[str, Any]) -> None:
    if not pod["spec"].get("nodeName"):
        raise ApiError.bad_request(f"pod {pod['metadata']['name']} does not have a host assigned")
