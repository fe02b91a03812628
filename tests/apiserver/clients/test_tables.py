"""The tables of `kubectl get`: the row of an object of each kind, and the columns above it.

`rows.json` has the rows that Kubernetes 1.36 printed, but no ServiceAccount: a release changed its columns. ``NAME``,
``NAMESPACE`` and ``AGE`` stand for what differs from one run to the next. An object with a status is made, and the
status tried as a dry run; the others are tried as a whole.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from apiserver.clients.citing import docs, source
from apiserver.clients.raw import MERGE, PARTIAL, TABLE, Answer, Raw
from apiserver.conftest import Cluster

Obj = dict[str, Any]

PRINTERS = "pkg/printers/internalversion/printers.go"
ROWS: list[Obj] = json.loads((Path(__file__).parent / "rows.json").read_text())
SINCE = {"Age", "Created At", "Last Seen", "First Seen", "Last Schedule"}
DURATION = re.compile(r"(\d+[smhdy]){1,2}|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
LIKE_KUBERNETES = "reference/using-api/api-concepts/#receiving-resources-as-tables"


class Rows:
    """Makes objects and asks for their tables."""

    def __init__(self, raw: Raw) -> None:
        self._raw = raw
        self.name = f"shown-{raw.namespace}"

    def table(self, shown: Obj) -> Any:
        body = json.loads(json.dumps(shown["body"]).replace("NAMESPACE", self._raw.namespace))
        body["metadata"]["name"] = self.name
        path = self._path(shown)
        if "status" not in shown:
            return self._read(self._raw.ask("POST", path, body, accept=TABLE, dryRun="All"))
        self._raw.made(path, body)
        change, at = {"status": shown["status"]}, f"{path}/{self.name}/status"
        return self._read(self._raw.ask("PATCH", at, change, MERGE, accept=TABLE, dryRun="All"))

    def row(self, table: Any) -> list[Any]:
        columns = [one["name"] for one in table["columnDefinitions"]]
        return [self._plain(name, cell) for name, cell in zip(columns, table["rows"][0]["cells"], strict=True)]

    def _plain(self, column: str, cell: Any) -> Any:
        if column in SINCE and DURATION.fullmatch(cell):
            return "AGE"
        return cell.replace(self.name, "NAME") if isinstance(cell, str) else cell

    def _path(self, shown: Obj) -> str:
        group, _, plural = shown["resource"].rpartition(" ")
        if shown["scope"] == "Namespaced":
            return self._raw.at(plural, group=group)
        return f"/apis/{group}/{plural}" if group else f"/api/v1/{plural}"

    def _read(self, answer: Answer) -> Any:
        assert answer.code in (200, 201), answer.body
        assert answer.body["kind"] == "Table"
        return answer.body


def column(one: Obj) -> str:
    return f"{'+' * one['priority']}{one['name']}:{one['type']}{'/' * bool(one['format'])}{one['format']}"


@pytest.fixture
def rows(raw: Raw) -> Rows:
    return Rows(raw)


@source(PRINTERS)
@docs(LIKE_KUBERNETES)
@pytest.mark.parametrize("shown", ROWS, ids=lambda shown: shown["resource"].replace(" ", "/"))
def test_row_of_an_object_is_what_kubernetes_prints(rows: Rows, shown: Obj) -> None:
    table = rows.table(shown)
    assert [column(one) for one in table["columnDefinitions"]] == shown["columns"]
    assert rows.row(table) == shown["row"]


@docs("reference/kubectl/#output-options")
def test_wide_output_has_the_columns_of_low_priority(cluster: Cluster) -> None:
    cluster.kubectl("create", "cronjob", "yearly", "--image=none.example/a:1", "--schedule=@yearly")
    narrow, wide = cluster.kubectl("get", "cj"), cluster.kubectl("get", "cj", "-o", "wide")
    shown = ["NAME", "SCHEDULE", "TIMEZONE", "SUSPEND", "ACTIVE", "LAST SCHEDULE", "AGE"]
    assert re.split(r"\s{2,}", narrow.splitlines()[0].strip()) == shown
    assert re.split(r"\s{2,}", wide.splitlines()[0].strip()) == [*shown, "CONTAINERS", "IMAGES", "SELECTOR"]
    assert wide.splitlines()[1].split()[-3:] == ["yearly", "none.example/a:1", "<none>"]


@docs(LIKE_KUBERNETES)
@source("pkg/printers/internalversion/printers.go")
@pytest.mark.parametrize("method", ["GET", "PATCH"])
def test_scale_is_a_row_too(raw: Raw, method: str) -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "busybox:1"}]}}
    spec = {"replicas": 3, "selector": {"matchLabels": {"a": "b"}}, "serviceName": "s", "template": template}
    raw.made(raw.at("statefulsets", group="apps/v1"), {"metadata": {"name": "one"}, "spec": spec})
    path = raw.at("statefulsets", "one", "scale", "apps/v1")
    body = None if method == "GET" else {"spec": {"replicas": 2}}
    table = raw.ask(method, path, body, MERGE, accept=TABLE).body
    columns = [(one["name"], one["type"], one["format"]) for one in table["columnDefinitions"]]
    kinds = {"Name": "string", "Desired": "integer", "Available": "integer", "Age": "string"}
    assert columns == [(name, kind, "") for name, kind in kinds.items()]
    [row] = table["rows"]
    assert row["cells"][0] == "one"
    assert row["cells"][1] == (3 if method == "GET" else 2)
    assert row["object"]["kind"] == "PartialObjectMetadata"
    assert raw.ask(method, path, body, MERGE, accept=PARTIAL).body["kind"] == "PartialObjectMetadata"
