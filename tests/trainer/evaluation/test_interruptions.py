"""An evaluation that waits for somebody else: it ends soon after SIGTERM, loses nothing, and shows that it lives."""

import signal
import sys
import threading
import time
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace

import pytest

from trainer.evaluation.asking import Calm, asking, cases, evaluated
from trainer.web import JsonHandler, served
from trainer.wrapper import Wrapper
from tunebird_trainer.config import Suite
from tunebird_trainer.evaluation import harness, in_process
from tunebird_trainer.evaluation.interruptions import Interruptions
from tunebird_trainer.outcome import Failure, Reason
from tunebird_trainer.survival import heartbeat

JUDGED = [{"type": "judge", "rubric": "Is it right?"}]
VERDICT = {"choices": [{"message": {"content": '{"reason": "so it is", "verdict": "pass"}'}, "finish_reason": "stop"}]}


class Judge:
    """Answers on loopback, once `open` is set; `asked` is set by the first question."""

    def __init__(self):
        self.asked, self.open = threading.Event(), threading.Event()
        self.count = self.answered = 0

    @contextmanager
    def serving(self):
        judge = self

        class Handler(JsonHandler):
            def get(self):
                self.say({"data": [{"id": "j"}]})

            def post(self):
                self.asked()
                judge.count += 1
                judge.asked.set()
                judge.open.wait(300)
                judge.answered += 1
                self.say(VERDICT)

        with served(Handler) as url:
            try:
                yield {"endpoint": url, "model": "j"}
            finally:
                self.open.set()


@pytest.fixture
def beats(monkeypatch):
    found = []
    monkeypatch.setattr(heartbeat.pulse, "beat", lambda phase=None, step=None: found.append(phase))
    return found


def test_a_stop_is_heard_while_a_judge_is_waited_for(tmp_path, tiny_model):
    judge, session = Judge(), Calm()
    session.stop_requested = judge.asked.is_set
    with judge.serving() as where:
        raw = asking(tmp_path, tiny_model, cases(3, JUDGED), judge=where)
        with pytest.raises(Failure) as found:
            evaluated(raw, tiny_model, tmp_path, session)
        assert judge.answered == 0
    assert found.value.reason is Reason.PREEMPTED


def test_every_answer_of_a_judge_is_a_sign_of_life_and_waiting_is_none(tmp_path, tiny_model, beats):
    judge = Judge()
    with judge.serving() as where:
        raw = asking(tmp_path, tiny_model, cases(3, JUDGED), judge=where)
        running = threading.Thread(target=evaluated, args=(raw, tiny_model, tmp_path))
        running.start()
        assert judge.asked.wait(300)
        while judge.count < 3:
            time.sleep(0.01)
        before = len(beats)
        time.sleep(1)  # four looks at whether to stop
        assert len(beats) == before
        judge.open.set()
        running.join()
    assert len(beats) >= before + 3
    assert set(beats) == {heartbeat.Phase.EVALUATE}


def test_what_a_judge_did_not_say_is_asked_again(tmp_path, tiny_model, monkeypatch):
    monkeypatch.setattr("tunebird_checks.chat.Target.__init__.__defaults__", ("", "", 8, 1.0, 0, 0.0))
    judge = Judge()
    with judge.serving() as where:
        dead = {**where, "endpoint": "http://127.0.0.1:9"}
        raw = asking(tmp_path, tiny_model, cases(3, JUDGED), judge=dead)
        evaluated(raw, tiny_model, tmp_path)
        assert not list((tmp_path / "checkpoints/evaluation").glob("*.json"))
        judge.open.set()
        raw["evaluation"]["suites"][0]["judge"] = where
        found = evaluated(raw, tiny_model, tmp_path).manifest()["metrics"]["core.instructionSuccess"]
    assert (found["value"], found["unknown"]) == (1.0, 0)


def test_a_run_that_is_stopped_at_its_judge_loses_nothing(tmp_path, tiny_model):
    judge = Judge()
    with judge.serving() as where:
        raw = asking(tmp_path, tiny_model, cases(3, JUDGED), judge=where)
        started = Wrapper(tmp_path, raw)
        assert judge.asked.wait(300), started.log
        at = time.monotonic()
        started.process.send_signal(signal.SIGTERM)
        code, message = started.ended()
        assert time.monotonic() - at < 100
        assert (code, message["reason"], message["phase"]) == (85, "Preempted", "evaluate")
        assert (tmp_path / "checkpoints" / message["checkpoint"]).is_dir()
        assert not (tmp_path / "out").exists()
        judge.open.set()
        again = Wrapper(tmp_path, {**raw, "job": {**raw["job"], "attempt": 2}})
        code, message = again.ended()
    assert code == 0, again.log
    assert "resuming after checkpoint-4 of 4 steps" in again.log
    assert "train: step" not in again.log
    assert (tmp_path / "out" / "tunebird.json").is_file()


def test_the_command_ends_on_sigterm_too(tmp_path, tiny_model):
    judge = Judge()
    with judge.serving() as where:
        raw = asking(tmp_path, tiny_model, cases(3))
        started = Wrapper(tmp_path, raw, "--evaluate", "--endpoint", f"{where['endpoint']}/v1")
        assert judge.asked.wait(300), started.log
        started.process.send_signal(signal.SIGTERM)
        assert started.process.wait(100) == 85
    assert "Preempted: stopped by SIGTERM during the evaluation" in started.log


@pytest.fixture
def lm_eval(monkeypatch):
    """The two names that are used of lm-evaluation-harness, asking the model once for each of ten documents."""

    def simple_evaluate(model, tasks, **_):
        for _ in range(10):
            model.pretrained(**model.tokenizer("Hello", return_tensors="pt"))
        return {"samples": {tasks[0]: [{"doc_id": n, "acc": 1.0} for n in range(10)]}}

    for name, content in {
        "lm_eval": {"simple_evaluate": simple_evaluate},
        "lm_eval.models": {},
        "lm_eval.models.huggingface": {"HFLM": SimpleNamespace},
    }.items():
        module = ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)


def test_the_harness_shows_that_it_lives_and_stops_at_the_next_pass(tiny_model, beats, lm_eval):
    loaded, suite = in_process.load(tiny_model), Suite("arc", "lm-eval://arc_easy")
    with Interruptions().within(loaded.model):
        assert len(harness.measure(suite, loaded, batch=1).values) == 10
    assert len(beats) == 10
    looks = iter([False] * 3)
    with pytest.raises(Failure) as found, Interruptions(lambda: next(looks, True)).within(loaded.model):
        harness.measure(suite, loaded, batch=1)
    assert found.value.reason is Reason.PREEMPTED
    assert len(beats) == 14
    loaded.model(**loaded.tokenizer("Hello", return_tensors="pt"))
    assert len(beats) == 14, "the hook is gone"


def test_batches_tell_how_much_is_done_and_live():
    told, lived = [], []
    batch = Interruptions(doing=told.append).counted("core", lambda: lived.append(1), 10, 8)
    batch(), batch(), batch()
    assert told == ["core: 0 of 10", "core: 8 of 10", "core: 10 of 10"]
    assert len(lived) == 3


def test_an_evaluation_tells_what_it_asks_whom(tmp_path, tiny_model):
    session = Calm()
    evaluated(asking(tmp_path, tiny_model, cases(9)), tiny_model, tmp_path, session)
    assert session.told[:2] == ["core on model, answers: 0 of 9", "core on model, answers: 8 of 9"]
