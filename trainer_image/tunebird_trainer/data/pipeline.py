"""From files to token ids, one stage after the other. Each stage takes entries and gives those that stay; the ledger
counts the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tunebird_trainer import formats, masks, storage
from tunebird_trainer.data import cache, content, encoding, mixing, reading, splitting, tokens
from tunebird_trainer.data.prepared import FACTS, Counts, Facts, Prepared
from tunebird_trainer.data.work import Entry, Ledger, Work, draw
from tunebird_trainer.outcome import Failure, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tunebird_trainer.config import Config
    from tunebird_trainer.data.reading import Source

_PROMPTS = 20


def prepare(config: Config, tokenizer: Any) -> Prepared:
    """The data of a run, from the cache when it was prepared before.

    Raises:
        Failure: InvalidDataset or DatasetNotFound, naming file and line.
    """
    sources = reading.found(config)
    place = cache.place(config, {source.dataset.name: source.digest for source in sources}, tokenizer)
    return cache.loaded_or_made(place, lambda aside: _make(config, sources, masks.Template.of(tokenizer), aside))


def summary(prepared: Prepared) -> list[str]:
    """Lines for the log, one a dataset and one for the whole."""
    lines = [_line(counts) for counts in prepared.counts]
    total = f"{len(prepared.train)} sequences to train on, {len(prepared.validation)} held out"
    learned = f"{prepared.tokens} tokens, {prepared.learned} of them in the loss"
    return [*lines, f"data: {total}, {learned}, {prepared.digest[:19]}"]


def _make(config: Config, sources: list[Source], template: masks.Template, aside: Path) -> None:
    """Fill a directory with the columns and the facts."""
    scratch = aside / ".work"
    scratch.mkdir()
    work, ledger = Work(scratch / "examples.jsonl"), Ledger()
    chosen = [reading.format_of(source) for source in sources]

    seen: set[bytes] = set()
    entries = [e for s, f in zip(sources, chosen, strict=True) for e in _read(s, f, config, work, ledger, seen)]
    entries = _limited(entries, config, ledger)
    held_out, kept = splitting.split(entries, config.validation, config.training.seed)
    train = encoding.encoded(kept, work, template, config, ledger, scratch / "train.arrow")
    validation = encoding.encoded(held_out, work, template, config, ledger, scratch / "validation.arrow")
    mixture = _mixed(train.rows, config, ledger)
    if not mixture:
        told = ", ".join(f"{s.dataset.name} has {ledger.of('rows', s.number)} rows" for s in sources)
        raise Failure(Reason.INVALID_DATASET, f"no row is left to train on: {told}; add data or relax preparation")

    tally = _written(train.ordered(mixture), aside / "train.arrow")
    seen = _written(validation.ordered(validation.rows), aside / "validation.arrow")
    counts = tuple(_counts(source, format_, ledger) for source, format_ in zip(sources, chosen, strict=True))
    digest = storage.digest_of({"train": tally.state.hexdigest(), "validation": seen.state.hexdigest()})
    prompts = tuple(content.opening(example) for _, _, example in work.read((held_out or kept)[:_PROMPTS]))
    Facts(counts, prompts, digest, tally.tokens, tally.learned, {}, ()).write(aside / FACTS)
    work.close()
    storage.discard(scratch)


def _read(
    source: Source, chosen: formats.Format, config: Config, work: Work, ledger: Ledger, seen: set[bytes]
) -> list[Entry]:
    """Read → check → redact → flag → drop exact duplicates, row by row, so that no text stays in memory."""
    entries = []
    for where, example in reading.checked(source, chosen, config, ledger):
        key = content.key(example)
        if key in seen:
            ledger.add(source.number, "duplicates")
            continue
        seen.add(key)
        if gap := formats.has_placeholder(example.messages):
            ledger.add(source.number, "placeholders", f"{gap} in {where}")
        group = content.group(example, config.validation.split_by, key)
        entries.append(Entry(work.add(where, example), source.number, key, group))
    if gaps := ledger.of("placeholders", source.number):
        first = ledger.cases[source.number, "placeholders"][0]
        told = f"{gaps} rows hold unfilled placeholders, such as {first}"
        print(f"data: warning: {told}: the model will learn to write them", flush=True)
    return entries


def _limited(entries: list[Entry], config: Config, ledger: Ledger) -> list[Entry]:
    """A seeded sample of each dataset that has a limit."""
    kept = []
    for number, dataset in enumerate(config.datasets):
        own = [entry for entry in entries if entry.dataset == number]
        if dataset.limit is not None and dataset.limit < len(own):
            ledger.add(number, "left out", times=len(own) - dataset.limit)
            drawn = sorted(own, key=lambda entry: draw(entry.key, f"sample {config.training.seed}"))
            own = sorted(drawn[: dataset.limit], key=lambda entry: entry.place)
        kept += own
    return kept


def _mixed(rows: tuple[encoding.Row, ...], config: Config, ledger: Ledger) -> list[encoding.Row]:
    by_dataset = [[row for row in rows if row.dataset == number] for number in range(len(config.datasets))]
    recipe = mixing.Recipe(
        tuple(dataset.weight for dataset in config.datasets), config.mixing, config.mixing_stop, config.training.seed
    )
    order = mixing.mixed(tuple(map(len, by_dataset)), recipe)
    for number, own in enumerate(by_dataset):
        taken = [row for dataset, row in order if dataset == number]
        ledger.add(number, "trained", times=len(set(taken)))
        ledger.add(number, "repeated", times=len(taken) - len(set(taken)))
        ledger.add(number, "left out", times=len(own) - len(set(taken)))
    return [by_dataset[dataset][row] for dataset, row in order]


def _written(rows: Iterable[tuple[list[int], ...]], path: Path) -> tokens.Tally:
    writer, tally = tokens.Writer(path, encoding.COLUMNS), tokens.Tally(encoding.COLUMNS)
    for row in rows:
        writer.add(row)
        tally.add(row)
    writer.close()
    return tally


def _counts(source: Source, chosen: formats.Format, ledger: Ledger) -> Counts:
    dataset, number = source.dataset, source.number
    happened = ("rows", "invalid", "duplicates", "left out", "too long", "placeholders", "trained", "repeated")
    told = {what.replace(" ", "_"): ledger.of(what, number) for what in happened}
    return Counts(dataset.name, dataset.uri, chosen, source.digest, dataset.license, revision=dataset.revision, **told)


def _line(counts: Counts) -> str:
    gone = {"invalid": counts.invalid, "duplicates": counts.duplicates, "near duplicates": counts.near_duplicates,
            "unsafe": counts.unsafe, "contaminated": counts.contaminated, "left out": counts.left_out,
            "too long": counts.too_long}  # fmt: skip
    dropped = ", ".join(f"{number} {name}" for name, number in gone.items() if number) or "none dropped"
    return f"data: {counts.name}: {counts.rows} {counts.format} rows from {counts.uri}, {dropped}"
