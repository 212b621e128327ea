"""How far the server of one connection has heard, from what it told: where the next one has to go on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aural.streaming.events import COMPLETED, FAILED


@dataclass(slots=True)
class Progress:
    """Places are milliseconds in the caller's clock."""

    begin_ms: int = 0
    """Where the audio of this connection begins."""
    heard_ms: int = 0
    """All before it has its final text, or was silence."""
    resume: str | None = None
    """What a server gave to go on from there with, if one did."""
    is_leaving: bool = False
    open: dict[str, int] = field(default_factory=dict)
    """Where the utterances begin that are not finished."""
    stopped: dict[str, int] = field(default_factory=dict)
    """Where they were found to have ended."""
    final_ms: int = 0

    @classmethod
    def at(cls, place_ms: int, resume: str | None = None) -> Progress:
        return cls(place_ms, place_ms, resume)

    def note(self, raw: Mapping[str, Any]) -> bool:
        """Take in an event; whether more is heard than before. Finals come in order. Silence is told as soon as
        somebody speaks again, which may be before the final of who spoke last."""
        match raw:
            case {"type": "input_audio_buffer.speech_started", "item_id": item, "audio_start_ms": at_ms}:
                self.open.setdefault(item, at_ms)
            case {"type": "input_audio_buffer.committed", "item_id": item}:
                self.open.setdefault(item, self.heard_ms)
            case {"type": "input_audio_buffer.speech_stopped", "item_id": item, "audio_end_ms": at_ms}:
                self.stopped[item] = at_ms
            case {"type": kind, "item_id": item} if kind in (COMPLETED, FAILED):
                start_ms = raw.get("start_ms", self.open.pop(item, self.heard_ms))
                end_ms = raw.get("end_ms", self.stopped.pop(item, start_ms))
                if kind == COMPLETED:
                    self.final_ms += end_ms - start_ms if raw["transcript"] else 0
                    return self._reach(end_ms)
            case {"type": "aural.suppressed", "item_id": None, "end_ms": end_ms} if not self.open:
                return self._reach(end_ms)
        return False

    def leave(self, raw: Mapping[str, Any]) -> None:
        """The server goes away, and says where another one may go on."""
        self.heard_ms, self.resume, self.is_leaving = raw["audio_end_ms"], raw["resume"], True

    @property
    def totals_ms(self) -> dict[str, int]:
        """Where the audio went that is heard: what gave no text counts as suppressed."""
        received = self.heard_ms - self.begin_ms
        return {"received": received, "final": self.final_ms, "suppressed": received - self.final_ms}

    def _reach(self, place_ms: int) -> bool:
        if place_ms <= self.heard_ms:
            return False
        self.heard_ms, self.resume = place_ms, None
        return True
