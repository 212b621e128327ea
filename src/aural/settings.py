"""Every setting of the server: one frozen object, read once from flags, AURAL_… variables and a TOML file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, Self

from aural.engines.catalog import DEFAULT_MODEL
from aural.errors import SettingsError

Switch = Literal["auto", "on", "off"]


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """How one model is served. What a model does not say, `Settings.defaults` says."""

    model: str = DEFAULT_MODEL
    """A name of the catalog, [FAMILY:]OWNER/REPOSITORY, a folder, or the URL of a vLLM that runs; `NAME=` before it
    serves it under another name."""
    device: str = "auto"
    compute_type: str = "auto"
    replicas: int = 0
    threads: int = 0
    max_batch: int = 0
    batch_window_ms: float = 0.0
    fitted_windows: Switch = "auto"
    max_wait_s: float = 60.0
    max_queue_audio_s: float = 8 * 3600.0
    max_streams: int = 0
    idle_s: float = 0.0
    """After so long without a request the model is let go, and loaded again when it is asked for; 0 keeps it."""
    upstream: str = ""
    """URL of a vLLM that already serves this model."""
    memory_share: float = 0.0
    """Share of its GPU's memory that vLLM may take; 0 leaves it to vLLM."""
    vllm: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Arguments of `vllm serve`, underscores for dashes."""

    def __post_init__(self) -> None:
        for name in ("max_wait_s", "max_queue_audio_s"):
            if not getattr(self, name) > 0:
                raise SettingsError(f"expected {name} above 0, got {getattr(self, name)}")
        for name in ("replicas", "threads", "max_batch", "batch_window_ms", "max_streams", "idle_s"):
            if getattr(self, name) < 0:
                raise SettingsError(f"expected {name} of 0 or more, got {getattr(self, name)}")
        if not 0 <= self.memory_share <= 1:
            raise SettingsError(f"expected memory_share from 0 to 1, got {self.memory_share}")
        if self.fitted_windows not in ("auto", "on", "off"):
            raise SettingsError(f"expected fitted_windows of auto, on or off; got {self.fitted_windows!r}")

    def told(self, model: str | Mapping[str, Any]) -> Self:
        """These settings for a model that is named, or told apart in a table. Raises SettingsError for keys or values
        that are none."""
        table = {"model": model} if isinstance(model, str) else dict(model)
        name = table.pop("name", "")
        known = {one.name: one.type for one in fields(self)}
        unknown = sorted(table.keys() - known.keys())
        if unknown:
            raise SettingsError(f"expected keys of a model of name, {', '.join(known)}; got {unknown[0]!r}")
        for key, value in table.items():
            _check_type(key, value, getattr(self, key))
        if name:
            table["model"] = f"{name}={str(table.get('model', name)).rpartition('=')[2]}"
        if "model" not in table:
            raise SettingsError(f"expected 'model' or 'name' in the table of a model, got {', '.join(table) or 'none'}")
        return replace(self, **table)


@dataclass(frozen=True, slots=True)
class Settings:
    """Defaults serve a laptop; `aural serve --help` says what each one does."""

    models: tuple[ModelSettings, ...] = (ModelSettings(),)
    defaults: ModelSettings = ModelSettings()
    host: str = "127.0.0.1"
    port: int = 8080
    beam_size: int = 1
    memory_gb: float = 0.0
    multi_model: bool = False
    max_body_mb: float = 100.0
    max_audio_s: float = 4 * 3600.0
    max_requests: int = 512
    body_timeout_s: float = 60.0
    drain_s: float = 25.0
    fetch_from: tuple[str, ...] = ()
    insights: str = ""
    api_key: str = ""
    admin_key: str = ""
    emf: str = ""
    log_level: str = "info"
    log_format: Literal["json", "text"] = "json"

    def __post_init__(self) -> None:
        for name in ("max_body_mb", "max_audio_s", "body_timeout_s", "beam_size"):
            if not getattr(self, name) > 0:
                raise SettingsError(f"expected {name} above 0, got {getattr(self, name)}")
        for name in ("drain_s", "memory_gb"):
            if getattr(self, name) < 0:
                raise SettingsError(f"expected {name} of 0 or more, got {getattr(self, name)}")
        if not 0 <= self.port <= 65535:
            raise SettingsError(f"expected port from 0 to 65535, got {self.port}")
        if not self.models and not self.multi_model:
            raise SettingsError("expected at least one model, got none")

    @property
    def max_body_bytes(self) -> int:
        return int(self.max_body_mb * 1024 * 1024)

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """The settings that were given by name, those of models among them; defaults for the rest, and for None."""
        said = {name: value for name, value in given.items() if value not in (None, ())}
        of_models = {one.name for one in fields(ModelSettings)}
        defaults = ModelSettings(**{name: said.pop(name) for name in of_models & said.keys()})
        none = () if said.get("multi_model") else (DEFAULT_MODEL,)
        models = tuple(defaults.told(model) for model in said.pop("models", none))
        return cls(models=models, defaults=defaults, **said)


def _check_type(key: str, value: object, default: object) -> None:
    """A table comes from TOML or JSON, where a number may be a word."""
    kind = type(default)
    fits = isinstance(value, Mapping) if isinstance(default, Mapping) else isinstance(value, kind)
    if kind is float and isinstance(value, int):
        fits = True
    if not fits or (isinstance(value, bool) and kind is not bool):
        raise SettingsError(f"expected {key} as {kind.__name__}, got {value!r}")
