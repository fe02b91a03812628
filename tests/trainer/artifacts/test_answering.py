"""The rule about answers that must end, with models whose answers are given."""

from types import SimpleNamespace

import datasets
import pytest

from tunebird_trainer.artifacts import answering
from tunebird_trainer.outcome import Failure, Reason


def prepared(prompts=20, learned=10):
    rows = datasets.Dataset.from_list([{"input_ids": [1] * 30, "labels": [-100] * (30 - learned) + [1] * learned}])
    return SimpleNamespace(prompts=((),) * prompts, train=rows)


def ended(**data):
    return answering.ended("base", "tuned", prepared(**data), lambda _: None)


@pytest.fixture
def shares(monkeypatch):
    """Which share of 20 answers ends, by model."""

    def of(**found):
        monkeypatch.setattr(answering, "_found", lambda directory, *_, **__: answering.Found(20, found[directory]))

    return of


def test_a_model_that_ends_its_answers_passes_and_the_base_is_not_asked(shares):
    shares(tuned=0.95)
    told = ended()
    assert told == {"prompts": 20, "endTokenShare": 0.95, "baseEndTokenShare": None, "tokenLimit": 64}


def test_a_model_that_unlearned_to_stop_fails_the_run(shares):
    shares(tuned=0.9, base=1.0)
    with pytest.raises(Failure, match=r"unlearned to stop: 90% of 20 answers .* before training 100%") as caught:
        ended()
    assert caught.value.reason is Reason.GATE_FAILED


def test_a_base_that_never_stopped_makes_it_a_warning(shares, capsys):
    shares(tuned=0.4, base=0.2)
    told = ended()
    assert told["baseEndTokenShare"] == 0.2
    assert "warning: 40% of 20 answers" in capsys.readouterr().out


def test_too_few_prompts_can_not_fail_a_run(shares):
    shares(tuned=0.5, base=1.0)
    assert ended(prompts=2)["endTokenShare"] == 0.5


def test_documents_have_no_answers():
    assert ended(prompts=0)["endTokenShare"] is None


@pytest.mark.parametrize(("learned", "limit"), [(5, 64), (60, 120), (300, 256)])
def test_the_limit_follows_the_answers_that_were_learned(learned, limit):
    rows = [{"labels": [1] * learned}]
    assert answering._limit(SimpleNamespace(train=datasets.Dataset.from_list(rows))) == limit


def test_an_untrained_model_is_measured_as_it_is(tiny_model, capsys):
    from tunebird_trainer.data.examples import Message

    data = prepared()
    data.prompts = ((Message("user", "What is 1 and 2?"),),) * 3
    told = []
    found = answering._found(tiny_model, data, 8, told.append)
    assert found.asked == 3
    assert 0 <= found.share <= 1
    assert "3 of 3 answers are there" in capsys.readouterr().out
    assert told[0] == "0/3 answers, token 1/8"
    assert len(told) == len(set(told)) <= 8


@pytest.mark.parametrize(("missed", "hopeless"), [(0, False), (1, False), (2, True), (10, True)])
def test_no_model_is_asked_on_where_the_rest_can_not_bring_it_to_the_share(missed, hopeless):
    good = [False] * missed + [True] * (10 - missed)
    assert answering._hopeless(good, 20) is hopeless
    assert ((20 - missed) / 20 < answering.LEAST_SHARE) is hopeless, "the verdict is that of all 20"


def test_answers_that_never_end_are_asked_for_once(tiny_model, monkeypatch, capsys):
    from tunebird_trainer.data.examples import Message
    from tunebird_trainer.evaluation import in_process

    monkeypatch.setattr(in_process, "generated", lambda prompts, *_, **__: [(-1,)] * len(prompts))
    data = prepared()
    data.prompts = ((Message("user", "What is 1 and 2?"),),) * 20
    told = answering.ended(tiny_model, tiny_model, data, lambda _: None)
    assert (told["prompts"], told["endTokenShare"], told["baseEndTokenShare"]) == (10, 0.0, 0.0)
    assert "warning: 0% of 10 answers ended" in capsys.readouterr().out
