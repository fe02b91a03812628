"""What other pods have to do with where a pod may go: host ports, affinity to pods, topology spread. Pure.

Required rules alone: what is preferred, and spread that may be ignored, moves no pod.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from devplane.objects import Obj, is_deleting, namespace_of
from devplane.storage.selectors import selects

NO_PORTS = "node(s) didn't have free ports for the requested pod ports"
NO_SPREAD = "node(s) didn't match pod topology spread constraints"
NO_SPREAD_LABEL = f"{NO_SPREAD} (missing required label)"
NO_AFFINITY = "node(s) didn't match pod affinity rules"
NO_ANTI_AFFINITY = "node(s) didn't match pod anti-affinity rules"
NOT_WANTED = "node(s) didn't satisfy existing pods anti-affinity rules"

Pod = Mapping[str, Any]
Domain = tuple[str, str]
"""A topology key and the value that a node has for it."""


class Place(Protocol):
    """A node, as far as its pods and their topology go."""

    @property
    def labels(self) -> Mapping[str, str]: ...

    @property
    def pods(self) -> Sequence[Obj]: ...


@dataclass(frozen=True, slots=True)
class Objection:
    """Why a node is not for a pod; `helpless` where no other pod's end would change it."""

    reason: str
    helpless: bool = False


Namespaces = Callable[[str], Mapping[str, str]]
"""The labels of a namespace."""


def is_sociable(pod: Pod) -> bool:
    """Whether a pod that comes may make room for this one."""
    affinity = pod["spec"].get("affinity") or {}
    return bool(pod["spec"].get("topologySpreadConstraints") or affinity.get("podAffinity"))


class Neighbourhood:
    """All nodes, as `pod` sees them that looks for one. `eligible` says which count for its spread."""

    def __init__(
        self, pod: Pod, places: Sequence[Place], namespaces: Namespaces, eligible: Callable[[Place], bool]
    ) -> None:
        self._pod, self._places = pod, places
        self._namespaces, self._eligible = namespaces, eligible

    def objection(self, place: Place) -> Objection | None:
        for looks in (self._to_spread, self._to_affinity, self._to_anti_affinity, self._of_others):
            if (found := looks(place)) is not None:
                return found
        return None

    def _to_spread(self, place: Place) -> Objection | None:
        for rule in self._spread:
            value = place.labels.get(rule["topologyKey"])
            if value is None:
                return Objection(NO_SPREAD_LABEL, helpless=True)
            counts = self._counts(rule)
            least = 0 if len(counts) < (rule.get("minDomains") or 1) else min(counts.values(), default=0)
            own = int(selects(_selector(rule, self._pod), _labels(self._pod)))
            if counts.get(value, 0) + own - least > rule["maxSkew"]:
                return Objection(NO_SPREAD)
        return None

    @cached_property
    def _spread(self) -> list[Obj]:
        rules = self._pod["spec"].get("topologySpreadConstraints") or ()
        return [one for one in rules if one.get("whenUnsatisfiable") == "DoNotSchedule"]

    def _counts(self, rule: Obj) -> Counter[str]:
        """How many pods of the rule there are in each domain that counts."""
        keys, selector = [one["topologyKey"] for one in self._spread], _selector(rule, self._pod)
        found: Counter[str] = Counter()
        for place in self._places:
            if self._eligible(place) and all(key in place.labels for key in keys):
                matching = (one for one in place.pods if namespace_of(one) == namespace_of(self._pod))
                living = (one for one in matching if not is_deleting(one))
                found[place.labels[rule["topologyKey"]]] += sum(selects(selector, _labels(one)) for one in living)
        return found

    def _to_affinity(self, place: Place) -> Objection | None:
        terms = _required(self._pod, "podAffinity")
        if not terms or all(_domain(one, place) in self._liked for one in terms):
            return None
        is_first = not self._liked and all(self._is_meant(one, self._pod, self._pod) for one in terms)
        if is_first and all(one["topologyKey"] in place.labels for one in terms):
            return None
        return Objection(NO_AFFINITY, helpless=True)

    @cached_property
    def _liked(self) -> set[Domain]:
        """Domains of pods that all the terms of its affinity mean."""
        terms = _required(self._pod, "podAffinity")
        return {
            domain
            for place in self._places
            for other in place.pods
            if all(self._is_meant(one, other, self._pod) for one in terms)
            for domain in _domains(terms, place)
        }

    def _to_anti_affinity(self, place: Place) -> Objection | None:
        terms = _required(self._pod, "podAntiAffinity")
        is_met = any(_domain(one, place) in self._met(one) for one in terms)
        return Objection(NO_ANTI_AFFINITY) if is_met else None

    def _met(self, term: Obj) -> set[Domain]:
        return {
            domain
            for place in self._places
            if any(self._is_meant(term, other, self._pod) for other in place.pods)
            for domain in _domains([term], place)
        }

    def _of_others(self, place: Place) -> Objection | None:
        is_there = any(place.labels.get(key) == value for key, value in self._closed)
        return Objection(NOT_WANTED) if is_there else None

    @cached_property
    def _closed(self) -> set[Domain]:
        """Domains where somebody else's anti-affinity means this pod."""
        return {
            domain
            for place in self._places
            for other in place.pods
            for term in _required(other, "podAntiAffinity")
            if self._is_meant(term, self._pod, other)
            for domain in _domains([term], place)
        }

    def _is_meant(self, term: Obj, pod: Pod, owner: Pod) -> bool:
        """Whether a term of `owner` means `pod`."""
        return self._is_in_scope(term, namespace_of(pod), namespace_of(owner)) and selects(
            _selector(term, owner), _labels(pod)
        )

    def _is_in_scope(self, term: Obj, namespace: str, own: str) -> bool:
        chosen, named = term.get("namespaceSelector"), term.get("namespaces") or ()
        if chosen is None and not named:
            return namespace == own
        return namespace in named or (chosen is not None and selects(chosen, self._namespaces(namespace)))


def _labels(pod: Pod) -> Mapping[str, str]:
    return pod["metadata"].get("labels") or {}


def _selector(rule: Obj, owner: Pod) -> Obj:
    """The label selector of a rule with its matchLabelKeys; without one it means no pod."""
    given = rule.get("labelSelector")
    if given is None:
        return {"matchExpressions": [{"key": "", "operator": "In", "values": []}]}
    keys = {key: _labels(owner)[key] for key in rule.get("matchLabelKeys") or () if key in _labels(owner)}
    return {**given, "matchLabels": {**(given.get("matchLabels") or {}), **keys}} if keys else given


def _required(pod: Pod, kind: str) -> list[Obj]:
    given = (pod["spec"].get("affinity") or {}).get(kind) or {}
    return given.get("requiredDuringSchedulingIgnoredDuringExecution") or []


def _domain(term: Obj, place: Place) -> Domain | None:
    value = place.labels.get(term["topologyKey"])
    return None if value is None else (term["topologyKey"], value)


def _domains(terms: Iterable[Obj], place: Place) -> Iterable[Domain]:
    return [domain for one in terms if (domain := _domain(one, place)) is not None]


def lacks_ports(pod: Pod, place: Place) -> bool:
    """Whether a host port of `pod` is taken on a node."""
    wanted = _ports(pod)
    return any(_clash(one, other) for one in wanted for there in place.pods for other in _ports(there))


Port = tuple[str, str, int]


def _ports(pod: Pod) -> list[Port]:
    spec = pod["spec"]
    sidecars = [one for one in spec.get("initContainers") or () if one.get("restartPolicy") == "Always"]
    ports = [port for one in (*spec["containers"], *sidecars) for port in one.get("ports") or ()]
    return [
        (one.get("hostIP") or ANY, one.get("protocol", "TCP"), one["hostPort"]) for one in ports if one.get("hostPort")
    ]


ANY = "0.0.0.0"  # noqa: S104 - what a port without hostIP means, and nothing that is listened on


def _clash(one: Port, other: Port) -> bool:
    return one[1:] == other[1:] and (one[0] == other[0] or ANY in (one[0], other[0]))
