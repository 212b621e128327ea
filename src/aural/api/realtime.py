"""OpenAI's Realtime API for transcription: WS /v1/realtime?intent=transcription, the GA dialect and the beta one."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from base64 import b64decode
from collections.abc import Mapping
from contextlib import AsyncExitStack, aclosing, suppress
from dataclasses import dataclass, replace
from math import inf
from typing import Any
from uuid import uuid4

import orjson
from starlette.requests import HTTPConnection
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from aural.api.orders import loads
from aural.api.realtime_events import Writer
from aural.api.realtime_session import Dialect, WireSession
from aural.api.service import service_of
from aural.errors import AuralError, BadRequest, Draining, EngineFailed, SessionExpired
from aural.live.checkpoint import Checkpoint
from aural.live.events import Event, Failed, Notice
from aural.serving.captions import Captions
from aural.serving.companion import Calls, Companion, LiveWish, Told
from aural.serving.fleet import AUTO
from aural.serving.live import Live
from aural.serving.stream import Stream

log = logging.getLogger("aural.live")


@dataclass(frozen=True, slots=True)
class Term:
    """How long a session may last."""

    longest_s: float = 3600.0
    """OpenAI's. Then it ends between two utterances, with a token to go on with."""
    idle_s: float = 600.0
    """Without a word from the client."""


TERM = Term()
FIRST_S = 5.0
"""How long a client may say nothing before it takes a place."""
SUBPROTOCOL = "realtime"
BETA_SUBPROTOCOL = "openai-beta.realtime-v1"
SESSION_ID = re.compile(r"sess_[0-9a-f]{32}")
UPDATES: dict[str, Dialect] = {"session.update": "ga", "transcription_session.update": "beta"}
LONGEST_REFERENCE = 512
"""Characters of an `event_id` that is said back: OpenAI's own bound."""

Frame = Mapping[str, Any] | bytes
"""An event, or raw audio."""


class _Done(Exception):
    """The conversation is over, in peace."""


class Conversation:
    """One client on one socket."""

    def __init__(
        self, socket: WebSocket, writer: Writer, live: Live, captions: Captions, calls: Calls, term: Term
    ) -> None:
        """Raises BadRequest for what the query asks for in vain, UnknownModel."""
        self._socket = socket
        self._writer = writer
        self._live = live
        self._captions = captions
        self._term = term
        asked = socket.query_params
        self._resume = asked.get("resume")
        begin = Checkpoint.of(self._resume) if self._resume else None
        writer.previous = begin.last if begin else writer.previous
        self._named = asked.get("model")
        usual = live.fleet.model(self._named).name
        expires_at = int(time.time() + term.longest_s)
        self._session = WireSession(self._name(begin), self._named or usual, expires_at=expires_at)
        if asked.get("language"):
            transcription = {"language": asked["language"]}
            self._session = self._session.updated({"audio": {"input": {"transcription": transcription}}}, "ga")
        self._is_expiring = self._has_left = False
        self._waits_since = inf
        """When the client had its turn to speak; infinite while it is being answered."""
        self._defaults = calls.understanding.settings
        self._companion = Companion(calls, self._session.id, begin.at if begin else 0)
        self._companion.ask(self._session.wish(self._defaults))

    def _name(self, begin: Checkpoint | None) -> str:
        """That of the session which this one goes on from, so that its captions go on, too."""
        name = (begin and begin.session) or ""
        if begin and SESSION_ID.fullmatch(name):
            token = replace(begin, session=None).token
            if self._captions.may_go_on(name, token):
                return name
        return f"sess_{uuid4().hex}"

    async def run(self) -> None:
        """Until one of us hangs up. Raises AuralError for what ends the conversation."""
        self._knock()
        await self._send(self._writer.session("created", self._session))
        async with AsyncExitStack() as place:
            stream, first = await self._take_place(place)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._tell(stream))
                tasks.create_task(self._listen(stream, first))
                tasks.create_task(self._expire(stream))
                tasks.create_task(self._watch())

    def _knock(self) -> None:
        """Raises when the model that was named, or every model that may be, would refuse one more session."""
        fleet = self._live.fleet
        refusals: list[AuralError] = []
        for model in fleet.models if self._named in (None, "", AUTO) else [fleet.model(self._named)]:
            try:
                if not fleet.waits(model):
                    self._live.admit(fleet.get(model.name).scheduler)
                return
            except AuralError as error:
                refusals.append(error)
        raise refusals[0]

    async def _take_place(self, place: AsyncExitStack) -> tuple[Stream, Frame | None]:
        """A place at the model that the client's first update names, and what the client has said first. Whoever sends
        something else, or nothing for a while, has the usual model. An update that cannot be honoured is answered, and
        another one may come."""
        while True:
            first = None if self._named else await self._first()
            try:
                session, _ = await self._asked(first)
                settings = replace(session.live(), resume=self._resume)
                return await place.enter_async_context(self._live.open(settings, moves=True)), first
            except BadRequest as error:
                if first is None or not _is_update(first):
                    raise
                await self._complain(error, first)

    async def _first(self) -> Frame | None:
        """What the client says first; None when it says nothing."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_S):
                return await self._receive()
        return None

    async def _tell(self, stream: Stream) -> None:
        events = self._companion.events(stream, stream.words)
        async with aclosing(events), aclosing(self._captions.noting(self._session.id, events)) as noted:
            async for event in noted:
                await self._tell_one(event)
        if not self._has_left:
            raise _Done
        if self._is_expiring:
            raise SessionExpired(f"it lasts {self._term.longest_s / 60:.0f} minutes")
        raise Draining

    async def _tell_one(self, event: Event | Told) -> None:
        if isinstance(event, Notice) and event.resume:
            self._has_left = True
            event = replace(event, resume=replace(Checkpoint.of(event.resume), session=self._session.id).token)
        match event:
            case Failed(None, EngineFailed() as fault):  # the session broke, and has no other end
                raise fault
            case Told():
                await self._send(self._writer.told(event))
            case _:
                for wire in self._writer.of(event, self._session):
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

    async def _listen(self, stream: Stream, first: Frame | None) -> None:
        message = await self._receive() if first is None else first
        while True:
            try:
                await self._obey(stream, message)
            except AuralError as error:
                await self._complain(error, message)
            message = await self._receive()

    async def _receive(self) -> Frame:
        """What the client says next; raises _Done when it has hung up."""
        self._waits_since = time.monotonic()
        frame = await self._socket.receive()
        self._waits_since = inf
        if frame["type"] == "websocket.disconnect":
            raise _Done
        data = frame.get("bytes")
        return parse(data if data is not None else frame.get("text") or "")

    async def _obey(self, stream: Stream, message: Frame) -> None:
        if isinstance(message, bytes):
            await self._hear(stream, message)
            return
        match message.get("type"):
            case "input_audio_buffer.append":
                await self._hear(stream, _audio(message.get("audio")))
            case "input_audio_buffer.commit":
                await stream.commit(_reference(message))
            case "input_audio_buffer.clear":
                await stream.clear()
            case "session.update" | "transcription_session.update":
                await self._update(stream, *await self._asked(message))
            case "aural.finish":
                await stream.finish()
            case "aural.invalid":
                raise BadRequest(str(message["message"]))
            case str(kind):
                raise BadRequest(f"expected an event of a transcription session, got {kind[:100]!r}", param="type")
            case other:
                raise BadRequest(f"expected an event with a type, got {str(other)[:100]!r}", param="type")

    async def _hear(self, stream: Stream, audio: bytes) -> None:
        self._companion.hears()
        await stream.append(audio)

    async def _asked(self, message: Frame | None) -> tuple[WireSession, LiveWish]:
        """The session as it would be after a message, and what to look for in it; raises BadRequest for an update that
        cannot be honoured. A thread of their own reads the updates: some bring thousands of phrases."""
        if message is None or isinstance(message, bytes) or not _is_update(message):
            return self._session, self._companion.asked
        dialect = UPDATES[message["type"]]
        if dialect == "beta":
            self._writer.dialect = "beta"
        thread = service_of(self._socket).updates
        return await asyncio.get_running_loop().run_in_executor(thread, self._updated, message.get("session"), dialect)

    def _updated(self, patch: object, dialect: Dialect) -> tuple[WireSession, LiveWish]:
        session = self._session.updated(patch, dialect)
        return session, session.wish(self._defaults)

    async def _update(self, stream: Stream, session: WireSession, wish: LiveWish) -> None:
        await stream.configure(session.live())
        self._companion.ask(wish)
        self._session = session
        await self._send(self._writer.session("updated", session))

    async def _complain(self, error: AuralError, message: Frame) -> None:
        await self._send(self._writer.error(error, _reference(message)))

    async def _send(self, wire: Mapping[str, Any]) -> None:
        """Raises _Done when nobody hears it."""
        if not _is_open(self._socket):
            raise _Done
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
    service, writer = service_of(socket), Writer(_dialect(socket))
    try:
        await Conversation(socket, writer, service.live, service.captions, service.calls, term).run()
    except* _Done:
        await _close(socket, 1000)
    except* AuralError as errors:
        error = errors.exceptions[0]
        assert isinstance(error, AuralError)
        ended = error.code
        await _refuse(socket, writer, error)
    except* Exception:
        ended = AuralError.code
        await _refuse(socket, writer, AuralError("internal error in this session"))
        raise  # to the log
    finally:
        took_s = round(time.monotonic() - began, 1)
        log.info("live session", extra={"path": socket.url.path, "s": took_s, "ended": ended})


async def _refuse(socket: WebSocket, writer: Writer, error: AuralError) -> None:
    """Say why, then close."""
    service_of(socket).metrics.refused.labels(error.code).inc()
    with suppress(WebSocketDisconnect, RuntimeError):
        await socket.send_text(orjson.dumps(writer.error(error)).decode())
    await _close(socket, error.close_code)


async def _close(socket: WebSocket, code: int) -> None:
    if _is_open(socket):
        with suppress(WebSocketDisconnect, RuntimeError):
            await socket.close(code)


def _is_open(socket: WebSocket) -> bool:
    return WebSocketState.DISCONNECTED not in (socket.client_state, socket.application_state)


def parse(frame: str | bytes) -> Frame:
    """A frame as an event, or as raw audio: bytes that are no JSON object. Clients behind SageMaker send events in
    binary frames, too."""
    if isinstance(frame, bytes) and frame.lstrip()[:1] != b"{":
        return frame
    try:
        event = loads(frame)
    except BadRequest as error:
        return _invalid(str(error))
    except orjson.JSONDecodeError as error:
        return frame if isinstance(frame, bytes) else _invalid(f"expected JSON, got {frame[:60]!r}: {error}")
    if isinstance(event, dict):
        return event
    return _invalid(f"expected a JSON object, got {frame[:60]!r}")


def _invalid(message: str) -> Mapping[str, Any]:
    return {"type": "aural.invalid", "message": message}


def _is_update(message: Frame) -> bool:
    return not isinstance(message, bytes) and message.get("type") in list(UPDATES)


def _reference(message: Frame) -> str | None:
    """What the client named its event."""
    name = None if isinstance(message, bytes) else message.get("event_id")
    return name if isinstance(name, str) and len(name) <= LONGEST_REFERENCE else None


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
