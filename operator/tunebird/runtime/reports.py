"""Where trainers tell how far they are. They are believed only for the job whose pod they run in; kept in memory."""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any

from aiohttp import web
from pydantic import ValidationError

from tunebird.api.reports import Report
from tunebird.kube.client import KubeApi, Reviewed
from tunebird.kube.conditions import timestamp
from tunebird.kube.errors import KubeError
from tunebird.kube.meta import ATTEMPT, FINETUNEJOB, JOB, MANAGED_BY, OWNER_UID, POD, Manifest
from tunebird.runtime.cache import ChildrenCache
from tunebird.runtime.telemetry import Telemetry

AUDIENCE = "tunebird.dev/report"
PATH = "/v1alpha1/namespaces/{namespace}/finetunejobs/{name}/status"

BODY_LIMIT = 64 * 1024
TOKEN_LIMIT = 16 * 1024
REVIEWED_SECONDS = 60.0
REVIEWED_LIMIT = 4096
WAKE_SECONDS = 2.0
BURST = 10.0
PER_SECOND = 2.0


class Refused(Exception):  # noqa: N818  an answer
    """Not accepted; the trainer goes on regardless."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Pod:
    """The pod that a report came from, as its labels have it."""

    job_uid: str
    attempt: int


@dataclass(slots=True)
class _Job:
    """What is kept of a job that reports."""

    tokens: float
    filled_at: float
    newest: Report | None = None
    woken_at: float = -math.inf
    waking: asyncio.TimerHandle | None = None


class ReportStore:
    """The newest report of each job, and who is woken by it. At most one wake-up in `WAKE_SECONDS` for a job."""

    def __init__(self, wake: Callable[[str], None]) -> None:
        self._wake = wake
        self._jobs: dict[str, _Job] = {}

    def latest(self, job_uid: str, attempt: int) -> Report | None:
        """The newest report of this attempt, if there is one."""
        job = self._jobs.get(job_uid)
        newest = job.newest if job else None
        return newest if newest is not None and newest.attempt == attempt else None

    def spend(self, job_uid: str) -> bool:
        """Take one from the job's token bucket; False when it is empty."""
        now = _now()
        job = self._jobs.setdefault(job_uid, _Job(tokens=BURST, filled_at=now))
        job.tokens = min(BURST, job.tokens + (now - job.filled_at) * PER_SECOND)
        job.filled_at = now
        if job.tokens < 1:
            return False
        job.tokens -= 1
        return True

    def keep(self, job_uid: str, report: Report) -> None:
        """Keep it if no newer attempt has reported, and wake the job's loop soon."""
        job = self._jobs.setdefault(job_uid, _Job(tokens=BURST, filled_at=_now()))
        if job.newest is not None and report.attempt < job.newest.attempt:
            raise Refused(HTTPStatus.CONFLICT, f"attempt {job.newest.attempt} has taken over from {report.attempt}")
        job.newest = report
        if job.waking is None:
            delay = max(0.0, job.woken_at + WAKE_SECONDS - _now())
            job.waking = asyncio.get_running_loop().call_later(delay, self._woken, job_uid, job)

    def forget(self, job_uid: str) -> None:
        """The job is finished or gone."""
        job = self._jobs.pop(job_uid, None)
        if job is not None and job.waking is not None:
            job.waking.cancel()

    def _woken(self, job_uid: str, job: _Job) -> None:
        job.waking, job.woken_at = None, _now()
        self._wake(job_uid)


class Tokens:
    """TokenReviews, remembered for a minute by the token's hash."""

    def __init__(self, api: KubeApi) -> None:
        self._api = api
        self._known: dict[bytes, tuple[float, Reviewed | None]] = {}

    async def review(self, token: str) -> Reviewed | None:
        """Who this is; None for nobody that the API server knows."""
        key = hashlib.sha256(token.encode()).digest()
        until, reviewed = self._known.get(key, (-math.inf, None))
        if until > _now():
            return reviewed
        reviewed = await self._api.review(token, AUDIENCE)
        if len(self._known) >= REVIEWED_LIMIT:
            self._known.clear()
        self._known[key] = (_now() + REVIEWED_SECONDS, reviewed)
        return reviewed


@dataclass(frozen=True, slots=True)
class ReportEndpoint:
    """The HTTP side: 200, 401, 403, 409, 413, 422, 429, or 503 when the API server can't say who is asking."""

    tokens: Tokens
    children: ChildrenCache
    store: ReportStore
    clock: Callable[[], datetime]
    telemetry: Telemetry

    def application(self) -> web.Application:
        """The aiohttp application to serve."""
        application = web.Application(client_max_size=BODY_LIMIT)
        application.router.add_post(PATH, self.handle)
        return application

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one report."""
        try:
            await self._accept(request)
        except Refused as refused:
            status, message = refused.status, str(refused)
        except KubeError as error:
            status, message = HTTPStatus.SERVICE_UNAVAILABLE, f"the API server cannot say whose token this is: {error}"
        else:
            status, message = HTTPStatus.OK, "accepted"
        self.telemetry.reports.labels(str(status.value)).inc()
        return web.json_response({"message": message}, status=status)

    async def _accept(self, request: web.Request) -> None:
        reviewed = await self.tokens.review(_bearer(request.headers)) or _nobody()
        pod = self._pod(reviewed, request.match_info["namespace"], request.match_info["name"])
        if not self.store.spend(pod.job_uid):
            raise Refused(HTTPStatus.TOO_MANY_REQUESTS, f"more than {PER_SECOND:g} reports a second")
        report = _report(await _body(request))
        self._check_attempt(pod, report)
        self.store.keep(pod.job_uid, _stamped(report, self.clock()))

    def _pod(self, reviewed: Reviewed, namespace: str, name: str) -> Pod:
        """The job's pod that holds the token; a pod of another job, or none, may not report."""
        manifest = self.children.by_uid(POD, reviewed.pod_uid) if reviewed.pod_uid else None
        if manifest is None or reviewed.namespace != namespace or not _is_trainer_of(manifest, namespace, name):
            raise Refused(HTTPStatus.FORBIDDEN, f"the token is not of a pod of finetunejob {namespace}/{name}")
        labels = manifest["metadata"]["labels"]
        return Pod(labels[OWNER_UID], int(labels[ATTEMPT]))

    def _check_attempt(self, pod: Pod, report: Report) -> None:
        newest = max((_attempt(job) for job in self.children.of(pod.job_uid, JOB)), default=0)
        if pod.attempt < newest:
            raise Refused(HTTPStatus.CONFLICT, f"attempt {newest} has taken over from {pod.attempt}")
        if report.attempt != pod.attempt:
            raise Refused(HTTPStatus.FORBIDDEN, f"this pod is attempt {pod.attempt}, the report is of {report.attempt}")


def _is_trainer_of(pod: Manifest, namespace: str, name: str) -> bool:
    metadata = pod["metadata"]
    labels: Mapping[str, str] = metadata.get("labels") or {}
    ours = labels.get(MANAGED_BY) == "tunebird" and labels.get(FINETUNEJOB) == name
    return ours and metadata["namespace"] == namespace and bool(labels.get(OWNER_UID)) and _attempt(pod) > 0


def _attempt(manifest: Manifest) -> int:
    told = str((manifest["metadata"].get("labels") or {}).get(ATTEMPT, ""))
    return int(told) if told.isdecimal() else 0


def _bearer(headers: Mapping[str, str]) -> str:
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip() or len(token) > TOKEN_LIMIT:
        raise Refused(HTTPStatus.UNAUTHORIZED, "a bearer token is needed")
    return token.strip()


def _nobody() -> Reviewed:
    raise Refused(HTTPStatus.UNAUTHORIZED, f"the token is not valid for audience {AUDIENCE}")


async def _body(request: web.Request) -> bytes:
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a report has at most {BODY_LIMIT} bytes") from error


def _report(body: bytes) -> Report:
    try:
        report = Report.model_validate_json(body)
    except ValidationError as error:
        raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, _told(error.errors(include_input=False))) from error
    for metric in report.trainer_status.metrics:
        if not _is_finite(metric.value):
            raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, f"metric {metric.name}: {metric.value} is no finite number")
    return report


def _is_finite(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _told(errors: list[Any]) -> str:
    return "; ".join(f"{'.'.join(str(part) for part in error['loc'])}: {error['msg']}" for error in errors[:10])


def _stamped(report: Report, now: datetime) -> Report:
    """The time is the server's: a node's clock may be off."""
    status = report.trainer_status.model_copy(update={"last_updated_time": timestamp(now)})
    return report.model_copy(update={"trainer_status": status})


def _now() -> float:
    return asyncio.get_running_loop().time()
