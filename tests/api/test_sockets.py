"""Pings of a WebSocket whose audio waits to be heard, and of one that has gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
import websockets

from aural.api.sockets import Socket
from tests.serving.loop import in_loop

PING_S = 0.05
LARGE = bytes(8 * 2**20)
"""More than lies in the network's buffers."""
HEAD = (
    b"GET / HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


class Counted(Socket):
    """Tells when it has asked often enough."""

    asked = asyncio.Event()
    times = 0

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        Counted.times += 1
        if Counted.times == 3:
            Counted.asked.set()


async def busy(scope: Any, receive: Any, send: Any) -> None:
    """Hears one message, is busy until the socket has asked for a pong three times, and hears the next."""
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] != "websocket.disconnect":
        await send({"type": "websocket.send", "text": str(len(message["bytes"]))})
        await Counted.asked.wait()


@asynccontextmanager
async def listening(protocol: type[Socket]) -> AsyncIterator[int]:
    config = uvicorn.Config(
        busy,  # type: ignore[arg-type]
        port=0,
        ws=protocol,
        ws_ping_interval=PING_S,
        ws_ping_timeout=PING_S,
        ws_max_size=2 * len(LARGE),
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
    )
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        await server.shutdown()


@in_loop
async def test_a_pong_behind_audio_that_waits_to_be_heard_is_waited_for() -> None:
    Counted.asked, Counted.times = asyncio.Event(), 0
    async with (
        listening(Counted) as port,
        websockets.connect(f"ws://127.0.0.1:{port}", ping_interval=None, proxy=None) as client,
    ):
        for _ in range(2):
            await client.send(LARGE)
        assert [int(await client.recv()) for _ in range(2)] == [len(LARGE)] * 2


@in_loop
async def test_who_is_listened_to_and_says_nothing_has_gone() -> None:
    async with listening(Socket) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEAD)
        await reader.readuntil(b"\r\n\r\n")
        said = await reader.read(-1)
        assert (1011).to_bytes(2, "big") + b"keepalive ping timeout" in said
        writer.close()
