"""Events of a session as Deepgram's messages. No socket and no clock: what is heard by when is counted in samples.

Deepgram's rules: results with `is_final` never change and tile the stream, each beginning where the last one ended,
silence included; those without replace each other; `speech_final` marks the end of an utterance. Committed text
therefore becomes final results, gathered over `WINDOW` so that a line is more than a word, and what is committed or
drafted since the last one is the interim result.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from aural.api.deepgram.query import Wish
from aural.api.deepgram.words import Message, alternative, extended, spread
from aural.errors import AuralError
from aural.live.events import (
    Closed,
    Committed,
    Draft,
    Ended,
    Event,
    Failed,
    Final,
    Heard,
    LanguageDetected,
    SpeechStarted,
    SpeechStopped,
)
from aural.types import SAMPLE_RATE, Word, samples, seconds

WINDOW = 3 * SAMPLE_RATE
"""A final result that ends no utterance is at least so long."""
MARGIN = SAMPLE_RATE
"""What was heard last is not told as silence yet: a word may begin in it."""
FINALIZE = "finalize"
"""What Finalize is called where the session refers to it."""
CHANNEL = [0, 1]
NO_WORD = -1


@dataclass(slots=True)
class Held:
    """What is known of an utterance and not told as final yet."""

    start: int = 0
    words: list[Word] = field(default_factory=list)
    """As the text has them: it is theirs, letter for letter."""
    draft: str = ""
    draft_end: int = 0
    end: int = 0
    """Where the utterance ends; 0 before it is closed."""
    shown: bool = False
    """An interim result has told some of it."""
    stopped: bool = False
    finalized: bool = False
    is_wordless: bool = False
    """Somebody spoke, and not a word of it was understood so far."""

    def grow(self, text: str, words: Sequence[Word], told: int, end: int) -> None:
        """More committed text. Words without times are spread over the sound up to `end`."""
        self.words = extended(self.words, text, words or spread(text, self._from(told), end))
        self.draft = ""
        self.is_wordless = self.is_wordless and not self.words

    def drafted(self, told: int) -> list[Word]:
        """All words, those of the draft spread over the sound that is left."""
        return extended(self.words, self.draft, spread(self.draft, self._from(told), self.draft_end))

    def take(self, count: int) -> list[Word]:
        """The first words, to be told as final."""
        taken, self.words = self.words[:count], self.words[count:]
        self.shown = False
        return taken

    def _from(self, told: int) -> int:
        return self.words[-1].end if self.words else max(told, self.start)


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
        self._quiet_from: int | None = None
        """Where the last word ended, or an utterance without any; None when an UtteranceEnd has followed it."""
        self._last_word_end: int | None = None
        """Of the words that no UtteranceEnd has followed yet."""
        self._finalizes = 0

    def finalize(self) -> None:
        """The caller asked for everything so far; one utterance is about to be closed for it."""
        self._finalizes += 1

    def on(self, event: Event) -> Iterator[Message]:
        """What is to be told of an event."""
        match event:
            case SpeechStarted(utterance, at):
                self._held.setdefault(utterance, Held(at, is_wordless=True))
                if self._wish.vad_events:
                    yield {"type": "SpeechStarted", "channel": CHANNEL, "timestamp": seconds(at)}
            case SpeechStopped(utterance):
                self._of(utterance).stopped = True
            case Closed(utterance, start, end):
                self._close(self._held.setdefault(utterance, Held(start)), end)
            case Committed(utterance, text, words, end):
                yield from self._grow(utterance, text, words, end)
            case Draft(utterance, text, end):
                held = self._of(utterance)
                held.draft, held.draft_end = text, end
                yield from self._interim(utterance, end)
            case Final(utterance, _, end):
                yield from self._end(utterance, end)
            case Failed(None, _, reference) if reference == FINALIZE:
                self._finalizes -= 1
                yield self._final([], self._told, speech_final=True, from_finalize=True)
            case Failed(str(utterance), error):
                yield from self._fail(utterance, error)
            case Heard(at):
                yield from self._pass(at)
            case Ended(totals):
                yield from self._finish(totals.received)
            case LanguageDetected(language):
                self._language = language

    def _of(self, utterance: str) -> Held:
        return self._held.setdefault(utterance, Held(self._told))

    def _close(self, held: Held, end: int) -> None:
        held.end = end
        if self._finalizes and not held.stopped:
            self._finalizes -= 1
            held.finalized = True

    def _grow(self, utterance: str, text: str, words: Sequence[Word], end: int) -> Iterator[Message]:
        held = self._of(utterance)
        held.grow(text, words, self._told, end)
        self._note(held.words)
        if held.end:
            return
        if len(held.words) > 1 and held.words[-1].end - held.words[0].start >= WINDOW and self._is_first(utterance):
            through = held.words[-2].end
            yield self._final(held.take(-1), through, speech_final=False)  # the marks after the last may still come
        else:
            yield from self._interim(utterance, end)

    def _end(self, utterance: str, end: int) -> Iterator[Message]:
        held = self._held.pop(utterance, Held())
        if held.is_wordless and self._quiet_from is None:
            self._quiet_from = end
        yield self._final(held.words, end, speech_final=True, from_finalize=held.finalized)

    def _fail(self, utterance: str, error: AuralError) -> Iterator[Message]:
        """The session goes on: that part of it is told as silence, and why."""
        held = self._of(utterance)
        stretch = f"{seconds(held.start)} to {seconds(held.end)} s"
        yield problem(error.code, f"the speech from {stretch} could not be heard: {error}")
        yield from self._end(utterance, held.end)

    def _pass(self, at: int) -> Iterator[Message]:
        """Everything before `at` is heard."""
        yield from self._utterance_end(at)
        through = at - MARGIN
        held = next(iter(self._held.values()), Held())
        is_open = held.draft or (held.words and held.words[-1].end > through)
        if through - self._told >= WINDOW and not is_open:
            yield self._final(held.take(len(held.words)), through, speech_final=False)

    def _utterance_end(self, at: int) -> Iterator[Message]:
        """Nobody has said a word for as long as the caller wanted to know of."""
        gap_ms, since = self._wish.utterance_end_ms, self._quiet_from
        if gap_ms is None or since is None or at - since < samples(gap_ms / 1000):
            return
        if any(held.draft for held in self._held.values()):
            return
        last = NO_WORD if self._last_word_end is None else seconds(self._last_word_end)
        for held in self._held.values():
            if held.words:
                through = held.words[-1].end
                yield self._final(held.take(len(held.words)), through, speech_final=False)
        self._quiet_from = self._last_word_end = None
        yield {"type": "UtteranceEnd", "channel": CHANNEL, "last_word_end": last}

    def _finish(self, received: int) -> Iterator[Message]:
        yield from self._utterance_end(received)
        if received > self._told:
            yield self._final([], received, speech_final=False)

    def _note(self, words: Sequence[Word]) -> None:
        if words:
            self._quiet_from = self._last_word_end = words[-1].end

    def _interim(self, utterance: str, end: int) -> Iterator[Message]:
        held = self._held[utterance]
        if self._wish.interim and self._is_first(utterance) and (held.shown or held.words or held.draft):
            held.shown = True
            yield self._results(held.drafted(self._told), max(end, self._told))

    def _is_first(self, utterance: str) -> bool:
        return next(iter(self._held)) == utterance

    def _final(
        self, words: Sequence[Word], through: int, *, speech_final: bool, from_finalize: bool = False
    ) -> Message:
        through = max(through, self._told)
        kind = {"is_final": True, "speech_final": speech_final, "from_finalize": from_finalize}
        message = self._results([word.within(self._told, through) for word in words], through) | kind
        self._told = through
        return message

    def _results(self, words: Sequence[Word], through: int) -> Message:
        start, end = seconds(self._told), seconds(through)
        spoken = alternative(words, punctuated=self._wish.punctuated, language=self._language)
        return {
            "type": "Results",
            "channel_index": CHANNEL,
            "start": start,
            "duration": round(end - start, 3),
            "is_final": False,
            "speech_final": False,
            "from_finalize": False,
            "channel": {"alternatives": [spoken]},
            "metadata": {"request_id": self._request_id, **model_info(self._model)},
        }


def problem(code: str, message: str) -> Message:
    return {"type": "Error", "variant": code, "description": message, "message": message}


def model_info(model: str) -> Message:
    return {"model_info": {"name": model, "version": "", "arch": "aural"}, "model_uuid": model}


def metadata(request_id: str, model: str, sha256: str, created: str, duration_s: float, extra: Message) -> Message:
    """What Deepgram says of a request as a whole."""
    info = model_info(model)
    return {
        "transaction_key": "deprecated",
        "request_id": request_id,
        "sha256": sha256,
        "created": created,
        "duration": duration_s,
        "channels": 1,
        "models": [info["model_uuid"]],
        "model_info": {info["model_uuid"]: info["model_info"]},
    } | ({"extra": extra} if extra else {})
