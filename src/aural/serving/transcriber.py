"""The way of a file: cut, heard clip by clip in any order, and joined in the clock of the audio that came."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import cache

from aural import text
from aural.audio.cut import cut
from aural.audio.level import is_silent
from aural.audio.span import Span
from aural.audio.vad import SileroVad, speech_spans
from aural.engines import guard
from aural.languages import Script
from aural.metrics import Metrics
from aural.serving.door import Door
from aural.types import SAMPLE_RATE, Clip, Options, Pcm, Reason, Samples, Segment, Suppressed, Timestamps, Transcript

SURE_OF_LANGUAGE = 0.5
"""A file whose first clip is at least this likely in one language is heard in it throughout, so that it does not flip
from clip to clip."""

SLOW_SAMPLES = SAMPLE_RATE
SLOW_SAMPLES_PER_CHARACTER = SAMPLE_RATE * 8 // 100
"""People say some 15 Latin letters a second. A segment that lasts longer than 1 s and 0.08 s a character may well have
silence in it: Whisper lets the first word after a pause begin with the pause."""


class Transcriber:
    """Whole files through one model."""

    def __init__(self, scheduler: Door, metrics: Metrics) -> None:
        self.scheduler = scheduler
        self._metrics = metrics

    async def transcribe(self, pcm: Pcm, options: Options, script: Script = "t2s") -> Transcript:
        """The whole transcript; raises what `Door.admit` and `Door.submit` raise, and EngineFailed."""
        async with aclosing(self.stream(pcm, options, script)) as parts:
            return text.join([part async for part in parts])

    async def stream(self, pcm: Pcm, options: Options, script: Script = "t2s") -> AsyncGenerator[Transcript]:
        """The transcripts of consecutive clips, each as soon as it and those before it are heard. Closing the
        iterator takes what still waits out of the queue."""
        self.scheduler.capabilities.check(options, self.scheduler.name)
        with self.scheduler.admitted(len(pcm)):
            short = len(pcm) <= self.scheduler.capabilities.longest_clip
            spans = (Span(0, len(pcm)),) if short else await asyncio.to_thread(_cut, pcm)
            async with aclosing(self._hear(pcm, spans, options)) as parts:
                async for part in parts:
                    self._count(part)
                    yield text.in_script(part, script)

    async def _hear(self, pcm: Pcm, spans: Sequence[Span], options: Options) -> AsyncGenerator[Transcript]:
        rest = list(spans)
        can = self.scheduler.capabilities
        detect = can.detects_language and options.language is None
        while detect and len(rest) > 1:
            first = await self._hear_one(pcm, rest.pop(0), options)
            yield first
            is_sure = bool(first.segments) and first.language_probability >= SURE_OF_LANGUAGE
            if is_sure:
                options = replace(options, language=first.language)
            detect = not (is_sure or can.guesses_language)
        tasks = [asyncio.create_task(self._hear_one(pcm, span, options)) for span in rest]
        try:
            for task in tasks:
                yield await task
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _hear_one(self, pcm: Pcm, span: Span, options: Options) -> Transcript:
        """One clip in the clock of the file; without text where nobody speaks."""
        samples = pcm.samples[span.start : span.end]
        if is_silent(samples):
            silence = Suppressed(span.start, span.end, Reason.NO_SPEECH)
            return Transcript((), (silence,), options.language or "en", 1.0 if options.language else 0.0)
        clip = Clip(samples, options, span.start)
        heard = await self.scheduler.submit(clip, ahead_samples=span.start)
        timed = options.timestamps is not Timestamps.NONE
        if any(guard.is_doubtful(segment) or (timed and _is_slow(segment)) for segment in heard.segments):
            heard = _voiced(heard, await asyncio.to_thread(_voices, samples), len(samples))
        return _within(heard, len(samples)).shifted(span.start)

    def _count(self, part: Transcript) -> None:
        for gap in part.suppressed:
            self._metrics.suppressed.labels(self.scheduler.name, gap.reason.value).inc()


@cache
def _vad() -> SileroVad:
    return SileroVad()


def _cut(pcm: Pcm) -> Sequence[Span]:
    return cut(pcm, _vad().speech_probabilities)


def _voices(samples: Samples) -> Sequence[Span]:
    return speech_spans(_vad().speech_probabilities(samples), len(samples))


def _is_slow(segment: Segment) -> bool:
    """Whether a segment lasts longer than saying its text does: it has taken in the silence beside it."""
    return segment.end - segment.start > SLOW_SAMPLES + SLOW_SAMPLES_PER_CHARACTER * len(segment.text)


def _voiced(heard: Transcript, voices: Sequence[Span], length: int) -> Transcript:
    """The transcript less its doubtful segments in which voice activity detection heard no voice, and with its slow
    ones as long as the voices in them."""
    kept: list[Segment] = []
    dropped: list[Suppressed] = []
    for segment in heard.segments:
        inside = [voice for voice in voices if voice.start < segment.end and voice.end > segment.start]
        if guard.is_doubtful(segment) and not inside:
            dropped.append(Suppressed(segment.start, segment.end, Reason.NO_SPEECH, segment.text.strip()))
        elif _is_slow(segment) and inside:
            kept.append(segment.within(inside[0].start, inside[-1].end))
        else:
            kept.append(segment)
    if dropped and not kept:
        whole = Suppressed(0, length, Reason.NO_SPEECH, text.plain(heard.segments))
        return replace(heard, segments=(), suppressed=(whole,))
    return replace(heard, segments=tuple(kept), suppressed=(*heard.suppressed, *dropped))


def _within(heard: Transcript, length: int) -> Transcript:
    """The transcript with its times inside the clip and in order."""
    clock = 0

    def tick(time: int) -> int:
        nonlocal clock
        clock = min(max(time, clock), length)
        return clock

    segments = []
    for segment in heard.segments:
        start = tick(segment.start)
        words = tuple(replace(word, start=tick(word.start), end=tick(word.end)) for word in segment.words)
        segments.append(replace(segment, start=start, words=words, end=tick(segment.end)))
    return replace(heard, segments=tuple(segments))
