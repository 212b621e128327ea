"""SageMaker's contract: POST /invocations in every form that the article's clients send.

| request                                                     | answer                                               |
|-------------------------------------------------------------|------------------------------------------------------|
| `{"audio_input": HEX, "language"?, "task"?}`                | `{"text"}`, as the JumpStart Whisper                 |
| `{"transcription": {"audio": {"data": BASE64}, …}}`         | `{"transcription": {"text", …}, …}`, as Voxtral's    |
| `{"audio": {"data": BASE64}, "timestamps"?, "language"?}`   | `{"text", "timestamps"?, …}`, as Parakeet's          |
| `audio/*`, `video/*` or `application/octet-stream` body     | `{"text", "language", "duration", …}`                |
| `{"messages": […]}`, `{"inputs": …}`                        | OpenAI's chat completion                             |
| multipart/form-data, or `route=` in the custom attributes   | OpenAI's                                             |

Each answers in its own shape, whichever engine serves it. With `Accept: application/x-ndjson` or `text/event-stream`
the segments of long audio come as soon as they are heard.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from aural import attributes
from aural.api import chat, openai
from aural.api.audio_in_json import from_hex, source_of
from aural.api.body import Form, json_object, read_body, read_form
from aural.api.errors import body_of
from aural.api.fetch import Link
from aural.api.formats import insights, segment_json, segments_json, suppressed_json, word_json
from aural.api.openai import temperature, whole
from aural.api.service import Answer, Ask, RawFormat, Service, is_apart, language_options, service_of, wish_of
from aural.attributes import OPTIONS, ROUTE
from aural.audio.encoding import SAMPLE_BYTES
from aural.errors import AuralError, BadAudio, BadRequest
from aural.serving.fleet import AUTO, OPENAI_NAMES
from aural.text import join, plain, spaced
from aural.types import Options, Pcm, Task, Timestamps, Transcript

ATTRIBUTES = "x-amzn-sagemaker-custom-attributes"
STREAM_ACCEPT = "x-amzn-sagemaker-accept"
"""What InvokeEndpointWithResponseStream calls Accept on its way to AWS."""
TASKS: dict[str, Task] = {"/v1/audio/transcriptions": "transcribe", "/v1/audio/translations": "translate"}
CHAT = "/v1/chat/completions"
ROUTES = (*TASKS, CHAT)
STREAMS = frozenset({"application/x-ndjson", "application/jsonlines", "text/event-stream"})
WHOLE = frozenset({"application/json", "text/plain"})
RAW = {"rate": "", "channels": "1", "encoding": "pcm_s16le"}
"""Parameters of audio/pcm and their defaults; the rate has none."""

Shape = Callable[[Answer], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Invocation:
    """What a body holds: audio, options, and by its form the shape of the answer."""

    audio: bytes | Link
    asked: dict[str, Any]
    shape: Shape
    raw: RawFormat | None = None


async def invocations(request: Request, model: str | None = None) -> Response:
    """One request to transcribe, in whichever form it came; for this model if one is given."""
    service = service_of(request)
    service.knock()
    outside = attributes.read(request.headers.get(ATTRIBUTES, ""))
    outer = _outer(request, outside, model)
    kind = request.headers.get("content-type", "application/octet-stream").partition(";")[0].strip().lower()
    route = outside.get(ROUTE)
    if route not in (None, *ROUTES):
        raise BadRequest(f"expected route of {', '.join(ROUTES)}; got {route!r}", param=ROUTE)
    if route in TASKS or (route is None and kind == "multipart/form-data"):
        form = await read_form(request, service.body)
        return await openai.respond(request, _filled(form, outer, model), TASKS.get(route or "", "transcribe"))
    body = await read_body(request, service.body)
    if route == CHAT:
        return await chat.converse(request, outer | _agreed(await asyncio.to_thread(json_object, body), model))
    if kind == "application/json" and (asked := await asyncio.to_thread(_chat, body)):
        return await chat.converse(request, outer | _agreed(asked, model))
    invocation = await asyncio.to_thread(_parse, kind, request.headers.get("content-type", ""), body)
    if isinstance(invocation.audio, Link):
        invocation = replace(invocation, audio=await service.fetcher.fetch(invocation.audio))
    accept = _accepted(request)
    asked = outer | _agreed(invocation.asked, model)
    ask = await asyncio.to_thread(_ask, invocation, asked, service, accept)
    if accept in STREAMS:
        pcm, parts = await service.stream(request, ask)
        lines = _lines(service, ask, pcm, parts, sse=accept == "text/event-stream")
        return StreamingResponse(lines, media_type=accept)
    answer = await service.answer(request, ask)
    if accept == "text/plain":
        return PlainTextResponse(plain(answer.transcript.segments) + "\n")
    return JSONResponse(invocation.shape(answer) | insights(answer))


def _filled(form: Form, outer: dict[str, Any], model: str | None) -> Form:
    """The form with what stands outside of it; its own fields go before that."""
    for said in form.fields.get("model", ()):
        _agreed({"model": said}, model)
    own = {name: values for name, values in form.fields.items() if name != "model" or model is None}
    return replace(form, fields={name: [value] for name, value in outer.items()} | own)


def _agreed(asked: dict[str, Any], model: str | None) -> dict[str, Any]:
    """What is asked for, without its model where the URL names one; raises BadRequest when they are different ones."""
    if model is None:
        return asked
    said = asked.get("model")
    if said not in (None, "", AUTO, model, *OPENAI_NAMES):
        raise BadRequest(f"expected model {model!r} as the URL has it, or none; got {said!r}", param="model")
    return {name: value for name, value in asked.items() if name != "model"}


def _parse(kind: str, content_type: str, body: bytes) -> Invocation:
    if kind == "application/json":
        return _parse_json(body)
    if kind in ("audio/pcm", "audio/basic"):
        return Invocation(body, {}, _native_shape, _raw_format(content_type))
    if kind.startswith(("audio/", "video/")) or kind == "application/octet-stream":
        return Invocation(body, {}, _native_shape)
    raise BadAudio(f"expected application/json, multipart/form-data, audio/* or video/*, got {kind}")


def _accepted(request: Request) -> str:
    """The first type of the Accept header that there is; JSON when it names none."""
    header = request.headers.get(STREAM_ACCEPT) or request.headers.get("accept", "")
    asked = (item.partition(";")[0].strip().lower() for item in header.split(","))
    return next((kind for kind in asked if kind in STREAMS or kind in WHOLE), "application/json")


def _outer(request: Request, outside: dict[str, str], model: str | None) -> dict[str, str]:
    """Options from outside of the body: the query's, custom attributes, and the model of the URL, else the target
    model: where SageMaker loads the models it is a file's name, and the URL has its own."""
    query = dict(request.query_params)
    twice = [name for name in query if len(request.query_params.getlist(name)) > 1]
    if twice:
        raise BadRequest(f"expected {twice[0]} once, got it several times", param=twice[0])
    said = {name: value for name, value in outside.items() if name != ROUTE}
    named = model or request.headers.get("x-amzn-sagemaker-target-model")
    return ({"model": named} if named else {}) | _agreed(said, model) | _agreed(query, model)


def _raw_format(content_type: str) -> RawFormat:
    """`audio/pcm;rate=8000;channels=1;encoding=mulaw`; `audio/basic` is µ-law at 8 kHz (RFC 2046)."""
    kind, *parameters = content_type.split(";")
    if kind.strip().lower() == "audio/basic":
        return RawFormat("mulaw", 8000)
    given = {name.strip().lower(): value.strip() for name, _, value in (part.partition("=") for part in parameters)}
    unknown = sorted(given.keys() - RAW.keys())
    if unknown:
        raise BadRequest(f"expected audio/pcm with {', '.join(RAW)}; got {unknown[0]!r}", param=unknown[0])
    encoding, rate, channels = ((RAW | given)[name] for name in ("encoding", "rate", "channels"))
    if encoding not in SAMPLE_BYTES:
        raise BadRequest(f"expected an encoding of {', '.join(SAMPLE_BYTES)}; got {encoding!r}", param="encoding")
    return RawFormat(encoding, _integer(rate, "rate"), _integer(channels, "channels"))


def _chat(body: bytes) -> dict[str, Any] | None:
    """A chat in OpenAI's form or in that of AWS's Voxtral sample; None when the body is something else."""
    if b'"messages"' not in body and b'"inputs"' not in body:
        return None
    document = json_object(body)
    inputs = document.pop("inputs", None)
    if isinstance(inputs, dict) and "messages" in inputs:
        return document | inputs
    if isinstance(inputs, str):
        return document | {"messages": [{"role": "user", "content": inputs}]}
    return document if "messages" in document else None


def _parse_json(body: bytes) -> Invocation:
    document = json_object(body)
    inner = document.get("transcription")
    if "audio_input" in document:
        return Invocation(from_hex(document.pop("audio_input")), document, _whisper_shape)
    if isinstance(inner, dict) and "audio" in inner:
        asked = {name: value for name, value in document.items() if name != "transcription"} | inner
        return Invocation(source_of(asked.pop("audio")), asked, _voxtral_shape)
    if "audio" in document:
        return Invocation(source_of(document.pop("audio")), document, _parakeet_shape)
    keys = ", ".join(map(repr, document)) or "none"
    raise BadRequest(
        f"expected a key of 'audio_input', 'transcription' with 'audio', 'audio', or 'messages'; got {keys}"
    )


def _ask(invocation: Invocation, asked: dict[str, Any], service: Service, accept: str) -> Ask:
    """The request; raises BadRequest for options that are none, or that an answer of this type cannot hold."""
    unknown = sorted(asked.keys() - OPTIONS)
    if unknown:
        raise BadRequest(f"expected options of {', '.join(sorted(OPTIONS))}; got {unknown[0]!r}", param=unknown[0])
    code, script = language_options(_string(asked, "language"))
    options = Options(
        language=code,
        task=_task(_string(asked, "task") or "transcribe"),
        prompt=_string(asked, "prompt") or "",
        hotwords=_string(asked, "hotwords") or "",
        temperature=temperature(asked.get("temperature")),
        beam_size=whole(asked.get("beam_size", service.beam_size), "beam_size", 1, 16),
        timestamps=_timestamps(asked.get("timestamps", False)),
    )
    assert isinstance(invocation.audio, bytes)
    wish = wish_of(service, asked.get("insights"), asked.get("redact"))
    if wish.insights is not None and accept == "text/plain":
        raise BadRequest("expected Accept of JSON, or of a stream, with insights; got text/plain", param="insights")
    apart = is_apart(asked.get("channels", "mixed"), streamed=accept in STREAMS)
    return Ask(invocation.audio, _string(asked, "model"), options, script, invocation.raw, wish, apart)


def _string(asked: dict[str, Any], name: str) -> str | None:
    value = asked.get(name)
    if value is not None and not isinstance(value, str):
        raise BadRequest(f"expected {name} as a string, got {type(value).__name__}", param=name)
    return value


def _integer(value: str, name: str) -> int:
    if not value.isdecimal() or len(value) > 9:
        raise BadRequest(f"expected {name} as a whole number, got {value or 'none'}", param=name)
    return int(value)


def _task(value: str) -> Task:
    match value:
        case "transcribe" | "translate":
            return value
    raise BadRequest(f"expected task transcribe or translate, got {value!r}", param="task")


def _timestamps(value: object) -> Timestamps:
    match value:
        case False | None | "false" | "none":
            return Timestamps.NONE
        case True | "true" | "word":
            return Timestamps.WORD
        case "segment":
            return Timestamps.SEGMENT
    raise BadRequest(f"expected timestamps of true, false, 'segment' or 'word'; got {value!r}", param="timestamps")


def _native_shape(answer: Answer) -> dict[str, Any]:
    transcript = answer.transcript
    return {
        "text": plain(transcript.segments),
        "language": transcript.language,
        "duration": answer.duration_s,
        "processing_time": round(answer.processing_s, 3),
        "model": answer.model,
        **_times(answer),
        "suppressed": [suppressed_json(gap) for gap in transcript.suppressed],
    }


def _whisper_shape(answer: Answer) -> dict[str, Any]:
    return {"text": plain(answer.transcript.segments)}


def _voxtral_shape(answer: Answer) -> dict[str, Any]:
    transcription = {
        "text": plain(answer.transcript.segments),
        "language": answer.transcript.language,
        "duration": answer.duration_s,
        "processing_time": round(answer.processing_s, 3),
        "model": answer.model,
    }
    return {
        "transcription": transcription | _times(answer),
        "model": answer.model,
        "object": "transcription",
        "created": int(time.time()),
    }


def _parakeet_shape(answer: Answer) -> dict[str, Any]:
    return {
        "text": plain(answer.transcript.segments),
        "processing_time": round(answer.processing_s, 3),
        "model": answer.model,
        **_times(answer),
    }


def _times(answer: Answer) -> dict[str, Any]:
    """Word and segment times, when they were asked for."""
    if not answer.timestamps:
        return {}
    segments = answer.transcript.segments
    return {
        "timestamps": {
            "word": [word_json(word) for segment in segments for word in segment.words],
            "segment": segments_json(answer),
        }
    }


async def _lines(
    service: Service, ask: Ask, pcm: Pcm, parts: AsyncGenerator[Transcript], *, sse: bool
) -> AsyncIterator[bytes]:
    """A line or event per segment as it is heard, then the whole."""
    heard: list[Transcript] = []
    count = 0
    try:
        async with aclosing(parts):
            async for part in parts:
                heard.append(spaced(part))
                for segment in heard[-1].segments:
                    yield _line({"type": "segment", **segment_json(count, segment)}, sse=sse)
                    count += 1
    except AuralError as error:
        yield _line({"type": "error", **body_of(error)}, sse=sse)
        return
    whole = join(heard)
    done = {"type": "done", "text": plain(whole.segments), "language": whole.language, "duration": pcm.duration_s}
    done |= {"suppressed": [suppressed_json(gap) for gap in whole.suppressed]}
    found = await service.understand([whole], ask, [pcm])
    yield _line(done if found is None else done | {"insights": found}, sse=sse)


def _line(body: dict[str, Any], *, sse: bool) -> bytes:
    return (b"data: " if sse else b"") + orjson.dumps(body) + (b"\n\n" if sse else b"\n")


routes = [Route("/invocations", invocations, methods=["POST"])]
