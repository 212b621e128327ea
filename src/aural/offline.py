"""`aural transcribe`: files through a model in this machine."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.progress import Progress, TaskID

from aural.api import formats
from aural.api.service import Answer, language_options
from aural.app import running_fleet
from aural.assembly import build_understanding
from aural.audio.decode import decode
from aural.elsewhere import Wish, progress_bars, read_out
from aural.insight import request as parsed
from aural.insight.redaction import redact
from aural.metrics import Metrics
from aural.serving.transcriber import Transcriber
from aural.serving.understanding import Understanding
from aural.settings import Settings
from aural.text import join, plain
from aural.types import Options, Pcm, Timestamps


async def transcribe(files: Sequence[Path], wish: Wish, settings: Settings) -> None:
    """Print the transcript of each file, heard by workers of this process."""
    code, script = language_options(wish.language)
    understanding = build_understanding(settings, Metrics())
    asked = understanding.settings.wish(wish.insights, wish.redact)
    options = Options(
        language=code,
        task=wish.task,
        prompt=wish.prompt,
        beam_size=settings.beam_size,
        timestamps=_timestamps(wish),
    )
    with progress_bars() as progress:
        async with _fleet(settings, progress) as transcriber:
            for file in files:
                pcm = await asyncio.to_thread(decode, file.read_bytes(), limit_s=settings.max_audio_s)
                bar = progress.add_task(file.name, total=len(pcm))
                answer = await _hear(transcriber, pcm, options, script, progress, bar)
                answer = await _understood(answer, pcm, asked, understanding)
                progress.console.file.flush()
                print(_written(answer, wish))
    await understanding.stop()


async def _understood(answer: Answer, pcm: Pcm, asked: parsed.Wish, understanding: Understanding) -> Answer:
    """The answer without what is private, and with what is asked for beside it."""
    transcript = redact(answer.transcript, asked.redact) if asked.redact else answer.transcript
    found = None
    if asked.insights is not None:
        is_private = bool(asked.redact)
        found = await understanding.of_transcripts([transcript], asked.insights, [pcm], is_private=is_private)
    return replace(answer, transcript=transcript, insights=found)


@asynccontextmanager
async def _fleet(settings: Settings, progress: Progress) -> AsyncIterator[Transcriber]:
    bar = progress.add_task(f"loading {settings.models[0].model}", total=None)
    async with running_fleet(settings) as fleet:
        progress.remove_task(bar)
        yield fleet.get(None)


async def _hear(
    transcriber: Transcriber, pcm: Pcm, options: Options, script: Any, progress: Progress, bar: TaskID
) -> Answer:
    began = time.perf_counter()
    parts = []
    async for part in transcriber.stream(pcm, options, script):
        parts.append(part)
        ends = [segment.end for segment in part.segments] + [gap.end for gap in part.suppressed]
        progress.update(bar, completed=max(ends, default=0))
    progress.remove_task(bar)
    took_s = time.perf_counter() - began
    return Answer(join(parts), pcm.duration_s, transcriber.scheduler.name, took_s, timestamps=True)


def _written(answer: Answer, wish: Wish) -> str:
    match wish.form:
        case "srt":
            return formats.as_srt(answer.transcript.segments)
        case "vtt":
            return formats.as_vtt(answer.transcript.segments)
        case "json":
            return json.dumps(formats.as_json(answer), ensure_ascii=False)
        case "verbose_json":
            granularities = [Timestamps.SEGMENT, *([Timestamps.WORD] if wish.words else [])]
            body = formats.as_verbose_json(answer, wish.task, granularities)
            return json.dumps(body, ensure_ascii=False, indent=2)
        case _ if answer.insights is not None:
            return read_out({"text": plain(answer.transcript.segments), "insights": answer.insights})
        case _:
            return plain(answer.transcript.segments)


def _timestamps(wish: Wish) -> Timestamps:
    """The finest that its form needs."""
    if wish.words or wish.insights:
        return Timestamps.WORD
    return Timestamps.NONE if wish.form in ("text", "json") else Timestamps.SEGMENT
