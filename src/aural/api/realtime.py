"""OpenAI's Realtime API for transcription: WS /v1/realtime?intent=transcription, the GA dialect and the beta one."""

from __future__ import annotations

import asyncio
import logging
import time
from base64 import b64decode
from collections.abc import Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from math import inf
from typing import Any
from uuid import uuid4

import orjson
from starlette.requests import HTTPConnection
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from aural.api.realtime_events import Writer
from aural.api.realtime_session import Dialect, WireSession
from aural.api.service import service_of
from aural.errors import AuralError, BadRequest, SessionExpired
from aural.live.checkpoint import Checkpoint
from aural.live.events import Event
from aural.serving.captions import Captions
from aural.serving.companion import Calls, Companion, Told
from aural.serving.live import Live, Stream

log = logging.getLogger("aural.live")


@dataclass(frozen=True, slots=True)
class Term:
    """How long a session may last."""

    longest_s: float = 3600.0
    """OpenAI's. Then it ends between two utterances, with a token to go on with."""
    idle_s: float = 600.0
    """Without a word from the client."""


TERM = Term()
SUBPROTOCOL = "realtime"
BETA_SUBPROTOCOL = "openai-beta.realtime-v1"
NAMES = {"ga": "session.update", "beta": "transcription_session.update"}


class _Done(Exception):
    """The conversation is over, in peace."""


class Conversation:
    """One client on one socket."""

    def __init__(self, socket: WebSocket, live: Live, captions: Captions, calls: Calls, term: Term) -> None:
        """Raises BadRequest for what the query asks for in vain, UnknownModel."""
        self._socket = socket
        self._live = live
        self._captions = captions
        self._term = term
        asked = socket.query_params
        self._resume = asked.get("resume")
        self._writer = Writer(_dialect(socket), Checkpoint.of(self._resume).last if self._resume else None)
        model = live.fleet.model(asked.get("model")).name
        self._session = WireSession(f"sess_{uuid4().hex}", model)
        if asked.get("language"):
            transcription = {"language": asked["language"]}
            self._session = self._session.updated({"audio": {"input": {"transcription": transcription}}}, "ga")
        self._is_expiring = False
        self._waits_since = inf
        """When the client had its turn to speak; infinite while it is being answered."""
        self._defaults = calls.understanding.settings
        self._companion = Companion(calls, self._session.id)
        self._companion.ask(self._session.wish(self._defaults))

    async def run(self) -> None:
        """Until one of us hangs up. Raises AuralError for what ends the conversation."""
        async with self._live.open(replace(self._session.live(), resume=self._resume)) as stream:
            await self._send(self._writer.session("created", self._session))
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._tell(stream))
                tasks.create_task(self._listen(stream))
                tasks.create_task(self._expire(stream))
                tasks.create_task(self._watch())

    async def _tell(self, stream: Stream) -> None:
        events = self._companion.events(stream)
        async with aclosing(events), aclosing(self._captions.noting(self._session.id, events)) as noted:
            async for event in noted:
                await self._tell_one(event)
        if self._is_expiring:
            raise SessionExpired(f"it lasts {self._term.longest_s / 60:.0f} minutes")
        raise _Done

    async def _tell_one(self, event: Event | Told) -> None:
        told = [self._writer.told(event)] if isinstance(event, Told) else self._writer.of(event, self._session)
        for wire in told:
            await self._send(wire)

    async def _expire(self, stream: Stream) -> None:
        await asyncio.sleep(self._term.longest_s)
        self._is_expiring = True
        stream.leave()

    async def _watch(self) -> None:
        """Until nothing came for too long: one clock for the session, not one for each of its messages."""
        left_s = self._term.idle_s
        while left_s > 0:
            await asyncio.sleep(left_s)
            left_s = min(self._waits_since - time.monotonic(), 0.0) + self._term.idle_s
        raise SessionExpired(f"nothing came for {self._term.idle_s:.0f} s")

    async def _listen(self, stream: Stream) -> None:
        while True:
            message = await self._receive()
            if message is None:
                raise _Done
            try:
                await self._obey(stream, message)
            except AuralError as error:
                reference = message.get("event_id") if isinstance(message, dict) else None
                await self._send(self._writer.error(error, reference if isinstance(reference, str) else None))

    async def _receive(self) -> Mapping[str, Any] | bytes | None:
        """An event, raw audio, or None when the client has hung up."""
        self._waits_since = time.monotonic()
        frame = await self._socket.receive()
        self._waits_since = inf
        if frame["type"] == "websocket.disconnect":
            return None
        return parse(frame.get("bytes") or frame.get("text") or "")

    async def _obey(self, stream: Stream, message: Mapping[str, Any] | bytes) -> None:
        if isinstance(message, bytes):
            await stream.append(message)
            return
        reference = message.get("event_id")
        match message.get("type"):
            case "input_audio_buffer.append":
                await stream.append(_audio(message.get("audio")))
            case "input_audio_buffer.commit":
                stream.commit(reference if isinstance(reference, str) else None)
            case "input_audio_buffer.clear":
                stream.clear()
            case "session.update" | "transcription_session.update" as kind:
                await self._update(stream, kind, message.get("session"))
            case "aural.finish":
                await stream.finish()
            case "aural.invalid":
                raise BadRequest(str(message["message"]))
            case str(kind):
                raise BadRequest(f"expected an event of a transcription session, got {kind[:100]!r}", param="type")
            case other:
                raise BadRequest(f"expected an event with a type, got {str(other)[:100]!r}", param="type")

    async def _update(self, stream: Stream, kind: str, patch: object) -> None:
        if kind == NAMES["beta"]:
            self._writer.dialect = "beta"
        updated = self._session.updated(patch, "beta" if kind == NAMES["beta"] else "ga")
        wish = updated.wish(self._defaults)
        await stream.configure(updated.live())
        self._companion.ask(wish)
        self._session = updated
        await self._send(self._writer.session("updated", self._session))

    async def _send(self, wire: Mapping[str, Any]) -> None:
        try:
            await self._socket.send_text(orjson.dumps(wire).decode())
        except WebSocketDisconnect:
            raise _Done from None


async def realtime(socket: WebSocket) -> None:
    await converse(socket, TERM)


async def converse(socket: WebSocket, term: Term) -> None:
    """A conversation from handshake to close. Every error is told before the socket closes."""
    await socket.accept(SUBPROTOCOL if SUBPROTOCOL in socket.scope.get("subprotocols", ()) else None)
    began, ended = time.monotonic(), "done"
    try:
        service = service_of(socket)
        await Conversation(socket, service.live, service.captions, service.calls, term).run()
    except* _Done:
        await _close(socket, 1000)
    except* AuralError as errors:
        error = errors.exceptions[0]
        assert isinstance(error, AuralError)
        ended = error.code
        await refuse(socket, error)
    log.info("live session", extra={"path": socket.url.path, "s": round(time.monotonic() - began, 1), "ended": ended})


async def refuse(socket: WebSocket, error: AuralError) -> None:
    """Say why, then close."""
    service_of(socket).metrics.refused.labels(error.code).inc()
    with suppress(WebSocketDisconnect, RuntimeError):
        await socket.send_text(orjson.dumps(Writer("ga").error(error)).decode())
    await _close(socket, error.close_code)


async def _close(socket: WebSocket, code: int) -> None:
    if WebSocketState.DISCONNECTED not in (socket.client_state, socket.application_state):
        with suppress(WebSocketDisconnect, RuntimeError):
            await socket.close(code)


def parse(frame: str | bytes) -> Mapping[str, Any] | bytes:
    """A frame as an event, or as raw audio: bytes that are no JSON object. Clients behind SageMaker send events in
    binary frames, too."""
    if isinstance(frame, bytes) and frame.lstrip()[:1] != b"{":
        return frame
    try:
        event = orjson.loads(frame)
    except orjson.JSONDecodeError as error:
        return frame if isinstance(frame, bytes) else _invalid(f"expected JSON, got {frame[:60]!r}: {error}")
    if isinstance(event, dict):
        return event
    return _invalid(f"expected a JSON object, got {frame[:60]!r}")


def _invalid(message: str) -> Mapping[str, Any]:
    return {"type": "aural.invalid", "message": message}


def _audio(value: object) -> bytes:
    if not isinstance(value, str):
        raise BadRequest("expected base64 in audio, got none", param="audio")
    try:
        return b64decode(value, validate=True)
    except ValueError as error:
        raise BadRequest(f"expected base64 in audio: {error}", param="audio") from error


def _dialect(connection: HTTPConnection) -> Dialect:
    is_beta = "realtime=v1" in connection.headers.get("openai-beta", "")
    return "beta" if is_beta or BETA_SUBPROTOCOL in connection.scope.get("subprotocols", ()) else "ga"


routes = [WebSocketRoute("/v1/realtime", realtime)]
