"""Jobs and CronJobs: defaults, the generated selector, validation and what may change. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from devplane.errors import Cause
from devplane.kinds import metadata, podspec, rules, schedules
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
    labels = (spec["template"].get("metadata") or {}).get("labels")
    if labels and not job["metadata"].get("labels"):
        job["metadata"]["labels"] = labels  # the very same: what is generated for pods is the job's too
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
    elif new["metadata"].get("labels") is labels:
        new["metadata"]["labels"] = dict(labels)
    elif not new["metadata"].get("labels") and not metadata.labels(labels, ""):
        new["metadata"]["labels"] = dict(labels)  # as it is read back


def _generate_selector(job: Obj, labels: Obj) -> None:
    name, uid = job["metadata"]["name"], job["metadata"]["uid"]
    for key in NAME_LABELS:
        labels.setdefault(key, name)
    for key in UID_LABELS:
        labels.setdefault(key, uid)
    selector = job["spec"].setdefault("selector", {})
    selector.setdefault("matchLabels", {})["batch.kubernetes.io/controller-uid"] = uid


def validate(new: Obj, old: Obj | None) -> list[Cause]:
    spec = new["spec"]
    if old is not None:
        changed = _updates(spec, old["spec"], old)
        return [*_numbers(spec), *rules.selector(spec.get("selector"), "spec.selector"), *_selected(spec), *changed]
    return [*_selector(new), *validate_spec(spec, "spec"), *_selected(spec), *_pod_names(new)]


def _selected(spec: Obj) -> Iterator[Cause]:
    """The pods of a job are those that its selector selects."""
    labels = (spec["template"].get("metadata") or {}).get("labels") or {}
    if spec.get("selector") is None:
        yield Cause.required("spec.selector")
    if spec.get("selector") is None or not selects(spec["selector"], labels):
        yield rules.invalid_go("spec.template.metadata.labels", rules.go_strings(labels), rules.MISMATCH)


def _selector(job: Obj) -> Iterator[Cause]:
    spec = job["spec"]
    selector = spec.get("selector")
    yield from rules.selector(selector, "spec.selector")
    if spec.get("manualSelector"):
        return
    labels = (spec["template"].get("metadata") or {}).get("labels") or {}
    uid, name = job["metadata"]["uid"], job["metadata"]["name"]
    expected_labels = {**dict.fromkeys(UID_LABELS, uid), **dict.fromkeys(NAME_LABELS, name)}
    for key, value in expected_labels.items():
        if labels.get(key) != value:
            shown = rules.go_strings(labels)
            yield rules.invalid_go(f"spec.template.metadata.labels[{key}]", shown, f"must be '{value}'")
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
    replacements = ("Failed",) if spec.get("podFailurePolicy") else ("Failed", "TerminatingOrFailed")
    found += rules.one_of(spec.get("podReplacementPolicy"), replacements, f"{path}.podReplacementPolicy")
    if (manager := spec.get("managedBy")) is not None:
        found += _manager(manager, f"{path}.managedBy")
    found += podspec.template(spec["template"], f"{path}.template")
    return [*found, *_restart(spec, f"{path}.template.spec.restartPolicy")]


def _manager(name: str, path: str) -> Iterator[Cause]:
    domain, slash, rest = name.partition("/")
    if not slash or not domain or not rest:
        yield Cause.invalid(path, name, 'must be a domain-prefixed path (such as "acme.io/foo")')
    else:
        yield from rules.named(domain, metadata.subdomain, path)


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
            detail = "must be less than or equal to 100000 when completion mode is Indexed"
            yield Cause.invalid(f"{path}.parallelism", spec["parallelism"], detail)
    elif "backoffLimitPerIndex" in spec:
        detail = "requires indexed completion mode"
        yield Cause.invalid(f"{path}.backoffLimitPerIndex", spec["backoffLimitPerIndex"], detail)
    if "maxFailedIndexes" in spec and spec["maxFailedIndexes"] > spec.get("completions", 2**31):
        detail = "must be less than or equal to completions"
        yield Cause.invalid(f"{path}.maxFailedIndexes", spec["maxFailedIndexes"], detail)
    if "maxFailedIndexes" in spec and "backoffLimitPerIndex" not in spec:
        yield Cause.required(f"{path}.backoffLimitPerIndex", "when maxFailedIndexes is specified")


def _restart(spec: Obj, path: str) -> Iterator[Cause]:
    policy = spec["template"]["spec"].get("restartPolicy") or "Always"
    if policy == "Always":
        yield Cause.required(path, 'valid values: "OnFailure", "Never"')
    elif policy not in podspec.RESTART:
        yield Cause.unsupported(path, policy, ("OnFailure", "Never"))
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
        yield from metadata.label_key(pattern.get("type", ""), f"{path}.onPodConditions[{at}].type")
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
        yield rules.invalid_go(path, "batch.SuccessPolicy{}", "requires indexed completion mode")
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
        if rule.get("succeededIndexes") is not None:
            yield from _succeeded(rule, spec.get("completions", 0), where)


def _succeeded(rule: Obj, completions: int, path: str) -> Iterator[Cause]:
    """Indexes as ``0,2-4``, ascending and below the completions."""
    text, total, last = rule["succeededIndexes"], 0, -1
    for span in text.split(",") if text else ():
        for number in (ends := span.split("-")):
            problem = ""
            if not number.isdigit():
                problem = f'cannot convert string to integer for index: "{number}"'
            elif int(number) >= completions:
                problem = f'too large index: "{number}"'
            if problem:
                yield Cause.invalid(f"{path}.succeededIndexes", text, f"error parsing succeededIndexes: {problem}")
                return
        if len(ends) > 2 or int(ends[0]) <= last or int(ends[-1]) < int(ends[0]):
            detail = f"error parsing succeededIndexes: non-increasing order, previous: {last}, current: {ends[0]}"
            yield Cause.invalid(f"{path}.succeededIndexes", text, detail)
            return
        total, last = total + int(ends[-1]) - int(ends[0]) + 1, int(ends[-1])
    count = rule.get("succeededCount")
    if count is not None and count > total:
        detail = (
            f"must be less than or equal to {total} (the number of indexes in the specified succeededIndexes field)"
        )
        yield Cause.invalid(f"{path}.succeededCount", count, detail)


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
    spec, name = new["spec"], new["metadata"].get("name") or ""
    found = [] if len(name) <= 52 else [Cause.invalid("metadata.name", name, "must be no more than 52 characters")]
    found += schedules.schedule(spec.get("schedule") or "", "spec.schedule")
    found += schedules.time_zone(spec.get("timeZone"), "spec.timeZone")
    for field in ("startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
        found += rules.not_negative(spec.get(field), f"spec.{field}")
    found += rules.one_of(spec.get("concurrencyPolicy"), ("Allow", "Forbid", "Replace"), "spec.concurrencyPolicy")
    job, path = spec["jobTemplate"]["spec"], "spec.jobTemplate.spec"
    found += validate_spec(job, path)
    if job.get("selector") is not None:
        shown, detail = rules.go_selector(job["selector"]), "`selector` will be auto-generated"
        found.append(rules.invalid_go(f"{path}.selector", shown, detail))
    if job.get("manualSelector"):
        found.append(Cause.unsupported(f"{path}.manualSelector", True, ("nil", "false")))
    return found
