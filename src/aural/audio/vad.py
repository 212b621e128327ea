"""Where somebody speaks: Silero VAD v6 through onnxruntime."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from aural.audio.span import Span
from aural.errors import LoadFailed
from aural.types import SAMPLE_RATE, Samples

FRAME_SAMPLES: Final = 512
"""One probability for each 32 ms."""
CONTEXT_SAMPLES: Final = 64
"""The end of the frame before, which the model sees again."""
_BLOCK_FRAMES: Final = 256
"""Frames at once of long audio: few enough to stay in the processor's cache."""
_RUN_FRAMES: Final = 32
"""Frames to a run of the model: enough to spread its fixed cost. Between two of them it may forget."""
_QUIET_FRAMES: Final = 16
"""After half a second in which nobody spoke the model forgets what it heard: what one speaker left in its memory now
and then keeps it from hearing the next one for seconds (docs/captions.md)."""
_QUIET_LEVEL: Final = 10.0 ** (-50 / 20)
_SILENT_LEVEL: Final = 10.0 ** (-70 / 20)
"""Root mean square: ten steps of 16-bit audio. Nobody can be heard below it, so the model is not asked."""
_QUIET_PROBABILITY: Final = 0.1
"""Quiet is below both, in every frame: in noise and music a memory is what tells them from speech."""
_STATE_UNITS: Final = 128
_WEIGHTS: Final = Path(__file__).with_name("silero") / "silero_vad_v6.onnx"

Probabilities = NDArray[np.float32]
Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class VadState:
    """What the model remembers of each of several streams between two runs."""

    hidden: Samples
    """float32, shape (1, streams, 128)."""
    cell: Samples
    """float32, shape (1, streams, 128)."""
    age: Counts
    """Frames that were heard, shape (streams,)."""
    quiet: Counts
    """The last of them in which nobody spoke, shape (streams,)."""

    @classmethod
    def fresh(cls, streams: int = 1) -> VadState:
        zeros, none = np.zeros((1, streams, _STATE_UNITS), np.float32), np.zeros(streams, np.int64)
        return cls(zeros, zeros, none, none)

    @classmethod
    def joined(cls, states: Sequence[VadState]) -> VadState:
        """The streams of all of them, side by side."""
        memories = ([state.hidden for state in states], [state.cell for state in states])
        hidden, cell = (np.concatenate(some, axis=1) for some in memories)
        age, quiet = (np.concatenate(some) for some in zip(*((one.age, one.quiet) for one in states), strict=True))
        return cls(hidden, cell, age, quiet)

    def split(self) -> list[VadState]:
        """Each stream by itself."""
        each = (slice(place, place + 1) for place in range(len(self.age)))
        return [VadState(self.hidden[:, own], self.cell[:, own], self.age[own], self.quiet[own]) for own in each]

    @property
    def room(self) -> int:
        """Frames until one of the streams may forget."""
        return int((_RUN_FRAMES - self.age % _RUN_FRAMES).min())

    def naps(self, powers: Samples) -> Counts:
        """How many of the next frames, of these mean squares, each stream need not hear: they are silent, and it
        remembers nothing before."""
        remembers = self.hidden.any((0, 2)) | self.cell.any((0, 2))
        is_silent = (powers < _SILENT_LEVEL**2) & ~remembers
        return np.where(is_silent.all(axis=0), len(powers), np.argmin(is_silent, axis=0))

    def after(self, powers: Samples, probabilities: Probabilities, hidden: Samples, cell: Samples) -> VadState:
        """What is remembered after a run that heard frames of these mean squares and left this memory."""
        is_quiet = (probabilities < _QUIET_PROBABILITY) & (powers < _QUIET_LEVEL**2)
        quiet = np.where(is_quiet.all(axis=0), self.quiet + len(powers), np.argmin(is_quiet[::-1], axis=0))
        age = self.age + len(powers)
        forgets = (age % _RUN_FRAMES == 0) & (quiet >= _QUIET_FRAMES)
        if forgets.any():
            hidden, cell = (np.where(forgets[:, np.newaxis], np.float32(0), memory) for memory in (hidden, cell))
        return VadState(hidden, cell, age, quiet)


class SileroVad:
    """The loaded model. It keeps nothing between calls, so threads and streams may share one."""

    def __init__(self, weights: Path = _WEIGHTS) -> None:
        """Load `weights`, an ONNX file as `silero/rewrite.py` writes it. Raises LoadFailed."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        try:
            self._session = onnxruntime.InferenceSession(str(weights), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's exceptions have no public base
            raise LoadFailed(f"expected Silero VAD at {weights}, got: {error}") from error

    def speech_probabilities(self, samples: Samples) -> Probabilities:
        """How likely each 32 ms holds speech, float32, shape (ceil(n / 512),); the last frame is filled with zeros."""
        frames = framed(samples)
        state = VadState.fresh()
        blocks = [np.empty(0, np.float32)]
        for start in range(0, len(frames), _BLOCK_FRAMES):
            block, state = self.advance(frames[start : start + _BLOCK_FRAMES, np.newaxis], state)
            blocks.append(block[:, 0])
        return np.concatenate(blocks)

    def advance(self, frames: Samples, state: VadState) -> tuple[Probabilities, VadState]:
        """Probabilities, shape (n, streams), of the next n frames of some streams, and the state after them.

        `frames` has shape (n, streams, 576), each stream's as `framed` makes them.
        """
        powers = np.square(frames).mean(axis=2)
        found: list[Probabilities] = []
        done = 0
        while done < len(frames):
            naps = state.naps(powers[done : done + state.room])
            end = done + naps[naps > 0].min(initial=min(state.room, len(frames) - done))
            probabilities, hidden, cell = self._hear(frames[done:end], state, np.flatnonzero(naps == 0))
            state = state.after(powers[done:end], probabilities, hidden, cell)
            found.append(probabilities)
            done = end
        return np.concatenate(found), state

    def _hear(self, run: Samples, state: VadState, awake: Counts) -> tuple[Probabilities, Samples, Samples]:
        """One run of the model over the streams that are `awake`; the others are silent and stay as they are."""
        probabilities = np.zeros(run.shape[:2], np.float32)
        hidden, cell = state.hidden.copy(), state.cell.copy()
        if len(awake):
            given = {"input": run[:, awake], "h": hidden[:, awake], "c": cell[:, awake]}
            probabilities[:, awake], hidden[:, awake], cell[:, awake] = self._session.run(None, given)
        return probabilities, hidden, cell


def speech_spans(
    probabilities: Probabilities,
    length: int,
    *,
    threshold: float = 0.5,
    release: float = 0.35,
    min_speech_ms: int = 250,
    min_silence_ms: int = 100,
    pad_ms: int = 30,
) -> tuple[Span, ...]:
    """The spoken spans of `length` samples, in order and apart, by the rules of Silero's `get_speech_timestamps`.

    Speech begins at `threshold` and ends where the probability falls below `release`, once it has not come back for
    `min_silence_ms`; speech of up to `min_speech_ms` is dropped; the rest grows by `pad_ms` at both ends, or by half
    of the silence between two where that is less. Source: https://github.com/snakers4/silero-vad, `utils_vad.py`.
    """
    spoken = _spoken(probabilities, length, threshold, release, _samples(min_silence_ms))
    return _padded([span for span in spoken if len(span) > _samples(min_speech_ms)], _samples(pad_ms), length)


def framed(samples: Samples) -> Samples:
    """Frames of a stream from its beginning: a view of shape (n, 576) on zero-padded samples.

    Each frame is 512 samples behind the last 64 of the frame before it.
    """
    count = -(-len(samples) // FRAME_SAMPLES)
    padded = np.zeros(CONTEXT_SAMPLES + count * FRAME_SAMPLES, np.float32)
    padded[CONTEXT_SAMPLES : CONTEXT_SAMPLES + len(samples)] = samples
    if not count:
        return np.empty((0, CONTEXT_SAMPLES + FRAME_SAMPLES), np.float32)
    return np.lib.stride_tricks.sliding_window_view(padded, CONTEXT_SAMPLES + FRAME_SAMPLES)[::FRAME_SAMPLES]


def _spoken(
    probabilities: Probabilities, length: int, threshold: float, release: float, min_silence: int
) -> Iterator[Span]:
    start: int | None = None
    quiet: int | None = None
    for index, probability in enumerate(probabilities.tolist()):
        sample = index * FRAME_SAMPLES
        if probability >= threshold:
            start, quiet = sample if start is None else start, None
        elif probability < release and start is not None:
            quiet = sample if quiet is None else quiet
            if sample - quiet >= min_silence:
                yield Span(start, quiet)
                start = quiet = None
    if start is not None:
        yield Span(start, length)


def _padded(spans: list[Span], pad: int, length: int) -> tuple[Span, ...]:
    """Each span longer by `pad`, meeting its neighbour halfway where the silence is too short for both."""
    if not spans:
        return ()
    between = [min(pad, (after.start - before.end) // 2) for before, after in pairwise(spans)]
    growth = [min(pad, spans[0].start), *between, min(pad, length - spans[-1].end)]
    sides = zip(spans, pairwise(growth), strict=True)
    return tuple(Span(span.start - left, span.end + right) for span, (left, right) in sides)


def _samples(time_ms: int) -> int:
    return time_ms * SAMPLE_RATE // 1000
