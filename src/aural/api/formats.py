"""Transcripts as OpenAI's response formats."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from aural.api.service import Answer
from aural.languages import NAMES
from aural.text import plain
from aural.types import SAMPLE_RATE, Segment, Suppressed, Timestamps, Word, seconds


def usage(duration_s: float) -> dict[str, Any]:
    return {"type": "duration", "seconds": math.ceil(duration_s)}


def as_json(answer: Answer) -> dict[str, Any]:
    return {"text": plain(answer.transcript.segments), "usage": usage(answer.duration_s), **insights(answer)}


def insights(answer: Answer) -> dict[str, Any]:
    """Under `insights`, when they were asked for."""
    return {} if answer.insights is None else {"insights": answer.insights}


def as_verbose_json(answer: Answer, task: str, granularities: Iterable[Timestamps]) -> dict[str, Any]:
    """OpenAI's verbose_json, with what was suppressed and why as an extension."""
    transcript, granularities = answer.transcript, set(granularities)
    body: dict[str, Any] = {
        "task": task,
        "language": NAMES.get(transcript.language, transcript.language),
        "duration": answer.duration_s,
        "text": plain(transcript.segments),
    }
    if Timestamps.SEGMENT in granularities:
        body["segments"] = segments_json(answer)
    if Timestamps.WORD in granularities:
        body["words"] = [word_json(word) for segment in transcript.segments for word in segment.words]
    return body | {
        "usage": usage(answer.duration_s),
        "language_probability": round(transcript.language_probability, 4),
        "suppressed": [suppressed_json(gap) for gap in transcript.suppressed],
        **insights(answer),
    }


def segments_json(answer: Answer) -> list[dict[str, Any]]:
    """The segments, each with its channel where those were heard apart."""
    segments = [segment_json(i, segment) for i, segment in enumerate(answer.transcript.segments)]
    for segment, channel in zip(segments, answer.channels, strict=False):
        segment["channel"] = channel
    return segments


def segment_json(index: int, segment: Segment) -> dict[str, Any]:
    return {
        "id": index,
        "seek": segment.start * 100 // SAMPLE_RATE,
        "start": seconds(segment.start),
        "end": seconds(segment.end),
        "text": segment.text,
        "tokens": list(segment.tokens),
        "temperature": segment.temperature,
        "avg_logprob": round(segment.avg_logprob, 4),
        "compression_ratio": round(segment.compression_ratio, 4),
        "no_speech_prob": round(segment.no_speech_prob, 4),
    }


def word_json(word: Word) -> dict[str, Any]:
    return {"word": word.text.strip(), "start": seconds(word.start), "end": seconds(word.end)}


def suppressed_json(gap: Suppressed) -> dict[str, Any]:
    return {"start": seconds(gap.start), "end": seconds(gap.end), "reason": gap.reason.value, "text": gap.text}


def as_srt(segments: Iterable[Segment]) -> str:
    return "\n".join(srt_cue(number, segment) for number, segment in enumerate(segments, 1))


def srt_cue(number: int, segment: Segment) -> str:
    return f"{number}\n{_clock(segment.start, ',')} --> {_clock(segment.end, ',')}\n{_cue(segment)}\n"


def as_vtt(segments: Iterable[Segment]) -> str:
    return "\n".join(["WEBVTT\n", *map(vtt_cue, segments)])


def vtt_cue(segment: Segment) -> str:
    return f"{_clock(segment.start, '.')} --> {_clock(segment.end, '.')}\n{_cue(segment, vtt=True)}\n"


def _cue(segment: Segment, *, vtt: bool = False) -> str:
    text = segment.text.strip().replace("-->", "→")
    return text.replace("&", "&amp;").replace("<", "&lt;") if vtt else text


def _clock(samples: int, point: str) -> str:
    ms = round(samples * 1000 / SAMPLE_RATE)
    return f"{ms // 3_600_000:02d}:{ms // 60_000 % 60:02d}:{ms // 1000 % 60:02d}{point}{ms % 1000:03d}"
