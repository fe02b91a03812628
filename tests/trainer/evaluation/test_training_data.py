"""Memorisation and exposure on models that know something by heart, and on models that don't."""

import pytest
import torch

from trainer.factories import placed
from tunebird_trainer import config_file
from tunebird_trainer.evaluation import in_process, training_data


def test_exposure_is_the_rank_in_bits():
    others = [float(n) for n in range(255)]
    assert training_data.exposure(-1.0, others) == 8.0
    assert training_data.exposure(1000.0, others) == 0.0
    assert training_data.exposure(126.5, others) == pytest.approx(1.0, abs=0.02)


def row(prompt, answer):
    return {"input_ids": [*prompt, *answer], "labels": [*[-100] * len(prompt), *answer]}


def test_a_row_is_cut_inside_its_answer():
    (piece,) = training_data.pieces([row([1, 2], list(range(100, 140)))], seed=0)
    assert piece.before == (1, 2, *range(100, 120))
    assert piece.after == tuple(range(120, 140))


def test_long_documents_give_fifty_tokens_and_ask_for_fifty():
    (piece,) = training_data.pieces([row([], list(range(300)))], seed=0)
    assert (len(piece.before), len(piece.after)) == (50, 50)


def test_answers_too_short_to_tell_are_left_out():
    assert training_data.pieces([row([1], [5] * 20), row([1], [])], seed=0) == []


def test_a_preference_is_cut_in_the_chosen_answer():
    rows = [{"prompt_ids": [1], "chosen_ids": list(range(40)), "rejected_ids": [3]}]
    assert training_data.pieces(rows, seed=0)[0].after == tuple(range(20, 40))


@pytest.fixture(scope="module")
def taught(tiny_model):
    """The tiny model after it learnt one text by heart."""
    loaded = in_process.load(tiny_model)
    text = in_process.tokens("Please give me the number of your order, and I will send you a label for it.", loaded)
    text = tuple(text * (40 // len(text) + 1))[:48]
    ids = torch.tensor([text])
    optimizer = torch.optim.AdamW(loaded.model.parameters(), lr=5e-3)
    for _ in range(150):
        loss = loaded.model(ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return loaded, text


def test_only_a_model_that_learnt_a_row_by_heart_continues_it(tmp_path, tiny_model, taught):
    from types import SimpleNamespace

    loaded, text = taught
    config = config_file.parse(placed(tmp_path, tiny_model))
    prepared = SimpleNamespace(train=[row([], list(text))], validation=_Rows([]), canaries=())
    found = training_data.measures(config, prepared, loaded, lambda: None)
    assert found["training.memorisation"].values == {"row 0": 1.0}
    fresh = training_data.measures(config, prepared, in_process.load(tiny_model), lambda: None)
    assert fresh["training.memorisation"].values == {"row 0": 0.0}


def test_held_out_perplexity_is_that_of_the_labels(tmp_path, tiny_model, taught):
    from types import SimpleNamespace

    loaded, text = taught
    config = config_file.parse(placed(tmp_path, tiny_model))
    prepared = SimpleNamespace(train=[], validation=_Rows([row(list(text[:10]), list(text[10:]))]), canaries=())
    found = training_data.measures(config, prepared, loaded, lambda: None)["validation.perplexity"]
    assert found.interval(0.95).value < 1.5  # it knows the text by heart


class _Rows(list):
    def select(self, places):
        return [self[place] for place in places]
