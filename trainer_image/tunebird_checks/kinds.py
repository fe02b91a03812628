"""The checks a suite may ask for, field by field. `type` tells them apart; unknown keys are refused."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic.alias_generators import to_camel

Texts = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)]
Count = Annotated[int, Field(ge=0)]


class Model(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=False, extra="forbid", frozen=True, strict=True
    )


class Contains(Model):
    """Texts that the answer holds: each of `all`, at least one of `any`, none of `none`."""

    type: Literal["contains"]
    all: Texts | None = None
    any: Texts | None = None
    none: Texts | None = None
    ignore_case: bool = True

    @model_validator(mode="after")
    def _asks_for_something(self) -> Self:
        if not (self.all or self.any or self.none):
            raise ValueError("give all, any or none")
        return self


class Regex(Model):
    """A pattern that is found in the answer (or must not be). One that needs too long is inconclusive."""

    type: Literal["regex"]
    pattern: str = Field(min_length=1)
    found: bool = True
    ignore_case: bool = False
    timeout_seconds: float = Field(1.0, gt=0, le=60)

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        import regex

        try:
            regex.compile(pattern)
        except regex.error as error:
            raise ValueError(f"is no regular expression: {error}") from error
        return pattern


class JsonSchema(Model):
    """The answer is JSON that the schema accepts; a fence of ``` around it is taken off."""

    type: Literal["jsonSchema"]
    schema_: dict[str, Any] = Field(alias="schema")

    @field_validator("schema_")
    @classmethod
    def _is_a_schema(cls, schema: dict[str, Any]) -> dict[str, Any]:
        import jsonschema_rs

        try:
            jsonschema_rs.validator_for(schema)
        except (ValueError, jsonschema_rs.ValidationError) as error:
            raise ValueError(f"is no JSON schema: {error!s:.200}") from error
        return schema


class Exact(Model):
    """The answer is one of `texts` (or the case's reference); normalised: case, outer punctuation and spaces don't
    count."""

    type: Literal["exact"]
    texts: Texts | None = None
    normalise: bool = True


class Number(Model):
    """The last number in the answer is `value`, give or take the larger of the tolerances."""

    type: Literal["number"]
    value: float
    tolerance: float = Field(0.0, ge=0)
    relative_tolerance: float = Field(0.0, ge=0)


class Overlap(Model):
    """Likeness to the case's reference on a scale of 0 to 1: ROUGE (F-measure), BLEU (of the sentence) or chrF."""

    type: Literal["rouge1", "rouge2", "rougeL", "bleu", "chrf"]
    minimum: float = Field(ge=0, le=1)


class Refusal(Model):
    """The answer declines (expected), or it does not."""

    type: Literal["refusal"]
    expected: bool


class Length(Model):
    """How long the answer is, in words or characters."""

    type: Literal["length"]
    min_words: Count | None = None
    max_words: Count | None = None
    min_characters: Count | None = None
    max_characters: Count | None = None

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        pairs = ((self.min_words, self.max_words), (self.min_characters, self.max_characters))
        if all(bound is None for pair in pairs for bound in pair):
            raise ValueError("give minWords, maxWords, minCharacters or maxCharacters")
        if any(low is not None and high is not None and low > high for low, high in pairs):
            raise ValueError("the minimum is above the maximum")
        return self


class Tool(Model):
    """The answer calls this tool with at least these arguments; a null name asks for no call at all."""

    type: Literal["toolCall"]
    name: Annotated[str, Field(min_length=1)] | None
    arguments: dict[str, Any] = {}


class Judged(Model):
    """A judge model reads the answer by the rubric and says pass or fail, or a grade from 1 to 5."""

    type: Literal["judge"]
    rubric: str = Field(min_length=1)
    scale: Literal["passFail", "1-5"] = "passFail"
    threshold: int = Field(4, ge=1, le=5)


Check = Annotated[
    Contains | Regex | JsonSchema | Exact | Number | Overlap | Refusal | Length | Tool | Judged,
    Field(discriminator="type"),
]
