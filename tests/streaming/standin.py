"""A server of live sessions that hears nothing: it reads a script on each connection and does as it says."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import Request, Response, ServerConnection, serve

TRANSCRIPTION = "conversation.item.input_audio_transcription"


@dataclass
class Line:
    """One connection, as the server sees it."""

    socket: ServerConnection
    resume: str | None = None
    heard: bytearray = field(default_factory=bytearray)
    is_finished: bool = False
    settings: Any = None
    """What the session was asked to be."""

    async def tell(self, kind: str, **fields: Any) -> None:
        await self.socket.send(json.dumps({"type": kind, **fields}))

    async def start(self, item: str, at_ms: int, text: str = "") -> None:
        """Somebody speaks, and some of it is committed."""
        await self.tell("input_audio_buffer.speech_started", item_id=item, audio_start_ms=at_ms)
        if text:
            await self.tell(f"{TRANSCRIPTION}.delta", item_id=item, delta=text)

    async def complain(self, kind: str, message: str, **more: Any) -> None:
        await self.tell("error", error={"type": kind, "code": "odd", "message": message, **more})

    async def say(self, item: str, text: str, start_ms: int = 0, end_ms: int = 1000) -> None:
        times = {"start_ms": start_ms, "end_ms": end_ms}
        await self.tell(f"{TRANSCRIPTION}.completed", item_id=item, transcript=text, **times)

    async def go_away(self, at_ms: int, resume: str) -> None:
        await self.tell("aural.going_away", message="", audio_end_ms=at_ms, resume=resume)
        await self.end(received=at_ms, suppressed=at_ms)

    async def end(self, **totals_ms: int) -> None:
        await self.tell("aural.ended", totals_ms=totals_ms)

    async def listen(self, size: int | None = None) -> None:
        """Until so many bytes have come, or all."""
        while not self.is_finished and (size is None or len(self.heard) < size):
            message = json.loads(await self.socket.recv())
            match message["type"]:
                case "input_audio_buffer.append":
                    self.heard += base64.b64decode(message["audio"])
                case "aural.finish":
                    self.is_finished = True

    async def configure(self) -> None:
        await self.tell("session.created", session={"id": "sess_1"})
        update = json.loads(await self.socket.recv())
        assert update["type"] == "session.update"
        self.settings = update["session"]
        await self.tell("session.updated", session={})


Refusal = tuple[HTTPStatus, Mapping[str, str]]
"""A status and headers."""
Script = Callable[[Line], Awaitable[None]] | HTTPStatus | Refusal
"""What happens on a connection, once it is configured; or with what it is refused."""


@dataclass
class Standin:
    url: str = ""
    lines: list[Line] = field(default_factory=list)


@asynccontextmanager
async def standing_in(*scripts: Script, refusing: tuple[str, str] | None = None) -> AsyncIterator[Standin]:
    """Each connection takes the next script; unless settings are refused, with an error of this type and message."""
    one = Standin()
    coming: Iterator[Script] = iter(scripts)
    taken: dict[ServerConnection, Script] = {}

    async def admit(socket: ServerConnection, request: Request) -> Response | None:
        script = taken[socket] = next(coming)
        if callable(script):
            return None
        status, headers = (script, {}) if isinstance(script, HTTPStatus) else script
        response = socket.respond(status, "")
        response.headers.update(headers)
        return response

    async def talk(socket: ServerConnection) -> None:
        script = taken[socket]
        assert socket.request is not None
        assert callable(script)
        asked = parse_qs(urlsplit(socket.request.path).query)
        line = Line(socket, asked.get("resume", [None])[0])
        one.lines.append(line)
        if refusing:
            await line.complain(*refusing)
            await socket.wait_closed()
            return
        await line.configure()
        await script(line)

    async with serve(talk, "127.0.0.1", 0, process_request=admit) as listening:
        one.url = f"http://127.0.0.1:{next(iter(listening.sockets)).getsockname()[1]}"
        yield one
