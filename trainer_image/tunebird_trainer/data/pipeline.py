"""From files to token ids, one stage after the other. Each stage takes entries and gives those that stay; the ledger
counts the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tunebird_trainer.config import Objective
from tunebird_trainer.data import (
    bad_rows,
    cache,
    canaries,
    contamination,
    content,
    duplicates,
    encoding,
    masks,
    mixing,
    reading,
    reporting,
    splitting,
    tokens,
)
from tunebird_trainer.data.intake import Intake
from tunebird_trainer.data.prepared import FACTS, Canary, Facts, Prepared
from tunebird_trainer.data.work import Desk, Entry, Ledger, Work, draw
from tunebird_trainer.outcome import Failure, Reason
from tunebird_trainer.stores import sources as places
from tunebird_trainer.stores import storage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from tunebird_trainer.config import Config
    from tunebird_trainer.data.reading import Source

_PROMPTS = 20


def prepare(config: Config, tokenizer: Any) -> Prepared:
    """The data of a run, from the cache when it was prepared before.

    Raises:
        Failure: InvalidDataset or DatasetNotFound, naming file and line.
    """
    sources, suites = reading.found(config), contamination.files(config)
    inputs = {source.dataset.name: source.digest for source in sources} | contamination.digests(suites)

    def make(aside: Path) -> None:
        scratch = aside / ".work"
        scratch.mkdir()
        bad = bad_rows.BadRows(places.place(config.checkpoint.uri) / bad_rows.NAME)
        desk = Desk(config, Work(scratch / "examples.jsonl"), Ledger(), bad)
        try:
            _made(desk, sources, suites, masks.Template.of(tokenizer), aside)
        finally:
            bad.close()
            desk.work.close()
        storage.discard(scratch)

    return cache.loaded_or_made(cache.place(config, inputs, tokenizer), make)


def _made(desk: Desk, sources: list[Source], suites: dict[str, Path], template: masks.Template, aside: Path) -> None:
    """Fill a directory with the columns and the facts."""
    config = desk.config
    formats = [reading.format_of(source, config) for source in sources]

    intake = Intake(desk)
    for source, chosen in zip(sources, formats, strict=True):
        intake.take(source, chosen)  # read → check → redact → flag → exact duplicates
    entries, near = _without_near_duplicates(intake.entries, desk)
    entries = _limited(entries, desk)
    entries, contaminated = contamination.without(entries, contamination.read(suites), desk)
    held_out, kept = splitting.split(entries, config.validation, config.training.seed)
    train = encoding.encoded(kept, template, desk, aside / ".work" / "train.arrow")
    validation = encoding.encoded(held_out, template, desk, aside / ".work" / "validation.arrow")
    _check_ceilings(desk)
    mixture = _mixed(train.rows, desk, sources)
    planted = canaries.planted(config)

    tally = _written(_with_canaries(train, mixture, planted, template, config), aside / "train.arrow", config)
    seen = _written(validation.ordered(validation.rows), aside / "validation.arrow", config)
    for row in validation.rows:
        desk.ledger.add(row.dataset, "held_out")
    counts = tuple(reporting.counts_of(source, chosen, desk) for source, chosen in zip(sources, formats, strict=True))
    extra = {"nearDuplicates": near, "contamination": contaminated}
    report = reporting.report(counts, intake.profiles, desk, tally) | extra | _added(planted, tally, config)
    digest = storage.digest_of({"train": tally.state.hexdigest(), "validation": seen.state.hexdigest()})
    prompts = _prompts(held_out, kept, desk)
    Facts(counts, prompts, digest, tally.tokens, tally.learned, report, planted).write(aside / FACTS)


def _prompts(held_out: list[Entry], kept: list[Entry], desk: Desk) -> tuple[Any, ...]:
    """Openings to ask the trained model with; those that it did not learn from come first."""
    openings = [*held_out[:_PROMPTS], *kept[:_PROMPTS]][:_PROMPTS]
    return tuple(filter(None, (content.opening(example) for _, _, example in desk.work.read(openings))))


def _without_near_duplicates(entries: list[Entry], desk: Desk) -> tuple[list[Entry], dict[str, Any] | None]:
    threshold = desk.config.preparation.deduplicate.near
    if threshold is None:
        return entries, None
    kept, pairs = duplicates.without_near(entries, threshold, desk)
    return kept, {"threshold": threshold, "dropped": len(entries) - len(kept), "pairs": pairs}


def _limited(entries: list[Entry], desk: Desk) -> list[Entry]:
    """A seeded sample of each dataset that has a limit."""
    kept = []
    for number, dataset in enumerate(desk.config.datasets):
        own = [entry for entry in entries if entry.dataset == number]
        if dataset.limit is not None and dataset.limit < len(own):
            desk.ledger.add(number, "left_out", times=len(own) - dataset.limit)
            drawn = sorted(own, key=lambda entry: draw(entry.key, f"sample {desk.config.training.seed}"))
            own = sorted(drawn[: dataset.limit], key=lambda entry: entry.place)
        kept += own
    return kept


def _check_ceilings(desk: Desk) -> None:
    numbers = range(len(desk.config.datasets))
    totals = [sum(desk.ledger.of(what, number) for number in numbers) for what in ("rows", "invalid", "too_long")]
    bad_rows.check_ceilings(desk.config.preparation, *totals)


def _mixed(rows: tuple[encoding.Row, ...], desk: Desk, sources: list[Source]) -> list[encoding.Row]:
    """The order of training, in which a row may be left out or come again."""
    config = desk.config
    by_dataset = [[row for row in rows if row.dataset == number] for number in range(len(config.datasets))]
    recipe = mixing.Recipe(
        tuple(dataset.weight for dataset in config.datasets), config.mixing, config.mixing_stop, config.training.seed
    )
    order = mixing.mixed(tuple(map(len, by_dataset)), recipe)
    if not order:
        told = ", ".join(f"{each.dataset.name} has {desk.ledger.of('rows', each.number)} rows" for each in sources)
        raise Failure(Reason.INVALID_DATASET, f"no row is left to train on: {told}; add data or relax preparation")
    for number, own in enumerate(by_dataset):
        taken = [row for dataset, row in order if dataset == number]
        desk.ledger.add(number, "trained", times=len(set(taken)))
        desk.ledger.add(number, "repeated", times=len(taken) - len(set(taken)))
        desk.ledger.add(number, "left_out", times=len(own) - len(set(taken)))
    return [by_dataset[dataset][row] for dataset, row in order]


def _with_canaries(
    train: encoding.Encoded,
    mixture: list[encoding.Row],
    planted: tuple[Canary, ...],
    template: masks.Template,
    config: Config,
) -> Iterator[tuple[list[int], ...]]:
    """The training sequences in order, each canary before the rows drawn for it."""
    due = canaries.places(planted, len(mixture), config.training.seed)
    held = [encoding.alone(canaries.example(canary, config.method.objective), template, config) for canary in planted]
    done = 0
    for place, which in due:
        yield from train.ordered(mixture[done:place])
        yield from held[which]
        done = place
    yield from train.ordered(mixture[done:])


def _written(rows: Iterable[tuple[list[int], ...]], path: Path, config: Config) -> tokens.Tally:
    columns = encoding.COLUMNS[config.method.objective]
    writer, tally = tokens.Writer(path, columns), tokens.Tally(columns)
    for row in tokens.blocks(rows, _block_size(config)) if config.method.objective is Objective.CONTINUE else rows:
        writer.add(row)
        tally.add(row)
    writer.close()
    return tally


def _block_size(config: Config) -> int:
    return config.method.continue_.block_size or config.training.max_sequence_length


def _added(planted: tuple[Canary, ...], tally: tokens.Tally, config: Config) -> dict[str, Any]:
    """What the report says of rows that were made here: canaries, and the blocks of documents."""
    copies = sum(canary.copies for canary in planted)
    blocks = {"blocks": tally.sequences, "size": _block_size(config), "last": tally.lengths[-1]}
    continued = config.method.objective is Objective.CONTINUE
    return {"canaries": {"planted": len(planted), "copies": copies}, "blocks": blocks if continued else None}
