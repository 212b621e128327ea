"""Private numbers and addresses out of a transcript: its text, words and tokens, and what was suppressed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from aural.insight.entities import MAYBE, Found, find, runs
from aural.insight.numbers import BETWEEN
from aural.insight.tags import PIECE, PRIVATE, TAGS
from aural.insight.words import Placed, folded, placed
from aural.types import Segment, Transcript, Word

EDGE_DIGITS = 3
"""A number of so many digits at the beginning or end of an utterance may go on in the next one: it counts as private
where utterances are given out one by one."""
WHOLE_DIGITS = 2
"""The same for an utterance that is nothing but a number."""
_LEAD = re.compile(rf"(?:{BETWEEN.pattern}|\b(?:it's|its|it|is|that's|so|well|now)\b)*")
"""What may stand between the edge of an utterance and its number."""


def redacted(text: str, categories: Iterable[str] = PRIVATE, *, edges: bool = False) -> str:
    """The text with tags in place of what is private. With `edges` it is one of several texts that follow each
    other, and a number at its edge counts as a part of a longer one."""
    out, at = "", 0
    for found in private(text, categories, edges=edges):
        out += text[at : found.begin] + TAGS[found.category]
        at = found.end
    return out + text[at:]


def private(text: str, categories: Iterable[str], *, edges: bool = False) -> list[Found]:
    """What of a text is to be taken out, in order."""
    wanted = set(categories)
    found = [one for one in find(text) if one.category in wanted]
    if edges and wanted & set(PRIVATE):
        found += [one for one in _at_edges(text) if not any(_overlap(one, other) for other in found)]
    return sorted(found, key=lambda one: one.begin)


def redact(transcript: Transcript, categories: Iterable[str], *, edges: bool = False) -> Transcript:
    """The transcript without what is private. A number that runs over several words or segments is one, and stands
    where it began."""
    categories = tuple(categories)
    whole = "".join(segment.text for segment in transcript.segments)
    found = private(whole, categories, edges=edges)
    segments, at = [], 0
    for segment in transcript.segments:
        segments.append(_segment(segment, at, found, categories))
        at += len(segment.text)
    suppressed = tuple(replace(gap, text=redacted(gap.text, categories, edges=True)) for gap in transcript.suppressed)
    return replace(transcript, segments=tuple(segments), suppressed=suppressed)


def _segment(segment: Segment, at: int, found: Sequence[Found], categories: Sequence[str]) -> Segment:
    end = at + len(segment.text)
    inside = [one for one in found if one.begin < end and one.end > at]
    if not inside:
        return segment
    text, place = "", at
    for one in inside:
        text += segment.text[place - at : max(one.begin, at) - at]
        text += _tag(one, at)
        place = min(one.end, end)
    text += segment.text[place - at :]
    words = without(placed(segment.words, segment.text, at), inside)
    return replace(segment, text=text, words=words, tokens=())


def without(words: Iterable[Placed], found: Sequence[Found]) -> tuple[Word, ...]:
    """The words without what was found in their text: those of one number are one word, its tag."""
    kept: list[Word] = []
    last: Found | None = None
    for begin, end, word in words:
        hit = next((one for one in found if one.begin < end and one.end > begin), None)
        if hit is None:
            kept.append(word)
        elif hit is last:
            kept[-1] = replace(kept[-1], end=word.end)
        else:
            lead = " " if word.text.startswith(" ") else ""
            kept.append(replace(word, text=lead + TAGS[hit.category]))
        last = hit
    return tuple(kept)


def _tag(found: Found, at: int) -> str:
    """The tag stands in the segment where the number began."""
    return TAGS[found.category] if found.begin >= at else ""


def _at_edges(text: str) -> Iterable[Found]:
    low = folded(text)
    for run in runs(text):
        is_whole = BETWEEN.fullmatch(low, 0, run.begin) and BETWEEN.fullmatch(low, run.end)
        is_at_edge = _LEAD.fullmatch(low, 0, run.begin) or _LEAD.fullmatch(low, run.end)
        if not run.is_amount and is_at_edge and len(run.digits) >= (WHOLE_DIGITS if is_whole else EDGE_DIGITS):
            yield Found(PIECE, run.begin, run.end, MAYBE)


def _overlap(one: Found, other: Found) -> bool:
    return one.begin < other.end and one.end > other.begin
