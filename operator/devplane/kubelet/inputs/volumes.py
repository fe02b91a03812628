"""A pod's volumes as local directories. Contents of ConfigMaps, Secrets and tokens are swapped in whole, as the kubelet
does: ``..data`` points to the newest directory, each file to its place below ``..data``."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from devplane.kubelet.inputs import environment
from devplane.kubelet.inputs.environment import ConfigError, PodFacts, Sources, decoded
from devplane.objects import Obj, now

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where emptyDir volumes of medium Memory live
DEFAULT_MODE = 0o644
# A token is renewed after 80 % of its life, and once a day at the latest.
LONGEST_HELD = 24 * 3600


class VolumeError(Exception):
    """A volume can't be set up now; the message is the kubelet's."""

    def __init__(self, volume: str, message: str) -> None:
        super().__init__(f'MountVolume.SetUp failed for volume "{volume}" : {message}')


@dataclass(frozen=True, slots=True)
class File:
    content: bytes
    mode: int = DEFAULT_MODE


@dataclass(frozen=True, slots=True)
class Token:
    value: str
    renew_at: datetime


Mint = Callable[[str, int], str]
"""A new token of the pod's service account for (audience, seconds)."""


class Volumes:
    """`root` is the pod's own directory, `claim` finds the directory of a claim, `mint` makes its tokens."""

    def __init__(self, facts: PodFacts, root: Path, sources: Sources, claim: Callable[[str], Path], mint: Mint) -> None:
        self._facts = facts
        self._root = root
        self._sources = sources
        self._claim = claim
        self._mint = mint
        self._tokens: dict[tuple[str, str], Token] = {}
        self._places: dict[str, Path] = {}
        self._written: dict[str, Mapping[str, File]] = {}

    @property
    def _specs(self) -> Sequence[Obj]:
        return self._facts.pod["spec"].get("volumes") or ()

    def set_up(self) -> None:
        """Make every volume; raises VolumeError for the first that can't be."""
        for volume in self._specs:
            self._places[volume["name"]] = self._made(volume)

    def refresh(self, facts: PodFacts) -> list[VolumeError]:
        """Bring projected contents up to date; what can't be read keeps its last content, and is told."""
        self._facts = facts
        wrong = []
        for volume in self._specs:
            if self._is_projected(volume):
                try:
                    self._made(volume)
                except FileNotFoundError:
                    continue
                except VolumeError as error:
                    wrong.append(error)
        return wrong

    def renewal(self) -> datetime | None:
        """When the next token is due."""
        return min((token.renew_at for token in self._tokens.values()), default=None)

    def uses(self, kind: str, name: str) -> bool:
        """Whether a ConfigMap or Secret (`kind` as in the volume source: configMap, secret) is part of a volume."""
        return any((kind, name) in _named(volume) for volume in self._specs)

    def local(self, container: Mapping[str, Any], known: Mapping[str, str], *, anew: bool = False) -> dict[str, str]:
        """Where each mount path of a container really is; `known` expands ``subPathExpr``. A container that starts
        `anew` is given the newest content of what is mounted by a subPath, and keeps that."""
        found: dict[str, str] = {}
        for mount in container.get("volumeMounts") or ():
            place = self._places[mount["name"]]
            below = mount.get("subPath") or environment.fully_expanded(mount.get("subPathExpr") or "", known)
            if below:
                place = self._below(place, below)
                if mount["name"] in self._written:
                    place = self._pinned(f"{container['name']}:{mount['mountPath']}", place, anew=anew)
            found[mount["mountPath"]] = str(place)
        return found

    @staticmethod
    def _below(volume: Path, path: str) -> Path:
        place = volume / path
        if not place.exists():
            place.mkdir(parents=True)
        return place

    @property
    def _pins(self) -> Path:
        return self._root.parent / "subpaths"

    def _pinned(self, mount: str, source: Path, *, anew: bool) -> Path:
        """Files that stay what they are when their volume's content is swapped."""
        target = self._pins / hashlib.sha256(mount.encode()).hexdigest()[:16] / source.name
        if anew or not target.exists():
            shutil.rmtree(target.parent, ignore_errors=True)
            target.parent.mkdir(parents=True)
            if source.is_dir():
                shutil.copytree(source, target, copy_function=_link)
            else:
                _link(source, target)
        return target

    def tear_down(self) -> None:
        shutil.rmtree(self._pins, ignore_errors=True)
        for place in self._places.values():
            if place.is_relative_to(self._root) or place.is_relative_to(SHARED_MEMORY):
                shutil.rmtree(place, ignore_errors=True)

    @staticmethod
    def _is_projected(volume: Mapping[str, Any]) -> bool:
        return any(kind in volume for kind in ("configMap", "secret", "downwardAPI", "projected"))

    def _made(self, volume: Mapping[str, Any]) -> Path:
        name = str(volume["name"])
        place = self._root / name
        if self._is_projected(volume):
            self._project(name, place, dict(self._payload(volume)))
            place.chmod(0o777 if "configMap" in volume else 0o1777)
            return place
        if "hostPath" in volume:
            return _host_path(name, volume["hostPath"])
        if claim := volume.get("persistentVolumeClaim"):
            return self._claim(str(claim["claimName"]))
        if "emptyDir" in volume:
            return self._empty(place, volume["emptyDir"] or {})
        kind = next(key for key in volume if key != "name")
        raise VolumeError(name, f"devplane has no {kind} volumes; use emptyDir, hostPath, a claim, configMap or secret")

    def _empty(self, place: Path, source: Mapping[str, Any]) -> Path:
        if source.get("medium") == "Memory" and os.access(SHARED_MEMORY, os.W_OK):
            digest = hashlib.sha256(str(place).encode()).hexdigest()[:16]
            place = memory_place(self._root, digest)
        place.mkdir(parents=True, exist_ok=True)
        place.chmod(0o777)
        return place

    def _payload(self, volume: Mapping[str, Any]) -> Iterator[tuple[str, File]]:
        name = volume["name"]
        try:
            if source := volume.get("projected"):
                yield from self._parts(source.get("sources") or (), source.get("defaultMode") or DEFAULT_MODE)
            else:
                kind, source = next((kind, volume[kind]) for kind in volume if kind != "name")
                yield from self._part({kind: _unified(source)}, source.get("defaultMode") or DEFAULT_MODE)
        except ConfigError as error:
            raise VolumeError(name, str(error)) from error

    def _parts(self, parts: Sequence[Obj], mode: int) -> Iterator[tuple[str, File]]:
        """All of them, or everything that is wrong with any."""
        wrong: list[str] = []
        for part in parts:
            try:
                yield from self._part(part, mode)
            except ConfigError as error:
                wrong.append(str(error))
        if wrong:
            raise ConfigError(wrong[0] if len(wrong) == 1 else f"[{', '.join(wrong)}]")

    def _part(self, part: Mapping[str, Any], mode: int) -> Iterator[tuple[str, File]]:
        if source := part.get("configMap"):
            found = self._found(source, "configmap", self._sources.config_map(source["name"]))
            data = {key: value.encode() for key, value in (found.get("data") or {}).items()}
            data |= {key: decoded(value) for key, value in (found.get("binaryData") or {}).items()}
            yield from _selected(source, data, mode, "configmap references non-existent config key")
        elif source := part.get("secret"):
            found = self._found(source, "secret", self._sources.secret(source["name"]))
            data = {key: decoded(value) for key, value in (found.get("data") or {}).items()}
            yield from _selected(source, data, mode, "references non-existent secret key")
        elif source := part.get("serviceAccountToken"):
            yield source["path"], File(self._token(source).encode(), mode)
        elif source := part.get("downwardAPI"):
            for item in source.get("items") or ():
                yield item["path"], File(self._downward(item).encode(), item.get("mode") or mode)

    def _found(self, source: Mapping[str, Any], kind: str, found: Obj | None) -> Obj:
        if found is None and not source.get("optional"):
            raise ConfigError(f'{kind} "{source["name"]}" not found')
        return found or {}

    def _token(self, source: Mapping[str, Any]) -> str:
        audience, seconds = source.get("audience") or "", int(source.get("expirationSeconds") or 3600)
        held = self._tokens.get((audience, source["path"]))
        if held is None or held.renew_at <= now():
            held = Token(self._mint(audience, seconds), now() + timedelta(seconds=min(seconds * 0.8, LONGEST_HELD)))
            self._tokens[audience, source["path"]] = held
        return held.value

    def _downward(self, item: Mapping[str, Any]) -> str:
        if reference := item.get("fieldRef"):
            return environment.field(reference["fieldPath"], self._facts)
        reference = item["resourceFieldRef"]
        containers = self._facts.pod["spec"]["containers"]
        named = next(one for one in containers if one["name"] == reference["containerName"])
        return environment.resource_field(reference, named, self._facts)

    def _project(self, name: str, place: Path, files: Mapping[str, File]) -> None:
        if self._written.get(name) == files:
            return
        place.mkdir(parents=True, exist_ok=True)
        newest = place / f"..{now().strftime('%Y_%m_%d_%H_%M_%S.%f')}"
        for path, file in files.items():
            _write(newest / path, file)
        newest.mkdir(exist_ok=True)
        _swap(place, newest, files)
        self._written[name] = files


def memory_place(root: Path, digest: str) -> Path:
    """A directory in shared memory that names the data directory of its pod, so that a later start can sweep it."""
    return SHARED_MEMORY / f"{memory_prefix(root.parents[2])}{digest}"


def memory_prefix(data_dir: Path) -> str:
    return f"devplane-{hashlib.sha256(str(data_dir.resolve()).encode()).hexdigest()[:12]}-"


def _named(volume: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for part in [volume, *((volume.get("projected") or {}).get("sources") or ())]:
        for kind in ("configMap", "secret"):
            if source := part.get(kind):
                yield kind, source.get("name") or source.get("secretName") or ""


def _unified(source: Mapping[str, Any]) -> Obj:
    """A secret volume names its secret `secretName`, everything else `name`."""
    return {**source, "name": source.get("name") or source.get("secretName")}


def _selected(
    source: Mapping[str, Any], data: Mapping[str, bytes], mode: int, lacks: str
) -> Iterator[tuple[str, File]]:
    items = source.get("items")
    if not items:
        yield from ((key, File(value, mode)) for key, value in data.items())
        return
    for item in items:
        if item["key"] in data:
            yield item["path"], File(data[item["key"]], item.get("mode") or mode)
        elif not source.get("optional"):
            raise ConfigError(f"{lacks}: {item['key']}")


def _link(source: str | Path, target: str | Path) -> None:
    os.link(Path(source).resolve(), target)


def _write(path: Path, file: File) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(file.content)
    path.chmod(file.mode)


def _swap(place: Path, newest: Path, files: Mapping[str, File]) -> None:
    """Point ``..data`` at `newest` in one step, then drop what was there before."""
    pointer = place / "..data"
    before = place / pointer.readlink() if pointer.is_symlink() else None
    aside = place / "..data_tmp"
    aside.symlink_to(newest.name)
    aside.replace(pointer)
    tops = {Path(path).parts[0] for path in files}
    for top in tops:
        if not (place / top).is_symlink():
            (place / top).symlink_to(f"..data/{top}")
    for old in place.iterdir():
        if not old.name.startswith("..") and old.name not in tops:
            old.unlink()
    if before is not None:
        shutil.rmtree(before, ignore_errors=True)


def _host_path(name: str, source: Mapping[str, Any]) -> Path:
    path = Path(source["path"])
    match source.get("type") or "":
        case "DirectoryOrCreate":
            path.mkdir(parents=True, exist_ok=True)
        case "FileOrCreate":
            path.touch()
        case "Directory" if not path.is_dir():
            raise VolumeError(name, f"hostPath type check failed: {path} is not a directory")
        case "File" if not path.is_file():
            raise VolumeError(name, f"hostPath type check failed: {path} is not a file")
    return path
