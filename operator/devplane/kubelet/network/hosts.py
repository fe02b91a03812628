"""The hosts file of each pod: its own name, every Service and its named pods, then what the machine's own file says.

A file is a private /etc/hosts of the pod's processes (the shim mounts it), so that the resolver of every program
finds the names. It is written in place, because the mount is of the file and not of its name.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from devplane.kubelet.network import names
from devplane.objects import Obj, namespace_of

BLOCK = 4096
NOTE = "# The blank lines leave room: this file is changed in place."
_BLANK = " " * 254 + "\n"
LOCAL = ("127.0.0.1\tlocalhost", "::1\tlocalhost ip6-localhost ip6-loopback")


@dataclass(slots=True)
class _File:
    path: Path
    namespace: str
    head: tuple[str, ...]
    written: str = ""


class HostsFiles:
    """The files of all pods; `follow` brings them to what is known now."""

    def __init__(self, machine: Path = Path("/etc/hosts")) -> None:
        self._machine = machine
        self._files: dict[str, _File] = {}
        self._known: tuple[names.Service, ...] = ()
        self._outside: names.Outside = {}

    def add(self, pod: Obj, address: str, path: Path) -> Path:
        """The file of a pod, there when this returns."""
        head = (*LOCAL, names.own_line(pod, address), *names.alias_lines(pod))
        file = self._files[pod["metadata"]["uid"]] = _File(path, namespace_of(pod), head)
        path.unlink(missing_ok=True)
        self._write(file, self._services(file.namespace))
        return path

    def remove(self, uid: str) -> None:
        self._files.pop(uid, None)

    def follow(self, known: Iterable[names.Service], outside: names.Outside) -> None:
        self._known, self._outside = tuple(known), dict(outside)
        texts: dict[str, str] = {}
        for file in self._files.values():
            if file.namespace not in texts:
                texts[file.namespace] = self._services(file.namespace)
            self._write(file, texts[file.namespace])

    def _services(self, namespace: str) -> str:
        return "\n".join(names.lines(self._known, namespace, self._outside))

    def _write(self, file: _File, services: str) -> None:
        own = self._machine.read_text(errors="replace") if self._machine.exists() else ""
        text = "\n".join((*file.head, services, own)) + "\n"
        if text != file.written:
            file.written = text
            overwrite(file.path, text.encode())


def overwrite(path: Path, content: bytes) -> None:
    """In one write and never shorter than before: a reader meanwhile sees no empty file and no half of a name."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        size = max(os.fstat(handle).st_size, -(-len(content) // BLOCK) * BLOCK)
        os.pwrite(handle, content + _room(size - len(content)), 0)
    finally:
        os.close(handle)


def _room(size: int) -> bytes:
    """So many bytes that name nothing, in few lines."""
    lines = f"{NOTE}\n" + _BLANK * (size // len(_BLANK) + 1)
    return lines[: max(0, size - 1)].encode() + b"\n" * min(size, 1)
