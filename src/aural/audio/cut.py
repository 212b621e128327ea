"""Long audio cut into spans that an engine can hear in one pass, at pauses wherever there are any."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Final

import numpy as np

from aural.audio.level import quietest
from aural.audio.span import Span
from aural.audio.vad import FRAME_SAMPLES, Probabilities
from aural.types import Pcm, Samples, samples

_PAUSE_BELOW: Final = 0.35
"""Speech probability in a pause; Silero's own threshold for the end of speech."""
_PAUSE_FRAMES: Final = 3
"""The shortest pause, 96 ms."""


def cut(
    pcm: Pcm,
    probabilities: Callable[[Samples], Probabilities],
    *,
    longest_s: float = 28.0,
    search_s: float = 8.0,
) -> tuple[Span, ...]:
    """Spans that tile `pcm`, in order, each at most `longest_s`; audio that is short enough is one span.

    Each span ends in the middle of the longest pause among its last `search_s`, or at its quietest 150 ms where nobody
    pauses. The last two are of about equal length. `probabilities` is voice activity detection as
    `SileroVad.speech_probabilities`, asked only about the stretches searched. Expects 0 < `search_s` < `longest_s`.
    """
    longest, search = samples(longest_s), samples(search_s)
    edges = [0]
    while len(pcm) - edges[-1] > longest:
        window = _window(edges[-1], len(pcm), longest, search)
        heard = pcm.samples[window.start : window.end]
        edges.append(window.start + _best(heard, probabilities(heard)))
    return tuple(Span(start, end) for start, end in pairwise([*edges, len(pcm)]))


def _window(start: int, end: int, longest: int, search: int) -> Span:
    """Where the span from `start` may end: late, or around the middle of what is left if one cut will do."""
    left = end - start
    middle = left // 2 if left <= 2 * longest - search else longest - search // 2
    return Span(start + middle - search // 2, start + middle + search // 2)


def _best(heard: Samples, probabilities: Probabilities) -> int:
    pause = max(_pauses(probabilities), key=len, default=None)
    return quietest(heard) if pause is None else min((pause.start + pause.end) // 2, len(heard))


def _pauses(probabilities: Probabilities) -> Iterator[Span]:
    """Runs of improbable speech, the latest first."""
    edges = np.flatnonzero(np.diff(probabilities < _PAUSE_BELOW, prepend=False, append=False))
    for first, end in edges.reshape(-1, 2)[::-1].tolist():
        if end - first >= _PAUSE_FRAMES:
            yield Span(first * FRAME_SAMPLES, end * FRAME_SAMPLES)
