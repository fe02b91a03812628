import json
import threading
import time
import urllib.error
from dataclasses import replace
from datetime import UTC, datetime
from email.message import Message

import pytest

from tunebird_trainer.progress import WINDOW, Endpoint, Progress, Reporter, Speed, line, report

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
HALF = Progress(
    1, "train", 30, 60, epoch=1.5, loss=2.31, learning_rate=1e-4, tokens_per_second=812.0, eta_seconds=95,
    checkpoint="checkpoint-20",
)  # fmt: skip


def test_a_report_speaks_both_languages():
    assert report(HALF, NOW) == {
        "trainerStatus": {
            "progressPercentage": 50,
            "estimatedRemainingSeconds": 95,
            "metrics": [
                {"name": "loss", "value": "2.31"},
                {"name": "learningRate", "value": "0.0001"},
                {"name": "tokensPerSecond", "value": "812"},
            ],
            "lastUpdatedTime": "2026-01-02T03:04:05Z",
        },
        "tunebird": {
            "attempt": 1,
            "phase": "train",
            "step": 30,
            "of": 60,
            "epoch": 1.5,
            "loss": 2.31,
            "evalLoss": None,
            "learningRate": 1e-4,
            "tokensPerSecond": 812.0,
            "etaSeconds": 95,
            "checkpoint": "checkpoint-20",
            "activity": "",
        },
    }


def test_a_number_that_json_has_not_is_left_out():
    told = report(Progress(1, "train", 1, 2, loss=float("nan")), NOW)
    assert told["tunebird"]["loss"] is None
    assert told["trainerStatus"]["metrics"] == []


def test_a_line_reads_well():
    assert line(HALF) == "train: step 30/60  epoch 1.50  loss 2.3100  812 tok/s  eta 1m35s"


def test_training_never_waits_for_a_slow_endpoint(monkeypatch):
    stuck = threading.Event()
    monkeypatch.setattr(Endpoint, "post", lambda *_: stuck.wait(100))
    reporter = Reporter(0.001, Endpoint("http://127.0.0.1:1/", None))
    began = time.monotonic()
    for step in range(1000):
        reporter.offer(Progress(1, "train", step, 1000))
    assert time.monotonic() - began < 50
    stuck.set()
    reporter.close()


def test_only_the_newest_is_sent(monkeypatch):
    sent = []
    monkeypatch.setattr(Endpoint, "post", lambda _, body: sent.append(body))
    reporter = Reporter(3600, Endpoint("http://127.0.0.1:1/", None))
    for step in range(10):
        reporter.offer(Progress(1, "train", step, 10))
    reporter.close()
    assert len(sent) == 1
    assert b'"step": 9' in sent[0]


def test_the_same_numbers_are_shown_once_and_posted_in_every_phase(monkeypatch, capsys):
    sent = []
    monkeypatch.setattr(Endpoint, "post", lambda _, body: sent.append(json.loads(body)["tunebird"]["phase"]))
    reporter = Reporter(3600, Endpoint("http://127.0.0.1:1/", None))
    for phase in ("train", "save", "publish"):
        reporter.offer(replace(HALF, phase=phase))
        reporter._tell()
    reporter.close()
    assert sent == ["train", "save", "publish"]
    assert capsys.readouterr().out == f"{line(HALF)}\n"


def test_what_is_in_hand_is_shown_before_another_line_and_still_posted(monkeypatch, capsys):
    sent = []
    monkeypatch.setattr(Endpoint, "post", lambda _, body: sent.append(body))
    reporter = Reporter(3600, Endpoint("http://127.0.0.1:1/", None))
    reporter.offer(HALF)
    reporter.show()
    print("phase: save")
    reporter.close()
    assert capsys.readouterr().out == f"{line(HALF)}\nphase: save\n"
    assert len(sent) == 1


def test_the_token_is_read_for_every_report(tmp_path, monkeypatch):
    seen = []

    class Answer:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def read(self):
            return b""

    monkeypatch.setattr(
        "urllib.request.urlopen", lambda request, timeout: seen.append(request.get_header("Authorization")) or Answer()
    )
    token = tmp_path / "token"
    for value in ("one", "two"):
        token.write_text(value)
        Endpoint("http://127.0.0.1:1/", token).post(b"{}")
    assert seen == ["Bearer one", "Bearer two"]


def test_no_report_goes_to_anything_but_http(monkeypatch):
    monkeypatch.setenv("TUNEBIRD_REPORT_URL", "file:///etc/passwd")
    assert Endpoint.from_environment() is None


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 1000.0

        def __call__(self):
            return self.now

    made = Clock()
    monkeypatch.setattr("time.monotonic", made)
    return made


def ran(speed, clock, *seconds, tokens=0):
    """Steps of so many seconds, with 100 tokens each."""
    for each in seconds:
        clock.now += each
        tokens += 100
        speed.step(tokens)
    return tokens


def test_the_first_step_tells_nothing_about_the_time_left(clock):
    speed = Speed(tokens=0)
    ran(speed, clock, 43)
    assert (speed.tokens_per_second(), speed.eta_seconds(1, 41)) == (None, None)
    ran(speed, clock, 0.25, 0.25, tokens=100)
    assert (speed.tokens_per_second(), speed.eta_seconds(3, 43)) == (400, 10)


def test_a_resumed_run_is_as_fast_as_its_own_steps(clock):
    speed = Speed(tokens=50_000)
    ran(speed, clock, 60, 2, 2, tokens=50_000)
    assert speed.tokens_per_second() == 50
    assert speed.eta_seconds(step=503, of=513) == 20


def test_speed_is_that_of_the_latest_steps(clock):
    speed = Speed(tokens=0)
    ran(speed, clock, 1, *[10] * WINDOW, *[1] * WINDOW)
    assert speed.tokens_per_second() == 100
    assert speed.eta_seconds(2 * WINDOW + 1, 2 * WINDOW + 31) == 30


def test_an_evaluation_makes_training_no_slower_and_the_time_left_longer(clock):
    speed = Speed(tokens=0)
    clock.now += 300  # the one before the first step comes once
    speed.interrupted()
    tokens = ran(speed, clock, 5, 1, 1, 1)
    assert speed.eta_seconds(4, 10) == 6
    clock.now += 8
    speed.interrupted()
    assert speed.tokens_per_second() == 100
    assert speed.eta_seconds(4, 10) == 18  # 6 steps of 1 s, and 8 s of evaluation every 4 steps
    ran(speed, clock, 1, tokens=tokens)
    assert speed.last_tokens_per_second == 100


def test_nothing_is_left_after_the_last_step(clock):
    speed = Speed(tokens=0)
    ran(speed, clock, 9)
    assert speed.eta_seconds(1, 1) == 0


def test_an_endpoint_that_refuses_is_complained_about_once(monkeypatch, capsys):
    def refuse(*_):
        raise urllib.error.HTTPError("http://127.0.0.1:1/", 401, "Unauthorized", Message(), None)

    monkeypatch.setattr(Endpoint, "post", refuse)
    reporter = Reporter(3600, Endpoint("http://127.0.0.1:1/", None))
    for step in (1, 2):
        reporter.offer(Progress(1, "train", step, 2))
        reporter._tell()
    reporter.close()
    said = capsys.readouterr().out
    assert said.count("report not delivered: HTTP Error 401: Unauthorized; training goes on") == 1
    assert "step 2/2" in said
