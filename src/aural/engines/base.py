"""The contract of an engine, and what an engine says of itself.

An engine is one loaded model on one device. It turns clips into transcripts, and knows nothing of HTTP, containers,
queues or sessions. A fourth model family is one new file beside this one and one line in `FAMILIES`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol

from aural.errors import LoadFailed, UnsupportedParameter
from aural.types import Clip, Options, Task, Timestamps, Transcript

FAMILIES = {
    "whisper": "aural.engines.whisper:load",
    "parakeet": "aural.engines.parakeet:load",
    "voxtral": "aural.engines.voxtral:load",
    "fake": "aural.engines.fake:load",
}
"""Model family → the function that loads one, as `module:name`, imported only in the worker that needs it."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a model can honour; a request for more is refused by name."""

    languages: tuple[str, ...]
    """ISO 639-1 codes that may be asked for."""
    longest_clip: int
    """Samples that one pass can hear."""
    detects_language: bool = False
    guesses_language: bool = False
    """It tells the language by the text that it has written, and may never be sure."""
    tasks: tuple[Task, ...] = ("transcribe",)
    timestamps: tuple[Timestamps, ...] = (Timestamps.NONE,)
    prompt: bool = False
    hotwords: bool = False
    temperature: bool = False
    beam_search: bool = False
    understanding: bool = False
    """Whether it answers questions about audio."""

    def check(self, options: Options, model: str) -> None:
        """Raises UnsupportedParameter for the first option that the model cannot honour."""
        if options.language and options.language not in self.languages:
            known = ", ".join(self.languages)
            raise UnsupportedParameter("language", options.language, model, f"it hears {known}")
        if options.task not in self.tasks:
            raise UnsupportedParameter("task", options.task, model, f"it can {' and '.join(self.tasks)}")
        if options.timestamps not in self.timestamps:
            known = ", ".join(self.timestamps)
            raise UnsupportedParameter("timestamp_granularities", options.timestamps.value, model, f"it gives {known}")
        for name, asked, can in (
            ("prompt", options.prompt, self.prompt),
            ("hotwords", options.hotwords, self.hotwords),
            ("temperature", options.temperature, self.temperature or not options.temperature),
            ("beam_size", options.beam_size, self.beam_search or options.beam_size == 1),
        ):
            if asked and not can:
                raise UnsupportedParameter(name, asked, model, "it has no such control")


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """All that a worker needs to load one model. It crosses a process border, so it holds plain values."""

    name: str
    family: str
    folder: Path | None
    """Where the weights lie; None for a family that has none."""
    sha256: str | None = None
    """Digest that the weights file must have; None when nobody published one."""
    device: str = "cpu"
    device_index: int = 0
    compute_type: str = "int8"
    threads: int = 1
    fitted_windows: bool = False
    source: str = ""
    """What a foreign server is to load: a folder, or a repository that it fetches itself."""
    upstream: str = ""
    """URL of a foreign server that already serves the model."""
    arguments: tuple[str, ...] = ()
    """Of the foreign server."""
    cards: tuple[int, ...] = ()
    """GPUs that the foreign server may see."""
    places: int = 1
    """Clips that may be heard at once by an engine that batches by itself."""


class Engine(Protocol):
    """One loaded model on one device, used by one thread."""

    @property
    def capabilities(self) -> Capabilities: ...

    def transcribe(self, clips: Sequence[Clip]) -> list[Transcript]:
        """One transcript per clip, in order and in the clip's own clock. The clips come from different callers, each
        with options of its own, already checked against `capabilities`; none is longer than `longest_clip`."""
        ...


def load(spec: ModelSpec) -> Engine:
    """Load the model; raises LoadFailed with the reason. A family outside of the list says itself where it lies, as
    `module:name`."""
    module, found, name = FAMILIES.get(spec.family, spec.family).partition(":")
    if not found:
        known = ", ".join(FAMILIES)
        raise LoadFailed(f"{spec.name}: expected a family of {known}, or module:name; got {spec.family!r}")
    engine: Engine = getattr(import_module(module), name)(spec)
    return engine
