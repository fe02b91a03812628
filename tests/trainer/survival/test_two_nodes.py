"""Two wrappers on loopback, as two nodes run them; and real training processes under one wrapper."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fakes.ports import free_port
from trainer.factories import placed
from tunebird_trainer.survival import launch

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
SOURCE = str(Path(launch.__file__).parents[2])
TWO = {"training__gradientAccumulationSteps": 1, "checkpoint__everySteps": 2, "report__everySeconds": 1}
NODES = {**TWO, "distributed__numNodes": 2}


class Node:
    """A wrapper as a process, with a log and a termination message of its own."""

    def __init__(self, home, config, name="node", **environment):
        self.path, self.told, self.log = (home / f"{name}.{end}" for end in ("json", "termination", "log"))
        self.path.write_text(json.dumps(config))
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tunebird_trainer", str(self.path)],
                env={**os.environ, "PYTHONPATH": SOURCE, "TUNEBIRD_TERMINATION_LOG": str(self.told), **environment},
                stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def end(self):
        code = self.process.wait(timeout=300)
        return code, json.loads(self.told.read_text()) if self.told.exists() else {}

    def until(self, text):
        while text not in self.log.read_text():
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.1)


def two_nodes(home, config, other=None):
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "GLOO_SOCKET_IFNAME": "lo"}
    return [
        Node(home, config, "first", NODE_RANK="0", **where),
        Node(home, other or config, "second", JOB_COMPLETION_INDEX="1", **where),
    ]


def digest(home):
    return json.loads((home / "out" / "tunebird.json").read_text())["digest"]


def test_two_nodes_of_one_process_do_what_one_node_of_two_does(tmp_path, tiny_model):
    apart, together = tmp_path / "apart", tmp_path / "together"
    apart.mkdir()
    together.mkdir()
    nodes = two_nodes(apart, placed(apart, tiny_model, **NODES))
    ends = [node.end() for node in nodes]
    assert [code for code, _ in ends] == [0, 0], [node.log.read_text() for node in nodes]
    assert ends[0][1]["reason"] == "Completed"
    alone = Node(together, placed(together, tiny_model, **TWO, distributed__processesPerNode=2))
    assert alone.end()[0] == 0, alone.log.read_text()
    names = ("adapter/adapter_model.safetensors", "merged/model.safetensors")
    assert [(apart / "out" / name).read_bytes() for name in names] == [
        (together / "out" / name).read_bytes() for name in names
    ]


def test_nodes_with_different_configs_stop_at_once_and_say_so(tmp_path, tiny_model):
    config = placed(tmp_path, tiny_model, **NODES)
    other = placed(tmp_path, tiny_model, **NODES, training__seed=7)
    for code, told in (node.end() for node in two_nodes(tmp_path, config, other)):
        assert (code, told["reason"]) == (2, "InvalidConfig")
        assert "process 1 is of another run than process 0" in told["message"]


def test_a_node_that_never_comes_is_waited_for_and_named(tmp_path, tiny_model):
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "TUNEBIRD_RENDEZVOUS_SECONDS": "2"}
    lonely = Node(tmp_path, placed(tmp_path, tiny_model, **NODES), NODE_RANK="0", **where)
    code, told = lonely.end()
    assert (code, told["reason"]) == (200, "RendezvousTimeout")
    assert told["message"].startswith("process 1 of 2 did not come within 2 s")


def test_sigterm_to_one_wrapper_checkpoints_all_its_processes(tmp_path, tiny_model):
    config = placed(tmp_path, tiny_model, **TWO, distributed__processesPerNode=2, training__maxSteps=100000)
    node = Node(tmp_path, config)
    node.until("train: step")
    node.process.send_signal(signal.SIGTERM)
    code, told = node.end()
    assert (code, told["reason"]) == (85, "Preempted"), node.log.read_text()
    assert (tmp_path / "checkpoints" / told["checkpoint"] / "rng_state_1.pth").exists()


def test_a_training_process_that_stops_moving_is_found_in_its_phase(tmp_path, tiny_model):
    """SIGSTOP: it neither fails nor goes on, and the other waits for it in a collective."""
    config = placed(
        tmp_path, tiny_model, **TWO, distributed__processesPerNode=2, training__maxSteps=100000,
        distributed__phaseLimits={"step": 5, "evaluate": 5, "save": 5},
    )  # fmt: skip
    node = Node(tmp_path, config)
    node.until("train: step")
    children = Path(f"/proc/{node.process.pid}/task/{node.process.pid}/children")
    stuck = max(int(pid) for pid in children.read_text().split())
    os.kill(stuck, signal.SIGSTOP)
    code, told = node.end()
    assert (code, told["reason"]) == (201, "Hung"), node.log.read_text()
    assert "gave no sign of life for " in told["message"]
    assert re.search(r"in phase (step|evaluate|save) after step \d+ \(limit 5 s\)", told["message"])
    assert "Current thread" in node.log.read_text(), "the one that waited shows where"
