"""The composition root: both real reconcilers work with what they are given."""

from __future__ import annotations

from typing import Any

from fakes.kube import FakeChildren, FakeClock, FakeKube
from tunebird.config import Config
from tunebird.kube.meta import JOB, Key
from tunebird.kube.requeue import Requeue
from tunebird.runtime.reports import ReportStore
from tunebird.runtime.run import Parts
from tunebird.wiring import reconcilers


def parts(kube: FakeKube, **env: str) -> Parts:
    store = ReportStore(lambda _: None)
    return Parts(Config.from_env(env), kube, FakeChildren(kube), store, FakeClock())


def job() -> dict[str, Any]:
    return {
        "apiVersion": "tunebird.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": "support-bot", "namespace": "ml"},
        "spec": {
            "model": {"source": {"uri": "pvc://models/base"}},
            "datasets": [{"name": "support", "source": {"uri": "pvc://data/support.jsonl"}}],
            "method": {"objective": "sft", "tuning": "lora"},
            "output": {"storage": {"uri": "pvc://models/out"}},
        },
    }


async def test_job_gets_the_trainer_image_and_report_url_of_the_environment() -> None:
    kube = FakeKube()
    made = kube.put(job())
    key = Key("ml", "support-bot", made["metadata"]["uid"])
    env = {"TUNEBIRD_TRAINER_IMAGE": "registry/trainer:9", "TUNEBIRD_REPORT_URL": "http://operator:8082"}
    async with reconcilers(parts(kube, **env)) as ours:
        while (await ours.finetunejobs.reconcile(key)) == Requeue.now():
            pass
    (child,) = kube.all(JOB)
    (container,) = child["spec"]["template"]["spec"]["containers"]
    urls = [item["value"] for item in container["env"] if item["name"] == "TUNEBIRD_REPORT_URL"]
    assert container["image"] == "registry/trainer:9"
    assert urls == ["http://operator:8082/v1alpha1/namespaces/ml/finetunejobs/support-bot/status"]


async def test_object_that_is_gone_needs_no_more_passes() -> None:
    gone = Key("ml", "gone", "uid")
    async with reconcilers(parts(FakeKube())) as ours:
        assert await ours.finetunejobs.reconcile(gone) == Requeue.never()
        assert await ours.modelrollouts.reconcile(gone) == Requeue.never()
