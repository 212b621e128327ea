"""What is told to the cluster beside the configuration file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from aural.errors import SettingsError
from aural.settings import ModelSettings, Settings


@dataclass(frozen=True, slots=True)
class Arguments:
    """Each as NAME=VALUE after `serve run aural.scale:app`, or under `args:` of a Serve file. What a deployment's own
    entry in such a file says goes before it."""

    config: str = ""
    """The TOML file that `aural serve --config` takes; AURAL_CONFIG names it too."""
    ingress: int = 1
    """Replicas that speak HTTP and WebSocket, and hold the live sessions."""
    min_replicas: int = 1
    max_replicas: int = 1
    """Of each model that does not say how many itself. More than `min_replicas` lets their number follow the load."""
    cpus: float = 1.0
    """Cores of a replica; as many threads."""
    gpus: float = 0.0
    """GPUs of a replica, or a share of one."""
    target_audio_s: float = 60.0
    """Audio seconds in flight that a replica should have: more of them are started above, some are ended below."""
    upscale_delay_s: float = 10.0
    downscale_delay_s: float = 300.0

    def __post_init__(self) -> None:
        for name in ("ingress", "min_replicas", "max_replicas", "target_audio_s"):
            if getattr(self, name) <= 0:
                raise SettingsError(f"expected {name} above 0, got {getattr(self, name)}")
        if self.max_replicas < self.min_replicas:
            raise SettingsError(f"expected max_replicas of {self.min_replicas} or more, got {self.max_replicas}")
        for name in ("cpus", "gpus", "upscale_delay_s", "downscale_delay_s"):
            if getattr(self, name) < 0:
                raise SettingsError(f"expected {name} of 0 or more, got {getattr(self, name)}")

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """From words, as a command line has them; raises SettingsError."""
        kinds: dict[str, type] = {"config": str, "ingress": int, "min_replicas": int, "max_replicas": int}
        known = [one.name for one in fields(cls)]
        values: dict[str, Any] = {"config": os.environ.get("AURAL_CONFIG", "")}
        for name, word in given.items():
            if name not in known:
                raise SettingsError(f"expected {', '.join(known)}; got {name!r}")
            try:
                values[name] = kinds.get(name, float)(word)
            except (TypeError, ValueError) as error:
                raise SettingsError(f"expected a number for {name}, got {word!r}") from error
        return cls(**values)

    def settings(self) -> Settings:
        """What `aural serve` would read: the file and AURAL_… variables; raises SettingsError. Models are not managed
        while a cluster runs: each ingress would only know of its own."""
        import click

        from aural.cli import main

        flags = ["--config", self.config] if self.config else []
        try:
            with main.commands["serve"].make_context("serve", flags) as context:
                given = context.params
        except click.ClickException as error:
            raise SettingsError(error.format_message()) from error
        return Settings.of(given | {"admin_key": "", "multi_model": False, "memory_gb": 0.0})

    def gpus_of(self, model: ModelSettings) -> float:
        if model.device == "cpu":
            return 0.0
        return model.memory_share or self.gpus or float(model.device.startswith("cuda"))
