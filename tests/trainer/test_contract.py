"""What the operator and the kubelet see: exit codes, termination messages, reports. Through the real
wrapper process."""

import http.server
import json
import os
import signal
import threading
import time
from contextlib import contextmanager
from pathlib import Path

from trainer.factories import placed, write_rows
from trainer.wrapper import Wrapper

LONG = {"training__maxSteps": 100000, "training__epochs": 1.0}


@contextmanager
def operator():
    """An endpoint that keeps what is reported."""
    reports = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            reports.append((self.path, self.headers["Authorization"], json.loads(body)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1alpha1/namespaces/ml/finetunejobs/support-bot/status", reports
    finally:
        server.shutdown()


def test_a_good_run_publishes_an_artifact_and_reports_on_the_way(tmp_path, tiny_model):
    token = tmp_path / "token"
    token.write_text("secret-1\n")
    volumes = {"data": f"{tmp_path}/claim", "models": f"{tmp_path}/models"}
    (tmp_path / "claim").mkdir()
    placed(tmp_path / "claim", tiny_model)
    config = placed(
        tmp_path / "claim",
        tiny_model,
        datasets__0__uri="pvc://data/data.jsonl",
        output__uri="pvc://models/support-bot/11111111-1",
        checkpoint__uri="pvc://data/checkpoints",
        training__maxSteps=30,
    )
    with operator() as (url, reports):
        code, message = Wrapper(
            tmp_path,
            config,
            TUNEBIRD_VOLUMES=json.dumps(volumes),
            TUNEBIRD_REPORT_URL=url,
            TUNEBIRD_REPORT_TOKEN_FILE=token,
        ).ended()
    assert (code, message["reason"], message["phase"], message["attempt"]) == (0, "Completed", "done", 1)
    assert (message["step"], message["of"], message["checkpoint"]) == (30, 30, "checkpoint-30")
    assert message["metrics"]["evalLoss"] < message["metrics"]["evalLossBefore"]

    made = tmp_path / "models/support-bot/11111111-1"
    manifest = json.loads((made / "tunebird.json").read_text())
    assert message["artifact"]["uri"] == "pvc://models/support-bot/11111111-1"
    assert message["artifact"]["digest"] == manifest["digest"]
    assert message["artifact"]["forms"]["merged"]["digest"] == manifest["forms"]["merged"]["digest"]
    assert {path.name for path in made.iterdir()} == {"README.md", "adapter", "curves.jsonl", "merged", "tunebird.json"}

    path, authorization, body = reports[-1]
    assert path == "/v1alpha1/namespaces/ml/finetunejobs/support-bot/status"
    assert authorization == "Bearer secret-1"
    assert set(body) == {"trainerStatus", "tunebird"}
    assert (body["tunebird"]["attempt"], body["tunebird"]["of"]) == (1, 30)
    assert (body["tunebird"]["phase"], body["tunebird"]["activity"]) == ("publish", "putting the artifact in place")
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_bad_config_ends_at_once_with_every_error(tmp_path, tiny_model):
    started = Wrapper(tmp_path, placed(tmp_path, tiny_model, training__maxSteps=0, mixing="blend"))
    code, message = started.ended()
    assert (code, message["reason"]) == (2, "InvalidConfig")
    assert "training.maxSteps" in message["message"]
    assert "mixing" in message["message"]


def test_bad_data_names_file_and_line(tmp_path, tiny_model):
    write_rows(tmp_path / "data.jsonl", [{"messages": [{"role": "user", "content": "Hi"}]}])
    code, message = Wrapper(tmp_path, placed(tmp_path, tiny_model)).ended()
    assert (code, message["reason"], message["phase"]) == (3, "InvalidDataset", "data")
    assert "support/data.jsonl:1 has no assistant message" in message["message"]


def test_sigterm_to_the_wrapper_checkpoints_and_exits_85(tmp_path, tiny_model):
    started = Wrapper(tmp_path, placed(tmp_path, tiny_model, **LONG))
    started.child()
    started.process.send_signal(signal.SIGTERM)
    code, message = started.ended()
    assert (code, message["reason"]) == (85, "Preempted")
    assert message["message"] == f"checkpointed at step {message['step']} of 100000 after SIGTERM or Ctrl-C"
    assert (tmp_path / "checkpoints" / message["checkpoint"]).is_dir()
    assert message["checkpointDigest"].startswith("sha256:")


def test_a_killed_child_still_leaves_a_message(tmp_path, tiny_model):
    started = Wrapper(tmp_path, placed(tmp_path, tiny_model, **LONG, checkpoint__everySteps=5))
    os.kill(started.child(), signal.SIGKILL)
    code, message = started.ended()
    assert (code, message["reason"], message["phase"]) == (137, "Internal", "train")
    assert message["message"].startswith(
        f"the training process was ended by SIGKILL at step {message['step']} of 100000"
    )


def test_the_child_does_not_outlive_its_wrapper(tmp_path, tiny_model):
    started = Wrapper(tmp_path, placed(tmp_path, tiny_model, **LONG))
    child = started.child()
    started.process.kill()
    started.process.wait()
    deadline = time.monotonic() + 60
    while Path(f"/proc/{child}/stat").exists() and Path(f"/proc/{child}/stat").read_text().split()[2] != "Z":
        assert time.monotonic() < deadline, "the child is still there"
        time.sleep(0.02)


def test_two_processes_train_together_and_fail_together(tmp_path, tiny_model):
    shape = {"distributed__processesPerNode": 2, "training__globalBatchSize": 8}
    started = Wrapper(tmp_path, placed(tmp_path, tiny_model, **shape))
    code, message = started.ended()
    assert code == 0, started.log
    assert message["step"] == 4
    assert started.log.count("done: ") == 1
