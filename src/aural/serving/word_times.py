"""When the words of a live final were said: as the engine says where it was asked to, and estimated elsewhere. Where
something was found in them, that speech is heard once more for the times of its words."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence

from aural.insight.types import Findings, Span
from aural.live.events import Final
from aural.live.stabilizer import spelled
from aural.text import spread
from aural.types import SAMPLE_RATE, Clip, Segment, Word

Rehear = Callable[[Sequence[Clip]], Awaitable[Sequence[Word]]]
"""The words of clips with their times, in the clock that the clips are in; raises AuralError."""

NEAR = SAMPLE_RATE
"""An estimate is hardly ever off by more."""


def estimated(final: Final) -> tuple[Word, ...]:
    """Its words, each of no certainty where the engine gave no times."""
    return tuple(word for segment in final.transcript.segments for word in _words(segment))


def around(final: Final, findings: Findings) -> list[Clip]:
    """The speech in which keywords, and words that safety minds, may have been said: places are estimates so far.
    None where the engine gave the times."""
    places = [one.span for one in findings.keywords] + [one.span for one in findings.safety if one.span]
    return [clip for clip in final.clips if any(_is_near(place, clip) for place in places)]


def reheard(final: Final, clips: Sequence[Clip], words: Sequence[Word]) -> tuple[Word, ...]:
    """The words of a final of which some clips were heard once more."""
    others = (segment for segment in final.transcript.segments if not any(_holds(clip, segment) for clip in clips))
    every = [*words, *(word for segment in others for word in _words(segment))]
    return tuple(sorted(every, key=lambda word: word.start))


def _words(segment: Segment) -> Iterable[Word]:
    """The words of a segment; without times they are spread over it by their letters."""
    if segment.words:
        return segment.words
    return spread([token.text for token in spelled(segment.text)], segment.start, segment.end)


def _is_near(place: Span, clip: Clip) -> bool:
    return place.start - NEAR < clip.start + len(clip) and clip.start < place.stop + NEAR


def _holds(clip: Clip, segment: Segment) -> bool:
    return clip.start <= segment.start < clip.start + len(clip)
