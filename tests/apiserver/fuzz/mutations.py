"""Strategies: real JSON with something wrong in it, bytes with something wrong in them, and requests likewise."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import strategies as st

Path = tuple[str | int, ...]

HOSTILE: tuple[Any, ...] = (
    None, True, False, {}, [], "", " ", 0, -1, 1, 2, 0.5, -0.0, 2**31, -(2**31) - 1, 2**63, -(2**63) - 1, 2**64, 1e300,
    "0", "-1", "1e9", "99999999999999999999", "999999999999999999999999Ki", "1.5.5", "0x10", "NaN", "Infinity", "null",
    "true", "/", "..", "../../x", "a/b/c", "$(A)", "%", "%s", "\x00", "\x7f", "\r\nX: y", "ünï", "💥", "\u202e",
    "\ud800",
    "a" * 254, "A" * 300, "-", "a.", ".", "*", "?", "[", "(", "\\", "^(a+)+$", "'", '"', "2026-13-01T00:00:00Z",
    "0000-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "self", "self.size / 0 > 1", "1 +", "$patch", "f:a", "k:{}",
    "100%", "101%",
    [None], [[]], [{}], [{}, {}], ["a", "a"], [1], {"": ""}, {"a": {}}, {"a": None}, {"name": None},
    {"$patch": "delete"},
    {"name": "one", "$patch": "replace"}, [{"$patch": "replace"}], {"$retainKeys": ["a"]},
    {"$setElementOrder/a": ["b"]},
    {"$deleteFromPrimitiveList/finalizers": ["a"]}, {"f:a": 1}, {"metadata": []},
)  # fmt: skip

scalars = st.sampled_from(HOSTILE) | st.text(max_size=8) | st.integers() | st.floats(allow_nan=False)
values = scalars | st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6
)  # fmt: skip


def places(value: Any, path: Path = ()) -> Iterator[Path]:
    """The path of every value within, the whole first."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield from places(one, (*path, key))


def changed(value: Any, path: Path, change: Callable[[Any], Any]) -> Any:
    """A copy whose value at `path` is what `change` makes of it."""
    if not path:
        return change(value)
    step, *rest = path
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    copy[step] = changed(value[step], tuple(rest), change)
    return copy


def _without(value: Any, path: Path) -> Any:
    def drop(owner: Any) -> Any:
        if isinstance(owner, dict):
            return {key: one for key, one in owner.items() if key != path[-1]}
        return [one for at, one in enumerate(owner) if at != path[-1]]

    return changed(value, path[:-1], drop)


@st.composite
def mutated(draw: st.DrawFn, start: st.SearchStrategy[Any]) -> Any:
    """A value with one to three things wrong: replaced, dropped, doubled, or one too many."""
    value = draw(start)
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(list(places(value))))
        match draw(st.integers(0, 5)):
            case 0 if path:
                value = _without(value, path)
            case 1:
                value = changed(value, path, lambda one: [one, one])
            case 2:
                value = changed(value, path, _with_one_more(draw(st.sampled_from(STRAY)), draw(values)))
            case _:
                value = changed(value, path, _replaced_by(draw(values)))
    return value


def _with_one_more(key: str, more: Any) -> Callable[[Any], Any]:
    return lambda one: {**one, key: more} if isinstance(one, dict) else [one, more]


def _replaced_by(new: Any) -> Callable[[Any], Any]:
    return lambda _: new


STRAY = ("a\r\nb: c", "", "a", "metadata", "managedFields", "ownerReferences", "finalizers", "deletionTimestamp",
"generateName",
         "resourceVersion", "uid", "$patch", "$retainKeys", "$setElementOrder/containers", "items", "status", "spec",
         "labels", "annotations", "namespace", "💥", "a" * 300, "creationTimestamp", "generation",
         "selfLink")  # fmt: skip


def encoded(value: Any) -> bytes:
    """As JSON; lone surrogates stay escapes."""
    return json.dumps(value).encode()


@st.composite
def damaged(draw: st.DrawFn, start: st.SearchStrategy[bytes]) -> bytes:
    """Bytes of which some are lost, doubled, changed or new."""
    data = bytearray(draw(start))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        match draw(st.integers(0, 4)):
            case 0:
                del data[at : at + draw(st.integers(1, 8))]
            case 1:
                data[at:at] = draw(st.binary(min_size=1, max_size=6))
            case 2:
                data[at:at] = data[at : at + draw(st.integers(1, 40))]
            case 3:
                del data[at:]
            case _:
                data[at : at + 1] = bytes([draw(st.integers(0, 255))])
    return bytes(data)
