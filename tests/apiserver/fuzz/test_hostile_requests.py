"""Requests around the body: paths, queries, selectors, continue tokens, headers, and bytes that are no HTTP."""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import strategies as st

from apiserver.fuzz.budget import SIZES, explore
from apiserver.fuzz.mutations import damaged, encoded
from apiserver.fuzz.verdict import judged
from apiserver.fuzz.wire import APPLY, JSON, JSON_PATCH, MERGE, PROTOBUF, STRATEGIC, YAML, Wire
from apiserver.fuzz.worlds import ASKED, GROUP, SPACE, STORED, UNSTORED

MAPS = f"{SPACE}/configmaps"
MEBIBYTE = 1 << 20
KINDS = (JSON, YAML, PROTOBUF, JSON_PATCH, MERGE, STRATEGIC, APPLY)

WORDS = st.sampled_from([
    "", "0", "1", "-1", "true", "false", "All", "None", "abc", "1e3", "٣", "²", "1_000", " 1",
    "99999999999999999999", "0x1",
    "Strict", "Exact", "NotOlderThan", "Foreground", "a=b", "a in (b,c)", "!a", "a>1", "a>٣", "metadata.name=one",
    ",", "\x00",
    "é", "💥", "a" * 300, "%", "../..", "NaN", "inf", "-inf", "1.5", "\n", "a=b\\", "spec.mode=auto", "metadata.name!=",
]) | st.text(max_size=6)  # fmt: skip
OPTIONS = (
    "watch", "limit", "continue", "resourceVersion", "resourceVersionMatch", "labelSelector", "fieldSelector", "dryRun",
    "fieldManager", "fieldValidation", "force", "gracePeriodSeconds", "propagationPolicy", "orphanDependents", "pretty",
    "includeObject", "allowWatchBookmarks", "sendInitialEvents", "container", "tailLines", "hash", "💥", "",
)  # fmt: skip
SEGMENTS = st.sampled_from([
    "api", "apis", "v1", "namespaces", "default", "configmaps", "one", "status", "scale", "pods", "exec", "attach",
    "log",
    "portforward", "apps", "deployments", GROUP, "things", "nodes", "none", "finalize", "token", "bindings",
    "openapi", "v3",
    "v2", "version", "watch", "proxy", "", ".", "..", "%2F", "%00", "%0a", "a" * 300, "💥", "*", "events",
    "healthz", "devplane",
]) | st.text(max_size=5)  # fmt: skip
METHODS = st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "LINK"])
PATHS = st.sampled_from(sorted({*STORED, *UNSTORED, *ASKED, "/api", "/apis", "/openapi/v3", "/version"}))


def bounded(query: dict[str, str]) -> dict[str, str]:
    """A watch ends at once, and a client that waits for nothing waits not."""
    return {**query, "timeoutSeconds": "1"} if "watch" in query else query


@SIZES
def test_any_query_is_answered(wire: Wire, size: int) -> None:
    def check(path: str, name: str, method: str, query: dict[str, str]) -> None:
        asked = {"dryRun": "All", **query} if method != "GET" else {**query, "watch": "false"}
        body = encoded(STORED[path]) if method in ("POST", "PUT") else b"{}" if method == "PATCH" else None
        headers = {"Content-Type": MERGE if method == "PATCH" else JSON}
        judged(wire.send(method, f"{path}{name}?{urlencode(asked)}", body, headers))

    harmless = [option for option in OPTIONS if option not in ("watch", "dryRun")]
    queries = st.dictionaries(st.sampled_from(harmless), WORDS, max_size=4)
    methods = st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE"])
    names = st.sampled_from(["", "/one", "/one/status", "/one/scale"])
    explore(check, 80, size, path=st.sampled_from(sorted(STORED)), name=names, method=methods, query=queries)


@pytest.mark.parametrize("option", ["dryRun", "timeoutSeconds"])
@pytest.mark.parametrize("word", ["", "0", "-1", "abc", "1e400", "nan", "inf", "٣", "1.5", "All", "None", "\x00"])
def test_an_odd_option_is_taken_or_refused(wire: Wire, option: str, word: str) -> None:
    """Those of which some values last: a watch without an end, and a write that is one."""
    where = f"{MAPS}?{urlencode({option: word})}"
    if option == "dryRun" and word not in ("", "All"):
        assert judged(wire.send("POST", where, encoded(STORED[MAPS]))).code == 422
    elif option == "timeoutSeconds":
        judged(wire.ask("GET", f"{where}&resourceVersion=0"))
        refused = word not in ("", "0", "٣")
        if refused and word not in ("-1", "1e400", "inf", "1.5"):
            assert judged(wire.ask("GET", f"{where}&watch=true")).code == 400


@SIZES
def test_any_selector_is_taken_or_refused(wire: Wire, size: int) -> None:
    pieces = st.sampled_from([
        "a", "app", "one", "=", "==", "!=", "!", " in ", " notin ", "(", ")", ",", ">", "<", " ", "\\", "metadata.name",
        "spec.mode", "metadata.namespace", "in", "notin", "é", "💥", "\x00", "1", "-1", "٣", "²", "exists", '"', "spec",
        "a" * 70, "a/b", "a/b/c", "\t", "\n",
    ])  # fmt: skip
    texts = st.lists(pieces, max_size=8).map("".join) | st.text(max_size=8)

    def check(path: str, labels: str, fields: str, method: str) -> None:
        query = urlencode({"labelSelector": labels, "fieldSelector": fields, "dryRun": "All"})
        judged(wire.ask(method, f"{path}?{query}"))

    paths = st.sampled_from(sorted(STORED))
    explore(check, 80, size, path=paths, labels=texts, fields=texts, method=st.sampled_from(["GET", "DELETE"]))


@SIZES
def test_any_continue_token_is_taken_or_refused(wire: Wire, size: int) -> None:
    for name in ("page-a", "page-b"):
        wire.ask("POST", MAPS, {"metadata": {"name": name}})
    real = judged(wire.ask("GET", MAPS, limit=1)).body["metadata"]["continue"].encode()

    def check(token: bytes) -> None:
        answer = judged(wire.ask("GET", f"{MAPS}?limit=1&continue={quote(token)}"))
        assert answer.code in (200, 400, 410), answer

    words = st.sampled_from([None, 0, -1, 1, 1.5, 2**70, "x", "", "1", [], {}, "a/b/c", "\x00", True, "meta.k8s.io/v1"])
    contents = st.dictionaries(st.sampled_from(["v", "rv", "start"]), words) | words
    tokens = contents.map(lambda one: base64.urlsafe_b64encode(json.dumps(one).encode()))
    explore(check, 80, size, token=damaged(st.just(real)) | tokens | st.binary(max_size=20))


@SIZES
def test_any_path_is_answered(wire: Wire, size: int) -> None:
    def check(method: str, segments: list[str], query: dict[str, str]) -> None:
        path = "/" + "/".join(quote(one, safe="%") for one in segments)
        words = urlencode(bounded({**query, "dryRun": "All"}))
        body = b"{}" if method in ("POST", "PUT", "PATCH") else None
        judged(wire.send(method, f"{path}?{words}", body, {"Content-Type": JSON}))

    queries = st.dictionaries(st.sampled_from(OPTIONS), WORDS, max_size=2)
    odd = st.lists(SEGMENTS, max_size=7)
    real = PATHS.flatmap(lambda path: st.lists(SEGMENTS, max_size=3).map(lambda more: [*path.split("/")[1:], *more]))
    explore(check, 100, size, method=METHODS, segments=odd | real, query=queries)


HEADERS = (
    "Accept", "Content-Type", "Authorization", "User-Agent", "Host", "Origin", "Content-Encoding", "Accept-Encoding",
    "Impersonate-User", "Impersonate-Group", "Impersonate-Uid", "Impersonate-Extra-a", "Expect", "Upgrade",
    "Connection",
    "If-Match", "Range", "X-Http-Method-Override", "Sec-WebSocket-Protocol", "Sec-WebSocket-Key", "Cookie",
)  # fmt: skip
MARKS = st.sampled_from([
    "application/json", "application/yaml", "text/html", "*/*", ";", ",", "=", "q=", "as=Table", "v=v1", "v=v1beta1",
    "g=meta.k8s.io", "g=apidiscovery.k8s.io", "v=v2", "as=APIGroupDiscoveryList", "as=PartialObjectMetadata",
    "as=PartialObjectMetadataList", "charset=utf-16",
    "Bearer", "Basic", " ", "gzip", "deflate", "br", "identity", "chunked", "\t", "é", "ÿ", "a" * 500, "one",
    "system:masters",
    "system:serviceaccount:default:one", "system:serviceaccount:", ":", "application/vnd.kubernetes.protobuf",
    "websocket",
    "100-continue", "v5.channel.k8s.io", "127.0.0.1", "evil.example", "[::1", "null", "/", '"', "e30.e30.e30", ".",
])  # fmt: skip


@SIZES
def test_any_header_is_taken_or_refused(wire: Wire, size: int) -> None:
    def check(method: str, path: str, headers: dict[str, str]) -> None:
        body = b'{"metadata": {"name": "x"}}' if method in ("POST", "PATCH") else None
        kind = {"Content-Type": MERGE if method == "PATCH" else JSON}
        sent = {key: value.encode("latin-1") for key, value in {**kind, **headers}.items()}
        judged(wire.send(method, f"{path}?dryRun=All", body, sent))  # type: ignore[arg-type]

    texts = st.lists(MARKS, max_size=6).map("".join).map(str.strip)
    paths = st.sampled_from([MAPS, f"{MAPS}/one", "/api", "/apis", "/openapi/v3", "/version", f"{SPACE}/pods/one/exec"])
    methods = st.sampled_from(["GET", "POST", "PATCH", "DELETE"])
    explore(
        check,
        100,
        size,
        method=methods,
        path=paths,
        headers=st.dictionaries(st.sampled_from(HEADERS), texts, max_size=3),
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("opening", ["[", '{"a":', "{a: ", "- "])
def test_deep_nesting_is_refused(wire: Wire, kind: str, opening: str) -> None:
    closing = {"[": "]", '{"a":': "}", "{a: ": "}"}.get(opening, "")
    for depth in (150, 400, 3000, 200_000):
        deep = opening * depth + "1" + closing * depth
        body = f'{{"metadata": {{"name": "x"}}, "data": {{"a": {deep}}}}}'
        for text in (deep, body):
            method, path = ("POST", MAPS) if kind in (JSON, YAML, PROTOBUF) else ("PATCH", f"{MAPS}/one")
            query = "?dryRun=All&fieldManager=deep"
            answer = judged(wire.send(method, path + query, text.encode(), {"Content-Type": kind}))
            assert answer.code in (400, 413, 415, 422) or depth < 200, (depth, answer)


def test_a_nesting_that_a_free_field_allows_is_stored_and_read(wire: Wire) -> None:
    things = f"/apis/{GROUP}/v1/namespaces/default/things"
    deep: Any = 1
    for _ in range(60):
        deep = {"a": [deep]}
    assert judged(wire.ask("POST", things, {"metadata": {"name": "deep"}, "spec": {"any": deep}})).code == 201
    assert judged(wire.ask("GET", f"{things}/deep")).body["spec"]["any"] == deep
    assert judged(wire.ask("PATCH", f"{things}/deep", {"spec": {"any": None}}, MERGE)).code == 200
    assert judged(wire.ask("DELETE", f"{things}/deep")).code == 200


@pytest.mark.parametrize("kind", KINDS)
def test_a_huge_body_is_refused(wire: Wire, kind: str) -> None:
    method, path = ("POST", MAPS) if kind in (JSON, YAML, PROTOBUF) else ("PATCH", f"{MAPS}/one")
    for data in (b" " * (9 * MEBIBYTE), b"[" + b"1," * (4 * MEBIBYTE) + b"1]"):
        answer = judged(wire.send(method, f"{path}?fieldManager=huge", data, {"Content-Type": kind}))
        assert answer.code in (400, 413, 415), answer


@pytest.mark.parametrize("kind", [JSON, YAML, MERGE, APPLY])
@pytest.mark.parametrize(
    "text", [b"\xff\xfe{}", b'{"a": "\xff"}', b'{"\xc0\x80": 1}', b'{"a": "\\ud800"}', b"\xef\xbb\xbf{}"]
)
def test_text_that_is_not_utf_8_is_refused(wire: Wire, kind: str, text: bytes) -> None:
    method, path = ("POST", MAPS) if kind in (JSON, YAML) else ("PATCH", f"{MAPS}/one")
    answer = judged(wire.send(method, f"{path}?fieldManager=bytes&dryRun=All", text, {"Content-Type": kind}))
    assert answer.code in (400, 415, 422, 200), answer


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "x"])
def test_a_compressed_body_is_read_or_refused(wire: Wire, encoding: str) -> None:
    text = encoded({"metadata": {"name": "packed"}})
    bomb = gzip.compress(b" " * (64 * MEBIBYTE))
    for data in (text, gzip.compress(text), gzip.compress(text)[:-9], zlib.compress(text), bomb, b""):
        headers = {"Content-Type": JSON, "Content-Encoding": encoding}
        answer = wire.send("POST", f"{MAPS}?dryRun=All", data, headers)
        assert answer.code in (201, 400, 413, 415), answer
        assert encoding in ("br", "zstd") or judged(answer)  # those the HTTP library refuses in words of its own


@pytest.mark.parametrize(
    "text",
    [
        b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"\x00" * 100,
        b"GET / HTTP/1.1\r\nHost\r\n\r\n",
        b"GET " + b"/a" * 60_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nA: " + b"a" * 200_000 + b"\r\n\r\n",
        b"POST /api HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /api HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /api HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
        b"GET http://[::1 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET //api//v1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"GET /api/v1?%zz=\xff\xfe HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"GET * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"CONNECT a:1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)  # fmt: skip
def test_bytes_that_are_hardly_http_end_in_a_refusal(wire: Wire, text: bytes) -> None:
    """As Go's server does, it may refuse what is no HTTP in words of its own, or close the connection."""
    answer = wire.bytes(text + b"\r\n\r\n")
    assert answer == b"" or 400 <= int(answer[:3]) < 500, answer[:300]
