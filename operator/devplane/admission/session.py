"""Admission of one request: which webhooks it concerns, with the answers that are there so far."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import jsonpatch
import orjson

from devplane.access.rbac import Authorizer
from devplane.admission import matching
from devplane.admission.attributes import Attributes, Settle
from devplane.admission.authority import authority
from devplane.admission.conditions import ConditionError, Scope, all_hold, variables
from devplane.admission.configurations import Configurations, Webhook
from devplane.admission.policies import Policies
from devplane.admission.reviews import Answer
from devplane.errors import ApiError, go_quote
from devplane.resources.conversion import to_storage, to_version
from devplane.resources.registry import Registry, Resource
from devplane.storage.store import Store, copied

Obj = dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """A question to put to a webhook; `attributes` has the objects in the version of `resource`."""

    key: bytes
    hook: Webhook
    attributes: Attributes
    resource: Resource


class PendingError(Exception):
    """The write can not be decided before these are answered."""

    def __init__(self, calls: tuple[Call, ...]) -> None:
        super().__init__(", ".join(call.hook.name for call in calls))
        self.calls = calls


@dataclass(frozen=True, slots=True)
class World:
    """What admission decides from."""

    configurations: Configurations
    policies: Policies
    store: Store
    registry: Registry
    authorizer: Authorizer


class Session:
    """Lives as long as its request; see `Admission`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._kept: dict[str, bytes] = {}
        self.asked: set[bytes] = set()
        self.answers: dict[bytes, Answer] = {}
        self.warnings: list[str] = []

    def keep(self, stage: str, obj: Obj) -> Obj:
        kept = self._kept.setdefault(stage, orjson.dumps(obj))
        again: Obj = orjson.loads(kept)
        return again

    def mutated(self, attributes: Attributes, settle: Settle) -> Obj:
        asked = self._mutated(attributes, settle)
        assert asked.object is not None
        return asked.object

    def admit(self, attributes: Attributes) -> Obj | None:
        asked = self._mutated(attributes, lambda obj: obj)
        self.validate(asked)
        return asked.object

    def _mutated(self, attributes: Attributes, settle: Settle) -> Attributes:
        """Each webhook sees what those before it made; who wants to is asked once more if others came after."""
        if matching.is_exempt(attributes):
            return attributes
        again: list[tuple[Webhook, Obj | None]] = []
        for hook in self._world.configurations.mutating:
            changed = self._asked(hook, attributes, settle, 0)
            if changed is not None and hook.is_reinvoked:
                again.append((hook, changed.object))
            attributes = changed or attributes
        for hook, left in again:
            if attributes.object != left:
                attributes = self._asked(hook, attributes, settle, 1) or attributes
        return attributes

    def _asked(self, hook: Webhook, attributes: Attributes, settle: Settle, turn: int) -> Attributes | None:
        """What is left after a webhook, or None where it is not concerned."""
        call = self._call(hook, attributes, turn)
        if call is None:
            return None
        if call.key not in self.answers:
            raise PendingError((call,))
        answer = self._accepted(call)
        if not answer.patch or attributes.object is None:
            return attributes
        return replace(attributes, object=settle(_patched(call, answer, attributes.resource)))

    def validate(self, attributes: Attributes) -> None:
        if matching.is_exempt(attributes):
            return
        self._world.policies.check(attributes, self.warnings)
        found = (self._call(hook, attributes, 0) for hook in self._world.configurations.validating)
        calls = [call for call in found if call is not None]
        if unknown := tuple(call for call in calls if call.key not in self.answers):
            raise PendingError(unknown)
        for call in calls:
            self._accepted(call)

    def _accepted(self, call: Call) -> Answer:
        answer = self.answers[call.key]
        self.warnings.extend(answer.warnings)
        if answer.refusal is not None:
            raise answer.refusal
        return answer

    def _call(self, hook: Webhook, attributes: Attributes, turn: int) -> Call | None:
        """The question, or None where the webhook is not concerned."""
        resource = matching.resource_for(hook.rules, attributes, self._equivalents(hook, attributes))
        namespace = self._world.store.get("namespaces", "", attributes.namespace)
        if resource is None or not matching.in_namespace(hook.namespace_selector, attributes, namespace):
            return None
        if not matching.has_labels(hook.object_selector, attributes):
            return None
        shown = replace(
            attributes,
            object=_converted(attributes.object, attributes, resource),
            old=_converted(attributes.old, attributes, resource),
        )
        if not self._conditions_hold(hook, shown):
            return None
        if attributes.dry_run and hook.has_side_effects:
            raise ApiError.bad_request(f"admission webhook {go_quote(hook.name)} does not support dry run")
        return Call(_key(hook, shown, turn), hook, shown, resource)

    def _equivalents(self, hook: Webhook, attributes: Attributes) -> list[Resource]:
        """The same objects in other groups and versions."""
        own = attributes.resource
        if not hook.matches_equivalents:
            return []
        return [one for one in self._world.registry.all() if one.key == own.key and one.api_version != own.api_version]

    def _conditions_hold(self, hook: Webhook, attributes: Attributes) -> bool:
        if not hook.conditions:
            return True
        try:
            return all_hold(
                hook.conditions, Scope(variables(attributes), authority(self._world.authorizer, attributes))
            )
        except ConditionError as error:
            if not hook.fails_closed:
                return False
            raise ApiError.forbidden(attributes.resource.name, attributes.name, str(error)) from error


def _converted(obj: Obj | None, attributes: Attributes, resource: Resource) -> Obj | None:
    own = attributes.resource
    if obj is None or attributes.subresource not in ("", "status") or resource.api_version == own.api_version:
        return obj
    return to_version(obj, resource) if resource.key != "events" else _event(obj, own, resource)


def _event(obj: Obj, own: Resource, resource: Resource) -> Obj:
    """Events are stored in the core version; `own` and `resource` are one of it each."""
    return to_storage(obj, own, resource) if resource.group == "" else to_version(obj, resource)


def _patched(call: Call, answer: Answer, own: Resource) -> Obj:
    """The object with the webhook's patch, in the version of the request."""
    assert call.attributes.object is not None
    try:
        changed: Obj = jsonpatch.JsonPatch(list(answer.patch)).apply(copied(call.attributes.object))
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException, TypeError, AttributeError) as error:
        raise ApiError.internal(str(error)) from error
    return _converted(changed, replace(call.attributes, resource=call.resource), own) or changed


def _key(hook: Webhook, attributes: Attributes, turn: int) -> bytes:
    asked = [
        hook.is_mutating, *hook.key, turn, attributes.operation, attributes.subresource, attributes.name,
        _unmanaged(attributes.object), _unmanaged(attributes.old),
    ]  # fmt: skip
    return hashlib.sha256(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)).digest()


def _unmanaged(obj: Obj | None) -> Obj | None:
    """Times in managedFields differ from attempt to attempt and say nothing."""
    if obj is None or "managedFields" not in (obj.get("metadata") or {}):
        return obj
    return {**obj, "metadata": {key: value for key, value in obj["metadata"].items() if key != "managedFields"}}
