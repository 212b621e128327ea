"""What a caller may ask of a live session."""

from __future__ import annotations

from dataclasses import dataclass, field

from aural.audio.encoding import Encoding
from aural.languages import Script
from aural.types import Options

MOST_PREFIX_MS = 5_000
"""Of sound before an utterance: with more of it hardly any of a piece would be speech."""


@dataclass(frozen=True, slots=True)
class ServerVad:
    """An utterance ends after so much silence. The names are OpenAI's."""

    threshold: float = 0.5
    """Probability of speech that opens an utterance, 0 to 1."""
    prefix_padding_ms: int = 300
    """Sound before the speech that belongs to it, at most `MOST_PREFIX_MS`."""
    silence_duration_ms: int = 500
    idle_timeout_ms: int | None = None
    """After so long without speech the silence becomes an utterance without text."""


@dataclass(frozen=True, slots=True)
class SemanticVad:
    """As `ServerVad`, but the silence waited for is short after words that end a sentence, and long after others."""

    threshold: float = 0.5
    prefix_padding_ms: int = 300
    silence_duration_ms: int = 400
    max_silence_ms: int = 4000
    """How long to wait after words that do not end a sentence."""


@dataclass(frozen=True, slots=True)
class Manual:
    """The caller commits. Words come as they are said, utterances end when `commit` is called."""


Turns = ServerVad | SemanticVad | Manual


@dataclass(frozen=True, slots=True)
class Format:
    """How the caller sends audio."""

    encoding: Encoding = "pcm_s16le"
    rate: int = 24_000
    """Hz, 8000 to 48000."""
    channels: int = 1


@dataclass(frozen=True, slots=True)
class LiveSettings:
    """All of it may change during a session, from the next audio on; the model only before the first audio."""

    model: str | None = None
    """None is the server's first."""
    options: Options = field(default_factory=Options)
    """`timestamps` WORD gives words with times in `Committed` and `Final`, which costs."""
    script: Script = "t2s"
    format: Format = field(default_factory=Format)
    turns: Turns = field(default_factory=ServerVad)
    partials: bool = True
    """Hear utterances while they are spoken; without it there are finals only."""
    heard_every_ms: int | None = None
    """Tell how far was heard (`Heard`) each time that so much more was."""
    resume: str | None = None
    """The `resume` of a `Notice`: go on in that session's clock, after all that it heard."""
