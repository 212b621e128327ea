"""A small HTTP/1.1 client over h11: what the stand-in needs to speak to a container, streams and limits included."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import h11

READ_BYTES = 65_536
HOST = "127.0.0.1"

Headers = Sequence[tuple[str, str]]


@dataclass(slots=True)
class Reply:
    """The head has come; `chunks` is the body as it arrives."""

    status: int
    headers: dict[str, str]
    chunks: AsyncIterator[bytes]

    async def read(self) -> bytes:
        return b"".join([chunk async for chunk in self.chunks])


class Broken(OSError):
    """The container did not answer, or not to the end."""


@asynccontextmanager
async def exchange(port: int, method: str, path: str, headers: Headers = (), body: bytes = b"") -> AsyncIterator[Reply]:
    """Send a request and give its reply. Raises OSError (Broken too) when the container fails in between."""
    reader, writer = await asyncio.open_connection(HOST, port)
    connection = h11.Connection(h11.CLIENT)
    try:
        lines = [("Host", f"{HOST}:{port}"), ("Connection", "close"), ("Content-Length", str(len(body))), *headers]
        writer.write(connection.send(h11.Request(method=method, target=path, headers=lines)) or b"")
        writer.write(connection.send(h11.Data(data=body)) or b"")
        writer.write(connection.send(h11.EndOfMessage()) or b"")
        response = await _next(connection, reader)
        if not isinstance(response, h11.Response):
            raise Broken("the container closed the connection without an answer")
        fields = {name.decode().lower(): value.decode("latin-1") for name, value in response.headers}
        yield Reply(response.status_code, fields, _chunks(connection, reader))
    except h11.RemoteProtocolError as error:
        raise Broken(f"the container broke off: {error}") from error
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def _chunks(connection: h11.Connection, reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    try:
        while isinstance(event := await _next(connection, reader), h11.Data):
            yield bytes(event.data)
    except h11.RemoteProtocolError as error:
        raise Broken(f"the container broke off: {error}") from error


async def _next(connection: h11.Connection, reader: asyncio.StreamReader) -> h11.Event | type[h11.PAUSED]:
    while (event := connection.next_event()) is h11.NEED_DATA:
        connection.receive_data(await reader.read(READ_BYTES))
    return event  # type: ignore[return-value]  # NEED_DATA is excluded above
