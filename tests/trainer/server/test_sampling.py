import torch

from tunebird_trainer.server.requests import Sampling
from tunebird_trainer.server.sampling import draw, generator

LOGITS = torch.log(torch.tensor([0.5, 0.3, 0.15, 0.05]))


def drawn(sampling: Sampling, count: int = 200) -> list[int]:
    source = generator(sampling.seed)
    return [draw(LOGITS, sampling, source) for _ in range(count)]


def test_temperature_zero_takes_the_likeliest():
    assert set(drawn(Sampling(0.0, 1.0, 1))) == {0}


def test_the_same_seed_draws_the_same_tokens():
    assert drawn(Sampling(1.0, 1.0, 1, seed=3)) == drawn(Sampling(1.0, 1.0, 1, seed=3))


def test_another_seed_draws_others():
    assert drawn(Sampling(1.0, 1.0, 1, seed=3)) != drawn(Sampling(1.0, 1.0, 1, seed=4))


def test_top_p_keeps_the_smallest_set_that_reaches_the_mass():
    assert set(drawn(Sampling(1.0, 0.7, 1, seed=1))) == {0, 1}


def test_a_tiny_top_p_still_leaves_one_token():
    assert set(drawn(Sampling(1.0, 1e-6, 1, seed=1))) == {0}
