"""Events of a live session as OpenAI's Realtime server events."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from aural.api.errors import short
from aural.api.formats import word_json
from aural.api.realtime_session import DETAILS, DRAFTS, WORDS, Dialect, WireSession
from aural.api.realtime_words import timed
from aural.errors import AuralError
from aural.live import events
from aural.live.events import Event
from aural.serving.companion import Told
from aural.types import SAMPLE_RATE, Word

TRANSCRIPTION = "conversation.item.input_audio_transcription"
Wire = dict[str, Any]


def milliseconds(samples: int) -> int:
    return samples * 1000 // SAMPLE_RATE


def error_json(error: AuralError, reference: str | None = None) -> Wire:
    return {
        "type": error.type,
        "code": error.code,
        "message": short(str(error)),
        "param": error.param and short(error.param),
        "event_id": reference,
    }


class Writer:
    """Writes one connection's events, in the dialect that its client speaks."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.previous: str | None = None
        """The last item, at first that of the session which this one goes on from."""
        self._ids = itertools.count(1)
        self._words: dict[str, list[Word]] = {}
        """What was committed of the utterances that are not done."""

    def session(self, what: str, session: WireSession) -> Wire:
        """`created` or `updated`."""
        kind = "session" if self.dialect == "ga" else "transcription_session"
        return self._event(f"{kind}.{what}", session=session.wire(self.dialect))

    def error(self, error: AuralError, reference: str | None = None) -> Wire:
        fields = error_json(error, reference)
        if error.retry_after_s is not None:
            fields["retry_after_s"] = error.retry_after_s
        return self._event("error", error=fields)

    def told(self, told: Told) -> Wire:
        """What is found beside the events, under `aural.` and its type."""
        fields = {name: value for name, value in told.body.items() if name != "type"}
        return self._event(f"aural.{told.body['type']}", item_id=fields.get("utterance_id"), **fields)

    def of(self, event: Event, session: WireSession) -> Iterator[Wire]:
        """What the client is told of an event."""
        match event:
            case events.SpeechStarted(utterance, at) if session.turn_detection is not None:
                yield self._buffer("speech_started", audio_start_ms=milliseconds(at), item_id=utterance)
            case events.SpeechStopped(utterance, at):
                yield self._buffer("speech_stopped", audio_end_ms=milliseconds(at), item_id=utterance)
            case events.TimedOut(utterance, start, end):
                times = {"audio_start_ms": milliseconds(start), "audio_end_ms": milliseconds(end)}
                yield self._buffer("timeout_triggered", **times, item_id=utterance)
            case events.Closed(utterance):
                yield from self._item(utterance)
            case events.Committed(utterance, text, words):
                self._words.setdefault(utterance, []).extend(words)
                more = {"words": [word_json(word) for word in words]} if WORDS in session.include else {}
                yield self._transcription("delta", utterance, delta=text, **more)
            case events.Final():
                yield self._completed(event, session)
            case events.Cleared(utterance):
                self._words.pop(utterance or "", None)
                yield self._buffer("cleared")
            case events.Failed(None, error, reference):
                yield self.error(error, reference)
            case events.Failed(str(utterance), error):
                self._words.pop(utterance, None)
                fields = {name: value for name, value in error_json(error).items() if name != "event_id"}
                yield self._transcription("failed", utterance, error=fields)
            case _:
                yield from self._extra(event, session)

    def _extra(self, event: Event, session: WireSession) -> Iterator[Wire]:
        """What OpenAI has no event for, told to those who asked."""
        match event:
            case events.Draft(utterance, text) if DRAFTS in session.include:
                yield self._event("aural.draft", item_id=utterance, draft=text)
            case events.LanguageDetected(language, probability) if DETAILS in session.include:
                yield self._event("aural.language", language=language, probability=round(probability, 4))
            case events.Suppressed(utterance, start, end, reason) if DETAILS in session.include:
                times = {"start_ms": milliseconds(start), "end_ms": milliseconds(end)}
                yield self._event("aural.suppressed", item_id=utterance, **times, reason=reason.value)
            case events.Notice(code, message, at, resume):
                yield self._event(f"aural.{code}", message=message, audio_end_ms=milliseconds(at), resume=resume)
            case events.Ended(totals):
                yield self._event("aural.ended", totals_ms={k: milliseconds(v) for k, v in asdict(totals).items()})

    def _item(self, name: str) -> Iterator[Wire]:
        previous, self.previous = self.previous, name
        yield self._buffer("committed", previous_item_id=previous, item_id=name)
        item = {
            "id": name,
            "object": "realtime.item",
            "type": "message",
            "status": "completed",
            "role": "user",
            "content": [{"type": "input_audio", "transcript": None}],
        }
        for what in ("added", "done") if self.dialect == "ga" else ("created",):
            yield self._event(f"conversation.item.{what}", previous_item_id=previous, item=item)

    def _completed(self, final: events.Final, session: WireSession) -> Wire:
        more: Wire = {}
        committed = self._words.pop(final.utterance, [])
        if WORDS in session.include:
            heard = [word for segment in final.transcript.segments for word in segment.words]
            more["words"] = [word_json(word) for word in timed(final.text, committed, heard)]
        if DETAILS in session.include:
            times = {"start_ms": milliseconds(final.start), "end_ms": milliseconds(final.end)}
            more |= times | {"language": final.transcript.language}
        usage = {"type": "duration", "seconds": math.ceil((final.end - final.start) / SAMPLE_RATE)}
        return self._transcription("completed", final.utterance, transcript=final.text, usage=usage, **more)

    def _buffer(self, what: str, **fields: Any) -> Wire:
        return self._event(f"input_audio_buffer.{what}", **fields)

    def _transcription(self, what: str, item: str, **fields: Any) -> Wire:
        return self._event(f"{TRANSCRIPTION}.{what}", item_id=item, content_index=0, **fields)

    def _event(self, kind: str, /, **fields: Any) -> Wire:
        return {"type": kind, "event_id": f"event_{next(self._ids)}", **fields}
