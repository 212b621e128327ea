"""A small HTTP/2 server over h2: what the stand-in needs for streams that go both ways, flow control included."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    Event,
    RemoteSettingsChanged,
    RequestReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import ProtocolError

from aural.deploy.standin.wire import HOST, READ_BYTES

SHUTDOWN_S = 2.0
Handle = Callable[["Stream"], Awaitable[None]]


class Gone(ConnectionError):
    """The caller left before the end."""


@asynccontextmanager
async def serve(handle: Handle, context: ssl.SSLContext) -> AsyncIterator[int]:
    """Answer each stream of each connection with `handle`; gives the port. At the end all that is open is dropped."""
    open_now: set[asyncio.Task[None]] = set()

    def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(Connection(handle, reader, writer).run())
        open_now.add(task)
        task.add_done_callback(open_now.discard)

    context.set_alpn_protocols(["h2"])
    server = await asyncio.start_server(take, HOST, 0, ssl=context, ssl_shutdown_timeout=SHUTDOWN_S)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in open_now:
            task.cancel()
        await asyncio.gather(*open_now, return_exceptions=True)


class Connection:
    """One caller's, with as many streams as it opens."""

    def __init__(self, handle: Handle, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self._handle, self._reader, self._writer = handle, reader, writer
        self._streams: dict[int, Stream] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        self.h2.initiate_connection()
        try:
            self.flush()
            while data := await self._reader.read(READ_BYTES):
                for event in self._received(data):
                    self._take(event)
                self.flush()
        except OSError:
            pass  # the same as an end
        finally:
            await self._close()

    def flush(self) -> None:
        if (data := self.h2.data_to_send()) and not self._writer.is_closing():
            self._writer.write(data)

    async def drain(self) -> None:
        self.flush()
        try:
            await self._writer.drain()
        except OSError as error:
            raise Gone(str(error)) from error

    def acknowledge(self, stream_id: int, size: int) -> None:
        """Room for as many bytes more: said once they have been used, so that a slow container slows its caller."""
        if size:
            with suppress(ProtocolError):
                self.h2.acknowledge_received_data(size, stream_id)
            self.flush()

    def _received(self, data: bytes) -> list[Event]:
        try:
            return self.h2.receive_data(data)
        except ProtocolError as error:
            self.flush()  # h2 has put GOAWAY there
            raise Gone(str(error)) from error

    def _take(self, event: Event) -> None:
        match event:
            case RequestReceived():
                self._open(event)
            case DataReceived() if stream := self._streams.get(event.stream_id):
                stream.arrived.put_nowait((event.data, event.flow_controlled_length))
            case DataReceived():
                self.acknowledge(event.stream_id, event.flow_controlled_length)
            case StreamEnded() if stream := self._streams.get(event.stream_id):
                stream.arrived.put_nowait(None)
            case StreamReset() if stream := self._streams.get(event.stream_id):
                stream.lose()
            case WindowUpdated() | RemoteSettingsChanged():
                for stream in self._streams.values():
                    stream.room.set()

    def _open(self, event: RequestReceived) -> None:
        stream = Stream(self, event.stream_id, {str(name): str(value) for name, value in event.headers})
        self._streams[stream.id] = stream
        task = asyncio.create_task(self._serve(stream))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, stream: Stream) -> None:
        try:
            with suppress(Gone):
                await self._handle(stream)
        finally:
            del self._streams[stream.id]
            stream.drop()
            self.flush()

    async def _close(self) -> None:
        for stream in list(self._streams.values()):
            stream.lose()
        try:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        finally:
            self._writer.close()
            with suppress(OSError):
                await self._writer.wait_closed()


@dataclass(slots=True)
class Stream:
    """One request and its answer, both under way. Sending raises Gone once the caller has left."""

    connection: Connection
    id: int
    headers: dict[str, str]
    arrived: asyncio.Queue[tuple[bytes, int] | None] = field(default_factory=asyncio.Queue)
    """Data and what they count for in flow control, which bounds the queue; None at the end."""
    room: asyncio.Event = field(default_factory=asyncio.Event)
    lost: bool = False
    ended: bool = False

    async def chunks(self) -> AsyncIterator[bytes]:
        """The request's body until its end. Raises Gone."""
        while (got := await self.arrived.get()) is not None:
            data, size = got
            self.connection.acknowledge(self.id, size)
            yield data
        self._check()

    async def answer(self, status: int, headers: Mapping[str, str], body: bytes | None = None) -> None:
        """The head; with `body` the whole of it."""
        self._check()
        with _as_gone():
            self.connection.h2.send_headers(self.id, [(":status", str(status)), *headers.items()])
        await self.connection.drain()
        if body is not None:
            await self.send(body)
            await self.end()

    async def send(self, data: bytes) -> None:
        """Returns when the caller has room for it all."""
        while data:
            size = await self._room()
            with _as_gone():
                self.connection.h2.send_data(self.id, data[:size])
            data = data[size:]
            await self.connection.drain()

    async def end(self) -> None:
        self._check()
        with _as_gone():
            self.connection.h2.end_stream(self.id)
        self.ended = True
        await self.connection.drain()

    def lose(self) -> None:
        self.lost = True
        self.arrived.put_nowait(None)
        self.room.set()

    def drop(self) -> None:
        """Nobody serves it any more. What came and was not used must not count against the connection's others."""
        if not self.ended and not self.lost:
            with suppress(ProtocolError):
                self.connection.h2.reset_stream(self.id, ErrorCodes.INTERNAL_ERROR)
        while not self.arrived.empty():
            if got := self.arrived.get_nowait():
                self.connection.acknowledge(self.id, got[1])

    async def _room(self) -> int:
        h2 = self.connection.h2
        while True:
            self._check()
            with _as_gone():
                size = min(h2.local_flow_control_window(self.id), h2.max_outbound_frame_size)
            if size > 0:
                return size
            self.room.clear()
            await self.room.wait()

    def _check(self) -> None:
        if self.lost:
            raise Gone("the caller left")


@contextmanager
def _as_gone() -> Iterator[None]:
    """h2 knows before us that a stream is closed."""
    try:
        yield
    except ProtocolError as error:
        raise Gone(str(error)) from error
