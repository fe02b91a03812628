"""What every answer of an API server has to be, whatever was asked."""

from __future__ import annotations

import re

from apiserver.fuzz.wire import Answer

# 500s and their like that Kubernetes gives too, by the words that it gives them with.
KUBERNETES_OWN = (
    r"resourceVersion should not be set on objects to be created",
    r"failed to create typed patch object",
    r'resourceVersion: Invalid value: ".*": strconv\.ParseUint',
    r"Timeout: Too large resource version",
    r"the kubelet is not running",
    r"failed calling webhook",
    r"requesting uid, groups or user-extra without impersonating a user",
)
PLAIN = b"404 page not found\n"


def judged(answer: Answer) -> Answer:
    """The answer itself; fails for a server error, and for a failure that is not told by a Status."""
    if answer.code < 400:
        assert answer.code in (200, 201, 202), answer
        return answer
    if answer.code == 404 and answer.raw == PLAIN:
        assert answer.kind.startswith("text/plain"), answer
        return answer
    if answer.code == 417:  # of the HTTP library, as Go's says it too
        return answer
    if answer.asked.startswith("HEAD "):
        assert answer.code < 500, answer
        return answer
    assert answer.kind == "application/json", answer
    status = answer.body
    assert (status["kind"], status["apiVersion"], status["status"]) == ("Status", "v1", "Failure"), answer
    assert status["code"] == answer.code, answer
    assert status["message"], answer
    if answer.code >= 500:
        assert any(re.search(known, status["message"], re.DOTALL) for known in KUBERNETES_OWN), answer
    else:
        assert status["reason"], answer
    return answer
