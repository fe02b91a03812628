import random
from collections import Counter
from fractions import Fraction

import pytest

from tunebird_trainer.config import Mixing, MixingStop
from tunebird_trainer.data.mixing import Recipe, interleaved, mixed

FIRST, ALL = MixingStop.FIRST_EXHAUSTED, MixingStop.ALL_EXHAUSTED


def recipe(*weights, order=Mixing.INTERLEAVE, stop=FIRST, seed=0):
    return Recipe(weights, order, stop, seed)


def shares(sizes, made):
    return [sum(1 for dataset, _ in made if dataset == each) for each in range(len(sizes))]


def test_every_prefix_of_an_interleaved_order_is_within_one_row_of_exact():
    draw = random.Random(0)
    for _ in range(150):
        counts = tuple(draw.choice((0, 1, 2, draw.randint(0, 120))) for _ in range(draw.randint(1, 7)))
        order, seen, total = interleaved(counts), Counter(), sum(counts)
        for n, chosen in enumerate(order, 1):
            seen[chosen] += 1
            assert all(abs(seen[each] - Fraction(n * count, total)) < 1 for each, count in enumerate(counts))
        assert [seen[each] for each in range(len(counts))] == list(counts)


@pytest.mark.parametrize("stop", [FIRST, ALL])
def test_the_shares_are_those_of_the_weights_within_one_row(stop):
    draw = random.Random(1)
    for _ in range(100):
        sizes = tuple(draw.randint(1, 200) for _ in range(draw.randint(2, 5)))
        weights = tuple(draw.randint(1, 9) for _ in sizes)
        if stop is FIRST and (len(set(weights)) == 1 or any(min(sizes) * 9 < w for w in weights)):
            continue
        made = mixed(sizes, recipe(*weights, stop=stop))
        rounds = Fraction(len(made), sum(weights))
        off = [abs(share - rounds * weight) for share, weight in zip(shares(sizes, made), weights, strict=True)]
        assert max(off) <= len(sizes)
        used = [{row for dataset, row in made if dataset == each} for each in range(len(sizes))]
        whole = [len(rows) == size for rows, size in zip(used, sizes, strict=True)]
        assert all(whole) if stop is ALL else len(made) == len(set(made))


def test_the_first_exhausted_stops_and_no_row_is_repeated():
    made = mixed((30, 10), recipe(1, 2))
    assert shares((30, 10), made) == [5, 10]
    assert len(set(made)) == 15


def test_all_exhausted_repeats_the_small_one_evenly():
    made = mixed((30, 10), recipe(1, 1, stop=ALL))
    assert shares((30, 10), made) == [30, 30]
    assert set(Counter(row for dataset, row in made if dataset == 1).values()) == {3}


def test_equal_weights_take_every_row_once_unless_all_are_to_be_exhausted():
    assert sorted(mixed((3, 1), recipe(5, 5))) == [(0, 0), (0, 1), (0, 2), (1, 0)]


def test_an_empty_dataset_is_left_out_of_the_mixture():
    assert mixed((0, 2), recipe(1, 3)) == [(1, 0), (1, 1)]
    assert mixed((0, 0), recipe(1, 3)) == []


def test_concatenated_datasets_keep_their_order():
    made = mixed((3, 4), recipe(1, 1, order=Mixing.CONCATENATE))
    assert made == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (1, 3)]


def test_the_seed_decides_which_rows_are_left_out():
    made = {seed: mixed((100, 10), recipe(1, 1, seed=seed, stop=FIRST)) for seed in (0, 1)}
    assert made[0] == made[1]  # equal weights: all of it
    drawn = {seed: mixed((100, 10), recipe(1, 2, seed=seed)) for seed in (0, 1)}
    assert drawn[0] == mixed((100, 10), recipe(1, 2, seed=0))
    assert drawn[0] != drawn[1]
