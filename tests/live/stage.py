"""A session played by the rules, without a clock: speech that can be seen in the samples, and an ear that reads it.

Words are spoken as plateaus: each sample of word number n has the value n / 1000, so that any cut of the audio shows
which words are in it. Voice activity detection is exact: a frame is speech when it has a word in its middle."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeVar

import numpy as np
from hypothesis import strategies as st

from aural.audio.vad import FRAME_SAMPLES
from aural.engines.base import Capabilities
from aural.errors import AuralError
from aural.live import events
from aural.live.ask import Ask
from aural.live.checkpoint import Checkpoint
from aural.live.events import Event
from aural.live.session import Session
from aural.live.settings import LiveSettings
from aural.types import SAMPLE_RATE, Clip, Samples, Segment, Transcript

T = TypeVar("T")
WORD_SAMPLES = SAMPLE_RATE * 3 // 10
STEP = SAMPLE_RATE // 2
CAN = Capabilities(("en", "de", "fr", "zh"), 30 * SAMPLE_RATE, detects_language=True)
NEW = Checkpoint(0, "u", 0)


def spoken(*numbers: int) -> Samples:
    """Words without a pause between them."""
    return np.repeat(np.array(numbers, np.float32) / 1000, WORD_SAMPLES)


def pause(duration_s: float) -> Samples:
    return np.zeros(round(duration_s * SAMPLE_RATE), np.float32)


def read(clip: Clip) -> Transcript:
    """The words of which at least half is in the clip."""
    numbers, counts = np.unique(np.round(clip.samples * 1000).astype(int), return_counts=True)
    heard = [int(n) for n, count in zip(numbers, counts, strict=True) if n and count > WORD_SAMPLES // 2]
    text = "".join(f" w{number}" for number in heard)
    return Transcript((Segment(text, 0, len(clip)),) if heard else ())


@dataclass
class Stage:
    """Plays audio to a session and answers what it asks. What `hear` raises is why a clip could not be heard."""

    session: Session
    hear: Callable[[Clip], Transcript] = read
    events: list[Event] = field(default_factory=list)
    asks: list[Ask] = field(default_factory=list)
    _open: Ask | None = None
    _rest: Samples = field(default_factory=lambda: np.empty(0, np.float32))

    @classmethod
    def of(
        cls,
        settings: LiveSettings | None = None,
        hear: Callable[[Clip], Transcript] = read,
        *,
        begin: Checkpoint = NEW,
    ) -> Stage:
        return cls(Session(settings or LiveSettings(), begin, CAN), hear)

    def play(self, audio: Samples, cuts: Iterable[int] = (), *, answer: bool = True) -> None:
        """In pieces of these lengths, the rest at once, each followed by the answer to what is wanted then."""
        for piece in _cut(audio, cuts):
            self.session.append(piece)
            waiting = np.concatenate([self._rest, piece])
            frames = waiting[: len(waiting) // FRAME_SAMPLES * FRAME_SAMPLES].reshape(-1, FRAME_SAMPLES)
            self._rest = waiting[frames.size :]
            self.session.voice([float(frame[FRAME_SAMPLES // 2] != 0) for frame in frames])
            self.turn(answer=answer)

    def turn(self, *, answer: bool = True) -> None:
        """Answer, until nothing more is wanted; or only note what is."""
        while True:
            ask = self.session.wanted(STEP)
            if ask:
                self._open = ask
                self.asks.append(ask)
            self.events += self.session.take()
            if self._open is None or not answer:
                return
            ask, self._open = self._open, None
            try:
                heard = self.hear(ask.clip)
            except AuralError as error:
                self.session.fail(ask.id, error)
            else:
                self.session.answer(ask.id, heard)
            self.events += self.session.take()

    def finish(self) -> list[Event]:
        self.session.finish()
        self.turn()
        return self.events

    @property
    def finals(self) -> list[events.Final]:
        return self.told(events.Final)

    @property
    def texts(self) -> list[str]:
        return [final.text for final in self.finals]

    def kinds(self) -> list[str]:
        return [type(event).__name__ for event in self.events]

    def told(self, kind: type[T]) -> list[T]:
        return [event for event in self.events if isinstance(event, kind)]


def _cut(audio: Samples, cuts: Iterable[int]) -> list[Samples]:
    pieces, place = [], 0
    for length in cuts:
        pieces.append(audio[place : place + length])
        place += length
    return [*pieces, audio[place:]]


def said(numbers: Sequence[int]) -> str:
    return " ".join(f"w{number}" for number in numbers)


def checked(stage: Stage) -> Stage:
    """What holds of every session that has ended."""
    ended = stage.events[-1]
    assert isinstance(ended, events.Ended)
    assert ended.totals.is_closed, ended.totals
    committed: dict[str, str] = {}
    for event in stage.events:
        if isinstance(event, events.Committed):
            committed[event.utterance] = committed.get(event.utterance, "") + event.text
        elif isinstance(event, events.Final):
            assert committed.pop(event.utterance, "") == event.text
    for before, after in pairwise(stage.finals):
        assert before.end <= after.start
    return stage


audios = st.lists(st.tuples(st.integers(1, 12), st.sampled_from([0.1, 0.3, 0.6, 1.5])), min_size=1, max_size=6)


def built(parts: list[tuple[int, float]]) -> Samples:
    """Runs of so many words, each with so many seconds of silence after it."""
    sounds, number = [], 1
    for count, silence_s in parts:
        sounds += [spoken(*range(number, number + count)), pause(silence_s)]
        number += count
    return np.concatenate(sounds)


def said_in(parts: list[tuple[int, float]]) -> str:
    return said(range(1, sum(count for count, _ in parts) + 1))
