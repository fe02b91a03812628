"""One pass over a FineTuneJob: observe, decide, save what changed, or act on what is saved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from tunebird.finetune.decide import SLOW_SECONDS, decide
from tunebird.finetune.manifests import Run, batch_job, config_map, config_name, rendezvous_service
from tunebird.finetune.observe import Reports, Sources, View, observe
from tunebird.finetune.reasons import why_rejected
from tunebird.finetune.settings import FineTuneJobSettings
from tunebird.finetune.state import Decision, Happening, Start, Stop
from tunebird.finetune.status import status
from tunebird.kube.children import Children
from tunebird.kube.client import Event, KubeApi
from tunebird.kube.errors import Conflict, Rejected
from tunebird.kube.meta import CONFIG_MAP, JOB, SERVICE, Key, Kind, Manifest, Ref, owned_by
from tunebird.kube.requeue import Requeue


@dataclass(frozen=True, slots=True, kw_only=True)
class FineTuneJobs:
    """The reconciler of FineTuneJobs. Raises `KubeError`s, which the loop answers."""

    api: KubeApi
    children: Children
    reports: Reports
    settings: FineTuneJobSettings
    clock: Callable[[], datetime]

    async def reconcile(self, key: Key) -> Requeue:
        """One pass; a pass over an unchanged world writes nothing."""
        view = await observe(Sources(self.api, self.children, self.reports, self.settings), key, self.clock())
        if view is None:
            return Requeue.never()
        decision = decide(view.seen)
        if await self._saved(view, decision):
            return Requeue.now()
        try:
            await self._apply(view, decision)
        except Rejected as rejected:
            return await self._rejected(view, rejected)
        return Requeue.never() if decision.recheck is None else Requeue.after(decision.recheck)

    async def _saved(self, view: View, decision: Decision) -> bool:
        """Save the status if it says anything new, then post the events."""
        before = view.manifest.get("status") or {}
        after = status(before, view.seen, decision.record, view.plan)
        if after == before:
            return False
        saved = await self.api.replace_status({**view.manifest, "status": after})
        for happening in decision.events:
            await self.api.post(_event(saved, happening))
        return True

    async def _apply(self, view: View, decision: Decision) -> None:
        namespace = view.manifest["metadata"]["namespace"]
        for action in decision.actions:
            match action:
                case Start(attempt):
                    await self._start(view, attempt)
                case Stop(name, uid):
                    await self.api.delete(Ref(JOB, namespace, name), uid=uid)
                    config = config_name(name, view.manifest["metadata"]["uid"])
                    await self.api.delete(Ref(CONFIG_MAP, namespace, config))
                    if view.seen.nodes > 1:
                        await self.api.delete(Ref(SERVICE, namespace, name))

    async def _start(self, view: View, attempt: int) -> None:
        """Create what the pods need, then the Job; what a pass that was cut off has left is kept."""
        assert view.job is not None  # a decision to start is made for a plan only
        assert view.plan is not None
        run = Run(view.job, view.plan, attempt, self.settings, view.seen.record.references)
        if not await self._made(CONFIG_MAP, config_map(run), view.job.metadata.uid):
            return  # of a job that went before: the garbage collector takes it away
        if run.several and not await self._made(SERVICE, rendezvous_service(run), view.job.metadata.uid):
            return
        await self.api.create(batch_job(run))

    async def _made(self, kind: Kind, body: Manifest, owner_uid: str) -> bool:
        """Whether the child is there and ours."""
        try:
            await self.api.create(body)
        except Conflict:
            metadata = body["metadata"]
            found = await self.api.get(Ref(kind, metadata["namespace"], metadata["name"]))
            return found is not None and owned_by(found, owner_uid)
        return True

    async def _rejected(self, view: View, rejected: Rejected) -> Requeue:
        seen = replace(view.seen, rejected=why_rejected(str(rejected)))
        await self._saved(view, decide(seen))
        return Requeue.after(SLOW_SECONDS)


def _event(about: Manifest, happening: Happening) -> Event:
    return Event(about, happening.reason, happening.message, "Warning" if happening.warning else "Normal")
