"""Rows that are nearly the same: MinHash signatures in bands name the pairs that may be, and the true Jaccard
similarity of their shingles decides, so nothing is dropped that isn't as similar as was asked (Broder 1997; Leskovec,
Rajaraman, Ullman, Mining of Massive Datasets, chapter 3).

Signatures and the best number of bands are datasketch's. The index is not: its sets take about 5 kB a row, where sorted
band hashes take 8 bytes a band."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from tunebird_trainer.data import content

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tunebird_trainer.data.work import Desk, Entry

_PERMUTATIONS = 128
_WORDS = 5  # of a shingle
_FEW_WORDS = 20  # below, shingles are of characters: a short row has too few of words
_CHARACTERS = 5
_MARGIN = 0.15  # by which the index asks for less: at its own threshold it misses one pair in eight
_CACHED = 4096  # shingle sets of earlier rows
SHOWN = 3


def without_near(entries: list[Entry], threshold: float, desk: Desk) -> tuple[list[Entry], list[dict[str, Any]]]:
    """The entries to which no earlier one that stays is so similar, also across datasets; and a few of the pairs."""

    @lru_cache(_CACHED)
    def shingles_at(place: int) -> frozenset[str]:
        return shingles(content.compared(desk.work.at(place)[1]))

    kept, shown = [], []
    met: defaultdict[tuple[int, int], list[Entry]] = defaultdict(list)
    for entry, buckets in zip(entries, _buckets(entries, threshold, desk), strict=True):
        earlier = {other.place: other for bucket in buckets for other in met[bucket]}
        similar = ((jaccard(shingles_at(entry.place), shingles_at(place)), place) for place in sorted(earlier))
        similarity, place = next((each for each in similar if each[0] >= threshold), (0.0, -1))
        if place < 0:
            kept.append(entry)
            for bucket in buckets:
                met[bucket].append(entry)
            continue
        desk.ledger.add(entry.dataset, "near_duplicates")
        if len(shown) < SHOWN:
            here, there = desk.work.at(entry.place)[0], desk.work.at(place)[0]
            shown.append({"dropped": here, "kept": there, "similarity": round(similarity, 3)})
    return kept, shown


def shingles(text: str) -> frozenset[str]:
    """Every run of five words; of five characters where there are few words. Expects normal text."""
    words = text.split()
    if len(words) >= _FEW_WORDS:
        return frozenset(" ".join(words[place : place + _WORDS]) for place in range(len(words) - _WORDS + 1))
    return frozenset(text[place : place + _CHARACTERS] for place in range(max(1, len(text) - _CHARACTERS + 1)))


def jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / len(one | other)


def _buckets(entries: list[Entry], threshold: float, desk: Desk) -> Iterator[list[tuple[int, int]]]:
    """For each entry the bands that it shares with any other."""
    hashes = _band_hashes(entries, threshold, desk)
    shared = np.zeros(hashes.shape, dtype=bool)
    for band in range(hashes.shape[1]):
        _, where, counts = np.unique(hashes[:, band], return_inverse=True, return_counts=True)
        shared[:, band] = counts[where] > 1
    for row in range(len(entries)):
        yield [(band, int(hashes[row, band])) for band in np.flatnonzero(shared[row]).tolist()]


def _band_hashes(entries: list[Entry], threshold: float, desk: Desk) -> np.ndarray[Any, Any]:
    import xxhash
    from datasketch import MinHash, MinHashLSH

    # A pair that is missed costs more than one that is looked at for nothing.
    index = MinHashLSH(threshold=max(0.05, threshold - _MARGIN), num_perm=_PERMUTATIONS, weights=(0.1, 0.9))
    empty = MinHash(num_perm=_PERMUTATIONS, seed=1, hashfunc=xxhash.xxh32_intdigest)
    hashes = np.empty((len(entries), index.b), dtype=np.uint64)
    for row, (_, _, example) in enumerate(desk.work.read(entries)):
        signature = empty.copy()
        signature.update_batch([each.encode("utf-8", "surrogatepass") for each in shingles(content.compared(example))])
        for band in range(index.b):
            values = signature.hashvalues[band * index.r : (band + 1) * index.r]
            hashes[row, band] = int.from_bytes(hashlib.blake2b(values.tobytes(), digest_size=8).digest(), "little")
    return hashes
