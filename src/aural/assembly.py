"""Models as the settings ask for them: found, placed on devices, and ready to be started."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from aural.engines.base import ModelSpec
from aural.engines.catalog import VOXTRAL_BYTES, Card, find
from aural.engines.parakeet_files import weights_bytes
from aural.engines.vllm_arguments import REALTIME_ON_GPUS, VOXTRAL, command_line, read_properties
from aural.engines.voxtral import capabilities, is_realtime
from aural.engines.weights import size_bytes
from aural.errors import SettingsError
from aural.insight import settings as insight_settings
from aural.insight.settings import InsightSettings
from aural.metrics import Metrics
from aural.serving.door import Limits
from aural.serving.fleet import Fleet
from aural.serving.insights import Insights
from aural.serving.model import Model, Prepared
from aural.serving.placement import BYTES_PER_WEIGHT_BYTE, Placement, place, this_machine
from aural.serving.policy import Policy
from aural.serving.reading import Reader
from aural.serving.scheduler import Scheduler
from aural.serving.transcriber import Transcriber
from aural.serving.understanding import Understanding
from aural.serving.vllm import Vllm
from aural.serving.webhook import Hooks
from aural.settings import ModelSettings, Settings
from aural.types import SAMPLE_RATE

LONGEST_CLIP_SAMPLES = 30 * SAMPLE_RATE
MOST_CLIPS = {"cpu": 8, "cuda": 32}
"""In a batch, unless told otherwise."""
VLLM_FAMILY = "voxtral"
MOST_PLACES = 32
"""Clips that a vLLM hears at once, unless told otherwise."""
MULTI_MODEL_SHARE = 0.8
"""Of the container's memory; the rest is for requests and this process."""
OF_VLLM = ("upstream", "memory_share", "vllm")
OF_WORKERS = ("compute_type", "threads", "batch_window_ms", "fitted_windows")
VLLM_BYTES_PER_WEIGHT_BYTE = 2
"""An estimate for the budget: weights, and as much for keys, values and buffers."""


def build_fleet(settings: Settings, metrics: Metrics) -> Fleet:
    """The models, not loaded yet. Raises SettingsError."""

    def build(table: Mapping[str, Any]) -> Model:
        asked = settings.defaults.told(table)
        _check(settings, asked)
        return model(asked, metrics)

    for asked in settings.models:
        _check(settings, asked)
    _check_flags(settings)
    models = [model(asked, metrics) for asked in settings.models]
    names = [one.name for one in models]
    if len(set(names)) < len(names):
        raise SettingsError(f"expected models with different names, got {', '.join(names)}")
    patience_s = settings.defaults.max_wait_s
    return Fleet(models, build=build, budget_bytes=_budget_bytes(settings), patience_s=patience_s)


def _budget_bytes(settings: Settings) -> int:
    """Where SageMaker loads the models it has to be told when they do not fit, so there is a budget always."""
    if settings.memory_gb or not settings.multi_model:
        return int(settings.memory_gb * 2**30)
    return int(this_machine().memory_bytes * MULTI_MODEL_SHARE)


def build_understanding(settings: Settings, metrics: Metrics) -> Understanding:
    """The skills, as the file of insights says, not loaded yet. Raises SettingsError."""
    told = insight_settings.read(Path(settings.insights)) if settings.insights else InsightSettings()
    hooks = Hooks(told.webhook, metrics) if told.webhook else None
    reader = Reader(told.llm, metrics) if told.llm else None
    return Understanding(Insights(metrics, told.search(told.asked).wide), metrics, told, hooks, reader)


def model(asked: ModelSettings, metrics: Metrics) -> Model:
    """One model; raises SettingsError for one that nobody knows."""
    card = find(asked.model)
    if card.family == VLLM_FAMILY:
        card = replace(card, upstream=card.upstream or asked.upstream)
    prepare = partial(_prepared, asked, card, metrics)
    starts_last = card.family == VLLM_FAMILY and not card.upstream
    made = Model(card.name, prepare, source=card.source, idle_s=asked.idle_s, starts_last=starts_last)
    if card.listed and card.family == VLLM_FAMILY:
        made.capabilities = capabilities(str(asked.vllm.get("model", card.repository)))
    return made


def _check(settings: Settings, asked: ModelSettings) -> None:
    """Raises SettingsError for what a model's table says in vain, or twice."""
    what, useless = _useless(asked)
    for key in useless:
        if getattr(asked, key) != getattr(settings.defaults, key):
            raise SettingsError(
                f"{find(asked.model).name}: expected no {', '.join(useless)}, which mean nothing to {what}; got {key}"
            )
    command_line(asked.vllm)
    if asked.memory_share and "gpu_memory_utilization" in asked.vllm:
        raise SettingsError(f"{asked.model}: expected memory_share or vLLM's gpu_memory_utilization, got both")


def _check_flags(settings: Settings) -> None:
    """Raises SettingsError for a flag that no model has a use for."""
    names = ", ".join(find(asked.model).name for asked in settings.models)
    for key in (one.name for one in fields(ModelSettings)):
        is_said = getattr(settings.defaults, key) != getattr(ModelSettings(), key)
        if is_said and names and all(key in _useless(asked)[1] for asked in settings.models):
            flag = f"--{key.replace('_', '-')} {getattr(settings.defaults, key)}"
            raise SettingsError(f"expected a model that has a use for {flag}, got {names}")


def _useless(asked: ModelSettings) -> tuple[str, tuple[str, ...]]:
    """What kind of model it is, and the settings that mean nothing to it."""
    card = find(asked.model)
    if card.family == VLLM_FAMILY and (card.upstream or asked.upstream):
        once = ("upstream",) if card.upstream else ()
        return "a vLLM that runs elsewhere", (*once, "memory_share", "vllm", "replicas", "device", *OF_WORKERS)
    if card.family == VLLM_FAMILY:
        return "a vLLM", OF_WORKERS
    return "a model that needs no vLLM", (*OF_VLLM, *(("fitted_windows",) if card.family == "parakeet" else ()))


def _prepared(asked: ModelSettings, card: Card, metrics: Metrics) -> Prepared:
    """Weights that are not here are downloaded. Raises SettingsError, LoadFailed."""
    folder = fetched(asked, card)
    limits = Limits(asked.max_wait_s, asked.max_queue_audio_s, asked.max_streams)
    if card.family == VLLM_FAMILY:
        foreign = vllm_specs(asked, card, folder)
        scheduler = Scheduler(foreign, Policy(max_batch=1), limits, metrics, kind=Vllm)
        return Prepared(Transcriber(scheduler, metrics), _vllm_bytes(foreign))
    specs = model_specs(asked, card, folder)
    most = asked.max_batch or MOST_CLIPS[specs[0].device]
    policy = Policy(most, most * LONGEST_CLIP_SAMPLES, asked.batch_window_ms / 1000)
    need_bytes = _weights_bytes(asked, card, folder) * BYTES_PER_WEIGHT_BYTE * len(specs)
    return Prepared(Transcriber(Scheduler(specs, policy, limits, metrics), metrics), need_bytes)


def fetched(asked: ModelSettings, card: Card) -> Path | None:
    """The folder of the weights for the compute type and device asked for. Raises SettingsError, LoadFailed."""
    device = place(this_machine(), 0, device=asked.device)[0].device if card.family == "parakeet" else "cpu"
    return card.fetch(asked.compute_type, device)


def model_specs(asked: ModelSettings, card: Card, folder: Path | None) -> list[ModelSpec]:
    """One spec per replica."""
    placements = place(
        this_machine(),
        _weights_bytes(asked, card, folder),
        device=asked.device,
        replicas=asked.replicas,
        threads=asked.threads,
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


def vllm_specs(asked: ModelSettings, card: Card, folder: Path | None) -> list[ModelSpec]:
    """One spec per vLLM: on GPUs one for as many cards as its tensors are spread over. Raises SettingsError."""
    table = {**VOXTRAL, **read_properties(folder), **asked.vllm}
    if asked.memory_share:
        table["gpu_memory_utilization"] = asked.memory_share
    source = str(table.pop("model", folder or card.repository or card.name))
    spec = ModelSpec(card.name, card.family, folder, source=source, upstream=card.upstream)
    if card.upstream:
        return [replace(spec, places=asked.max_batch or MOST_PLACES, device="remote")]
    placements = place(this_machine(), 0, device=asked.device)
    cards = [one.device_index for one in placements if one.device == "cuda"]
    if cards and is_realtime(source):
        table = {**REALTIME_ON_GPUS, **table}
    places = asked.max_batch or _whole(table, "max_num_seqs", MOST_PLACES)
    spec = replace(spec, places=places, device="cuda" if cards else "cpu")
    groups = _groups(table, cards)
    spec = replace(spec, arguments=tuple(command_line(table)))
    count = asked.replicas or max(1, len(groups))
    if not groups:
        return [spec] * count
    _check_share(table, -(-count // len(groups)))
    shared = (groups[index % len(groups)] for index in range(count))
    return [replace(spec, cards=tuple(group), device_index=group[0]) for group in shared]


def _check_share(table: Mapping[str, Any], vllms: int) -> None:
    """Raises SettingsError when so many vLLMs on a card would take more of it than there is."""
    share = table.get("gpu_memory_utilization")
    fits = isinstance(share, int | float) and share * vllms <= 1
    if vllms > 1 and not fits and "kv_cache_memory_bytes" not in table:
        raise SettingsError(f"expected memory_share up to {1 / vllms:.2g} for {vllms} vLLMs on a card, got {share}")


def _groups(table: dict[str, Any], cards: list[int]) -> list[list[int]]:
    """The cards of each vLLM; a tensor_parallel_size of `max` takes them all. Raises SettingsError."""
    if table.get("tensor_parallel_size") == "max":
        table["tensor_parallel_size"] = max(1, len(cards))
    size = _whole(table, "tensor_parallel_size", 1) * _whole(table, "pipeline_parallel_size", 1)
    if cards and size > len(cards):
        raise SettingsError(f"expected {size} CUDA devices for the parallel sizes of vLLM, found {len(cards)}")
    return [cards[start : start + size] for start in range(0, len(cards) - size + 1, size)]


def _whole(table: Mapping[str, Any], key: str, default: int) -> int:
    """A number of a table of vLLM's; raises SettingsError."""
    value = table.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise SettingsError(f"expected {key} of vLLM as a whole number above 0, got {value!r}")
    return value


def _vllm_bytes(specs: Sequence[ModelSpec]) -> int:
    """An estimate of what vLLMs of our own take, be it that they fetch their weights themselves."""
    one = specs[0]
    weights = 0 if one.upstream else max(size_bytes(one.folder), VOXTRAL_BYTES.get(one.source, 0))
    return weights * VLLM_BYTES_PER_WEIGHT_BYTE * len(specs)


def _weights_bytes(asked: ModelSettings, card: Card, folder: Path | None) -> int:
    """What a replica reads; on a GPU, where memory does not decide, an estimate. Raises LoadFailed."""
    if card.family == "parakeet" and folder:
        return weights_bytes(folder, asked.compute_type, "cpu" if asked.device == "auto" else asked.device)
    return size_bytes(folder)


def _compute_type(asked: ModelSettings, card: Card, placement: Placement) -> str:
    if asked.compute_type != "auto" or card.family != "whisper":
        return asked.compute_type
    return "float16" if placement.device == "cuda" else "int8"


def _fitted(asked: ModelSettings, card: Card) -> bool:
    if asked.fitted_windows == "auto":
        return card.fits_windows
    return asked.fitted_windows == "on"
