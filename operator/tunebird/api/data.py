"""What a FineTuneJob learns from: datasets, their mix, the split, and what is done to rows before."""

from enum import StrEnum
from typing import Literal

from pydantic import Field

from tunebird.api.base import Model, Name, Percent, Rate, StorageRef, Word


class Format(StrEnum):
    """How the rows of a dataset look."""

    AUTO = "auto"
    MESSAGES = "messages"
    PROMPT_COMPLETION = "promptCompletion"
    ALPACA = "alpaca"
    SHAREGPT = "sharegpt"
    TEXT = "text"
    PREFERENCE = "preference"
    UNPAIRED = "unpaired"
    PROMPTS = "prompts"


class Dataset(Model):
    """One source of rows."""

    name: Name = Field(description="Name in reports and in the mix.")
    source: StorageRef = Field(description="JSON Lines, JSON, CSV or Parquet; a file or a folder.")
    format: Format = Field(Format.AUTO, description="auto looks at the first rows.")
    weight: int = Field(1, ge=1, le=10000, description="Share in the mix, relative to the other weights.")
    limit: int | None = Field(None, ge=1, description="Use at most this many rows.")
    license: Word | None = Field(None, description="For the model card.")


class Mixing(StrEnum):
    """How datasets are put together."""

    CONCATENATE = "concatenate"
    INTERLEAVE = "interleave"


class MixingStop(StrEnum):
    """When a mix by weight ends."""

    FIRST_EXHAUSTED = "FirstExhausted"
    ALL_EXHAUSTED = "AllExhausted"


class SplitBy(StrEnum):
    """What is never on both sides of the split."""

    ROW = "row"
    CONVERSATION = "conversation"
    USER = "user"


class Validation(Model):
    """Rows kept from training, for the validation loss."""

    percent: int = Field(5, ge=0, le=50, description="Share of the rows in percent; 0 trains on all.")
    split_by: SplitBy = Field(SplitBy.CONVERSATION, description="What is never on both sides of the split.")


class Deduplicate(Model):
    """Rows that say the same are used once."""

    near: Rate | None = Field(None, description="Similarity above which rows are the same; exact equality if absent.")


class OnInvalid(StrEnum):
    """What to do with a row that can't be read."""

    FAIL = "Fail"
    DROP = "Drop"


class OnTooLong(StrEnum):
    """What to do with a row above maxSequenceLength."""

    DROP = "Drop"
    TRUNCATE = "Truncate"
    SPLIT = "Split"
    FAIL = "Fail"


class OnFound(StrEnum):
    """What to do with a row in which something was found."""

    KEEP = "Keep"
    DROP = "Drop"
    FAIL = "Fail"


class Preparation(Model):
    """What happens to the data before training."""

    deduplicate: Deduplicate | None = Field(
        None, description="Repeated rows are used once, always; near finds those that are almost the same too."
    )
    redact: tuple[Literal["email", "phone", "card", "iban", "ip", "secret"], ...] = Field(
        (),
        max_length=6,
        description="Kinds of personal data and secrets that are replaced by placeholders, which are never learned.",
    )
    on_invalid: OnInvalid = Field(OnInvalid.FAIL, description="Fail names the row; Drop counts it.")
    max_invalid: Percent | None = Field(
        None, description="With onInvalid Drop: above this share of all rows the job fails. 100% if absent."
    )
    on_too_long: OnTooLong = Field(
        OnTooLong.DROP, description="Drop, Truncate, Split (into several rows) or Fail, above maxSequenceLength."
    )
    max_too_long: Percent | None = Field(
        None, description="Above this share of rows that are too long the job fails. 100% if absent."
    )
    on_unsafe: OnFound = Field(OnFound.KEEP, description="Rows flagged as toxic or unsafe: Keep, Drop or Fail.")
    on_contaminated: OnFound = Field(
        OnFound.DROP,
        description="Training rows that are also in a suite or in the validation rows: Keep, Drop or Fail.",
    )
