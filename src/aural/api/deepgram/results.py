"""Events of a session as Deepgram's messages. No socket and no clock: what is heard by when is counted in samples.

Deepgram's rules: results with `is_final` never change and tile the stream, each beginning where the last one ended;
those without replace each other; `speech_final` marks the end of an utterance. Committed text therefore becomes final
results, gathered over `FINAL_WINDOW` so that a line is more than a word, and what is committed or drafted since the
last one is the interim result.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from aural.api.deepgram.query import Wish
from aural.live.events import (
    Closed,
    Committed,
    Draft,
    Event,
    Failed,
    Final,
    LanguageDetected,
    SpeechStarted,
    SpeechStopped,
)
from aural.types import SAMPLE_RATE, Word, seconds

FINAL_WINDOW = 3 * SAMPLE_RATE
FINALIZE = "finalize"
"""What Finalize is called where the session refers to it."""
CHANNEL = [0, 1]
NO_WORD_YET = -1
_EDGE = re.compile(r"^\W+|\W+$")

Message = dict[str, Any]


@dataclass(slots=True)
class Held:
    """What is known of an utterance and not told as final yet."""

    words: list[Word] = field(default_factory=list)
    text: str = ""
    draft: str = ""
    shown: bool = False
    """An interim result has told some of it."""
    stopped: bool = False
    closed: bool = False
    finalized: bool = False


class Results:
    """Turns a session's events into messages, in order."""

    def __init__(self, wish: Wish, request_id: str, model: str) -> None:
        self._wish = wish
        self._request_id = request_id
        self._model = model
        self._language = wish.live.options.language
        self._held: dict[str, Held] = {}
        self._told = 0
        """All before this sample was told in final results."""
        self._last_word_end: int | None = None
        """Of the words that no UtteranceEnd has followed yet."""
        self._finalizes = 0

    def finalize(self) -> None:
        """The caller asked for everything so far; one utterance is about to be closed for it."""
        self._finalizes += 1

    def on(self, event: Event, received: int) -> Iterator[Message]:
        """Messages for an event. `received` counts the samples that came so far, at 16 kHz."""
        match event:
            case SpeechStarted(utterance, at):
                self._held.setdefault(utterance, Held())
                if self._wish.vad_events:
                    yield {"type": "SpeechStarted", "channel": CHANNEL, "timestamp": seconds(at)}
            case SpeechStopped(utterance):
                self._held.setdefault(utterance, Held()).stopped = True
            case Closed(utterance):
                self._close(self._held.setdefault(utterance, Held()))
            case Committed(utterance, text, words):
                yield from self._grow(utterance, text, words, received)
            case Draft(utterance, text):
                self._held.setdefault(utterance, Held()).draft = text
                yield from self._interim(utterance, received)
            case Final(utterance, _, end):
                yield from self._end(utterance, end)
            case Failed(None, _, reference) if reference == FINALIZE:
                self._finalizes -= 1
                yield self._results(Held(finalized=True), self._told, is_final=True, speech_final=True)
            case Failed(str(utterance)):
                yield from self._end(utterance, received)
            case LanguageDetected(language):
                self._language = language

    def on_time(self, received: int) -> Iterator[Message]:
        """What follows from more audio having come."""
        gap_ms, end = self._wish.utterance_end_ms, self._last_word_end
        if gap_ms is None or end is None or self._held:
            return
        if received - end >= gap_ms * SAMPLE_RATE // 1000:
            self._last_word_end = None
            yield {"type": "UtteranceEnd", "channel": CHANNEL, "last_word_end": seconds(end)}

    def _close(self, held: Held) -> None:
        held.closed = True
        if self._finalizes and not held.stopped:
            self._finalizes -= 1
            held.finalized = True

    def _grow(self, utterance: str, text: str, words: Sequence[Word], received: int) -> Iterator[Message]:
        held = self._held.setdefault(utterance, Held())
        held.text += text
        held.words += words
        held.draft = ""
        if held.closed:
            return
        if held.words and held.words[-1].end - held.words[0].start >= FINAL_WINDOW and self._is_first(utterance):
            yield self._final(held, held.words[-1].end, speech_final=False)
            self._held[utterance] = Held(stopped=held.stopped)
        else:
            yield from self._interim(utterance, received)

    def _end(self, utterance: str, end: int) -> Iterator[Message]:
        held = self._held.pop(utterance, Held())
        yield self._final(held, end, speech_final=True)

    def _final(self, held: Held, through: int, *, speech_final: bool) -> Message:
        held.draft = ""
        if held.words:
            self._last_word_end = held.words[-1].end
        message = self._results(held, through, is_final=True, speech_final=speech_final)
        self._told = max(self._told, through)
        return message

    def _interim(self, utterance: str, received: int) -> Iterator[Message]:
        held = self._held[utterance]
        if self._wish.interim and self._is_first(utterance) and (held.shown or held.text or held.draft):
            held.shown = True
            yield self._results(held, received, is_final=False, speech_final=False)

    def _is_first(self, utterance: str) -> bool:
        return next(iter(self._held)) == utterance

    def _results(self, held: Held, through: int, *, is_final: bool, speech_final: bool) -> Message:
        through = max(through, self._told)
        words = [*held.words, *self._guessed(held, through)]
        text, punctuated = held.text + held.draft, self._wish.punctuated
        spoken = alternative(text, words, punctuated=punctuated, language=self._language)
        return {
            "type": "Results",
            "channel_index": CHANNEL,
            "start": seconds(self._told),
            "duration": seconds(through - self._told),
            "is_final": is_final,
            "speech_final": speech_final,
            "from_finalize": held.finalized,
            "channel": {"alternatives": [spoken]},
            "metadata": {"request_id": self._request_id, **model_info(self._model)},
        }

    def _guessed(self, held: Held, through: int) -> Iterator[Word]:
        """Words without times of their own (a draft's) spread by their letters over the sound that is left."""
        texts = (held.draft if held.words else held.text + held.draft).split()
        start = held.words[-1].end if held.words else self._told
        letters, before = sum(map(len, texts)), 0
        for text in texts:
            after = before + len(text)
            span = max(0, through - start)
            yield Word(" " + text, start + span * before // letters, start + span * after // letters, 0.0)
            before = after


def alternative(text: str, words: Sequence[Word], *, punctuated: bool, language: str | None) -> Message:
    """A transcript with its words."""
    heard = [word for word in words if word.text.strip()]
    return {
        "transcript": text.strip() if punctuated else _bare(text),
        "confidence": round(fmean(word.probability for word in heard), 4) if heard else 0.0,
        "words": [_word(word, punctuated=punctuated) for word in heard],
    } | ({"languages": [language]} if language else {})


def _word(word: Word, *, punctuated: bool) -> Message:
    written = word.text.strip()
    message = {
        "word": _bare(written) or written,
        "start": seconds(word.start),
        "end": seconds(word.end),
        "confidence": round(word.probability, 4),
    }
    return message | ({"punctuated_word": written} if punctuated else {})


def model_info(model: str) -> Message:
    return {"model_info": {"name": model, "version": "", "arch": "aural"}, "model_uuid": model}


def metadata(request_id: str, model: str, sha256: str, created: str, duration_s: float, channels: int) -> Message:
    """What Deepgram says of a request as a whole."""
    info = model_info(model)
    return {
        "transaction_key": "deprecated",
        "request_id": request_id,
        "sha256": sha256,
        "created": created,
        "duration": duration_s,
        "channels": channels,
        "models": [info["model_uuid"]],
        "model_info": {info["model_uuid"]: info["model_info"]},
    }


def _bare(text: str) -> str:
    """Lower case, without punctuation at the edges of words."""
    return " ".join(bare for word in text.split() if (bare := _EDGE.sub("", word).lower()))
