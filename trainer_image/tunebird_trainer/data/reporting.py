"""What is told of the data, for the log and the model card.

`Prepared.report` is plain JSON:
- `sources`: one a dataset: name, uri, revision, digest, license ("" where not stated), format, rows (read), trained,
  repeated, heldOut (rows);
- `personal`: by dataset and kind (email, phone, card, iban, ip, secret) how many were found and how many redacted;
- `unsafe`: by dataset and category the rows flagged; with `unsafeAction` Keep, Drop or Fail;
- `nearDuplicates`: null where not asked for; threshold, dropped, and a few `pairs` (dropped, kept, similarity);
- `contamination`: by suite its prompts, the rows that hold one, a few shown; with `contaminationAction`;
- `balance`: by dataset, of rows that are no exact duplicates: rows, characters (least, median, p95, most, mean),
  languages (rows by code), answersPerRow, classes (rows by answer, or null), for preferences chosenLonger (share),
  for labelled rows good (share);
- `tokens`: of the training sequences least, median, p95, most, mean;
- `mixture`: by dataset the rows used (repeats counted) and their share, and the share that its weight asks for;
- `tooLong`: rows leftOut, whole or in part; sequences truncated, of these cutAnswers, and parts made by split;
- `canaries`: how many were planted, and how many copies in all;
- `blocks`: for continued pre-training the blocks, their size in tokens, and the tokens of the last one; else null."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tunebird_trainer.data import redaction
from tunebird_trainer.data.balance import length_bias, quantiles
from tunebird_trainer.data.prepared import Counts

if TYPE_CHECKING:
    from tunebird_trainer.data.balance import Profile
    from tunebird_trainer.data.formats import Format
    from tunebird_trainer.data.prepared import Prepared
    from tunebird_trainer.data.reading import Source
    from tunebird_trainer.data.tokens import Tally
    from tunebird_trainer.data.work import Desk

_COUNTED = (
    "rows", "invalid", "duplicates", "near_duplicates", "unsafe", "contaminated", "left_out", "too_long",
    "placeholders", "held_out", "trained", "repeated",
)  # fmt: skip


def counts_of(source: Source, chosen: Format, desk: Desk) -> Counts:
    dataset = source.dataset
    counted = {what: desk.ledger.of(what, source.number) for what in _COUNTED}
    return Counts(
        dataset.name, dataset.uri, chosen, source.digest, dataset.license, revision=dataset.revision, **counted
    )


def report(counts: tuple[Counts, ...], profiles: dict[int, Profile], desk: Desk, tally: Tally) -> dict[str, Any]:
    preparation, names = desk.config.preparation, [each.name for each in counts]
    return {
        "sources": [_source(each) for each in counts],
        "personal": {name: _personal(number, desk) for number, name in enumerate(names)},
        "unsafe": {name: desk.ledger.starting("unsafe ", number) for number, name in enumerate(names)},
        "unsafeAction": preparation.on_unsafe.value,
        "contaminationAction": preparation.on_contaminated.value,
        "balance": {names[number]: profile.told() for number, profile in profiles.items()},
        "tokens": quantiles(tally.lengths),
        "mixture": _mixture(counts, desk),
        "tooLong": _too_long(desk),
    }


def summary(prepared: Prepared) -> list[str]:
    """Lines for the log: one a dataset, what was found, and one for the whole."""
    told = prepared.report
    lines = [_line(counts) for counts in prepared.counts]
    lines += [line for counts in prepared.counts for line in _found(counts.name, told)]
    lines += [f"data: near duplicate: {each['dropped']} of {each['kept']} (similarity {each['similarity']})"
              for each in (told["nearDuplicates"] or {"pairs": []})["pairs"]]  # fmt: skip
    lines += [f"data: suite {name}: {each['rows']} rows hold one of its {each['prompts']} prompts "
              f"({told['contaminationAction']})" for name, each in told["contamination"].items()]  # fmt: skip
    if told["canaries"]["planted"]:
        lines.append(f"data: {told['canaries']['planted']} canaries planted, {told['canaries']['copies']} copies")
    if told["blocks"]:
        lines.append(f"data: {told['blocks']['blocks']} blocks of {told['blocks']['size']} tokens, "
                     f"{told['blocks']['last']} in the last")  # fmt: skip
    total = f"{len(prepared.train)} sequences to train on, {len(prepared.validation)} held out"
    learned = f"{prepared.tokens} tokens, {prepared.learned} of them in the loss"
    return [*lines, f"data: {total}, {learned}, {prepared.digest[:19]}"]


def _source(counts: Counts) -> dict[str, Any]:
    return {
        "name": counts.name, "uri": counts.uri, "revision": counts.revision, "digest": counts.digest,
        "license": counts.license, "format": counts.format, "rows": counts.rows, "trained": counts.trained,
        "repeated": counts.repeated, "heldOut": counts.held_out,
    }  # fmt: skip


def _personal(number: int, desk: Desk) -> dict[str, dict[str, int]]:
    seen = desk.ledger.starting("found ", number)
    return {
        kind: {"found": seen[kind], "redacted": desk.ledger.of(f"redacted {kind}", number)}
        for kind in redaction.PLACEHOLDERS
        if kind in seen
    }


def _mixture(counts: tuple[Counts, ...], desk: Desk) -> dict[str, dict[str, float]]:
    used = {each.name: each.trained + each.repeated for each in counts}
    weights = {each.name: each.weight for each in desk.config.datasets}
    total, asked = sum(used.values()), sum(weights.values())
    return {
        name: {"rows": rows, "share": round(rows / total, 4), "asked": round(weights[name] / asked, 4)}
        for name, rows in used.items()
    }


def _too_long(desk: Desk) -> dict[str, int]:
    names = {"leftOut": "too_long", "truncated": "truncated", "cutAnswers": "cut_answers", "split": "split"}
    numbers = range(len(desk.config.datasets))
    return {name: sum(desk.ledger.of(what, number) for number in numbers) for name, what in names.items()}


def _line(counts: Counts) -> str:
    gone = {"invalid": counts.invalid, "duplicates": counts.duplicates, "near duplicates": counts.near_duplicates,
            "unsafe": counts.unsafe, "contaminated": counts.contaminated, "left out": counts.left_out,
            "too long": counts.too_long}  # fmt: skip
    dropped = ", ".join(f"{number} {name}" for name, number in gone.items() if number) or "none dropped"
    again = f", {counts.repeated} taken again" if counts.repeated else ""
    return f"data: {counts.name}: {counts.rows} rows read as {counts.format} from {counts.uri}, {dropped}{again}"


def _found(name: str, told: dict[str, Any]) -> list[str]:
    lines = []
    if personal := told["personal"][name]:
        each = ", ".join(f"{kind} {seen['found']} ({seen['redacted']} redacted)" for kind, seen in personal.items())
        lines.append(f"data: {name}: personal data and secrets: {each}")
    if unsafe := told["unsafe"][name]:
        each = ", ".join(f"{category} {rows}" for category, rows in unsafe.items())
        lines.append(f"data: {name}: rows flagged as unsafe: {each} ({told['unsafeAction']})")
    languages = told["balance"][name]["languages"]
    if len(languages) > 1:
        lines.append(f"data: {name}: languages: {', '.join(f'{code} {rows}' for code, rows in languages.items())}")
    if bias := length_bias(told["balance"][name]):
        remedy = "the model may learn length rather than quality: add pairs whose shorter answer is the better one"
        lines.append(f"data: {name}: warning: {bias}; {remedy}")
    return lines
