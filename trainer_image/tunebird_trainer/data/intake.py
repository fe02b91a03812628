"""Row by row, so that no text stays in memory: read, check, redact, flag, drop exact duplicates."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tunebird_trainer.config import OnFound
from tunebird_trainer.data import content, formats, reading, redaction, safety
from tunebird_trainer.data.balance import Profile
from tunebird_trainer.data.work import Entry
from tunebird_trainer.outcome import Failure, Reason

if TYPE_CHECKING:
    from tunebird_trainer.data.examples import Example
    from tunebird_trainer.data.formats import Format
    from tunebird_trainer.data.reading import Source
    from tunebird_trainer.data.work import Desk


@dataclass(slots=True)
class Intake:
    """What was taken in so far."""

    desk: Desk
    entries: list[Entry] = field(default_factory=list)
    seen: set[bytes] = field(default_factory=set)
    profiles: dict[int, Profile] = field(default_factory=dict)

    def take(self, source: Source, chosen: Format) -> None:
        """Raises:
        Failure: InvalidDataset, see `reading.checked`; or an unsafe row where none may be.
        """
        self.profiles[source.number] = profile = Profile()
        for where, found in reading.checked(source, chosen, self.desk):
            example = self._redacted(source, found)
            if gap := formats.gap(example):
                self.desk.ledger.add(source.number, "placeholders", f"{gap} in {where}")
            key = content.key(example)
            if self._unsafe(source, where, example) or self._duplicate(source, key):
                continue
            profile.see(example)
            group = content.group(example, self.desk.config.validation.split_by, key)
            self.entries.append(Entry(self.desk.work.add(where, example), source.number, key, group))
        self._tell_of_gaps(source)

    def _tell_of_gaps(self, source: Source) -> None:
        if gaps := self.desk.ledger.of("placeholders", source.number):
            first = self.desk.ledger.cases[source.number, "placeholders"][0]
            told = f"{gaps} rows hold unfilled placeholders, such as {first}"
            print(f"data: warning: {told}: the model reads them, and does not learn to write them", flush=True)

    def _redacted(self, source: Source, example: Example) -> Example:
        """Counted whether or not it was asked for: `found email` and `redacted email`."""
        wanted = self.desk.config.preparation.redact
        for kind, number in redaction.counted(formats.texts(example)).items():
            self.desk.ledger.add(source.number, f"found {kind}", times=number)
            if kind in wanted:
                self.desk.ledger.add(source.number, f"redacted {kind}", times=number)
        return content.mapped(example, lambda text: redaction.redacted(text, wanted)) if wanted else example

    def _unsafe(self, source: Source, where: str, example: Example) -> bool:
        """Whether the row goes. Only what would be learned is looked at: a refusal of a harmful question is dear."""
        config, ledger = self.desk.config, self.desk.ledger
        taught = content.learned(example, config.training.loss_on)
        found = sorted({category for text in taught for category in safety.categories(text)})
        for category in found:
            ledger.add(source.number, f"unsafe {category}", where)
        if not found or config.preparation.on_unsafe is OnFound.KEEP:
            return False
        if config.preparation.on_unsafe is OnFound.FAIL:
            remedy = "remove the row or set preparation.onUnsafe: Drop or Keep"
            raise Failure(Reason.INVALID_DATASET, f"{where} was flagged as {', '.join(found)}; {remedy}")
        ledger.add(source.number, "unsafe", where)
        return True

    def _duplicate(self, source: Source, key: bytes) -> bool:
        """Exact duplicates go, also across datasets: the first stays. Before the split, or they would leak into it."""
        if key in self.seen:
            self.desk.ledger.add(source.number, "duplicates")
            return True
        self.seen.add(key)
        return False
