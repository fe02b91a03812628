"""A rollout over time, as clients saw it: traffic by version, errors and latency; for the terminal and as PNG."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tunebird.cli.story.load import Sample

BLOCKS = " ▁▂▃▄▅▆▇█"


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened: an event's reason at its time on the load's axis."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Bin:
    """The requests that left within one stretch of time."""

    at: float
    shares: dict[str, float]
    error_share: float
    p95_seconds: float


def bins(samples: Sequence[Sample], count: int) -> tuple[Bin, ...]:
    """Cut the time between the first and the last request into `count` equal stretches."""
    if not samples:
        return ()
    end = max(sample.at for sample in samples) + 1e-9
    width = end / count
    grouped: list[list[Sample]] = [[] for _ in range(count)]
    for sample in samples:
        grouped[min(count - 1, int(sample.at / width))].append(sample)
    return tuple(_bin(index * width, group) for index, group in enumerate(grouped))


def _bin(at: float, group: Sequence[Sample]) -> Bin:
    known = [sample.version for sample in group if sample.version]
    shares = {version: known.count(version) / len(known) for version in set(known)}
    errors = sum(sample.failed for sample in group) / len(group) if group else 0.0
    return Bin(at, shares, errors, p95([sample.seconds for sample in group]))


def merged(marks: Sequence[Mark], within: float = 0.5) -> tuple[Mark, ...]:
    """Marks at the same moment as one, its texts in their order."""
    found: list[Mark] = []
    for mark in marks:
        if found and mark.at - found[-1].at <= within:
            found[-1] = Mark(found[-1].at, f"{found[-1].text}, {mark.text}")
        else:
            found.append(mark)
    return tuple(found)


def p95(values: Iterable[float]) -> float:
    """The 95th percentile, nearest rank; 0 of nothing."""
    ordered = sorted(values)
    return ordered[math.ceil(0.95 * len(ordered)) - 1] if ordered else 0.0


def versions(samples: Sequence[Sample]) -> tuple[str, ...]:
    """The versions in the order in which clients first met them."""
    return tuple(dict.fromkeys(sample.version for sample in samples if sample.version))


def bars(values: Sequence[float], top: float) -> str:
    """One row of block characters, 0 to `top`."""
    scale = (len(BLOCKS) - 1) / top if top else 0
    return "".join(BLOCKS[min(len(BLOCKS) - 1, math.ceil(value * scale))] for value in values)


def terminal(samples: Sequence[Sample], marks: Sequence[Mark], width: int = 72) -> str:
    """The picture in `width` columns of text."""
    cut = bins(samples, width)
    if not cut:
        return "no requests were sent"
    rows = [(f"to {version}", [bin_.shares.get(version, 0) for bin_ in cut], 1.0) for version in versions(samples)]
    slowest = max(bin_.p95_seconds for bin_ in cut)
    rows.append(("errors", [bin_.error_share for bin_ in cut], 1.0))
    rows.append((f"p95 ≤{slowest * 1000:.0f}ms", [bin_.p95_seconds for bin_ in cut], slowest))
    margin = max(len(label) for label, _, _ in rows)
    lines = [f"{label:>{margin}} │{bars(values, top)}│" for label, values, top in rows]
    end = max(sample.at for sample in samples)
    lines.append(f"{'':>{margin}} 0{f'{end:.0f} s':>{width}}")
    lines += [f"{'':>{margin}} {mark.at:5.1f} s  {mark.text}" for mark in merged(marks)]
    return "\n".join(lines)


def png(samples: Sequence[Sample], marks: Sequence[Mark], target: Path) -> None:
    """Draw the picture with matplotlib into `target`."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    cut = bins(samples, 60)
    times = [bin_.at for bin_ in cut]
    figure, (traffic, errors, latency) = plt.subplots(3, 1, figsize=(10, 7), sharex=True, height_ratios=[3, 2, 2])
    for version in versions(samples):
        traffic.step(times, [100 * bin_.shares.get(version, 0) for bin_ in cut], where="post", label=version)
    traffic.set_ylabel("traffic, %")
    traffic.legend(loc="center right")
    errors.fill_between(times, [100 * bin_.error_share for bin_ in cut], step="post", color="tab:red", alpha=0.6)
    errors.set_ylabel("failed, %")
    latency.step(times, [1000 * bin_.p95_seconds for bin_ in cut], where="post", color="tab:gray")
    latency.set_ylabel("p95, ms")
    latency.set_xlabel("seconds")
    for mark in merged(marks):
        for axis in (traffic, errors, latency):
            axis.axvline(mark.at, color="0.8", linewidth=0.8, zorder=0)
        traffic.text(mark.at, 104, mark.text, rotation=35, fontsize=7, va="bottom")
    figure.tight_layout()
    figure.savefig(target, dpi=120)
    plt.close(figure)
