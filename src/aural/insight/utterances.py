"""What skills are given: a segment of a transcript each, the channels of a call in the order of their beginnings, or
the sentences of a text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from aural.insight.request import Asked
from aural.insight.types import Utterance
from aural.types import Transcript

LONGEST_SENTENCE = 800
"""Characters: sentence vectors say nothing of what comes after some 1,000."""
_END = re.compile(r"\s*\n\s*|(?<=[!?])\s+|(?<=[^\s.]{3}\.)\s+|(?<=[。！？])\s*")
"""Lines, and marks that end a sentence; a full stop after fewer than three letters may be that of "Mr." """


def of_transcripts(channels: Sequence[Transcript], asked: Asked) -> tuple[Utterance, ...]:
    """The utterances of a call, one transcript per channel. Who speaks is known by the channel, where there are
    several."""
    heard = [
        (segment, channel, transcript.language)
        for channel, transcript in enumerate(channels)
        for segment in transcript.segments
        if segment.text.strip()
    ]
    heard.sort(key=lambda one: (one[0].start, one[1]))
    return tuple(
        Utterance(
            id=f"u{number}",
            text=segment.text.strip(),
            start=segment.start,
            end=segment.end,
            language=language,
            words=segment.words,
            role=asked.role(channel if len(channels) > 1 else None),
            channel=channel,
        )
        for number, (segment, channel, language) in enumerate(heard)
    )


def sentences(text: str) -> list[str]:
    """A text by its lines and sentences, and long ones by their words."""
    return [piece for part in _END.split(text) for piece in _pieces(part.strip())]


def _pieces(part: str) -> Iterator[str]:
    while len(part) > LONGEST_SENTENCE:
        at = part.rfind(" ", 1, LONGEST_SENTENCE)
        at = at if at > 0 else LONGEST_SENTENCE
        yield part[:at].strip()
        part = part[at:].strip()
    if part:
        yield part
