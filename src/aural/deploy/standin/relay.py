"""The bidirectional side: a WebSocket to the stand-in, joined to one to the container, message by message.

AWS speaks HTTP/2 with its caller here and a WebSocket with the container. `bidirectional.py` does so too; this is for
callers without AWS's client, who go through `aural.duplex`, which hides the difference.
"""

from __future__ import annotations

import asyncio

from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from aural.deploy.standin.control import Control
from aural.deploy.standin.wire import HOST

PATH = "invocations-bidirectional-stream"
PATH_HEADER = "x-amzn-sagemaker-model-invocation-path"
PING_EVERY_S, PINGS_MISSED = 60.0, 5
NORMAL, GOING_AWAY, REFUSED, FAILED, BUSY = 1000, 1001, 1008, 1011, 1013
UNSENDABLE = frozenset({1005, 1006, 1015})
"""Codes that say that no close frame came."""


def opened(address: str) -> connect:
    """The container's WebSocket, watched as SageMaker watches it."""
    return connect(address, ping_interval=PING_EVERY_S, ping_timeout=PINGS_MISSED * PING_EVERY_S, max_size=None)


async def relay(control: Control, socket: WebSocket, longest_s: float) -> None:
    """InvokeEndpointWithBidirectionalStream. What is wrong is said in the close, as AWS says it in the stream."""
    await socket.accept()
    endpoint = control.endpoints.get(socket.path_params["name"])
    path = socket.headers.get(PATH_HEADER, PATH)
    if endpoint is None or path.startswith("/"):
        return await socket.close(REFUSED, "expected an endpoint that exists, and a path without a leading slash")
    if endpoint.fleet is None:
        return await socket.close(REFUSED, "inference components cannot be addressed by bidirectional streams")
    try:
        with endpoint.fleet.least_busy() as container:
            address = f"ws://{HOST}:{container.port}/{path}?{socket.url.query}".rstrip("?")
            async with opened(address) as inner:
                code, reason = await _join(socket, inner, longest_s)
    except LookupError as error:
        code, reason = BUSY, str(error)
    except (OSError, InvalidHandshake) as error:
        code, reason = FAILED, f"the container did not take the stream: {error}"[:100]
    if code is not None:
        await socket.close(code, reason)
    return None


async def _join(socket: WebSocket, inner: ClientConnection, longest_s: float) -> tuple[int | None, str]:
    """Both ways until one side closes; the container's close code, or None when the caller left."""
    up = asyncio.create_task(_up(socket, inner))
    down = asyncio.create_task(_down(socket, inner))
    ended, _ = await asyncio.wait([up, down], timeout=longest_s, return_when=asyncio.FIRST_COMPLETED)
    if not down.done():
        await inner.close()
        down.cancel()
    up.cancel()
    await asyncio.gather(up, down, return_exceptions=True)
    if not ended:
        return GOING_AWAY, f"a stream lasts {longest_s / 60:g} minutes at most"
    if up.done() and not up.cancelled():
        return None, ""
    close = inner.close_code or FAILED
    return (FAILED if close in UNSENDABLE else close), inner.close_reason or ""


async def _up(socket: WebSocket, inner: ClientConnection) -> None:
    try:
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            text = message.get("text")
            await inner.send(text if text is not None else message["bytes"])
    except (ConnectionClosed, WebSocketDisconnect):
        await asyncio.Event().wait()  # the other direction knows why


async def _down(socket: WebSocket, inner: ClientConnection) -> None:
    try:
        async for message in inner:
            await (socket.send_text(message) if isinstance(message, str) else socket.send_bytes(message))
    except ConnectionClosed:
        return
