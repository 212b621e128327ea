"""`aural transcribe`: files through a model in this machine, or through a server elsewhere."""

from __future__ import annotations

import asyncio
import http.client
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from aural.api import formats
from aural.api.service import Answer, language_options
from aural.app import running_fleet
from aural.assembly import build_understanding
from aural.audio.decode import decode
from aural.errors import BadRequest, SettingsError
from aural.insight import digest
from aural.insight import request as parsed
from aural.insight.redaction import redact
from aural.metrics import Metrics
from aural.serving.transcriber import Transcriber
from aural.serving.understanding import Understanding
from aural.settings import Settings
from aural.text import join, plain
from aural.types import Options, Pcm, Task, Timestamps


@dataclass(frozen=True, slots=True)
class Wish:
    """What the command line asks for."""

    form: str
    language: str | None
    task: Task
    prompt: str
    words: bool
    model: str | None
    insights: str | None = None
    redact: str | None = None

    @property
    def timestamps(self) -> Timestamps:
        if self.words or self.insights:
            return Timestamps.WORD
        return Timestamps.NONE if self.form in ("text", "json") else Timestamps.SEGMENT


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
        timestamps=wish.timestamps,
    )
    with _progress() as progress:
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


async def ask_server(files: Sequence[Path], wish: Wish, url: str, api_key: str) -> None:
    """Print the answer of a server to each file."""
    form = "json" if wish.form == "text" and wish.insights else wish.form
    fields = {
        "response_format": form,
        "model": wish.model,
        "language": wish.language,
        "prompt": wish.prompt,
        "insights": wish.insights,
        "redact": wish.redact,
    }
    if wish.words:
        fields["timestamp_granularities[]"] = "word"
    route = "translations" if wish.task == "translate" else "transcriptions"
    with _progress() as progress:
        for file in files:
            bar = progress.add_task(file.name, total=None)
            given = {name: value for name, value in fields.items() if value}
            answer = await asyncio.to_thread(_post, f"{url.rstrip('/')}/v1/audio/{route}", file, given, api_key)
            print(answer.strip() if form == wish.form else _read_out(json.loads(answer)))
            progress.remove_task(bar)


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
            return _read_out({"text": plain(answer.transcript.segments), "insights": answer.insights})
        case _:
            return plain(answer.transcript.segments)


def _read_out(body: dict[str, Any]) -> str:
    """Text, then what was found, for people."""
    return "\n".join([body["text"], "", *digest.of_file(body["insights"])])


def _post(url: str, file: Path, fields: dict[str, str], api_key: str) -> str:
    """One multipart request; raises the server's error."""
    address = urlsplit(url)
    if address.scheme not in ("http", "https") or not address.hostname:
        raise SettingsError(f"expected an address such as http://127.0.0.1:8080, got {url!r}")
    kind = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
    boundary = uuid4().hex
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    if api_key:
        headers["Authorization"] = f"Bearer {api_key}"
    connection = kind(address.hostname, address.port, timeout=3600)
    connection.request("POST", address.path, _multipart(boundary, file, fields), headers)
    response = connection.getresponse()
    body = response.read().decode()
    if response.status != 200:
        raise BadRequest(f"{url} answered {response.status}: {_message(body)}")
    return body


def _multipart(boundary: str, file: Path, fields: dict[str, str]) -> bytes:
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="audio"\r\n\r\n'
    return b"".join([*parts, head.encode(), file.read_bytes(), f"\r\n--{boundary}--\r\n".encode()])


def _message(body: str) -> str:
    try:
        return str(json.loads(body)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return body[:200]


def _progress() -> Progress:
    """On standard error, so that the text can be piped; gone when it is done."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
