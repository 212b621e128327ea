"""Transcripts as utterances: a segment each, the channels of a call in the order of their beginnings."""

from __future__ import annotations

from collections.abc import Sequence

from aural.insight.request import Asked
from aural.insight.types import Utterance
from aural.types import Transcript


def of_transcripts(channels: Sequence[Transcript], asked: Asked) -> tuple[Utterance, ...]:
    """The utterances of a call, one transcript per channel."""
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
            role=asked.role(channel),
            channel=channel,
        )
        for number, (segment, channel, language) in enumerate(heard)
    )
