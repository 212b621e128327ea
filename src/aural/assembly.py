"""Models as the settings ask for them: found, placed on devices, and ready to be started."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from aural.engines.base import ModelSpec
from aural.engines.catalog import FITTED_WINDOWS, Card, find
from aural.engines.weights import size_bytes
from aural.errors import SettingsError
from aural.metrics import Metrics
from aural.serving.door import Limits
from aural.serving.fleet import Fleet
from aural.serving.model import Model, Prepared
from aural.serving.placement import BYTES_PER_WEIGHT_BYTE, Placement, place, this_machine
from aural.serving.policy import Policy
from aural.serving.scheduler import Scheduler
from aural.serving.transcriber import Transcriber
from aural.settings import ModelSettings, Settings
from aural.types import SAMPLE_RATE

LONGEST_CLIP_SAMPLES = 30 * SAMPLE_RATE
MOST_CLIPS = {"cpu": 8, "cuda": 32}
"""In a batch, unless told otherwise."""


def build_fleet(settings: Settings, metrics: Metrics) -> Fleet:
    """The models, not loaded yet. Raises SettingsError."""

    def build(table: Mapping[str, Any]) -> Model:
        return model(settings, settings.defaults.told(table), metrics)

    models = [model(settings, asked, metrics) for asked in settings.models]
    names = [one.name for one in models]
    if len(set(names)) < len(names):
        raise SettingsError(f"expected models with different names, got {', '.join(names)}")
    budget_bytes = int(settings.memory_gb * 2**30)
    return Fleet(models, build=build, budget_bytes=budget_bytes, patience_s=settings.max_wait_s)


def model(settings: Settings, asked: ModelSettings, metrics: Metrics) -> Model:
    """One model; raises SettingsError for one that nobody knows."""
    card = find(asked.model)
    return Model(card.name, partial(_prepared, settings, asked, card, metrics), source=card.source, idle_s=asked.idle_s)


def _prepared(settings: Settings, asked: ModelSettings, card: Card, metrics: Metrics) -> Prepared:
    """Weights that are not here are downloaded. Raises SettingsError, LoadFailed."""
    folder = card.fetch()
    specs = model_specs(asked, card, folder)
    most = asked.max_batch or MOST_CLIPS[specs[0].device]
    policy = Policy(most, most * LONGEST_CLIP_SAMPLES, asked.batch_window_ms / 1000)
    limits = Limits(settings.max_wait_s, settings.max_queue_audio_s)
    need_bytes = size_bytes(folder) * BYTES_PER_WEIGHT_BYTE * len(specs)
    return Prepared(Transcriber(Scheduler(specs, policy, limits, metrics), metrics), need_bytes)


def model_specs(asked: ModelSettings, card: Card, folder: Path | None) -> list[ModelSpec]:
    """One spec per replica."""
    placements = place(
        this_machine(), size_bytes(folder), device=asked.device, replicas=asked.replicas, threads=asked.threads
    )
    return [
        ModelSpec(
            name=card.name,
            family=card.family,
            folder=folder,
            sha256=card.sha256,
            device=placement.device,
            device_index=placement.device_index,
            compute_type=_compute_type(asked, card, placement),
            threads=placement.threads,
            fitted_windows=_fitted(asked, card),
        )
        for placement in placements
    ]


def _compute_type(asked: ModelSettings, card: Card, placement: Placement) -> str:
    if asked.compute_type != "auto" or card.family != "whisper":
        return asked.compute_type
    return "float16" if placement.device == "cuda" else "int8"


def _fitted(asked: ModelSettings, card: Card) -> bool:
    if asked.fitted_windows == "auto":
        return card.name in FITTED_WINDOWS
    return asked.fitted_windows == "on"
