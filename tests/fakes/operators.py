"""kubectl and operator processes against one control plane."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fakes.processes import ROOT, process, until

KUBECTL = str(Path(sys.executable).with_name("kubectl"))


@dataclass
class Traced:
    """An operator process, and where its passes and logs are written."""

    process: subprocess.Popen[bytes]
    trace: Path
    log: Path

    def passes(self) -> list[tuple[float, str]]:
        """Time and object of each pass."""
        if not self.trace.exists():
            return []
        lines = [line.split() for line in self.trace.read_text().splitlines()]
        return [(float(line[0]), line[3]) for line in lines]

    def said(self, text: str) -> bool:
        return text in self.log.read_text()


@dataclass
class Cluster:
    """kubectl against the control plane, and the toy operator."""

    folder: Path
    kubeconfig: Path
    module: str = "fakes.toy_operator"
    count: int = field(default=0)

    def kubectl(self, *args: str, stdin: str = "") -> str:
        env = {**os.environ, "KUBECONFIG": str(self.kubeconfig)}
        done = subprocess.run(
            [KUBECTL, f"--cache-dir={self.folder}", *args],
            input=stdin,
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def get(self, *args: str) -> Any:
        return json.loads(self.kubectl("get", *args, "-o", "json"))

    def apply(self, *manifests: Mapping[str, Any]) -> None:
        self.kubectl("apply", "-f", "-", stdin="\n---\n".join(json.dumps(manifest) for manifest in manifests))

    def prepare(self) -> None:
        """CRDs and namespaces."""
        self.kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
        for name in ("tunebird-system", "ml"):
            self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        until(lambda: "finetunejobs" in self.kubectl("api-resources"), "the CRDs are served")

    @contextmanager
    def operator(self, **env: str) -> Iterator[Traced]:
        self.count += 1
        log, trace = self.folder / f"operator-{self.count}.log", self.folder / f"trace-{self.count}"
        ours = {
            "KUBECONFIG": str(self.kubeconfig),
            "TOY_TRACE": str(trace),
            "TUNEBIRD_HTTP_LISTEN": "127.0.0.1:0",
            "TUNEBIRD_REPORT_LISTEN": "127.0.0.1:0",
            "HOSTNAME": f"operator-{self.count}",
            **env,
        }
        with process(self.module, log=log, **ours) as started:
            yield Traced(started, trace, log)
