"""One pass over a ModelRollout: observe, decide, save, act. Nothing is decided here."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from tunebird.kube.children import Children
from tunebird.kube.client import Event, KubeApi
from tunebird.kube.meta import MODEL_ROLLOUT, Key, Manifest, Ref
from tunebird.kube.requeue import Requeue
from tunebird.metrics.provider import Providers
from tunebird.rollout.apply import Applier
from tunebird.rollout.decide import Decision, decide
from tunebird.rollout.observe import Observer, World
from tunebird.rollout.resolve import InvalidSpec
from tunebird.rollout.settings import ModelRolloutSettings
from tunebird.rollout.status import invalid, refused_while_invalid, status
from tunebird.rollout.turn import Observed
from tunebird.rollout.verbs import ignored


class ModelRollouts:
    """The reconciler of ModelRollouts."""

    def __init__(
        self, *, api: KubeApi, children: Children, providers: Providers, settings: ModelRolloutSettings,
        clock: Callable[[], datetime],
    ) -> None:  # fmt: skip
        self._api = api
        self._clock = clock
        self._observer = Observer(api, children, providers, settings)
        self._applier = Applier(api)

    async def reconcile(self, key: Key) -> Requeue:
        """Bring one rollout a step further; act only on what is saved."""
        owner = await self._api.get(Ref(MODEL_ROLLOUT, key.namespace, key.name))
        if owner is None or owner["metadata"]["uid"] != key.uid or owner["metadata"].get("deletionTimestamp"):
            return Requeue.never()
        now = self._clock()
        try:
            seen, world = await self._observer.observed(owner, now)
        except InvalidSpec as error:
            await self._stall(owner, error, now)
            return Requeue.never()
        decision = decide(seen)
        await self._retreat(owner, seen, decision, world)
        if await self._saved(owner, status(owner, seen, decision)):
            await self._tell(owner, decision)
            return Requeue.now()
        await self._applier.apply(owner, seen, decision, world)
        return Requeue.after(decision.recheck_seconds)

    async def _stall(self, owner: Manifest, error: InvalidSpec, now: datetime) -> None:
        """Say what is wrong, once, and answer the verbs that nothing can obey now."""
        wanted = invalid(owner, error.problems, now)
        if not await self._saved(owner, wanted):
            return
        if _without_verbs(owner.get("status") or {}) != _without_verbs(wanted):
            await self._api.post(Event(owner, "InvalidSpec", "; ".join(error.problems), "Warning"))
        for verb in refused_while_invalid(owner, now):
            await self._api.post(Event(owner, "VerbIgnored", ignored(verb), "Warning"))

    async def _retreat(self, owner: Manifest, seen: Observed, decision: Decision, world: World) -> None:
        """Taking all traffic from the canary never waits for a status write, which may fail."""
        progress, stable = decision.progress, decision.progress.stable
        shares = seen.route.shares if seen.route else None
        if stable is None or progress.canary is None or progress.weight > 0 or not shares:
            return
        if any(share for name, share in shares.items() if name != stable.name):
            await self._applier.route(owner, seen, decision, world)

    async def _saved(self, owner: Manifest, wanted: dict[str, Any]) -> bool:
        """Whether the status was written, because it is another one now."""
        if (owner.get("status") or {}) == wanted:
            return False
        await self._api.replace_status({**owner, "status": wanted})
        return True

    async def _tell(self, owner: Manifest, decision: Decision) -> None:
        for notice in decision.notices:
            await self._api.post(Event(owner, notice.reason, notice.message, notice.type))


def _without_verbs(status: Manifest) -> Manifest:
    return {name: value for name, value in status.items() if name != "consumedVerbs"}
