"""`aural transcribe`: files through a model in this machine."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.progress import Progress, TaskID

from aural.api import formats
from aural.api.service import (
    MOST_CHANNELS,
    Answer,
    is_apart,
    language_options,
    timed,
    together,
    understood,
    wish_over,
    without_private,
)
from aural.app import running_fleet
from aural.assembly import build_understanding
from aural.audio.decode import decode, decode_channels
from aural.elsewhere import Wish, progress_bars, read_out
from aural.errors import BadRequest
from aural.insight import request as parsed
from aural.languages import Script
from aural.metrics import Metrics
from aural.serving.transcriber import Transcriber
from aural.serving.understanding import Understanding
from aural.settings import Settings
from aural.text import join, plain
from aural.types import Options, Pcm, Timestamps, Transcript


@dataclass(frozen=True, slots=True)
class _Plan:
    """What every file is asked for."""

    options: Options
    script: Script
    apart: bool
    wish: parsed.Wish
    limit_s: float


async def transcribe(files: Sequence[Path], wish: Wish, settings: Settings) -> None:
    """Print the transcript of each file, heard by workers of this process."""
    understanding = build_understanding(settings, Metrics())
    plan = _plan(wish, settings, understanding)
    try:
        with progress_bars() as progress:
            async with _fleet(settings, progress) as transcriber:
                for file in files:
                    answer = await _answer(file, plan, transcriber, understanding, progress)
                    progress.console.file.flush()
                    print(_written(answer, wish))
    finally:
        await understanding.stop()


def _plan(wish: Wish, settings: Settings, understanding: Understanding) -> _Plan:
    """Raises BadRequest for what is asked in vain."""
    code, script = language_options(wish.language)
    options = Options(
        language=code,
        task=wish.task,
        prompt=wish.prompt,
        beam_size=settings.beam_size,
        timestamps=_timestamps(wish),
    )
    asked = wish_over(understanding.settings, wish.insights, wish.redact)
    if asked.insights is not None and wish.form in ("srt", "vtt"):
        raise BadRequest(f"expected --format text, json or verbose_json with --insights, got {wish.form}")
    return _Plan(options, script, is_apart(wish.channels, streamed=False), asked, settings.max_audio_s)


async def _answer(
    file: Path, plan: _Plan, transcriber: Transcriber, understanding: Understanding, progress: Progress
) -> Answer:
    """The whole transcript without what is private, and what it means where that is asked for."""
    began = time.perf_counter()
    pcms = await asyncio.to_thread(_decoded, file, plan)
    options = timed(plan.options, plan.wish, transcriber)
    bars = [progress.add_task(file.name, total=len(pcm)) for pcm in pcms]
    hearing = [
        _hear(transcriber, pcm, options, plan.script, progress, bar) for pcm, bar in zip(pcms, bars, strict=True)
    ]
    heard = await asyncio.gather(*hearing)
    took_s = time.perf_counter() - began
    heard = [await without_private(one, plan.wish) for one in heard]
    found = await understood(understanding, heard, plan.wish, options.task, pcms)
    transcript, channels = together(heard)
    name = transcriber.scheduler.name
    channels = channels if plan.apart else ()
    return Answer(transcript, pcms[0].duration_s, name, took_s, timestamps=True, insights=found, channels=channels)


def _decoded(file: Path, plan: _Plan) -> tuple[Pcm, ...]:
    if plan.apart:
        return decode_channels(file.read_bytes(), limit_s=plan.limit_s, most=MOST_CHANNELS)
    return (decode(file.read_bytes(), limit_s=plan.limit_s),)


@asynccontextmanager
async def _fleet(settings: Settings, progress: Progress) -> AsyncIterator[Transcriber]:
    bar = progress.add_task(f"loading {settings.models[0].model}", total=None)
    async with running_fleet(settings) as fleet:
        progress.remove_task(bar)
        yield fleet.get(None)


async def _hear(
    transcriber: Transcriber, pcm: Pcm, options: Options, script: Script, progress: Progress, bar: TaskID
) -> Transcript:
    parts = []
    async for part in transcriber.stream(pcm, options, script):
        parts.append(part)
        ends = [segment.end for segment in part.segments] + [gap.end for gap in part.suppressed]
        progress.update(bar, completed=max(ends, default=0))
    progress.remove_task(bar)
    return join(parts)


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
    if wish.words:
        return Timestamps.WORD
    return Timestamps.NONE if wish.form in ("text", "json") else Timestamps.SEGMENT
