"""The rule about answers that must end, with models whose answers are given."""

from types import SimpleNamespace

import datasets
import pytest

from tunebird_trainer.artifacts import answering
from tunebird_trainer.outcome import Failure, Reason


def prepared(prompts=20, learned=10):
    rows = datasets.Dataset.from_list([{"input_ids": [1] * 30, "labels": [-100] * (30 - learned) + [1] * learned}])
    return SimpleNamespace(prompts=((),) * prompts, train=rows)


@pytest.fixture
def shares(monkeypatch):
    """Which share of answers ends, by model."""

    def of(**found):
        monkeypatch.setattr(answering, "_share", lambda directory, *_, **__: found[directory])

    return of


def test_a_model_that_ends_its_answers_passes_and_the_base_is_not_asked(shares):
    shares(tuned=0.95)
    told = answering.ended(None, "base", "tuned", prepared())
    assert told == {"prompts": 20, "endTokenShare": 0.95, "baseEndTokenShare": None, "tokenLimit": 64}


def test_a_model_that_unlearned_to_stop_fails_the_run(shares):
    shares(tuned=0.9, base=1.0)
    with pytest.raises(Failure, match=r"unlearned to stop: 90% of 20 answers .* before training 100%") as caught:
        answering.ended(None, "base", "tuned", prepared())
    assert caught.value.reason is Reason.GATE_FAILED


def test_a_base_that_never_stopped_makes_it_a_warning(shares, capsys):
    shares(tuned=0.4, base=0.2)
    told = answering.ended(None, "base", "tuned", prepared())
    assert told["baseEndTokenShare"] == 0.2
    assert "warning: 40% of 20 answers" in capsys.readouterr().out


def test_too_few_prompts_can_not_fail_a_run(shares):
    shares(tuned=0.5, base=1.0)
    assert answering.ended(None, "base", "tuned", prepared(prompts=2))["endTokenShare"] == 0.5


def test_documents_have_no_answers():
    assert answering.ended(None, "base", "tuned", prepared(prompts=0))["endTokenShare"] is None


@pytest.mark.parametrize(("learned", "limit"), [(5, 64), (60, 120), (300, 256)])
def test_the_limit_follows_the_answers_that_were_learned(learned, limit):
    rows = [{"labels": [1] * learned}]
    assert answering._limit(SimpleNamespace(train=datasets.Dataset.from_list(rows))) == limit


def test_an_untrained_model_is_measured_as_it_is(tiny_model, capsys):
    from tunebird_trainer.data.examples import Message

    data = prepared()
    data.prompts = ((Message("user", "What is 1 and 2?"),),) * 3
    assert 0 <= answering._share(tiny_model, data, 8) <= 1
    count = len(data.prompts[: answering.PROMPTS])
    assert f"{count} of {count} answers are there" in capsys.readouterr().out
