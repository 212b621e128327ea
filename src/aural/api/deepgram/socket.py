"""WS /v1/listen: one caller on one socket, from handshake to close."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from contextlib import aclosing, suppress
from dataclasses import replace
from datetime import UTC, datetime
from math import inf
from typing import Any
from uuid import uuid4

import orjson
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from aural.api.deepgram.query import Wish, parse
from aural.api.deepgram.refusal import PATH, REQUEST_ID, refusal
from aural.api.deepgram.results import FINALIZE, Results, metadata, problem
from aural.api.deepgram.words import Message
from aural.api.orders import loads
from aural.api.realtime import TERM
from aural.api.service import service_of
from aural.errors import AuralError, BadAudio, BadRequest, SessionExpired
from aural.insight.request import Wish as Redaction
from aural.live.events import Ended, Event, Failed
from aural.serving.companion import Companion, LiveWish, Told
from aural.serving.live import Live
from aural.serving.stream import Stream
from aural.serving.unpacker import Unpacker
from aural.types import Timestamps, seconds

log = logging.getLogger("aural.live")

IDLE_S = 10.0
"""Without audio or a KeepAlive for so long, the caller has gone."""
NO_AUDIO = "NET-0001"
UNREADABLE = "DATA-0000"
SUBPROTOCOLS = ("token", "bearer")


class _Over(Exception):
    """The call has ended, in peace or in silence."""

    def __init__(self, code: int = 1000, reason: str = "") -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Call:
    """What one caller says and is told."""

    def __init__(
        self, socket: WebSocket, stream: Stream, companion: Companion, wish: Wish, request_id: str, model: str
    ) -> None:
        self._socket = socket
        self._companion = companion
        self._stream = stream
        self._unpacker = Unpacker(stream) if wish.is_contained else None
        self._wish = wish
        self._request_id = request_id
        self._model = model
        self._results = Results(wish, request_id, model)
        self._digest = hashlib.sha256()
        self._created = datetime.now(UTC).isoformat()
        self._waits_since = time.monotonic()
        """For audio; infinite while some is being taken."""
        self._reason = ""
        """Why the session was ended here."""
        self._is_ending = False
        """What comes now counts as never sent."""

    async def run(self) -> None:
        """Until one of us hangs up. Raises _Over and AuralError in a group."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._tell())
            tasks.create_task(self._listen())
            tasks.create_task(self._expire())
            tasks.create_task(self._retire())
            if self._unpacker:
                tasks.create_task(self._unpack(self._unpacker))

    async def _tell(self) -> None:
        events = self._companion.events(self._stream)
        noted = service_of(self._socket).captions.noting(self._request_id, events)
        async with aclosing(events), aclosing(noted):
            async for event in noted:
                if not isinstance(event, Told):  # of which there are none without insights
                    await self._tell_one(event)

    async def _tell_one(self, event: Event) -> None:
        match event:
            case Failed(None, error, reference) if reference != FINALIZE:
                raise error
        for message in self._results.on(event):
            await self._send(message)
        match event:
            case Ended(totals):
                await self._send(self._metadata(totals.received))
                raise _Over(reason=self._reason)

    async def _listen(self) -> None:
        while (frame := await self._receive())["type"] != "websocket.disconnect":
            if self._is_ending:
                continue
            data, text = frame.get("bytes"), frame.get("text")
            order = _order(text if text is not None else data)
            if order is not None:
                if await self._obey(order):
                    return None
            elif data:
                await self._hear(data)
            else:
                return await self._finish()
        raise _Over

    async def _receive(self) -> Any:
        try:
            async with asyncio.timeout(IDLE_S):
                return await self._socket.receive()
        except TimeoutError:
            raise _Over(1011, NO_AUDIO) from None

    async def _hear(self, data: bytes) -> None:
        self._waits_since = inf
        self._digest.update(data)
        await (self._unpacker or self._stream).append(data)
        self._waits_since = time.monotonic()

    async def _obey(self, order: Message) -> bool:
        """Whether that was the last thing to hear."""
        match order["type"]:
            case "KeepAlive":
                return False
            case "Finalize":
                if self._unpacker:
                    await self._unpacker.settle()
                if not self._is_ending:
                    await self._stream.commit(FINALIZE)
                    self._results.finalize()
                return False
            case "CloseStream":
                await self._finish()
                return True
            case "Configure":
                await self._send(await self._configured(order.get("keyterms"), order.get("features")))
                return False
            case kind:
                known = "KeepAlive, Finalize, Configure or CloseStream"
                raise BadRequest(f"expected a type of {known}, got {str(kind)[:100]!r}")

    async def _finish(self) -> None:
        """Whoever ends the session does it here: what the container holds comes before the end."""
        self._is_ending = True
        if self._unpacker:
            await self._unpacker.finish()
        await self._stream.finish()

    async def _expire(self) -> None:
        """Ends the session as CloseStream does when it has lasted long enough, or no audio comes any more. Nothing else
        can hold a place for ever."""
        last = time.monotonic() + TERM.longest_s
        left_s = TERM.idle_s
        while left_s > 0:
            await asyncio.sleep(left_s)
            left_s = min(last, self._waits_since + TERM.idle_s) - time.monotonic()
        self._reason = SessionExpired.code
        await self._finish()

    async def _retire(self) -> None:
        """Ends the session as CloseStream does when the server stops."""
        await self._stream.is_to_end.wait()
        await self._finish()

    async def _unpack(self, unpacker: Unpacker) -> None:
        """A container that ends before its first sound is no fault of the caller's when the end is ours."""
        try:
            await unpacker.run()
        except BadAudio:
            if not self._stream.is_to_end.is_set():
                raise

    async def _configured(self, keyterms: object, features: object) -> Message:
        """Other words to expect from here on."""
        try:
            if features or not isinstance(keyterms, list):
                raise BadRequest("expected a list of keyterms and no features")
            options = replace(self._stream.settings.options, hotwords=" ".join(map(str, keyterms)))
            await self._stream.configure(replace(self._stream.settings, options=options))
        except AuralError as error:
            reason = {"code": "CONFIGURE_KEYTERMS_NOT_SUPPORTED", "description": str(error)}
            return {"type": "ConfigureFailure", "request_id": self._request_id, **reason}
        return {"type": "ConfigureSuccess", "request_id": self._request_id, "keyterms": keyterms}

    def _metadata(self, received: int) -> Message:
        """`received` counts the samples that were heard, at 16 kHz."""
        digest, extra = self._digest.hexdigest(), dict(self._wish.extra)
        said = metadata(self._request_id, self._model, digest, self._created, seconds(received), extra)
        return {"type": "Metadata", **said}

    async def _send(self, message: Message) -> None:
        try:
            await self._socket.send_text(orjson.dumps(message).decode())
        except WebSocketDisconnect:
            raise _Over from None


async def listen(socket: WebSocket) -> None:
    """What cannot be honoured or taken on is refused before the handshake, as Deepgram does."""
    request_id = str(uuid4())
    try:
        live: Live = service_of(socket).live
        wish = await _timed(parse(socket.query_params, live.fleet.names), live)
        async with live.open(wish.live) as stream:
            offered = [name for name in SUBPROTOCOLS if name in socket.scope.get("subprotocols", ())]
            await socket.accept(offered[0] if offered else None, [(REQUEST_ID.encode(), request_id.encode())])
            model = live.fleet.get(wish.live.model).scheduler.name
            companion = _companion(socket, wish, request_id)
            await _converse(socket, Call(socket, stream, companion, wish, request_id, model))
    except AuralError as error:
        await _refuse(socket, error, request_id)


def _companion(socket: WebSocket, wish: Wish, request_id: str) -> Companion:
    """Takes out what the caller or the server does not let leave."""
    calls = service_of(socket).calls
    companion = Companion(calls, request_id)
    redact = dict.fromkeys((*calls.understanding.settings.redact, *wish.redact))
    companion.ask(LiveWish(Redaction(None, tuple(redact))))
    return companion


async def _timed(wish: Wish, live: Live) -> Wish:
    """With times of words, where the model gives them; elsewhere they are spread over the sound."""
    can = await live.fleet.capabilities(wish.live.model)
    if Timestamps.WORD not in can.timestamps:
        return wish
    options = replace(wish.live.options, timestamps=Timestamps.WORD)
    return replace(wish, live=replace(wish.live, options=options))


async def _converse(socket: WebSocket, call: Call) -> None:
    """The call, to the close of its socket, and a line in the log."""
    began, ended = time.monotonic(), "done"
    try:
        await call.run()
    except* _Over as ends:
        over = ends.exceptions[0]
        assert isinstance(over, _Over)
        ended = over.reason or ended
        await _close(socket, over.code, over.reason)
    except* BadAudio as errors:
        ended = BadAudio.code
        await _break_off(socket, errors.exceptions[0], 1008, UNREADABLE)
    except* AuralError as errors:
        error = errors.exceptions[0]
        assert isinstance(error, AuralError)
        ended = error.code
        await _break_off(socket, error, error.close_code, error.code)
    log.info("live session", extra={"path": PATH, "s": round(time.monotonic() - began, 1), "ended": ended})


async def _refuse(socket: WebSocket, error: AuralError, request_id: str) -> None:
    service_of(socket).metrics.refused.labels(error.code).inc()
    if socket.application_state is not WebSocketState.CONNECTING:
        return await _break_off(socket, error, error.close_code, error.code)
    return await socket.send_denial_response(refusal(error, request_id))


async def _break_off(socket: WebSocket, error: BaseException, code: int, reason: str) -> None:
    """Say why, then close."""
    with suppress(WebSocketDisconnect, RuntimeError):
        await socket.send_text(orjson.dumps(problem(reason, str(error))).decode())
    await _close(socket, code, reason)


async def _close(socket: WebSocket, code: int, reason: str = "") -> None:
    if WebSocketState.DISCONNECTED not in (socket.client_state, socket.application_state):
        with suppress(WebSocketDisconnect, RuntimeError):
            await socket.close(code, reason)


def _order(frame: str | bytes | None) -> Message | None:
    """A control message, also one in a binary frame (clients behind SageMaker send those); None for audio. Raises
    BadRequest for text that is none, and for one of too many values."""
    if frame is None or (isinstance(frame, bytes) and not frame.startswith(b'{"')):
        return None
    with suppress(orjson.JSONDecodeError):
        order = loads(frame)
        if isinstance(order, dict) and "type" in order:
            return order
    if isinstance(frame, bytes):
        return None
    raise BadRequest(f"expected a JSON object with a type, got {frame[:100]!r}")


routes = [WebSocketRoute(PATH, listen)]
