"""Small rules that many kinds share: numbers, choices, selectors, quantities. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from devplane.errors import Cause, go_quote
from devplane.schemas.types import Obj

NOT_NEGATIVE = "must be greater than or equal to 0"
IMMUTABLE = "field is immutable"
PORT_WORDS = "must be between 1 and 65535, inclusive"
MISMATCH = "`selector` does not match template `labels`"


def not_found(path: str, value: str) -> Cause:
    return Cause("FieldValueNotFound", f"Not found: {go_quote(value)}", path)


def invalid_go(path: str, shown: str, detail: str) -> Cause:
    """`shown` is the value as Go prints it with %#v."""
    return Cause("FieldValueInvalid", f"Invalid value: {shown}: {detail}", path)


def unsupported_go(path: str, shown: str, choices: Sequence[str]) -> Cause:
    """`shown` is the whole value as Go prints it."""
    known = ", ".join(go_quote(one) for one in choices)
    return Cause("FieldValueNotSupported", f"Unsupported value: {shown}: supported values: {known}", path)


def not_negative(value: Any, path: str) -> Iterator[Cause]:
    if isinstance(value, int) and value < 0:
        yield Cause.invalid(path, value, NOT_NEGATIVE)


def within(value: Any, low: int, high: int, path: str) -> Iterator[Cause]:
    if isinstance(value, int) and not low <= value <= high:
        yield Cause.invalid(path, value, f"must be between {low} and {high}, inclusive")


def one_of(value: Any, choices: Sequence[str], path: str) -> Iterator[Cause]:
    """A value that is set must be one of `choices`, shown in the order given."""
    if value is not None and value not in choices:
        yield Cause.unsupported(path, value, choices)


def not_above_all(value: Any, path: str) -> Iterator[Cause]:
    """A percentage of at most everything."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]+%", value) and int(value[:-1]) > 100:
        yield Cause.invalid(path, value, "must not be greater than 100%")


def named(value: str, rule: Callable[[str], list[str]], path: str) -> Iterator[Cause]:
    """What `rule` finds wrong with a name."""
    return (Cause.invalid(path, value, problem) for problem in rule(value))


def port(number: int | None, path: str) -> Iterator[Cause]:
    """The number of a port, where one is given."""
    if number is not None and not 1 <= number <= 65535:
        yield Cause.invalid(path, number, PORT_WORDS)


def go_list(items: Iterable[str]) -> str:
    """A []string as Go prints it."""
    return f"[]string{{{', '.join(go_quote(one) for one in items)}}}"


def immutable(new: Obj, old: Obj, fields: Iterable[str], path: str = "spec") -> Iterator[Cause]:
    for field in fields:
        if new.get(field) != old.get(field):
            yield Cause.invalid(f"{path}.{field}", new.get(field), IMMUTABLE)


def port_name(name: str) -> list[str]:
    """What is wrong with the name of a port (an IANA service name)."""
    found = ["must be no more than 15 characters"] if len(name) > 15 else []
    if not re.fullmatch(r"[-a-z0-9]+", name):
        found.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search(r"[a-z]", name):
        found.append("must contain at least one letter (a-z)")
    if "--" in name:
        found.append("must not contain consecutive hyphens")
    if name[:1] == "-" or name[-1:] == "-":
        found.append("must not begin or end with a hyphen")
    return found


def int_or_percent(value: Any, path: str) -> Iterator[Cause]:
    """A count, or a percentage as text."""
    if isinstance(value, str) and not re.fullmatch(r"[0-9]+%", value):
        words = "a valid percent string must be a numeric string followed by an ending '%'"
        yield Cause.invalid(path, value, f"{words} (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')")
    yield from not_negative(value, path)


def go_strings(found: Mapping[str, str] | None) -> str:
    """A map[string]string as Go prints it: sorted by key."""
    if found is None:
        return "map[string]string(nil)"
    return f"map[string]string{{{', '.join(f'{go_quote(k)}:{go_quote(v)}' for k, v in sorted(found.items()))}}}"


def go_selector(selector: Obj | None) -> str:
    """A label selector as Go prints it."""
    selector = selector or {}
    expressions = selector.get("matchExpressions")
    shown = "[]v1.LabelSelectorRequirement(nil)"
    if expressions:
        shown = f"[]v1.LabelSelectorRequirement{{{', '.join(_go_requirement(one) for one in expressions)}}}"
    return f"v1.LabelSelector{{MatchLabels:{go_strings(selector.get('matchLabels'))}, MatchExpressions:{shown}}}"


def _go_requirement(one: Obj) -> str:
    values = ", ".join(go_quote(value) for value in one.get("values") or ())
    shown = f"[]string{{{values}}}" if one.get("values") else "[]string(nil)"
    key, operator = go_quote(one.get("key", "")), go_quote(one.get("operator", ""))
    return f"v1.LabelSelectorRequirement{{Key:{key}, Operator:{operator}, Values:{shown}}}"


def selector(found: Obj | None, path: str) -> Iterator[Cause]:
    """Labels and operators of a label selector, and what each operator needs."""
    from devplane.kinds.metadata import label_value, labels, qualified_name

    yield from labels((found or {}).get("matchLabels"), f"{path}.matchLabels")
    for at, one in enumerate((found or {}).get("matchExpressions") or ()):
        where, operator = f"{path}.matchExpressions[{at}]", one.get("operator")
        if operator in ("In", "NotIn") and not one.get("values"):
            yield Cause.required(f"{where}.values", "must be specified when `operator` is 'In' or 'NotIn'")
        elif operator in ("Exists", "DoesNotExist") and one.get("values"):
            yield Cause.forbidden(
                f"{where}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            )
        elif operator not in ("In", "NotIn", "Exists", "DoesNotExist"):
            yield Cause.invalid(f"{where}.operator", operator, "not a valid selector operator")
        yield from named(one.get("key", ""), qualified_name, f"{where}.key")
        for number, value in enumerate(one.get("values") or ()):
            yield from named(value, label_value, f"{where}.values[{number}]")


def go_template(template: Obj) -> str:
    """A pod template in short: its labels and images, which is what a reader looks for."""
    labels = go_strings((template.get("metadata") or {}).get("labels"))
    images = ", ".join(_go_container(one) for one in (template.get("spec") or {}).get("containers") or ())
    meta = f"v1.ObjectMeta{{Labels:{labels}}}"
    spec = f"core.PodSpec{{Containers:[]core.Container{{{images}}}}}"
    return f"core.PodTemplateSpec{{ObjectMeta:{meta}, Spec:{spec}}}"


def _go_container(one: Obj) -> str:
    return f"core.Container{{Name:{go_quote(one.get('name', ''))}, Image:{go_quote(one.get('image', ''))}}}"


def go_int_or_string(value: Any) -> str:
    """An IntOrString as Go prints it."""
    if isinstance(value, str):
        return f"intstr.IntOrString{{Type:1, IntVal:0, StrVal:{go_quote(value)}}}"
    return f'intstr.IntOrString{{Type:0, IntVal:{value or 0}, StrVal:""}}'
