"""What admission is told about a write, and what a write needs of it. No webhook is known here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from devplane.access.tokens import User
from devplane.resources.registry import Resource

Obj = dict[str, Any]
Settle = Callable[[Obj], Obj]
"""An object that a webhook changed, with its types checked and its defaults set."""


@dataclass(frozen=True, slots=True)
class Attributes:
    """One operation: CREATE, UPDATE, DELETE or CONNECT. `object` is None for DELETE, `old` for CREATE and CONNECT.

    `name` is empty for what has no name yet, and for the objects of a deleted collection.
    """

    operation: str
    resource: Resource
    namespace: str
    name: str
    object: Obj | None
    old: Obj | None
    user: User
    subresource: str = ""
    dry_run: bool = False
    options: Obj = field(default_factory=dict)

    @property
    def shown(self) -> Obj | None:
        """The object that the operation is about, whichever there is."""
        return self.object if self.object is not None else self.old


class Admission(Protocol):
    """Admission of one request, which may be attempted several times."""

    warnings: list[str]

    def keep(self, stage: str, obj: Obj) -> Obj:
        """`obj` as it was when an attempt came to this stage for the first time."""

    def mutated(self, attributes: Attributes, settle: Settle) -> Obj:
        """The object as mutating webhooks want it; raises `ApiError` where one says no."""

    def validate(self, attributes: Attributes) -> None:
        """Raises `ApiError` where a validating webhook or a policy says no."""

    def admit(self, attributes: Attributes) -> Obj | None:
        """Both, for an object that nothing else is done to in between."""
