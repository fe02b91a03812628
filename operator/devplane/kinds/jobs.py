"""Jobs and CronJobs: defaults, the generated selector, validation and what may change. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from devplane.errors import Cause
from devplane.kinds import metadata, podspec, rules
from devplane.kinds.pods import default_spec
from devplane.schemas.types import Obj
from devplane.storage.selectors import selects

UID_LABELS = ("controller-uid", "batch.kubernetes.io/controller-uid")
NAME_LABELS = ("job-name", "batch.kubernetes.io/job-name")
ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
LOCKED = ("completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy")
SCHEDULING = ("nodeSelector", "affinity", "tolerations", "schedulingGates")


def default(job: Obj) -> None:
    spec = job["spec"]
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = 1
    spec.setdefault("parallelism", 1)
    spec.setdefault("backoffLimit", 2**31 - 1 if "backoffLimitPerIndex" in spec else 6)
    spec.setdefault("completionMode", "NonIndexed")
    spec.setdefault("suspend", False)
    spec.setdefault("manualSelector", False)
    policy = spec.get("podFailurePolicy")
    spec.setdefault("podReplacementPolicy", "Failed" if policy else "TerminatingOrFailed")
    for rule in (policy or {}).get("rules") or ():
        for pattern in rule.get("onPodConditions") or ():
            pattern.setdefault("status", "True")
    default_spec(spec["template"]["spec"])


def default_cron(cron: Obj) -> None:
    spec = cron["spec"]
    spec.setdefault("concurrencyPolicy", "Allow")
    spec.setdefault("suspend", False)
    spec.setdefault("successfulJobsHistoryLimit", 3)
    spec.setdefault("failedJobsHistoryLimit", 1)
    default_spec(spec["jobTemplate"]["spec"]["template"]["spec"])


def prepare(new: Obj, old: Obj | None) -> None:
    """A new Job gets a selector of its own uid, and its pods the labels that it selects."""
    if old is not None:
        return
    new["status"] = {}
    spec = new["spec"]
    labels = spec["template"].setdefault("metadata", {}).setdefault("labels", {})
    if not spec.get("manualSelector"):
        _generate_selector(new, labels)
    if not labels:
        del spec["template"]["metadata"]["labels"]
    elif not new["metadata"].get("labels") and not metadata.labels(labels, ""):
        new["metadata"]["labels"] = dict(labels)


def _generate_selector(job: Obj, labels: Obj) -> None:
    name, uid = job["metadata"]["name"], job["metadata"]["uid"]
    for key in NAME_LABELS:
        labels.setdefault(key, name)
    for key in UID_LABELS:
        labels.setdefault(key, uid)
    selector = job["spec"].setdefault("selector", {})
    selector.setdefault("matchLabels", {})["batch.kubernetes.io/controller-uid"] = uid


def validate(new: Obj, old: Obj | None) -> list[Cause]:
    if old is not None:
        return [*_numbers(new["spec"]), *_updates(new["spec"], old["spec"], old)]
    spec = new["spec"]
    labels = (spec["template"].get("metadata") or {}).get("labels") or {}
    found = [*_selector(new), *validate_spec(spec, "spec")]
    if "selector" in spec and not selects(spec["selector"] or {}, labels):
        found.append(rules.invalid_go("spec.template.metadata.labels", rules.go_strings(labels), rules.MISMATCH))
    return [*found, *_pod_names(new)]


def _selector(job: Obj) -> Iterator[Cause]:
    spec = job["spec"]
    selector = spec.get("selector")
    if spec.get("manualSelector"):
        if not selector:
            yield Cause.required("spec.selector")
        return
    expected = {"batch.kubernetes.io/controller-uid": job["metadata"]["uid"]}
    if selector and selector != {"matchLabels": expected}:
        yield rules.invalid_go("spec.selector", rules.go_selector(selector), "`selector` not auto-generated")


def _pod_names(job: Obj) -> Iterator[Cause]:
    """An indexed Job's pods get host names from its name and the highest index."""
    spec, name = job["spec"], job["metadata"]["name"]
    if spec.get("completionMode") != "Indexed" or not spec.get("completions"):
        return
    longest = f"{name}-{spec['completions'] - 1}"
    if metadata.label(longest):
        yield Cause.invalid("metadata.name", name, f"will not able to create pod with invalid DNS label: {longest}")


def validate_spec(spec: Obj, path: str) -> list[Cause]:
    """Causes in a JobSpec, but for its selector."""
    found = [*_numbers(spec, path), *_mode(spec, path)]
    if policy := spec.get("podFailurePolicy"):
        found += _failure_policy(policy, spec, f"{path}.podFailurePolicy")
    if policy := spec.get("successPolicy"):
        found += _success_policy(policy, spec, f"{path}.successPolicy")
    found += rules.one_of(
        spec.get("podReplacementPolicy"), ("Failed", "TerminatingOrFailed"), f"{path}.podReplacementPolicy"
    )
    found += podspec.template(spec["template"], f"{path}.template")
    return [*found, *_restart(spec, f"{path}.template.spec.restartPolicy")]


def _numbers(spec: Obj, path: str = "spec") -> Iterator[Cause]:
    fields = (
        "parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished",
        "backoffLimitPerIndex", "maxFailedIndexes",
    )  # fmt: skip
    for field in fields:
        yield from rules.not_negative(spec.get(field), f"{path}.{field}")


def _mode(spec: Obj, path: str) -> Iterator[Cause]:
    mode = spec.get("completionMode")
    yield from rules.one_of(mode, ("NonIndexed", "Indexed"), f"{path}.completionMode")
    if mode == "Indexed":
        if "completions" not in spec:
            yield Cause.required(f"{path}.completions", "when completion mode is Indexed")
        if spec.get("parallelism", 0) > 100_000:
            detail = "must be less than or equal to 100000 when completionMode is Indexed"
            yield Cause.invalid(f"{path}.parallelism", spec["parallelism"], detail)
    elif "backoffLimitPerIndex" in spec:
        detail = "requires indexed completion mode"
        yield Cause.invalid(f"{path}.backoffLimitPerIndex", spec["backoffLimitPerIndex"], detail)
    if "maxFailedIndexes" in spec and "backoffLimitPerIndex" not in spec:
        yield Cause.required(f"{path}.backoffLimitPerIndex", "when maxFailedIndexes is specified")


def _restart(spec: Obj, path: str) -> Iterator[Cause]:
    policy = spec["template"]["spec"].get("restartPolicy") or "Always"
    if policy == "Always":
        yield Cause.required(path, 'valid values: "OnFailure", "Never"')
    elif policy != "Never" and "podFailurePolicy" in spec:
        yield Cause.invalid(path, policy, 'only "Never" is supported when podFailurePolicy is specified')


def _failure_policy(policy: Obj, spec: Obj, path: str) -> Iterator[Cause]:
    found = policy.get("rules") or []
    if len(found) > 20:
        yield Cause("FieldValueTooMany", f"Too many: {len(found)}: must have at most 20 items", f"{path}.rules")
    template = spec["template"]["spec"]
    names = {one.get("name") for kind in ("containers", "initContainers") for one in template.get(kind) or ()}
    for at, rule in enumerate(found):
        yield from _failure_rule(rule, spec, f"{path}.rules[{at}]", names)


def _failure_rule(rule: Obj, spec: Obj, path: str, names: set[Any]) -> Iterator[Cause]:
    action = rule.get("action")
    if not action:
        yield Cause.required(f"{path}.action", 'valid values: "Count", "FailIndex", "FailJob", "Ignore"')
    elif action == "FailIndex" and "backoffLimitPerIndex" not in spec:
        yield Cause.invalid(f"{path}.action", action, "requires the backoffLimitPerIndex to be set")
    else:
        yield from rules.one_of(action, ACTIONS, f"{path}.action")
    codes, conditions = rule.get("onExitCodes"), rule.get("onPodConditions")
    if codes and conditions:
        yield _omitted(path, "specifying both OnExitCodes and OnPodConditions is not supported")
    if not codes and not conditions:
        yield _omitted(path, "specifying one of OnExitCodes and OnPodConditions is required")
    if codes:
        yield from _exit_codes(codes, f"{path}.onExitCodes", names)
    for at, pattern in enumerate(conditions or ()):
        choices = ("False", "True", "Unknown")
        yield from rules.one_of(pattern.get("status"), choices, f"{path}.onPodConditions[{at}].status")


def _omitted(path: str, detail: str) -> Cause:
    return Cause("FieldValueInvalid", f"Invalid value: {detail}", path)


def _exit_codes(codes: Obj, path: str, names: set[Any]) -> Iterator[Cause]:
    operator, values = codes.get("operator"), codes.get("values") or []
    if not operator:
        yield Cause.required(f"{path}.operator", 'valid values: "In", "NotIn"')
    else:
        yield from rules.one_of(operator, ("In", "NotIn"), f"{path}.operator")
    if codes.get("containerName") and codes["containerName"] not in names:
        detail = "must be one of the container or initContainer names in the pod template"
        yield Cause.invalid(f"{path}.containerName", codes["containerName"], detail)
    if not values:
        yield rules.invalid_go(f"{path}.values", "[]int32{}", "at least one value is required")
    for at, value in enumerate(values):
        if value == 0 and operator == "In":
            yield Cause.invalid(f"{path}.values[{at}]", value, "must not be 0 for the In operator")
        if value in values[:at]:
            yield Cause.duplicate(f"{path}.values[{at}]", value)
    if values != sorted(values):
        shown = f"[]int32{{{', '.join(str(value) for value in values)}}}"
        yield rules.invalid_go(f"{path}.values", shown, "must be ordered")


def _success_policy(policy: Obj, spec: Obj, path: str) -> Iterator[Cause]:
    if spec.get("completionMode") != "Indexed":
        yield Cause.invalid(path, spec.get("completionMode"), "requires indexed completion mode")
        return
    if not policy.get("rules"):
        yield Cause.required(
            f"{path}.rules", "at least one rules must be specified when the successPolicy is specified"
        )
    for at, rule in enumerate(policy.get("rules") or ()):
        where, count = f"{path}.rules[{at}]", rule.get("succeededCount")
        if count is None and rule.get("succeededIndexes") is None:
            yield Cause.required(where, "at least one of succeededCount or succeededIndexes must be specified")
        yield from rules.not_negative(count, f"{where}.succeededCount")
        if count is not None and count > spec.get("completions", 0):
            detail = f"must be less than or equal to {spec.get('completions', 0)} (the number of specified completions)"
            yield Cause.invalid(f"{where}.succeededCount", count, detail)


def _updates(new: Obj, old: Obj, job: Obj) -> Iterator[Cause]:
    is_elastic = new.get("completionMode") == "Indexed" and new.get("completions") == new.get("parallelism")
    if new.get("completions") != old.get("completions") and not is_elastic:
        yield Cause.invalid("spec.completions", new.get("completions"), rules.IMMUTABLE)
    if new.get("selector") != old.get("selector"):
        yield rules.invalid_go("spec.selector", rules.go_selector(new.get("selector")), rules.IMMUTABLE)
    before, after = old["template"], new["template"]
    if old.get("suspend") and not (job.get("status") or {}).get("startTime"):
        before, after = _unscheduled(before), _unscheduled(after)
    if before != after:
        yield rules.invalid_go("spec.template", rules.go_template(new["template"]), rules.IMMUTABLE)
    yield from rules.immutable(new, old, LOCKED)


def _unscheduled(template: Obj) -> Obj:
    """A template without what may change while the Job is suspended and has never started."""
    meta = {
        key: value for key, value in (template.get("metadata") or {}).items() if key not in ("labels", "annotations")
    }
    spec = {key: value for key, value in template["spec"].items() if key not in SCHEDULING}
    return {**template, "metadata": meta, "spec": spec}


def validate_cron(new: Obj, _: Obj | None) -> list[Cause]:
    spec = new["spec"]
    found = [] if spec.get("schedule") else [Cause.required("spec.schedule")]
    found += rules.one_of(spec.get("concurrencyPolicy"), ("Allow", "Forbid", "Replace"), "spec.concurrencyPolicy")
    job = spec["jobTemplate"]["spec"]
    return found + validate_spec(job, "spec.jobTemplate.spec")
