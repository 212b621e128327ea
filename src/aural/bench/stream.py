"""Measures of a live stream: how soon words are shown, how often they are taken back, how soon the final text stands.

Every latency starts at the moment at which the sound was captured, which in a replayed recording is its place in the
schedule: a sample at second s of a stream that began at T was captured at T + s, whether or not the client sent it in
time. The measures are those of streaming ASR research: first partial and finalisation as users feel them, word emission
latency (arXiv 2104.02207), share of words retracted (unstable partial word ratio, arXiv 2006.01416).
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, takewhile
from typing import Literal

import numpy as np

from aural.bench import scoring
from aural.bench.clips import Item
from aural.bench.scoring import UNSPACED
from aural.bench.sounds import RATE, Pcm16

FRAME_S = 0.05
SCREEN_S = 1 / 60
LEVEL_FRAME_S = 0.02
QUIET_DB = 35.0
"""Frames so far below the loudest of an utterance are pauses."""
CUTS = re.compile(r"[^\w']+")

ShownKind = Literal["text", "final", "failed"]


@dataclass(frozen=True, slots=True)
class Shown:
    """What a client could show of one utterance from `at_s` on. Each replaces what was shown of `item` before."""

    at_s: float
    """Seconds since the stream began."""
    item: str
    committed: str
    """Text that the endpoint promised not to change."""
    draft: str = ""
    """Text after it that may still change."""
    kind: ShownKind = "text"

    @property
    def text(self) -> str:
        return self.committed + self.draft


@dataclass(frozen=True, slots=True)
class Said:
    """A word of the reference and its place, in seconds of the stream."""

    word: str
    start_s: float
    end_s: float
    utterance: int


@dataclass(frozen=True, slots=True)
class Measures:
    """One stream. Latencies in seconds, one value per utterance or word; rates as shares."""

    first_partial_s: list[float] = field(default_factory=list)
    """First speech sample of an utterance to its first shown word."""
    partial_lag_s: list[float] = field(default_factory=list)
    """End of a word to the first time that it is shown."""
    emission_s: list[float] = field(default_factory=list)
    """End of a word to the time from which on it is shown for good."""
    finalization_s: list[float] = field(default_factory=list)
    """End of the speech of an utterance to the final text that holds its last matched word, below 0 when that came
    before. Whether the very last word was understood is the word error rate's to say."""
    gaps_s: list[float] = field(default_factory=list)
    """Between two updates of an utterance."""
    words_shown: int = 0
    words_retracted: int = 0
    committed_retracted: int = 0
    """Words that had been promised to stand, and did not; the promise is broken if this is not 0."""
    errors: float = 0.0
    words: int = 0
    """Word errors of the final text, and words of the reference."""
    unfinished: int = 0
    """Utterances without a final text when the stream ended."""

    @property
    def retracted(self) -> float:
        """Share of the shown words that were changed later."""
        return self.words_retracted / self.words_shown if self.words_shown else 0.0


async def paced(
    pcm: Pcm16, began: float, frame_s: float = FRAME_S, clock: Callable[[], float] = time.perf_counter
) -> AsyncIterator[tuple[bytes, float]]:
    """Frames of PCM16 at real speed, each when its last sample was captured, with how late it is. Whoever falls behind
    catches up: the schedule is that of `began`."""
    size = round(frame_s * RATE)
    for at in range(0, len(pcm), size):
        frame = pcm[at : at + size]
        due = began + (at + len(frame)) / RATE
        await asyncio.sleep(max(0.0, due - clock()))
        yield frame.tobytes(), max(0.0, clock() - due)


def words_of(text: str, language: str = "en") -> list[str]:
    """Words as a reader compares them: no case, no punctuation; characters where there are no spaces."""
    plain = CUTS.sub(" ", text.lower()).strip()
    return list(plain.replace(" ", "")) if language in UNSPACED else plain.split()


def align(item: Item, language: str = "en") -> list[Said]:
    """Every word of an item with its place. Utterances are where they were put; inside one, words share the frames in
    which somebody speaks by their letters. No recogniser takes part, so none is favoured; the error is some 0.1 to
    0.3 s per word, the same for every endpoint that is measured."""
    said = []
    pcm = item.pcm
    for number, (start, end, text) in enumerate(item.spans or ((0.0, item.duration_s, item.text),)):
        words = words_of(text, language)
        voiced = start + _voiced(pcm[round(start * RATE) : round(end * RATE)])
        if not words or not len(voiced):
            continue
        letters = np.cumsum([0, *(len(word) for word in words)])
        edges = letters / letters[-1] * len(voiced)
        said += [
            Said(word, float(voiced[int(a)]), float(voiced[math.ceil(b) - 1]) + LEVEL_FRAME_S, number)
            for word, (a, b) in zip(words, pairwise(edges), strict=True)
        ]
    return said


def _voiced(pcm: Pcm16) -> scoring.Floats:
    """Start of each frame in which somebody speaks, in seconds."""
    size = round(LEVEL_FRAME_S * RATE)
    frames = pcm[: len(pcm) // size * size].reshape(-1, size).astype(np.float64)
    if not len(frames):
        return np.empty(0)
    level = 10 * np.log10(np.mean(frames**2, axis=1) + 1.0)
    return np.asarray(np.flatnonzero(level > level.max() - QUIET_DB) * LEVEL_FRAME_S, np.float64)


def measure(said: Sequence[Said], text: str, shown: Sequence[Shown], language: str = "en") -> Measures:
    """The measures of a stream in which `text` was said with its words at `said`, from all that was shown."""
    histories = _histories(shown)
    final = [(item, history[-1]) for item, history in histories.items()]
    heard = [(item, i, word) for item, last in final for i, word in enumerate(words_of(last.text, language))]
    pairs = scoring.matches([word.word for word in said], [word for _, _, word in heard])
    places: dict[str, list[tuple[int, Said]]] = {}
    for expected, got in pairs:
        item, position, _ = heard[got]
        places.setdefault(item, []).append((position, said[expected]))
    errors = scoring.word_errors(text, " ".join(last.text for _, last in final), language)
    measures = Measures(
        errors=errors.errors,
        words=errors.words,
        unfinished=sum(last.kind == "text" for _, last in final),
        words_shown=sum(_retracted(h, language) + len(words_of(h[-1].text, language)) for h in histories.values()),
        words_retracted=sum(_retracted(history, language) for history in histories.values()),
        committed_retracted=sum(_broken(history, language) for history in histories.values()),
        gaps_s=[b.at_s - a.at_s for history in histories.values() for a, b in pairwise(history)],
    )
    begins = _begins(said)
    begun: set[int] = set()
    finals: dict[int, float] = {}
    for item, found in places.items():
        _time_item(histories[item], found, begins, begun, measures, language)
        if histories[item][-1].kind == "final":
            last = max((word for _, word in found), key=lambda word: word.end_s)
            finals[last.utterance] = max(histories[item][-1].at_s, finals.get(last.utterance, 0.0))
    ends = {word.utterance: word.end_s for word in said}
    measures.finalization_s.extend(at_s - ends[number] for number, at_s in finals.items())
    return measures


def _histories(shown: Sequence[Shown]) -> dict[str, list[Shown]]:
    """What was shown of each utterance, in order; empty drafts before the first word are nothing, and so is what no
    screen could show before the next came."""
    histories: dict[str, list[Shown]] = {}
    for one in sorted(shown, key=lambda one: one.at_s):
        if one.text.strip() or one.item in histories or one.kind != "text":
            history = histories.setdefault(one.item, [])
            if history and one.at_s - history[-1].at_s < SCREEN_S:
                history.pop()
            history.append(one)
    return histories


def _begins(said: Sequence[Said]) -> dict[int, float]:
    begins: dict[int, float] = {}
    for word in said:
        begins.setdefault(word.utterance, word.start_s)
    return begins


def _time_item(
    history: Sequence[Shown],
    found: Sequence[tuple[int, Said]],
    begins: dict[int, float],
    begun: set[int],
    measures: Measures,
    language: str,
) -> None:
    """Add the latencies of one utterance as the endpoint cut it: `found` are its words with their place in the text."""
    texts = [(one.at_s, words_of(one.text, language)) for one in history]
    readable = _readable(texts)
    for position, word in found:
        first, stable = next(at_s for at_s, places in readable if position in places), _stable_since(readable, position)
        measures.partial_lag_s.append(first - word.end_s)
        measures.emission_s.append(stable - word.end_s)
        if word.utterance not in begun:
            begun.add(word.utterance)
            opens = position == found[0][0]
            at_s = texts[0][0] if opens else first
            measures.first_partial_s.append(at_s - begins[word.utterance])


def _readable(texts: Sequence[tuple[float, list[str]]]) -> list[tuple[float, set[int]]]:
    """Which words of the last text could be read from when on, by their places there. Another word more before one
    moves it, and it is shown all the same."""
    last = texts[-1][1]
    return [(at_s, {place for place, _ in scoring.matches(last, words)}) for at_s, words in texts]


def _stable_since(readable: Sequence[tuple[float, set[int]]], position: int) -> float:
    standing = takewhile(lambda one: position in one[1], reversed(readable))
    return min(at_s for at_s, _ in standing)


def _retracted(history: Sequence[Shown], language: str) -> int:
    """Words that were shown and then changed or taken away, before the utterance was done."""
    texts = [words_of(one.text, language) for one in history]
    return sum(_lost(before, after) for before, after in pairwise(texts))


def _broken(history: Sequence[Shown], language: str) -> int:
    """Words that were promised and taken back; one when others came between them."""
    promised = [words_of(one.committed, language) for one in history]
    return sum(max(_lost(a, b), 1) for a, b in pairwise(promised) if b[: len(a)] != a)


def _lost(before: list[str], after: list[str]) -> int:
    """Words of `before` that are not in `after`, wherever they stand there."""
    return len(before) - len(scoring.matches(before, after))
