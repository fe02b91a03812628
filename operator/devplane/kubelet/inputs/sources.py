"""What a pod refers to in its namespace."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from devplane.kubelet.inputs.contents import CONFIG_MAPS, SECRETS, Contents
from devplane.kubelet.inputs.volumes import VolumeError
from devplane.objects import Obj

if TYPE_CHECKING:
    from devplane.machinery.client import Client


class Objects:
    """The ConfigMaps and Secrets of a pod's namespace, and where its claims are."""

    def __init__(self, client: Client, namespace: str, contents: Contents) -> None:
        self._client = client
        self._namespace = namespace
        self._contents = contents

    def config_map(self, name: str) -> Obj | None:
        return self._contents.get(CONFIG_MAPS, self._namespace, name)

    def secret(self, name: str) -> Obj | None:
        return self._contents.get(SECRETS, self._namespace, name)

    def claim(self, name: str) -> Path:
        claim = self._client.get("persistentvolumeclaims", self._namespace, name)
        volume_name = ((claim or {}).get("spec") or {}).get("volumeName") or ""
        volume = self._client.get("persistentvolumes", "", volume_name) if volume_name else None
        if volume is None:
            raise VolumeError(name, f'persistentvolumeclaim "{name}" is not bound')
        source = volume["spec"].get("hostPath") or volume["spec"].get("local")
        if source is None:
            raise VolumeError(name, f'persistentvolume "{volume_name}" is neither hostPath nor local')
        path = Path(source["path"])
        path.mkdir(parents=True, exist_ok=True)
        return path
