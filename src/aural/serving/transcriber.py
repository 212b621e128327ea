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
from aural.serving.scheduler import Scheduler
from aural.types import Clip, Options, Pcm, Reason, Samples, Segment, Suppressed, Transcript

SURE_OF_LANGUAGE = 0.5
"""A file whose first clip is at least this likely in one language is heard in it throughout, so that it does not flip
from clip to clip."""


class Transcriber:
    """Whole files through one model."""

    def __init__(self, scheduler: Scheduler, metrics: Metrics) -> None:
        self.scheduler = scheduler
        self._metrics = metrics

    async def transcribe(self, pcm: Pcm, options: Options, script: Script = "t2s") -> Transcript:
        """The whole transcript; raises what `Scheduler.admit` and `Scheduler.submit` raise, and EngineFailed."""
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
        detect = self.scheduler.capabilities.detects_language and options.language is None
        while detect and len(rest) > 1:
            first = await self._hear_one(pcm, rest.pop(0), options)
            yield first
            if first.segments and first.language_probability >= SURE_OF_LANGUAGE:
                options, detect = replace(options, language=first.language), False
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
        doubtful = [s for s in heard.segments if guard.is_doubtful(s.avg_logprob, s.no_speech_prob)]
        if doubtful:
            heard = _without_voiceless(heard, await asyncio.to_thread(_voices, samples), len(samples))
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


def _without_voiceless(heard: Transcript, voices: Sequence[Span], length: int) -> Transcript:
    """The transcript less its doubtful segments in which voice activity detection heard no voice."""
    kept: list[Segment] = []
    dropped: list[Suppressed] = []
    for segment in heard.segments:
        voiced = any(voice.start < segment.end and voice.end > segment.start for voice in voices)
        if voiced or not guard.is_doubtful(segment.avg_logprob, segment.no_speech_prob):
            kept.append(segment)
        else:
            dropped.append(Suppressed(segment.start, segment.end, Reason.NO_SPEECH, segment.text.strip()))
    if dropped and not kept:
        dropped = [Suppressed(0, length, Reason.NO_SPEECH, text.plain(heard.segments))]
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
