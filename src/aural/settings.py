"""Every setting of the server: one frozen object, read once from flags, AURAL_… variables and a TOML file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from aural.engines.catalog import DEFAULT_MODEL
from aural.errors import SettingsError

Switch = Literal["auto", "on", "off"]


@dataclass(frozen=True, slots=True)
class Settings:
    """Defaults serve a laptop; `aural serve --help` says what each one does."""

    models: tuple[str, ...] = (DEFAULT_MODEL,)
    host: str = "127.0.0.1"
    port: int = 8080
    device: str = "auto"
    compute_type: str = "auto"
    replicas: int = 0
    threads: int = 0
    max_batch: int = 0
    batch_window_ms: float = 0.0
    fitted_windows: Switch = "auto"
    beam_size: int = 1
    max_body_mb: float = 100.0
    max_audio_s: float = 4 * 3600.0
    max_wait_s: float = 60.0
    max_queue_audio_s: float = 8 * 3600.0
    max_requests: int = 512
    body_timeout_s: float = 60.0
    drain_s: float = 25.0
    api_key: str = ""
    log_level: str = "info"
    log_format: Literal["json", "text"] = "json"

    def __post_init__(self) -> None:
        for name in ("max_body_mb", "max_audio_s", "max_wait_s", "max_queue_audio_s", "body_timeout_s", "beam_size"):
            if not getattr(self, name) > 0:
                raise SettingsError(f"expected {name} above 0, got {getattr(self, name)}")
        for name in ("replicas", "threads", "max_batch", "batch_window_ms", "drain_s"):
            if getattr(self, name) < 0:
                raise SettingsError(f"expected {name} of 0 or more, got {getattr(self, name)}")
        if not 0 <= self.port <= 65535:
            raise SettingsError(f"expected port from 0 to 65535, got {self.port}")
        if not self.models:
            raise SettingsError("expected at least one model, got none")

    @property
    def max_body_bytes(self) -> int:
        return int(self.max_body_mb * 1024 * 1024)
