"""Composition root: which reconcilers run, and what they are given."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tunebird.config import Config
from tunebird.finetune.reconcile import FineTuneJobs
from tunebird.finetune.settings import FineTuneJobSettings
from tunebird.metrics.registry import ProviderRegistry
from tunebird.rollout.reconcile import ModelRollouts
from tunebird.rollout.settings import ModelRolloutSettings
from tunebird.runtime.run import Parts, Reconcilers


@asynccontextmanager
async def reconcilers(parts: Parts) -> AsyncIterator[Reconcilers]:
    """The operator's two reconcilers; what they hold open is closed with the context."""
    rollouts = _rollout_settings(parts.config)
    providers = ProviderRegistry(scrape_timeout_seconds=rollouts.scrape_timeout_seconds)
    try:
        yield Reconcilers(
            finetunejobs=FineTuneJobs(
                api=parts.api,
                children=parts.children,
                reports=parts.reports,
                settings=_job_settings(parts.config),
                clock=parts.clock,
            ),
            modelrollouts=ModelRollouts(
                api=parts.api,
                children=parts.children,
                providers=providers,
                settings=rollouts,
                clock=parts.clock,
            ),
        )
    finally:
        await providers.close()


def _job_settings(config: Config) -> FineTuneJobSettings:
    return FineTuneJobSettings(
        trainer_image=config.trainer_image, report_url=config.report_url, allow_file_uris=config.allow_file_uris
    )


def _rollout_settings(config: Config) -> ModelRolloutSettings:
    return ModelRolloutSettings(server_image=config.server_image, allow_file_uris=config.allow_file_uris)
