"""What a trained model must show: suites of prompts with checks, and gates on their metrics."""

from typing import Annotated

from pydantic import Field

from tunebird.api.base import (
    Closed,
    Model,
    Name,
    Number,
    Percent,
    Rate,
    Rule,
    SecretRef,
    StorageRef,
    Word,
    keyed,
    one_of,
)


class Judge(Model):
    """A model that scores answers."""

    source: StorageRef | None = Field(
        None, description="The judging model. Not supported by this version: serve it, and name its endpoint."
    )
    endpoint: Annotated[str, Field(max_length=512)] | None = Field(
        None, description="Base URL of an OpenAI-compatible API, e.g. https://judge.example.com/v1."
    )
    model: Word | None = Field(None, description="Name of the model at the endpoint.")
    secret_ref: SecretRef | None = Field(None, description="Secret with the endpoint's key: key JUDGE_API_KEY.")


class Generation(Model):
    """How answers are sampled in an evaluation."""

    temperature: Number | None = Field(None, description="0 is greedy.")
    max_tokens: int | None = Field(None, ge=1, le=131072, description="Tokens per answer.")
    samples: int | None = Field(None, ge=1, le=64, description="Answers per prompt.")


class Suite(Model):
    """A set of prompts with checks."""

    name: Name = Field(description="Prefix of its metrics.")
    source: StorageRef = Field(description="JSON Lines of prompts and checks.")
    judge: Judge | None = Field(None, description="A model that scores answers.")
    generation: Generation | None = Field(None, description="How answers are sampled. Greedy if absent.")


class Regression(Closed):
    """How much worse than the comparison is accepted."""

    absolute: Percent | None = Field(None, description="In percentage points.")
    relative: Percent | None = Field(None, description="Relative to the comparison's value.")
    RULES = (one_of("absolute", "relative"),)


class Gate(Closed):
    """A condition that the model must satisfy, on the interval's unfavourable end."""

    metric: Annotated[str, Field(max_length=128, pattern=r"^[A-Za-z][-A-Za-z0-9]*\.[A-Za-z][A-Za-z0-9]*$")] = Field(
        description="<suite>.<metric>, e.g. core.instructionSuccess; training.memorisation, validation.perplexity and "
        "canaries.exposure need no suite."
    )
    minimum: Rate | None = Field(None, description="At least this.")
    maximum: Rate | None = Field(None, description="At most this.")
    max_regression: Regression | None = Field(None, description="At most this much worse than compareTo.")
    compare_to: Annotated[str, Field(max_length=64, pattern=r"^(base|stable|job/[a-z][-a-z0-9]{0,39})$")] | None = (
        Field(
            None,
            description="base, job/<name> (waited for) or stable (what is served; not yet). base if absent.",
        )
    )
    confidence: Percent | None = Field(None, description="Level of the interval. 95% if absent.")
    RULES = (
        one_of("minimum", "maximum", "maxRegression"),
        Rule(
            "!has(self.compareTo) || has(self.maxRegression)",
            "compareTo goes with maxRegression only",
            lambda gate: gate.compare_to is None or gate.max_regression is not None,
            "compareTo",
        ),
    )


class Evaluation(Model):
    """Suites that are run after training, and what they must show."""

    suites: Annotated[tuple[Suite, ...], *keyed("name")] = Field((), max_length=16, description="Sets of prompts.")
    gates: tuple[Gate, ...] = Field((), max_length=32, description="All must hold, or the job fails with GateFailed.")
    canaries: int | None = Field(
        None, ge=1, le=1000, description="Random sequences planted in the training data, to measure memorisation."
    )
