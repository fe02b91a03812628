"""Service account tokens: minted as signed JWTs, verified against the signature, the audience and the live objects."""

from __future__ import annotations

import json
import uuid
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devplane.storage.store import Store

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

Obj = dict[str, Any]

ISSUER = "https://kubernetes.default.svc.cluster.local"
AUDIENCE = ISSUER
INVALID = "invalid bearer token"
# How long the token of an object that should be gone by now still counts.
_LEEWAY = timedelta(seconds=60)


class InvalidTokenError(Exception):
    """The token is not accepted; the message is what a TokenReview says."""


@dataclass(frozen=True, slots=True)
class User:
    """Who makes a request."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: dict[str, list[str]] = field(default_factory=dict)

    def info(self) -> Obj:
        filled = {"username": self.name, "uid": self.uid, "groups": list(self.groups), "extra": self.extra}
        return {key: value for key, value in filled.items() if value}


@dataclass(frozen=True, slots=True)
class Bound:
    """The object that a token lives and dies with; `kind` is pod, secret or node."""

    name: str
    uid: str
    kind: str = "pod"


@dataclass(frozen=True, slots=True)
class Verified:
    """An accepted token: who it is, and for which of the asked audiences."""

    user: User
    audiences: tuple[str, ...]


class Tokens:
    """`key` is a PEM file with a P-256 private key."""

    def __init__(self, key: Path, store: Store, clock: Callable[[], datetime]) -> None:
        self._path = key
        self._store = store
        self._clock = clock
        self._known: dict[str, Obj] = {}

    @cached_property
    def _key(self) -> EllipticCurvePrivateKey:
        from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        key = load_pem_private_key(self._path.read_bytes(), None)
        assert isinstance(key, EllipticCurvePrivateKey)
        return key

    def mint(
        self, ns: str, account: str, audiences: Sequence[str] = (), seconds: int = 3600, bound: Bound | None = None
    ) -> str:
        """A token for a service account that exists; the default audience is the API server's own."""
        subject = self._store.get("serviceaccounts", ns, account)
        if subject is None:
            raise InvalidTokenError(f'serviceaccounts "{account}" not found')
        now = int(self._clock().timestamp())
        place: Obj = {"namespace": ns, "serviceaccount": {"name": account, "uid": subject["metadata"]["uid"]}}
        if bound is not None:
            place |= self._bound_to(ns, bound)
        claims = {
            "aud": list(audiences) or [AUDIENCE],
            "exp": now + seconds,
            "iat": now,
            "iss": ISSUER,
            "jti": str(uuid.uuid4()),
            "kubernetes.io": place,
            "nbf": now,
            "sub": f"system:serviceaccount:{ns}:{account}",
        }
        return self._signed(claims)

    def _bound_to(self, ns: str, bound: Bound) -> Obj:
        claims: Obj = {bound.kind: {"name": bound.name, "uid": bound.uid}}
        if bound.kind != "pod":
            return claims
        pod = self._store.get("pods", ns, bound.name) or {}
        node = self._store.get("nodes", "", pod.get("spec", {}).get("nodeName", ""))
        if node is not None:
            claims["node"] = {"name": node["metadata"]["name"], "uid": node["metadata"]["uid"]}
        return claims

    def _signed(self, claims: Obj) -> str:
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
        from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
        from cryptography.hazmat.primitives.hashes import SHA256

        text = f"{_encoded(_HEADER)}.{_encoded(json.dumps(claims).encode())}"
        r, s = decode_dss_signature(self._key.sign(text.encode(), ECDSA(SHA256())))
        return f"{text}.{_encoded(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"

    def verify(self, token: str, audiences: Sequence[str] = ()) -> Verified:
        """Who a token is, if one of its audiences is asked for and all that it is bound to still exists."""
        claims = self._known.get(token) or self._checked(token)
        asked = tuple(audiences) or (AUDIENCE,)
        accepted = tuple(one for one in asked if one in claims["aud"])
        if not accepted:
            raise InvalidTokenError(f"[{INVALID}, token audiences {_listed(claims['aud'])} is invalid for the target "
                                    f"audiences {_listed(asked)}]")  # fmt: skip
        if self._clock().timestamp() >= claims["exp"]:
            raise InvalidTokenError(f"[{INVALID}, service account token has expired]")
        self._check_alive(claims["kubernetes.io"])
        return Verified(_user(claims), accepted)

    def _checked(self, token: str) -> Obj:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
        from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
        from cryptography.hazmat.primitives.hashes import SHA256

        try:
            text, _, signature = token.rpartition(".")
            raw = _decoded(signature)
            pair = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
            self._key.public_key().verify(pair, text.encode(), ECDSA(SHA256()))
            claims: Obj = json.loads(_decoded(text.partition(".")[2]))
        except (ValueError, InvalidSignature):
            raise InvalidTokenError(INVALID) from None
        if len(self._known) > 1000:
            self._known.clear()
        self._known[token] = claims
        return claims

    def _check_alive(self, place: Obj) -> None:
        ns, account = place["namespace"], place["serviceaccount"]
        self._check_same("serviceaccounts", ns, account, "service account")
        bound = next((kind for kind in ("pod", "secret", "node") if kind in place), None)
        if bound is not None:
            self._check_same(f"{bound}s", "" if bound == "node" else ns, place[bound], bound)

    def _check_same(self, resource: str, ns: str, named: Obj, spoken: str) -> None:
        found = self._store.get(resource, ns, named["name"])
        if found is None:
            raise InvalidTokenError(f'[{INVALID}, {resource} "{named["name"]}" not found]')
        if found["metadata"]["uid"] != named["uid"]:
            raise InvalidTokenError(f"[{INVALID}, {spoken} UID ({found['metadata']['uid']}) does not match claim "
                                    f"({named['uid']})]")  # fmt: skip
        ends = found["metadata"].get("deletionTimestamp")
        if ends and datetime.fromisoformat(ends) < self._clock() - _LEEWAY:
            raise InvalidTokenError(f"[{INVALID}, {spoken} has been deleted]")


_HEADER = b'{"alg":"ES256","typ":"JWT"}'


def _encoded(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _listed(audiences: Sequence[str]) -> str:
    return f"[{' '.join(json.dumps(one) for one in audiences)}]"


def _user(claims: Obj) -> User:
    place = claims["kubernetes.io"]
    ns, account = place["namespace"], place["serviceaccount"]
    extra = {"authentication.kubernetes.io/credential-id": [f"JTI={claims['jti']}"]}
    for kind in ("node", "pod"):
        if bound := place.get(kind):
            extra[f"authentication.kubernetes.io/{kind}-name"] = [bound["name"]]
            extra[f"authentication.kubernetes.io/{kind}-uid"] = [bound["uid"]]
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{ns}", "system:authenticated")
    return User(f"system:serviceaccount:{ns}:{account['name']}", account["uid"], groups, extra)
