"""From the transcripts of clips to one text: joined as the language is written, in the characters asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from operator import attrgetter
from typing import Protocol

from aural.languages import SPACELESS, Script
from aural.types import Segment, Transcript, Word


def join(transcripts: Iterable[Transcript]) -> Transcript:
    """One transcript from the transcripts of consecutive clips, all in the clock of the file. Its language is that of
    the first clip in which something was heard; what was suppressed comes in order of time."""
    parts = [spaced(part) for part in transcripts]
    if not parts:
        return Transcript()
    heard = next((part for part in parts if part.segments), parts[0])
    return Transcript(
        segments=tuple(segment for part in parts for segment in part.segments),
        suppressed=tuple(sorted((gap for part in parts for gap in part.suppressed), key=attrgetter("start"))),
        language=heard.language,
        language_probability=heard.language_probability,
        redone=any(part.redone for part in parts),
    )


def plain(segments: Iterable[Segment]) -> str:
    """The text of segments, as it would be written."""
    return "".join(segment.text for segment in segments).strip()


def spread(texts: Sequence[str], start: int, end: int) -> Iterator[Word]:
    """Words that came without times, over a stretch of sound, by their letters, and of no certainty."""
    letters, before, length = sum(map(len, texts)), 0, max(0, end - start)
    for one in texts:
        after = before + len(one)
        yield Word(one, start + length * before // letters, start + length * after // letters, 0.0)
        before = after


def in_script(transcript: Transcript, script: Script) -> Transcript:
    """The transcript with its Chinese in the characters asked for; another language is left alone."""
    if transcript.language != "zh":
        return transcript
    convert = _converter(script).convert
    return replace(
        transcript,
        segments=tuple(
            replace(
                segment,
                text=convert(segment.text),
                words=tuple(replace(word, text=convert(word.text)) for word in segment.words),
            )
            for segment in transcript.segments
        ),
        suppressed=tuple(replace(gap, text=convert(gap.text)) for gap in transcript.suppressed),
    )


def spaced(part: Transcript) -> Transcript:
    """The first segment of a clip begins with a space where words are spaced."""
    if not part.segments or part.language in SPACELESS or part.segments[0].text.startswith(" "):
        return part
    first = replace(part.segments[0], text=" " + part.segments[0].text)
    return replace(part, segments=(first, *part.segments[1:]))


class _Converter(Protocol):
    def convert(self, text: str) -> str: ...


@cache
def _converter(script: Script) -> _Converter:
    import opencc

    converter: _Converter = opencc.OpenCC(script)
    return converter
