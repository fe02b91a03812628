"""The recorded stories of Jobs, told again by devplane: states in order, reasons, messages and events."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest

Obj = dict[str, Any]

DATA = Path(__file__).parents[1] / "recordings" / "08-jobs.json"
STORIES: dict[str, Obj] = {story["created"]["metadata"]["name"]: story for story in json.loads(DATA.read_text())}
UID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
SUFFIX = r"-[bcdfghjklmnpqrstvwxz2456789]{5}\b"


def job_of(name: str) -> Obj:
    """The Job as its author wrote it: what a server fills in is taken out."""
    spec = json.loads(json.dumps(STORIES[name]["created"]["spec"]))
    for key in ("selector", "manualSelector"):
        spec.pop(key, None)
    spec["template"].pop("metadata")
    if name == "susp":
        spec["suspend"] = True
    return {"metadata": {"name": name}, "spec": spec}


def plain(text: str, name: str) -> str:
    """Without what varies: generated names, uids, the namespace and the node."""
    text = re.sub(rf"\b({name}(?:-\d)?){SUFFIX}", r"\1-*", UID.sub("*", text))
    return text.replace("rec/", "default/").replace("node1", "devplane")


def job_state(status: Obj) -> Obj:
    """A Job's status without times; uids are counted. `ready` depends on the moment."""
    kept = {key: value for key, value in status.items() if key not in {"startTime", "completionTime", "ready"}}
    kept["conditions"] = [
        (c["type"], c["status"], c.get("reason"), c.get("message")) for c in status.get("conditions", ())
    ]
    kept["uncountedTerminatedPods"] = {k: len(v) for k, v in (status.get("uncountedTerminatedPods") or {}).items()}
    return kept


def told(states: list[Any]) -> list[Any]:
    """A state that repeats counts once."""
    return [state for at, state in enumerate(states) if at == 0 or state != states[at - 1]]


def job_states(statuses: list[Obj], name: str) -> list[Any]:
    return told([json.loads(plain(json.dumps(job_state(status)), name)) for status in statuses])


def pod_end(status: Obj) -> Any:
    """How a pod ends: phase, reasons of its conditions, states of its containers without times and ids."""
    conditions = [(c["type"], c["status"], c.get("reason"), c.get("message")) for c in status.get("conditions", ())]
    containers = [_container(one) for one in status.get("containerStatuses", ())]
    return status["phase"], sorted(conditions, key=str), containers


def _container(status: Obj) -> Any:
    (kind, state), *_ = status["state"].items()
    shown = {key: value for key, value in state.items() if key not in {"startedAt", "finishedAt", "containerID"}}
    return kind, shown, status["ready"], status["restartCount"], status["started"], status["lastState"]


def story_events(events: list[Obj], name: str) -> set[Any]:
    return {
        (one["type"], one["reason"], plain(one["message"], name), one["involvedObject"].get("fieldPath"))
        for one in events
        if one["involvedObject"]["kind"] != "Node"
    }


async def drive(world: Any, name: str) -> None:
    """What the recorder did besides creating the Job."""
    if name == "susp":
        await world.until(lambda: world.has("jobs.batch", name, "Suspended"))
        world.client.patch("jobs.batch", "default", name, {"spec": {"suspend": False}})
        await world.until(lambda: [pod for pod in world.pods() if pod["status"]["phase"] == "Running"])
        world.client.patch("jobs.batch", "default", name, {"spec": {"suspend": True}})
    elif name == "del":
        found = await world.until(lambda: [pod for pod in world.pods() if pod["status"]["phase"] == "Running"])
        world.client.delete("pods", "default", found[0]["metadata"]["name"])


def statuses(world: Any, name: str) -> list[Obj]:
    return [obj["status"] for resource, _, obj in world.history if resource == "jobs.batch"]


def is_told(world: Any, name: str) -> bool:
    """The same last state of the Job, and pods that are where they ended."""
    recorded = STORIES[name]
    wanted = job_states([one["status"] for one in recorded["watched jobs"]], name)[-1]
    if not statuses(world, name) or job_states(statuses(world, name)[-1:], name) != [wanted]:
        return False
    if recorded["final job"].get("code") == 404 and world.client.get("jobs.batch", "default", name) is not None:
        return False
    ends = sorted((pod_end(pod["status"]) for pod in recorded["pods"]), key=str)
    return sorted((pod_end(pod["status"]) for pod in world.pods()), key=str) == ends


# A Job is looked at a second after its pods by the recorded server, at once by devplane: whether the pod of the other
# index still ran when the Job was decided, and had to be killed, depends on that alone.
BY_CHANCE = {"idx": {"Killing"}, "succ": {"Killing"}}
SLOW = [pytest.param(name, marks=pytest.mark.slow) if name == "retry" else name for name in STORIES]


@pytest.mark.parametrize("name", SLOW)
async def test_job_goes_through_the_recorded_states(world: Any, name: str) -> None:
    recorded = STORIES[name]
    created = world.client.create("jobs.batch", "default", job_of(name))
    assert created["spec"]["podReplacementPolicy"] == recorded["created"]["spec"]["podReplacementPolicy"]
    await drive(world, name)
    try:
        await world.until(lambda: is_told(world, name))
    except TimeoutError:
        ends = sorted((pod_end(pod["status"]) for pod in recorded["pods"]), key=str)
        assert sorted((pod_end(pod["status"]) for pod in world.pods()), key=str) == ends
    wanted = job_states([one["status"] for one in recorded["watched jobs"]], name)
    assert job_states(statuses(world, name), name) == wanted
    await asyncio.sleep(0)
    told_by_chance = BY_CHANCE.get(name, set())
    mine, theirs = (story_events(events, name) for events in (world.events(), recorded["events"]))
    assert {one for one in mine ^ theirs if one[1] not in told_by_chance} == set()
