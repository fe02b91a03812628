"""Every kopf setting that we change, one line each, with its reason."""

from __future__ import annotations

import kopf

from tunebird.kube.meta import GROUP, MANAGED_BY
from tunebird.runtime.cache import WATCHED


def settings() -> kopf.OperatorSettings:
    """kopf as the eyes and ears of the loops, and no more."""
    ours = kopf.OperatorSettings()
    _quiet(ours)
    _watching(ours)
    _exiting(ours)
    return ours


def _quiet(ours: kopf.OperatorSettings) -> None:
    ours.posting.enabled = False  # events are posted by the reconcilers, on transitions, with counts
    ours.posting.loggers = False  # a log line is no event
    ours.peering.standalone = True  # our Lease says who acts; peering would freeze both of two
    ours.persistence.finalizer = f"{GROUP}/loop"  # one that people can attribute and strip
    ours.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=GROUP, v1=False)  # none is written
    ours.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(  # none is written: no change-detection
        prefix=GROUP, key="seen", ignored_fields=["spec", "metadata"]
    )


def _watching(ours: kopf.OperatorSettings) -> None:
    ours.watching.server_timeout = 300  # a stream that ends now and then can't stay silent for ever
    ours.watching.client_timeout = 310  # a little after the server should have ended it
    ours.watching.connect_timeout = 10  # an API server that doesn't accept is tried again soon
    ours.watching.chunk_size = 500  # no list of a whole cluster in one piece
    ours.networking.request_timeout = 30  # kopf's own calls are small
    ours.networking.connect_timeout = 5  # likewise
    ours.queueing.idle_timeout = 2.0  # a worker per object that had an event: let go of it soon
    for kind in WATCHED:  # of pods, jobs, … only our own leave the API server
        group, _, version = kind.api_version.rpartition("/")
        ours.watching.label_selectors[group, version, kind.plural] = f"{MANAGED_BY}=tunebird"


def _exiting(ours: kopf.OperatorSettings) -> None:
    ours.process.ultimate_exiting_timeout = 60  # rather dead than a zombie that holds the Lease
    ours.background.instant_exit_timeout = 0.1  # an idle loop ends within this, without a patch for polling
    ours.execution.default_backoff = 5  # a daemon that failed outside its loop is started again soon
