"""One live session of a server, over OpenAI's Realtime transcription protocol.

async with connect("http://127.0.0.1:8080", Wish(language="en")) as session:
    await session.send(pcm16)                 # 16 kHz, mono, little endian, any size
    await session.finish()                    # no more will come
    async for event in session: ...           # ends after the last utterance
"""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_socket
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from aural.errors import Overloaded, SessionLost, SettingsError
from aural.streaming.events import Event, parse
from aural.types import SAMPLE_RATE

DRAFTS, WORDS, DETAILS = "aural.drafts", "aural.words", "aural.details"
"""What may be asked for beyond OpenAI's events."""
MOST_BYTES = 16 * 2**20
WAIT_S = 10.0
SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}


@dataclass(frozen=True, slots=True)
class Wish:
    """What a session is asked for."""

    model: str | None = None
    language: str | None = None
    silence_ms: int = 500
    """Silence that ends an utterance."""
    drafts: bool = True
    words: bool = False
    """Words with their times."""
    aural: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """`insights`, `redact`, `call`, `channel`, `role`: what OpenAI has no name for."""


@asynccontextmanager
async def connect(url: str, wish: Wish = Wish(), api_key: str = "") -> AsyncIterator[LiveSession]:
    """A configured session. Raises SettingsError for an address that is none, Overloaded when the server refuses for
    now, and SessionLost when it refuses for good or cannot be reached."""
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    try:
        async with connect_socket(
            _address(url), additional_headers=headers, max_size=MOST_BYTES, open_timeout=WAIT_S, proxy=None
        ) as socket:
            session = LiveSession(socket)
            await session.configure(wish)
            yield session
    except InvalidStatus as error:
        raise _refusal(error) from error
    except (InvalidHandshake, OSError, TimeoutError) as error:
        raise SessionLost(f"{url} cannot be reached: {error}") from error


class LiveSession:
    """An open session. One task may send while another reads."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self.id = ""
        self.totals_ms: dict[str, int] = {}
        """Where the audio went, once the events have ended."""

    async def configure(self, wish: Wish) -> None:
        created = await self._receive()
        self.id = created.get("session", {}).get("id", "")
        await self._tell("session.update", session=_session(wish))
        while (await self._receive())["type"] != "session.updated":
            pass

    async def send(self, pcm16: bytes) -> None:
        """Audio: PCM16, 16 kHz, mono. Waits while the network has too much of it."""
        await self._tell("input_audio_buffer.append", audio=base64.b64encode(pcm16).decode())

    async def finish(self) -> None:
        """No more audio will come; the events end once all of it is heard."""
        await self._tell("aural.finish")

    async def __aiter__(self) -> AsyncIterator[Event]:
        """Events until everything is heard after `finish`. Raises Overloaded and SessionLost."""
        while (raw := await self._receive())["type"] != "aural.ended":
            yield parse(raw)
        self.totals_ms = raw["totals_ms"]

    @property
    def ledger_closed(self) -> bool:
        """Whether all audio that was received has come to something, but for rounding."""
        parts = sum(ms for name, ms in self.totals_ms.items() if name != "received")
        return bool(self.totals_ms) and abs(self.totals_ms["received"] - parts) < len(self.totals_ms)

    async def _tell(self, kind: str, **fields: Any) -> None:
        try:
            await self._socket.send(json.dumps({"type": kind, **fields}))
        except ConnectionClosed as error:
            raise _lost(error) from error

    async def _receive(self) -> dict[str, Any]:
        """The next event; raises for an error."""
        try:
            raw: dict[str, Any] = json.loads(await self._socket.recv())
        except ConnectionClosed as error:
            raise _lost(error) from error
        if raw["type"] == "error":
            raise _error(raw["error"])
        return raw


def _session(wish: Wish) -> dict[str, Any]:
    chosen = {name: value for name, value in (("model", wish.model), ("language", wish.language)) if value}
    return {
        "type": "transcription",
        "audio": {
            "input": {
                "format": {"type": "audio/pcm", "rate": SAMPLE_RATE},
                "transcription": chosen,
                "turn_detection": {"type": "server_vad", "silence_duration_ms": wish.silence_ms},
            }
        },
        **({"aural": dict(wish.aural)} if wish.aural else {}),
        "include": [DETAILS, *([DRAFTS] if wish.drafts else []), *([WORDS] if wish.words else [])],
    }


def _address(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES or not parts.hostname:
        raise SettingsError(f"expected an address such as http://127.0.0.1:8080, got {url!r}")
    path = parts.path.rstrip("/") + "/v1/realtime"
    return urlunsplit((SCHEMES[parts.scheme], parts.netloc, path, "intent=transcription", ""))


def _refusal(error: InvalidStatus) -> SessionLost | Overloaded:
    response = error.response
    retry_after = response.headers.get("Retry-After")
    message = f"the server answered {response.status_code}"
    with suppress(ValueError, KeyError, TypeError):
        message = json.loads(response.body or b"")["error"]["message"]
    return Overloaded(message, float(retry_after)) if retry_after else SessionLost(message)


def _error(detail: dict[str, Any]) -> SessionLost | Overloaded:
    message = detail.get("message", "no reason given")
    if detail.get("type") == Overloaded.type:
        return Overloaded(message, float(detail.get("retry_after_s") or 1))
    return SessionLost(message)


def _lost(error: ConnectionClosed) -> SessionLost:
    close = error.rcvd
    return SessionLost(f"the server closed the session: {close.code} {close.reason}" if close else "connection broken")
