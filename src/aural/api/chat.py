"""POST /v1/chat/completions: questions about audio, for models that understand it.

Messages are OpenAI's, with `input_audio` parts; AWS's form for Voxtral (`{"type": "audio", "data" | "path"}`) and
vLLM's `audio_url` are taken too. Audio is decoded here, whatever its container, and handed to the model as WAV, so that
nothing but plain samples goes on, and nobody's path or URL.

Where the server redacts, an answer is redacted whole; one that would leave in pieces, or as tokens, is refused.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from aural.api.audio_in_json import source_of
from aural.api.body import json_object, read_body
from aural.api.errors import body_of
from aural.api.fetch import Link
from aural.api.service import Ask, Service, service_of, unless_gone
from aural.engines.voxtral import Unreachable, as_wav, message_of
from aural.errors import (
    AudioTooLong,
    AuralError,
    BadRequest,
    EngineFailed,
    Overloaded,
    UnsupportedParameter,
    WorkerLost,
)
from aural.insight.redaction import redacted
from aural.serving.fleet import AUTO
from aural.serving.vllm import answerer

if TYPE_CHECKING:
    import httpx

FIELDS = frozenset(
    {"model", "messages", "max_tokens", "max_completion_tokens", "temperature", "top_p", "stop", "seed", "stream"}
    | {"stream_options", "tools", "tool_choice", "parallel_tool_calls", "response_format", "frequency_penalty"}
    | {"presence_penalty", "n", "logprobs", "top_logprobs", "user", "metadata"}
)
OWN = frozenset({"user", "metadata", "model", "messages"})
"""Fields that are not handed on as they came."""
ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})
PIECEMEAL = ("stream", "logprobs", "top_logprobs")
"""Ways to have an answer in pieces, in which a number cannot be told."""
FIXED = frozenset({"role", "id", "type", "name"})
"""Keys of an answer's message that the model does not word."""
MOST_AUDIO_S = 40 * 60.0
"""What Voxtral can take in at once."""
CHUNK_S = 120.0
"""The next piece of a streamed answer takes no longer."""


async def completions(request: Request) -> Response:
    service = service_of(request)
    service.knock()
    body = await read_body(request, service.body)
    return await converse(request, await asyncio.to_thread(json_object, body))


async def converse(request: Request, asked: dict[str, Any]) -> Response:
    """The model's answer, whole or as it comes. Raises what the caller or the model did wrong."""
    service = service_of(request)
    _check(asked)
    async with AsyncExitStack() as stack:
        wanted = asked.get("model") or AUTO
        transcriber = await stack.enter_async_context(service.fleet.use(wanted, understanding=True))
        name = transcriber.scheduler.name
        if not transcriber.scheduler.capabilities.understanding:
            raise UnsupportedParameter("messages", "…", name, "it transcribes, and answers nothing")
        private = service.understanding.settings.redact
        if private and (piecemeal := next((key for key in PIECEMEAL if asked.get(key)), None)):
            why = "this server redacts, which takes whole answers"
            raise UnsupportedParameter(piecemeal, asked[piecemeal], name, why)
        vllm = answerer(transcriber.scheduler)
        vllm.admit()
        messages = await _prepared(service, asked["messages"])
        body = {key: value for key, value in asked.items() if key not in OWN} | {"messages": messages}
        try:
            response = await unless_gone(request, stack.enter_async_context(vllm.converse(body)))
        except Unreachable as error:
            raise WorkerLost(name, f"{name} was lost while it answered") from error
        if not response.is_success:
            raise _refusal(response, name)
        if asked.get("stream"):
            pieces = _pieces(response, name, stack.pop_all())
            return StreamingResponse(pieces, media_type="text/event-stream")
        return JSONResponse({**_without(private, orjson.loads(response.content)), "model": name})


def _without(private: Sequence[str], answer: dict[str, Any]) -> dict[str, Any]:
    """The answer with what is private taken out of every text of its messages, reasoning and calls of tools too."""
    if not private:
        return answer
    choices = [{**choice, "message": _cleared(private, choice.get("message"))} for choice in answer.get("choices", ())]
    return {**answer, "choices": choices}


def _cleared(private: Sequence[str], value: Any) -> Any:
    match value:
        case str():
            return redacted(value, private)
        case list():
            return [_cleared(private, one) for one in value]
        case dict():
            return {key: one if key in FIXED else _cleared(private, one) for key, one in value.items()}
    return value


def _check(asked: dict[str, Any]) -> None:
    unknown = sorted(asked.keys() - FIELDS)
    if unknown:
        raise BadRequest(f"expected fields of {', '.join(sorted(FIELDS))}; got {unknown[0]!r}", param=unknown[0])
    messages = asked.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadRequest(f"expected 'messages' as a list, got {type(messages).__name__}", param="messages")
    if not isinstance(asked.get("model"), str | None):
        raise BadRequest(f"expected model as a string, got {asked['model']!r}", param="model")
    for message in messages:
        if not isinstance(message, dict) or message.get("role") not in ROLES:
            raise BadRequest(f"expected messages with a role of {', '.join(sorted(ROLES))}", param="messages")


async def _prepared(service: Service, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The messages with all audio as WAV in base64."""
    left_s = min(MOST_AUDIO_S, service.max_audio_s)
    prepared = []
    for message in messages:
        content = message.get("content")
        if isinstance(content, list):
            parts = []
            for part in content:
                whole, took_s = await _part(service, part, left_s)
                left_s -= took_s
                parts.append(whole)
            message = {**message, "content": parts}
        elif not isinstance(content, str | None):
            raise BadRequest(f"expected content as text or a list, got {type(content).__name__}", param="messages")
        prepared.append(message)
    return prepared


async def _part(service: Service, part: object, left_s: float) -> tuple[dict[str, Any], float]:
    """A part of a message as vLLM takes it, and how many seconds of audio it has."""
    if not isinstance(part, dict):
        raise BadRequest(f"expected parts of content as objects, got {type(part).__name__}", param="messages")
    if part.get("type") == "text" and isinstance(part.get("text"), str):
        return {"type": "text", "text": part["text"]}, 0.0
    source = source_of(_audio_in(part))
    if isinstance(source, Link):
        source = await service.fetcher.fetch(source)
    pcm = await service.decode(Ask(source))
    if pcm.duration_s > left_s:
        raise AudioTooLong(min(MOST_AUDIO_S, service.max_audio_s))
    data = await asyncio.to_thread(lambda: b64encode(as_wav(pcm.samples)).decode())
    return {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}, pcm.duration_s


def _audio_in(part: dict[str, Any]) -> object:
    """Where a part holds its audio: `{"data": BASE64}`, `{"path": URL}`, or a string with either."""
    match part:
        case {"type": "input_audio", "input_audio": {"data": data}}:
            return {"data": data}
        case {"type": "audio_url", "audio_url": {"url": url}}:
            return url
        case {"type": "audio", "data": data}:
            return {"data": data}
        case {"type": "audio", "path": path}:
            return {"path": path}
        case {"type": "audio", "audio": audio}:
            return audio
    raise BadRequest(
        "expected parts of type text, input_audio with 'data', audio with 'data' or 'path', or audio_url; got "
        f"{part.get('type')!r} with {', '.join(map(str, part))}",
        param="messages",
    )


def _refusal(response: httpx.Response, name: str) -> AuralError:
    """vLLM's error as ours."""
    words = f"{name}: {message_of(response)}"
    match response.status_code:
        case 400 | 404 | 413 | 422:
            return BadRequest(words)
        case 429 | 503:
            return Overloaded(words, retry_after_s=1.0)
    return EngineFailed(words)


async def _pieces(response: httpx.Response, name: str, lease: AsyncExitStack) -> AsyncIterator[bytes]:
    """vLLM's events under our name of the model. What breaks off ends with an event that says so."""
    try:
        async with lease:
            lines = response.aiter_lines()
            while (line := await asyncio.wait_for(anext(lines, None), CHUNK_S)) is not None:
                if line.startswith("data:"):
                    yield _renamed(line.removeprefix("data:").strip(), name)
    except Unreachable:
        lost = WorkerLost(name, f"{name} was lost while it answered")
        yield b"data: " + orjson.dumps(body_of(lost)) + b"\n\n"


def _renamed(data: str, name: str) -> bytes:
    if data == "[DONE]":
        return b"data: [DONE]\n\n"
    event = orjson.loads(data)
    if "model" in event:
        event["model"] = name
    return b"data: " + orjson.dumps(event) + b"\n\n"


routes = [Route("/v1/chat/completions", completions, methods=["POST"])]
