"""OpenAI's audio routes: POST /v1/audio/transcriptions, POST /v1/audio/translations."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from aural.api import formats
from aural.api.body import Form, read_form
from aural.api.errors import body_of
from aural.api.service import Ask, Service, is_apart, language_options, service_of, wish_of
from aural.errors import AuralError, BadRequest, UnsupportedParameter
from aural.text import join, plain, spaced
from aural.types import Options, Pcm, Task, Timestamps, Transcript

FORMATS = ("json", "text", "srt", "verbose_json", "vtt")
FIELDS = frozenset(
    {"model", "language", "prompt", "temperature", "response_format", "timestamp_granularities", "stream"}
    | {"chunking_strategy", "hotwords", "keywords", "beam_size", "insights", "redact", "channels"}
)
NEVER = {
    "include": "no engine gives log-probabilities of tokens",
    "known_speaker_names": "speakers are not told apart",
    "known_speaker_references": "speakers are not told apart",
    "languages": "give one 'language', or none to detect it",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """How the caller wants the answer."""

    format: str
    granularities: tuple[Timestamps, ...]
    stream: bool
    task: Task


async def transcriptions(request: Request) -> Response:
    return await respond(request, await _form(request), "transcribe")


async def translations(request: Request) -> Response:
    return await respond(request, await _form(request), "translate")


async def _form(request: Request) -> Form:
    service = service_of(request)
    service.knock()
    return await read_form(request, service.body)


async def respond(request: Request, form: Form, task: Task) -> Response:
    """The answer to a form, as it asks for it."""
    service = service_of(request)
    wanted = _wanted(form, task)
    ask = await asyncio.to_thread(_ask, form, wanted, service)  # it may hold thousands of phrases
    if wanted.stream:
        pcm, parts = await service.stream(request, ask)
        return StreamingResponse(_events(service, ask, pcm, parts), media_type="text/event-stream")
    answer = await service.answer(request, ask)
    match wanted.format:
        case "text":
            return PlainTextResponse(plain(answer.transcript.segments) + "\n")
        case "srt":
            return PlainTextResponse(formats.as_srt(answer.transcript.segments))
        case "vtt":
            return PlainTextResponse(formats.as_vtt(answer.transcript.segments), media_type="text/vtt")
        case "verbose_json":
            return JSONResponse(formats.as_verbose_json(answer, task, wanted.granularities))
        case _:
            return JSONResponse(formats.as_json(answer))


def _wanted(form: Form, task: Task) -> Wanted:
    """The form of the answer; raises BadRequest for what no model could honour."""
    model_name = _one(form, "model") or "aural"
    for name, why in NEVER.items():
        if name in form.fields:
            raise UnsupportedParameter(name, form.fields[name], model_name, why)
    for name in form.fields:
        if name.startswith("chunking_strategy[") or (name == "chunking_strategy" and _one(form, name) != "auto"):
            raise UnsupportedParameter(
                "chunking_strategy", form.fields[name], model_name, "it cuts where it is quietest"
            )
    unknown = sorted(form.fields.keys() - FIELDS)
    if unknown:
        raise BadRequest(f"expected fields of {', '.join(sorted(FIELDS))}; got {unknown[0]!r}", param=unknown[0])
    response_format = _one(form, "response_format", "json")
    if response_format not in FORMATS:
        raise BadRequest(
            f"expected a response_format of {', '.join(FORMATS)}; got {response_format!r}", param="response_format"
        )
    stream = _boolean(form, "stream")
    if stream and response_format not in ("json", "text"):
        raise BadRequest(f"expected response_format json with stream=true, got {response_format!r}", param="stream")
    return Wanted(response_format, _granularities(form, response_format), stream, task)


def _granularities(form: Form, response_format: str) -> tuple[Timestamps, ...]:
    asked = form.fields.get("timestamp_granularities")
    if asked and response_format != "verbose_json":
        raise BadRequest(
            f"expected response_format verbose_json with timestamp_granularities, got {response_format!r}",
            param="timestamp_granularities",
        )
    for value in asked or ():
        if value not in (Timestamps.SEGMENT, Timestamps.WORD):
            raise BadRequest(f"expected 'segment' or 'word', got {value!r}", param="timestamp_granularities")
    return tuple(Timestamps(value) for value in asked or ("segment",))


def _ask(form: Form, wanted: Wanted, service: Service) -> Ask:
    if form.file is None:
        raise BadRequest("expected the audio in the field 'file', got none", param="file")
    timestamps = Timestamps.NONE
    if wanted.format in ("verbose_json", "srt", "vtt"):
        timestamps = Timestamps.WORD if Timestamps.WORD in wanted.granularities else Timestamps.SEGMENT
    code, script = language_options(_one(form, "language"))
    options = Options(
        language=code,
        task=wanted.task,
        prompt=_one(form, "prompt") or "",
        hotwords=" ".join([*form.fields.get("hotwords", []), *form.fields.get("keywords", [])]),
        temperature=temperature(_one(form, "temperature")),
        beam_size=whole(_one(form, "beam_size") or service.beam_size, "beam_size", 1, 16),
        timestamps=timestamps,
    )
    wish = wish_of(service, _one(form, "insights"), _one(form, "redact"))
    if wish.insights is not None and wanted.format not in ("json", "verbose_json"):
        raise BadRequest(
            f"expected response_format json or verbose_json with insights, got {wanted.format!r}", param="insights"
        )
    apart = is_apart(_one(form, "channels", "mixed"), streamed=wanted.stream)
    return Ask(form.file, _one(form, "model"), options, script, wish=wish, apart=apart)


async def _events(service: Service, ask: Ask, pcm: Pcm, parts: AsyncGenerator[Transcript]) -> AsyncIterator[bytes]:
    """Server-sent events: a delta per clip, then the whole text, which is the deltas put together."""
    told = ""
    heard: list[Transcript] = []
    try:
        async with aclosing(parts):
            async for part in parts:
                heard.append(part)
                delta = "".join(segment.text for segment in spaced(part).segments)
                delta = delta if told else delta.lstrip()
                told += delta
                if delta:
                    yield _event({"type": "transcript.text.delta", "delta": delta})
    except AuralError as error:
        yield _event(body_of(error))
        return
    done = {"type": "transcript.text.done", "text": told, "usage": formats.usage(pcm.duration_s)}
    insights = await service.understand([join(heard)], ask, [pcm])
    yield _event(done if insights is None else done | {"insights": insights})


def _event(body: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(body) + b"\n\n"


def _one(form: Form, name: str, default: str | None = None) -> str | None:
    values = form.fields.get(name, [])
    if len(values) > 1:
        raise BadRequest(f"expected {name} once, got it {len(values)} times", param=name)
    return values[0] if values else default


def _boolean(form: Form, name: str) -> bool:
    value = (_one(form, name) or "false").lower()
    if value not in ("true", "false", "1", "0"):
        raise BadRequest(f"expected true or false, got {value!r}", param=name)
    return value in ("true", "1")


def number(value: object, name: str, low: float, high: float) -> float:
    """A number in a range; raises BadRequest."""
    try:
        parsed = float("nan") if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        parsed = float("nan")
    if not low <= parsed <= high:
        raise BadRequest(f"expected {name} from {low:g} to {high:g}, got {value!r}", param=name)
    return parsed


def temperature(value: object) -> float | None:
    """None for none, and for 0, which asks for the fallback as OpenAI has it; raises BadRequest."""
    return None if value is None else number(value, "temperature", 0.0, 1.0) or None


def whole(value: object, name: str, low: int, high: int) -> int:
    """A whole number in a range; raises BadRequest."""
    parsed = number(value, name, low, high)
    if not parsed.is_integer():
        raise BadRequest(f"expected {name} as a whole number, got {value!r}", param=name)
    return int(parsed)


routes = [
    Route("/v1/audio/transcriptions", transcriptions, methods=["POST"]),
    Route("/v1/audio/translations", translations, methods=["POST"]),
]
