"""Credentials of stores, by reference: the operator never reads a Secret, the kubelet puts its keys into pods. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Keys:
    """Keys of a Secret, each the environment variable of the same name. A missing `optional` one is left out."""

    needed: tuple[str, ...]
    optional: tuple[str, ...] = ()


KEYS: Mapping[str, Keys] = {
    "hf": Keys(("HF_TOKEN",)),
    "s3": Keys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), ("AWS_SESSION_TOKEN", "AWS_REGION", "AWS_ENDPOINT_URL")),
    "gs": Keys(("GOOGLE_APPLICATION_CREDENTIALS_JSON",)),
    "oci": Keys(("REGISTRY_USERNAME", "REGISTRY_PASSWORD")),
    "https": Keys(("HTTPS_AUTHORIZATION",)),
}
JUDGE_KEY = "JUDGE_API_KEY"
JUDGE_VARIABLE = "TUNEBIRD_JUDGE_API_KEY"


@dataclass(frozen=True, slots=True, order=True)
class Credential:
    """A Secret for all places of a scheme."""

    scheme: str
    secret: str


def credential_env(credentials: Iterable[Credential]) -> Iterator[Body]:
    """The variables of each Secret, by reference."""
    for credential in sorted(set(credentials)):
        keys = KEYS[credential.scheme]
        yield from (secret_variable(key, credential.secret, key) for key in keys.needed)
        yield from (secret_variable(key, credential.secret, key, optional=True) for key in keys.optional)


def secret_variable(name: str, secret: str, key: str, *, optional: bool = False) -> Body:
    """One variable whose value is a key of a Secret."""
    reference: Body = {"name": secret, "key": key, **({"optional": True} if optional else {})}
    return {"name": name, "valueFrom": {"secretKeyRef": reference}}


def several(credentials: Iterable[Credential]) -> Iterator[str]:
    """A pod has one environment: different Secrets for one kind of store can't both be in it."""
    known = set(credentials)
    for scheme in sorted({credential.scheme for credential in known}):
        names = sorted(credential.secret for credential in known if credential.scheme == scheme)
        if len(names) > 1:
            yield (
                f"spec: {scheme}:// places name different Secrets ({', '.join(names)}); the trainer has one set of "
                "credentials for each kind of store: use one Secret"
            )
