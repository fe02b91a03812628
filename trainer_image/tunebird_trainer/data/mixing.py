"""In which order the rows of several datasets are used, and how often."""

from __future__ import annotations

import random
from dataclasses import dataclass

from tunebird_trainer.config import Mixing, MixingStop


@dataclass(frozen=True, slots=True)
class Recipe:
    """`order` evenly interleaved or one dataset after the other; `stop` when the first, or when every, dataset has
    been used up."""

    weights: tuple[int, ...]
    order: Mixing
    stop: MixingStop
    seed: int


def mixed(sizes: tuple[int, ...], recipe: Recipe) -> list[tuple[int, int]]:
    """Pairs (dataset, row). Every row once where the weights are equal and the first exhausted stops: then nothing was
    asked for but all of it."""
    present = [dataset for dataset, size in enumerate(sizes) if size]
    shares = _shares(
        tuple(sizes[dataset] for dataset in present), tuple(recipe.weights[each] for each in present), recipe
    )
    counts = [0] * len(sizes)
    for dataset, count in zip(present, shares, strict=True):
        counts[dataset] = count
    rows = [_rows(dataset, sizes[dataset], count, recipe.seed) for dataset, count in enumerate(counts)]
    if recipe.order is Mixing.CONCATENATE:
        return [(dataset, row) for dataset, each in enumerate(rows) for row in each]
    taken = [iter(each) for each in rows]
    return [(dataset, next(taken[dataset])) for dataset in interleaved(tuple(counts))]


def interleaved(counts: tuple[int, ...]) -> list[int]:
    """A sequence with each i so many times as `counts` says, in which at every prefix of length n i occurs within less
    than one of n * counts[i] / sum(counts) times: the chairman assignment of R. Tijdeman, Discrete Mathematics 32
    (1980) 323-330."""
    total = sum(counts)
    alive = [each for each, count in enumerate(counts) if count]
    if len(alive) < 2:
        return alive * total
    slack = 2 * len(alive) - 2  # all below in units of 1 / (slack * total), so that it is exact
    used = dict.fromkeys(alive, 0)
    order = []
    for n in range(1, total + 1):
        due = [i for i in alive if slack * (n * counts[i] - used[i] * total) >= total]
        # By when i must come again: (used + 1 - 1/slack) / share.
        first = min(due, key=lambda i: (((used[i] + 1) * slack - 1) / counts[i], i))
        used[first] += 1
        order.append(first)
    return order


def _shares(sizes: tuple[int, ...], weights: tuple[int, ...], recipe: Recipe) -> tuple[int, ...]:
    """How many rows of each dataset are used, repeats counted."""
    first = recipe.stop is MixingStop.FIRST_EXHAUSTED
    if len(sizes) < 2 or (first and len(set(weights)) == 1):
        return sizes
    if first:
        rounds = min(size / weight for size, weight in zip(sizes, weights, strict=True))
        return tuple(max(1, int(rounds * weight)) for weight in weights)
    rounds = max(-(-size // weight) for size, weight in zip(sizes, weights, strict=True))
    return tuple(rounds * weight for weight in weights)


def _rows(dataset: int, size: int, count: int, seed: int) -> list[int]:
    """The rows in their own order, a seeded sample where fewer are asked for than there are; where more are, whole
    further passes and a sample of the last, each in a shuffled order."""
    draw = random.Random(f"mixing {seed} {dataset}")
    if count <= size:
        return list(range(size)) if count == size else sorted(draw.sample(range(size), count))
    rows = list(range(size))
    while len(rows) < count:
        rows += draw.sample(range(size), min(size, count - len(rows)))
    return rows
