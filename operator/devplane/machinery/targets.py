"""What a verb is asked: of which object, and how a write is meant and by whom."""

from __future__ import annotations

from dataclasses import dataclass, field

from devplane.access.tokens import User
from devplane.admission.attributes import Admission
from devplane.resources.registry import Resource

CRDS = "customresourcedefinitions.apiextensions.k8s.io"
SERVER = User("system:apiserver", groups=("system:masters",))


@dataclass(frozen=True, slots=True)
class Write:
    """How a write is asked for, and by whom. `warnings` collects what the answer's Warning headers say.

    `through` is the subresource that owns what is written, where the write is not limited to it (scale).
    """

    manager: str = "devplane"
    dry_run: bool = False
    field_validation: str = "Warn"
    subresource: str = ""
    through: str = ""
    warnings: list[str] = field(default_factory=list)
    user: User = SERVER
    admission: Admission | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """One object of a resource; `namespace` is empty for cluster scope."""

    resource: Resource
    namespace: str
    name: str
