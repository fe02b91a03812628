"""Routes that claim the same requests of one Gateway, which the Gateway API gives to the older of them. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tunebird.kube.meta import MODELROLLOUT, Manifest

Json = Mapping[str, Any]
EVERY_PATH = {"type": "PathPrefix", "value": "/"}


@dataclass(frozen=True, slots=True)
class Claim:
    """One host and match on one listener of a Gateway; `section` empty is every listener, `host` empty every host."""

    gateway: str
    section: tuple[str, int]
    host: str
    match: str

    def meets(self, other: Claim) -> bool:
        same = (self.gateway, self.host, self.match) == (other.gateway, other.host, other.match)
        one, two = self.section, other.section
        return same and all(not a or not b or a == b for a, b in zip(one, two, strict=True))

    def __str__(self) -> str:
        host = f"hostname {self.host}" if self.host else "every hostname"
        match = json.loads(self.match)
        path = match.pop("path")
        more = f" and {json.dumps(match)}" if match else ""
        return f"{host} with path {path['value']}{more} on Gateway {self.gateway}"


def shadow(route: Manifest, others: Iterable[Manifest]) -> str:
    """One sentence about the older route that gets this one's requests; empty when there is none."""
    older = sorted((other for other in others if _age(other) < _age(route)), key=_age)
    mine = [*_claims(route)]
    found = ((other, _shared(mine, other)) for other in older)
    return next((f"{_named(other)} is older and gets its requests: {claim}" for other, claim in found if claim), "")


def shared(one: Manifest, other: Manifest) -> Claim | None:
    """The first claim of the one that the other has too."""
    return _shared([*_claims(one)], other)


def _shared(mine: Iterable[Claim], other: Manifest) -> Claim | None:
    theirs = [*_claims(other)]
    return next((claim for claim in mine if any(claim.meets(their) for their in theirs)), None)


def _age(route: Manifest) -> tuple[str, str]:
    """The Gateway API's order: creation, then namespace and name."""
    metadata = route["metadata"]
    return (metadata.get("creationTimestamp", ""), f"{metadata.get('namespace', '')}/{metadata['name']}")


def _named(route: Manifest) -> str:
    metadata = route["metadata"]
    rollout = (metadata.get("labels") or {}).get(MODELROLLOUT, metadata["name"])
    return f"the route of ModelRollout {metadata.get('namespace', 'default')}/{rollout}"


def _claims(route: Manifest) -> Iterator[Claim]:
    spec = route.get("spec", {})
    namespace = route["metadata"].get("namespace", "default")
    matches: list[Json] = [match for rule in spec.get("rules", ()) for match in rule.get("matches") or [{}]]
    for parent in spec.get("parentRefs") or ():
        gateway = f"{parent.get('namespace') or namespace}/{parent['name']}"
        section = (parent.get("sectionName") or "", parent.get("port") or 0)
        for host in spec.get("hostnames") or ("",):
            for match in matches:
                yield Claim(gateway, section, host.lower(), _canonical(match))


def _canonical(match: Json) -> str:
    """A match as text, the same whether the server has filled in what was left out or not."""
    path = {**EVERY_PATH, **(match.get("path") or {})}
    if path["type"] == "PathPrefix":
        path["value"] = path["value"].rstrip("/") or "/"
    lists = {name: _exact(match[name]) for name in ("headers", "queryParams") if match.get(name)}
    method = {"method": match["method"]} if match.get("method") else {}
    return json.dumps({"path": path, **lists, **method}, sort_keys=True)


def _exact(items: Iterable[Json]) -> list[Json]:
    filled = [{"type": "Exact", **item, "name": item["name"].lower()} for item in items]
    return sorted(filled, key=lambda item: str(item["name"]))
