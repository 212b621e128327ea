"""What a live session tells a client: a closed union. Times are seconds of the audio that was sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Spoken:
    """A word with its place."""

    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Started:
    """Speech began; `item` will be named by all that follows of it."""

    item: str
    at_s: float


@dataclass(frozen=True, slots=True)
class Stopped:
    item: str
    at_s: float
    """The end of the speech and the silence that was waited for."""


@dataclass(frozen=True, slots=True)
class Grown:
    """Text that will not change any more, to be appended to what was committed before."""

    item: str
    text: str
    words: tuple[Spoken, ...] = ()


@dataclass(frozen=True, slots=True)
class Drafted:
    """What may follow the committed text; it replaces the draft before."""

    item: str
    text: str


@dataclass(frozen=True, slots=True)
class Done:
    """The whole text of an utterance; empty when nothing was said."""

    item: str
    text: str
    start_s: float | None = None
    end_s: float | None = None
    words: tuple[Spoken, ...] = ()


@dataclass(frozen=True, slots=True)
class Failed:
    item: str
    message: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The server did not follow an order; the session goes on."""

    message: str
    code: str | None = None
    order: str | None = None
    """The `event_id` of the order, where it had one."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The connection is lost, and another one is sought. The utterances that were open are heard again, under other
    names: what was told of them counts no more."""

    message: str
    items: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reconnected:
    """There is another connection, and the audio from here on is sent to it."""

    at_s: float


@dataclass(frozen=True, slots=True)
class Other:
    """Anything else that the server says."""

    raw: Mapping[str, Any]


Event = Started | Stopped | Grown | Drafted | Done | Failed | Refused | Lost | Reconnected | Other

_TRANSCRIPTION = "conversation.item.input_audio_transcription."
NO_REASON = "no reason given"
COMPLETED, FAILED = _TRANSCRIPTION + "completed", _TRANSCRIPTION + "failed"
_PLACES = frozenset(
    {"audio_start_ms", "audio_end_ms", "start_ms", "end_ms", "offset_ms", "begin_offset_ms", "end_offset_ms"}
)
"""Keys of events whose values are in the clock of the session."""


def shifted(raw: Any, by_ms: int) -> Any:
    """An event, or a part of one, with all its times so much later."""
    match raw:
        case {"word": _, "start": start_s, "end": end_s}:
            return {**raw, "start": start_s + by_ms / 1000, "end": end_s + by_ms / 1000}
        case dict():
            return {name: _shifted_value(name, value, by_ms) for name, value in raw.items()}
        case list():
            return [shifted(part, by_ms) for part in raw]
    return raw


def _shifted_value(name: str, value: Any, by_ms: int) -> Any:
    return value + by_ms if name in _PLACES and isinstance(value, int) else shifted(value, by_ms)


def parse(raw: Mapping[str, Any]) -> Event:
    """An event of OpenAI's Realtime protocol, aural's extensions included."""
    item = raw.get("item_id", "")
    match str(raw.get("type", "")).removeprefix(_TRANSCRIPTION):
        case "input_audio_buffer.speech_started":
            return Started(item, raw["audio_start_ms"] / 1000)
        case "input_audio_buffer.speech_stopped":
            return Stopped(item, raw["audio_end_ms"] / 1000)
        case "delta":
            return Grown(item, raw["delta"], _words(raw))
        case "aural.draft":
            return Drafted(item, raw["draft"])
        case "completed":
            return Done(
                item, raw["transcript"], _seconds(raw.get("start_ms")), _seconds(raw.get("end_ms")), _words(raw)
            )
        case "failed":
            return Failed(item, raw["error"]["message"])
        case "error":
            error = raw["error"]
            return Refused(error.get("message", NO_REASON), error.get("code"), error.get("event_id"))
        case _:
            return Other(raw)


def _seconds(ms: int | None) -> float | None:
    return None if ms is None else ms / 1000


def _words(raw: Mapping[str, Any]) -> tuple[Spoken, ...]:
    return tuple(Spoken(word["word"], word["start"], word["end"]) for word in raw.get("words") or ())
