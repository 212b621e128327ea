"""One live session with a server, over OpenAI's Realtime transcription protocol.

async with connect("http://127.0.0.1:8080", Wish(language="en")) as session:
    await session.send(pcm16)                 # 16 kHz, mono, little endian, any size
    await session.finish()                    # no more will come
    async for event in session: ...           # ends after the last utterance

A connection that is lost, and a server that ends a session after an hour or because it stops, are followed by another
connection to the same address, to which all is sent that was not heard to its end: whoever reads sees one session, on
one clock.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Any

from websockets.exceptions import ConnectionClosed

from aural.errors import Overloaded, SessionLost, SessionRefused
from aural.streaming.connection import USUAL, Connection, Wish, open_connection
from aural.streaming.events import Event, Lost, Reconnected, parse, shifted
from aural.streaming.kept import Kept
from aural.streaming.patience import RECONNECT_S, STEADY_S, Patience
from aural.streaming.progress import Progress
from aural.types import SAMPLE_RATE

__all__ = ["LiveSession", "Wish", "connect"]

BYTES_PER_MS = SAMPLE_RATE * 2 // 1000
MOST_KEPT_BYTES = 300 * 1000 * BYTES_PER_MS
"""Of audio that was not heard to its end: far more than a server may owe."""
OF_CALLS = frozenset({"aural.alert", "aural.call_insights"})

Trouble = SessionLost | Overloaded
"""What another connection may mend."""


@asynccontextmanager
async def connect(url: str, wish: Wish = USUAL, api_key: str = "") -> AsyncIterator[LiveSession]:
    """A configured session. Raises SettingsError for an address that is none, Overloaded when the server refuses for
    now, SessionRefused when it refuses for good, and SessionLost when it cannot be reached."""
    session = LiveSession(url, wish, api_key)
    await session.open()
    try:
        yield session
    finally:
        await session.close()


class LiveSession:
    """A session, on one connection after the other. One task may send while another reads."""

    def __init__(self, url: str, wish: Wish, api_key: str) -> None:
        self._url = url
        self._wish = wish
        self._api_key = api_key
        self._connection: Connection
        self._opened_at = 0.0
        self._is_connected = asyncio.Event()
        self._kept = Kept()
        self._sent = 0
        """The place up to which the audio was sent on this connection."""
        self._progress = Progress()
        self._clock_ms = 0
        """Where the server's clock begins in the caller's."""
        self._is_finishing = self._told_finish = False
        self._turn = asyncio.Lock()
        self._sending_again: asyncio.Task[None] | None = None
        self._patience = Patience()
        self._ledgers: list[Mapping[str, int]] = []

    async def open(self) -> None:
        await self._take(await open_connection(self._url, self._wish, self._api_key), Progress())

    async def close(self) -> None:
        if self._sending_again:
            self._sending_again.cancel()
        await self._connection.close()

    async def send(self, pcm16: bytes) -> None:
        """Audio: PCM16, 16 kHz, mono. Waits while the network has too much of it; kept while there is no connection,
        and when that is more than fits, waits for one. Raises SessionLost when none comes."""
        if self._kept.end - self._sent > MOST_KEPT_BYTES:
            await self._wait_for_room()
        self._kept.append(pcm16)
        await self._deliver()
        self._kept.forget(min(self._sent, self._kept.end - MOST_KEPT_BYTES))

    async def finish(self) -> None:
        """No more audio will come; the events end once all of it is heard."""
        self._is_finishing = True
        await self._deliver()

    async def __aiter__(self) -> AsyncIterator[Event]:
        """Events until everything is heard after `finish`. Raises SessionRefused when the server will not go on, and
        SessionLost when no connection could be had for long, or when what was not heard is not kept any more."""
        while True:
            trouble: Trouble | None = None
            try:
                async with aclosing(self._told()) as told:
                    async for event in told:
                        yield event
            except SessionRefused:
                raise
            except (SessionLost, Overloaded) as error:
                trouble = error
                self._ledgers.append(self._progress.totals_ms)
            if self._is_over(trouble):
                return
            if trouble:
                yield Lost(str(trouble), tuple(self._progress.open))
            await self._go_on(trouble)
            if trouble:
                yield Reconnected(self._progress.begin_ms / 1000)

    @property
    def id(self) -> str:
        """The server's name of the session; after a lost connection another one."""
        return self._connection.id

    @property
    def totals_ms(self) -> dict[str, int]:
        """Where the audio went, once the events have ended; of a connection that was lost, as far as it was heard."""
        names = {name: None for ledger in self._ledgers for name in ledger}
        return {name: sum(ledger.get(name, 0) for ledger in self._ledgers) for name in names}

    @property
    def ledger_closed(self) -> bool:
        """Whether all audio that was received has come to something, but for rounding."""
        return bool(self._ledgers) and all(map(_is_closed, self._ledgers))

    # Audio, on its way to whichever connection there is.

    async def _wait_for_room(self) -> None:
        try:
            async with asyncio.timeout(RECONNECT_S):
                await self._is_connected.wait()
        except TimeoutError:
            raise SessionLost("the connection is gone, and too much audio waits for another one") from None

    async def _deliver(self) -> None:
        """Send what was not sent on this connection yet, and that it was all. Where the connection is closed nothing is
        sent: whoever reads learns why, and goes on with another one."""
        async with self._turn:
            try:
                while frame := self._kept.at(self._sent):
                    await self._send_frame(frame)
                if self._is_finishing and not self._told_finish:
                    await self._connection.send("aural.finish")
                    self._told_finish = True
            except ConnectionClosed:
                self._is_connected.clear()

    async def _send_frame(self, frame: bytes) -> None:
        self._sent += len(frame)  # before it is: who is cancelled while the network is slow has sent it
        try:
            await self._connection.send("input_audio_buffer.append", audio=base64.b64encode(frame).decode())
        except ConnectionClosed:
            self._sent -= len(frame)
            raise

    # Events, of one connection after the other.

    async def _told(self) -> AsyncGenerator[Event]:
        """What the server tells on this connection, until it has told all that it will. Raises what ended it else."""
        while True:
            raw = self._in_callers_clock(await self._connection.receive())
            match raw["type"]:
                case "aural.going_away":
                    self._progress.leave(raw)
                case "aural.ended" if self._progress.is_leaving or self._told_finish:
                    self._ledgers.append(raw["totals_ms"])
                    return
                case "aural.ended":
                    raise SessionLost("the server ended the session before its audio had ended")
                case _:
                    self._note(raw)
                    yield parse(raw)

    def _in_callers_clock(self, raw: dict[str, Any]) -> dict[str, Any]:
        """A call that has a name may have other sessions, and has a clock of its own."""
        is_of_call = raw["type"] in OF_CALLS and "call" in self._wish.aural
        moved: dict[str, Any] = raw if is_of_call else shifted(raw, self._clock_ms)
        return moved

    def _note(self, raw: Mapping[str, Any]) -> None:
        if self._progress.note(raw):
            self._patience.rest()
            self._kept.forget(min(self._sent, self._progress.heard_ms * BYTES_PER_MS))

    def _is_over(self, trouble: Trouble | None) -> bool:
        """Whether there is nothing for another connection to hear."""
        if not trouble and not self._progress.is_leaving:
            return True
        return self._is_finishing and (self._progress.heard_ms + 1) * BYTES_PER_MS > self._kept.end

    async def _go_on(self, trouble: Trouble | None) -> None:
        """On another connection, with all that this one did not hear."""
        progress = self._next_progress()
        self._is_connected.clear()
        if trouble is None:
            await self._connection.ended()
        await self._connection.close()
        await self._take(await self._another(trouble, progress), progress)
        if self._sending_again:
            self._sending_again.cancel()
        self._sending_again = asyncio.create_task(self._deliver())

    def _next_progress(self) -> Progress:
        """Where to go on. Raises SessionLost when what was said there is not kept."""
        place_ms, resume, open_ms = self._progress.heard_ms, self._progress.resume, self._progress.open.values()
        kept_ms = -(-self._kept.start // BYTES_PER_MS)
        if kept_ms <= place_ms:
            return Progress.at(place_ms, resume)
        if resume or min(open_ms, default=kept_ms) < kept_ms:
            raise SessionLost(f"the server heard {place_ms} ms; not all of what followed is kept")
        return Progress.at(kept_ms)  # before that it was silent

    async def _another(self, trouble: Trouble | None, progress: Progress) -> Connection:
        """Tried until it was tried for long enough: the next server may have to start first."""
        if time.monotonic() - self._opened_at > STEADY_S:
            self._patience.rest()
        while True:
            if trouble:
                await self._pause(trouble, progress)
            try:
                return await open_connection(self._url, self._wish, self._api_key, progress.resume)
            except SessionRefused:
                raise
            except (SessionLost, Overloaded) as error:
                trouble = error

    async def _pause(self, trouble: Trouble, progress: Progress) -> None:
        pause_s = self._patience.pause_s(time.monotonic(), trouble.retry_after_s or 0.0)
        if pause_s is None:
            raise SessionLost(
                f"{trouble}; no connection for {RECONNECT_S:g} s, "
                f"so what was said after {progress.begin_ms / 1000:.1f} s was not heard to its end"
            ) from trouble
        await asyncio.sleep(pause_s)

    async def _take(self, connection: Connection, progress: Progress) -> None:
        """From here on this one. The clock goes on where a server knows of the session before, else it begins anew."""
        async with self._turn:
            self._connection, self._opened_at = connection, time.monotonic()
            self._progress, self._sent, self._told_finish = progress, progress.begin_ms * BYTES_PER_MS, False
            self._clock_ms = self._clock_ms if progress.resume else progress.begin_ms
            self._is_connected.set()


def _is_closed(ledger: Mapping[str, int]) -> bool:
    parts = sum(ms for name, ms in ledger.items() if name != "received")
    return bool(ledger) and abs(ledger["received"] - parts) < len(ledger)
