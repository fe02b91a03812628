"""What of an answer of Kubernetes 1.36 a 1.33 says in other words, and where devplane differs from both and why."""

from __future__ import annotations

import re
from typing import Any

from apiserver.api.replay import comparable

_GO = r"(?:\[\]|map\[|v1\.|core\.|apps\.|batch\.|policy\.|networking\.|rbac\.|autoscaling\.|apiextensions\.)[^\n]*?[})]"
# Values that are no text were shown as Go's %#v until 1.33 and are JSON since; lengths are of bytes in words too.
_PATCHED = re.compile(r'Invalid value: "(?:[^"\\]|\\.)*"')
_WORDS = (
    (re.compile(r"Invalid value: 0x0: must be"), "Invalid value: 0: must be"),
    # Of what breaks a rule, 1.33 names the type and 1.36 the value, where it is no list or object.
    (re.compile(r'Invalid value: (?:"(?:[^"\\]|\\.)*": |-?\d+: )?(?=failed rule: |rule: )'), ""),
    (re.compile(r'Invalid value: "?null"?: some'), "some"),
    (re.compile(r'intstr\.IntOrString{Type:0, IntVal:(-?\d+), StrVal:""}'), r"\1"),
    (re.compile(r"intstr\.IntOrString{Type:1, IntVal:0, StrVal:(\"[^\"]*\")}"), r"\1"),
    (re.compile(rf"Duplicate value: (?:[\[{{][^\n]*[\]}}]|{_GO})$"), "Duplicate value: <value>"),
    (
        re.compile(rf"(Invalid|Unsupported) value: (?:[\[{{].*?[\]}}]|{_GO}|null): (?=[a-zA-Z`])"),
        r"\1 value: <value>: ",
    ),
    (re.compile(r'patch: Invalid value: "(?:[^"\\]|\\.)*"'), "patch: <patched>"),
    (re.compile(r"StorageError: invalid object, [^\n]*AdditionalErrorMsg: "), ""),
    (re.compile(r"(must be no more than \d+) (?:bytes|characters)"), r"\1 <long>"),
    (re.compile(r"a (?:valid label key|qualified name) must"), "a <key> must"),
    (re.compile(r"(previously negative\)\n).*", re.DOTALL), r"\1<difference>"),
    (re.compile(r"kube-api-access-\w{5}"), "kube-api-access-<x>"),
    (re.compile(r'"([a-zA-Z_-]+[-_])[a-z0-9]{5}"'), r'"\1<generated>"'),
)


def is_own_warning(header: str) -> bool:
    """What no Kubernetes says: that nothing acts on a kind, where devplane has no controller of a cluster's."""
    return header.startswith('299 - "devplane ')


def released(value: Any) -> Any:
    """`value` without what differs by release, or from run to run."""
    return _released(comparable(value))


def _sorted_rules(rules: list[Any]) -> list[Any]:
    """Bindings are asked in any order; OpenShift's fork has one more, for its own /.well-known."""
    own = [one for one in rules if one["nonResourceURLs"] != ["/.well-known", "/.well-known/*"]]
    return sorted(own, key=lambda one: list(one["nonResourceURLs"]))


def _released(value: Any) -> Any:
    if isinstance(value, list):
        return [_released(one) for one in value]
    if isinstance(value, dict):
        # Of a template, 1.33 writes that it was never created.
        kept = {key: one for key, one in value.items() if not (key == "creationTimestamp" and one is None)}
        if kept.get("generateName"):
            kept["name"] = "<generated>"
        if kept.get("kind") == "TokenRequest" and "metadata" in kept:  # has a uid since 1.36
            kept["metadata"] = {key: one for key, one in kept["metadata"].items() if key != "uid"}
        if "nonResourceRules" in kept:
            kept["nonResourceRules"] = _sorted_rules(kept["nonResourceRules"])
        if isinstance(causes := kept.get("causes"), list):  # what is looked at twice is listed twice, or not
            kept["causes"] = [one for at, one in enumerate(causes) if one not in causes[:at]]
        if kept.get("field") == "patch":
            kept["message"] = _PATCHED.sub("<patched>", kept["message"])
        return {key: _released(one) for key, one in kept.items()}
    if isinstance(value, str):
        for pattern, word in _WORDS:
            value = pattern.sub(word, value)
    return value
