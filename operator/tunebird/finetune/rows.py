"""What a job learns from: datasets, the split and the preparation, as the trainer reads them. Pure."""

from __future__ import annotations

from tunebird.api import trainer as config
from tunebird.api.base import fraction
from tunebird.api.data import MixingStop
from tunebird.api.finetunejob import FineTuneJobSpec

MIXING_STOPS = {MixingStop.FIRST_EXHAUSTED: "firstExhausted", MixingStop.ALL_EXHAUSTED: "allExhausted"}


def datasets(spec: FineTuneJobSpec) -> tuple[config.DatasetConfig, ...]:
    """The sources of rows."""
    return tuple(
        config.DatasetConfig.model_validate(
            {
                "name": dataset.name,
                "uri": dataset.source.uri,
                "format": dataset.format.value,
                "weight": dataset.weight,
                "limit": dataset.limit,
                "license": dataset.license or "",
                "revision": dataset.source.revision or "",
                "digest": dataset.source.digest or "",
            }
        )
        for dataset in spec.datasets
    )


def validation(spec: FineTuneJobSpec) -> config.ValidationConfig:
    """The rows kept from training."""
    asked = spec.validation
    return config.ValidationConfig.model_validate({"percent": asked.percent, "split_by": asked.split_by.value})


def preparation(spec: FineTuneJobSpec) -> config.PreparationConfig:
    """What is done to rows before."""
    asked = spec.preparation
    near = asked.deduplicate.near if asked.deduplicate is not None else None
    return config.PreparationConfig.model_validate(
        {
            "on_invalid": asked.on_invalid.value,
            "on_too_long": asked.on_too_long.value,
            "max_invalid": fraction(asked.max_invalid or "100%"),
            "max_too_long": fraction(asked.max_too_long or "100%"),
            "deduplicate": {"near": None if near is None else fraction(near)},
            "redact": asked.redact,
            "on_unsafe": asked.on_unsafe.value,
            "on_contaminated": asked.on_contaminated.value,
        }
    )
