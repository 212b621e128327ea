"""The ear of all live sessions: bytes become samples and speech probabilities, in one thread, every session in one
batch. A session that hears silence costs this and nothing more."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np

from aural.audio.stream import StreamDecoder
from aural.audio.vad import CONTEXT_SAMPLES, FRAME_SAMPLES, Probabilities, SileroVad, VadState
from aural.engines.base import Capabilities
from aural.errors import BadAudio
from aural.live.settings import Format, LiveSettings
from aural.types import Samples

LONGEST_RUN_FRAMES = 64
"""Two seconds in one run of the model: enough for whoever sends faster than life, and the others wait little."""


@dataclass(frozen=True, slots=True)
class Commit:
    reference: str | None = None
    held: int = 0
    """Samples that came before it and are still to come out of the resampler."""


@dataclass(frozen=True, slots=True)
class Clear:
    pass


@dataclass(frozen=True, slots=True)
class Configure:
    settings: LiveSettings
    can: Capabilities
    """What the model can do that hears the session from here on."""


@dataclass(frozen=True, slots=True)
class Finish:
    pass


@dataclass(frozen=True, slots=True)
class Leave:
    pass


Order = Commit | Clear | Configure | Finish | Leave


@dataclass(frozen=True, slots=True, eq=False)
class Sound:
    """Samples in order, and the probabilities of the frames that they completed."""

    samples: Samples
    probabilities: Probabilities


Heard = Sound | Order | Exception
"""`BadAudio` is the caller's, and the session goes on after it; any other exception is ours, and it cannot."""


@dataclass(slots=True, eq=False)
class Line:
    """What the ear knows of one session. Only `listen` touches it."""

    format: Format
    decoder: StreamDecoder
    state: VadState = field(default_factory=VadState.fresh)
    rest: Samples = field(default_factory=lambda: np.zeros(CONTEXT_SAMPLES, np.float32))
    """The context of the next frame, and what there is of it."""

    @classmethod
    def open(cls, form: Format) -> Line:
        """Raises BadAudio for a format that is not offered."""
        return cls(form, StreamDecoder(form.encoding, form.rate, form.channels))


def listen(work: Sequence[tuple[Line, Sequence[bytes | Order]]]) -> list[list[Heard]]:
    """What arrived on each line, heard."""
    parts = [_decoded_or_why_not(line, items) for line, items in work]
    lines = [line for line, _ in work]
    probabilities = _judge(lines, [[part for part in some if isinstance(part, np.ndarray)] for some in parts])
    return [_paired(line, some, heard) for line, some, heard in zip(lines, parts, probabilities, strict=True)]


def _decoded_or_why_not(line: Line, items: Sequence[bytes | Order]) -> list[Samples | Order | Exception]:
    try:
        return _decoded(line, items)
    except Exception as error:  # noqa: BLE001 - a fault in one line must not reach the others
        return [error]


def _decoded(line: Line, items: Sequence[bytes | Order]) -> list[Samples | Order | Exception]:
    """Samples between the orders, neighbours joined."""
    parts: list[Samples | Order | Exception] = []
    sounds: deque[bytes] = deque()

    def decode() -> None:
        if sounds:
            try:
                parts.append(line.decoder.feed(b"".join(sounds)))
            except BadAudio as error:
                parts.append(error)
            sounds.clear()

    for item in items:
        if isinstance(item, bytes):
            sounds.append(item)
            continue
        decode()
        if isinstance(item, Clear | Finish):  # a half sample, and what the resampler holds, are part of what was
            parts.append(line.decoder.flush())
        elif isinstance(item, Configure) and item.settings.format != line.format:
            parts.append(line.decoder.flush())
            form = line.format = item.settings.format
            line.decoder = StreamDecoder(form.encoding, form.rate, form.channels)
        elif isinstance(item, Commit):
            item = replace(item, held=line.decoder.held)
        parts.append(item)
    decode()
    return parts


def _judge(lines: Sequence[Line], sounds: Sequence[Sequence[Samples]]) -> list[Probabilities]:
    """The probabilities of the frames that are complete now, line by line."""
    frames = [_framed(line, some) for line, some in zip(lines, sounds, strict=True)]
    found: list[list[Probabilities]] = [[np.empty(0, np.float32)] for _ in lines]
    done = [0] * len(lines)
    while busy := [index for index in range(len(lines)) if done[index] < len(frames[index])]:
        run = min(LONGEST_RUN_FRAMES, *(len(frames[index]) - done[index] for index in busy))
        batch = np.stack([frames[index][done[index] : done[index] + run] for index in busy], axis=1)
        probabilities, after = _vad().advance(batch, VadState.joined([lines[index].state for index in busy]))
        for column, (index, state) in enumerate(zip(busy, after.split(), strict=True)):
            found[index].append(probabilities[:, column])
            lines[index].state = state
            done[index] += run
    return [np.concatenate(some) for some in found]


def _framed(line: Line, sounds: Sequence[Samples]) -> Samples:
    """Complete frames behind their context, shape (n, 576)."""
    samples = np.concatenate([line.rest, *sounds])
    count = (len(samples) - CONTEXT_SAMPLES) // FRAME_SAMPLES
    line.rest = samples[count * FRAME_SAMPLES :]
    if not count:
        return np.empty((0, CONTEXT_SAMPLES + FRAME_SAMPLES), np.float32)
    whole = samples[: CONTEXT_SAMPLES + count * FRAME_SAMPLES]
    return np.lib.stride_tricks.sliding_window_view(whole, CONTEXT_SAMPLES + FRAME_SAMPLES)[::FRAME_SAMPLES]


def _paired(line: Line, parts: Sequence[Samples | Order | Exception], probabilities: Probabilities) -> list[Heard]:
    """Each stretch of samples with the probabilities of the frames that end in it."""
    total = sum(len(part) for part in parts if isinstance(part, np.ndarray))
    waiting = len(line.rest) - CONTEXT_SAMPLES + len(probabilities) * FRAME_SAMPLES - total
    """Samples of the first frame that had come before."""
    place, used = waiting, 0
    heard: list[Heard] = []
    for part in parts:
        if not isinstance(part, np.ndarray):
            heard.append(part)
            continue
        place += len(part)
        complete = place // FRAME_SAMPLES
        heard.append(Sound(part, probabilities[used:complete]))
        used = complete
    return heard


@cache
def _vad() -> SileroVad:
    return SileroVad()
