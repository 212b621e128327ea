"""A stream that goes both ways, to a server of one's own or to a SageMaker endpoint, behind one interface.

    async with connect("sagemaker:aural", region="eu-west-1") as stream:
        await stream.send(json.dumps({"type": "input_audio_buffer.append", "audio": …}))
        while (message := await stream.receive()) is not None: …

A server is reached by WebSocket. An endpoint is reached by HTTP/2 through AWS's own client, which needs Python 3.12 and
`pip install 'aural[bidirectional]'`; it changes its names between versions, and this module is all that knows them.
SageMaker ends a stream after 30 minutes, and cannot address inference components with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, Protocol
from urllib.parse import quote

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_socket
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK, InvalidHandshake, InvalidStatus
from websockets.frames import CloseCode

from aural.errors import CallFailed, SettingsError

PATH = "invocations-bidirectional-stream"
WAITING = 256
"""Messages that may wait for a slow reader."""
MAX_MESSAGE_BYTES = 16 * 1024 * 1024
CLOSE_S = 2.0
PORT = 8443
LOCAL_CREDENTIALS = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
"""The stand-in asks for none, and AWS's client signs all the same."""
REFUSED = {"InputValidationError": 400}

Message = str | bytes


class Duplex(Protocol):
    async def send(self, message: Message) -> None:
        """Text or bytes, as one message. Raises CallFailed when the stream is gone."""

    async def receive(self) -> Message | None:
        """The next message; None when the other side ended well. Raises CallFailed when it did not."""

    async def finish(self) -> None:
        """Nothing more will be sent; what is on its way may still be received."""


@asynccontextmanager
async def connect(
    endpoint: str, *, path: str = "", query: str = "", region: str = "", api_key: str = "", url: str = ""
) -> AsyncIterator[Duplex]:
    """Open a stream to `http://…` or `sagemaker:NAME` (at its stand-in with `url`: by WebSocket if that is `http://…`,
    by AWS's client if it is `https://…`). `path`, without a leading slash, and `query` choose another route of the
    container than the platform's own. Raises CallFailed, SettingsError."""
    name = endpoint.removeprefix("sagemaker:")
    if endpoint.startswith(("http://", "https://")):
        opened: Any = _socket(f"{endpoint.rstrip('/')}/{path or PATH}", query, api_key)
    elif url.startswith("http://"):
        opened = _socket(f"{url}/endpoints/{quote(name)}/{PATH}", query, "", path)
    else:
        opened = _sagemaker(name, path, query, region, url)
    async with opened as stream:
        yield stream


@asynccontextmanager
async def _socket(address: str, query: str, api_key: str, path: str = "") -> AsyncIterator[_Socket]:
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    headers |= {"X-Amzn-SageMaker-Model-Invocation-Path": path} if path else {}
    target = "ws" + address.removeprefix("http") + (f"?{query}" if query else "")
    try:
        socket = await open_socket(target, additional_headers=headers, max_size=MAX_MESSAGE_BYTES, max_queue=WAITING)
    except InvalidStatus as error:
        raise CallFailed(error.response.status_code, "refused", str(error)) from error
    except (OSError, InvalidHandshake) as error:
        raise CallFailed(503, "unreachable", f"{address}: {error}") from error
    try:
        yield _Socket(socket)
    finally:
        await socket.close()


class _Socket:
    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    async def send(self, message: Message) -> None:
        try:
            await self._socket.send(message)
        except (ConnectionClosedError, ConnectionClosedOK) as error:
            raise _closed(error) from error

    async def receive(self) -> Message | None:
        try:
            return await self._socket.recv()
        except ConnectionClosedOK as error:
            if error.rcvd is None or error.rcvd.code == CloseCode.NORMAL_CLOSURE:
                return None
            raise _closed(error) from error
        except ConnectionClosedError as error:
            raise _closed(error) from error

    async def finish(self) -> None:
        """A WebSocket closes both ways at once, so that a protocol above it must say goodbye by itself."""


def _closed(error: ConnectionClosedError | ConnectionClosedOK) -> CallFailed:
    close = error.rcvd
    return CallFailed(503, f"closed_{close.code if close else 1006}", close.reason if close else "the connection broke")


@asynccontextmanager
async def _sagemaker(name: str, path: str, query: str, region: str, url: str) -> AsyncIterator[Duplex]:
    try:
        from aws_sdk_sagemaker_runtime_http2 import client, config, models
        from smithy_core.exceptions import SmithyError
        from smithy_http.aio.crt import AWSCRTHTTPClient
    except ImportError as error:
        raise SettingsError("expected Python 3.12 and pip install 'aural[bidirectional]'") from error
    if not region:
        raise SettingsError("expected a region for a SageMaker endpoint, got none")
    settings = await config.AsyncSageMakerRuntimeHTTP2Config.resolve(
        region=region,
        endpoint_uri=url or f"https://runtime.sagemaker.{region}.amazonaws.com:{PORT}",
        transport=AWSCRTHTTPClient(),
        **(LOCAL_CREDENTIALS if url else {}),
    )
    asked = models.InvokeEndpointWithBidirectionalStreamInput(
        endpoint_name=name, model_invocation_path=path or None, model_query_string=query or None
    )
    async with client.AsyncSageMakerRuntimeHTTP2Client(config=settings) as runtime:
        try:
            stream = await runtime.invoke_endpoint_with_bidirectional_stream(asked)
        except (SmithyError, OSError) as error:
            raise _failed(error) from error
        duplex = Parts(stream, models, (SmithyError, OSError))
        try:
            yield duplex
        finally:
            await duplex.close()


def _failed(error: Exception) -> CallFailed:
    """AWS's errors as ours: with the status that the container gave, if it did, and the error's code or its name."""
    name = type(error).__name__
    status = getattr(error, "original_status_code", None) or REFUSED.get(name, 503)
    return CallFailed(status, getattr(error, "error_code", None) or getattr(error, "code", None) or name, str(error))


class Parts:
    """AWS's event stream as messages. `stream` is the client's DuplexEventStream, `models` its module of types and
    `failures` what else it raises: a part is one frame of the container's WebSocket; PARTIAL parts up to a COMPLETE one
    are one message."""

    def __init__(self, stream: Any, models: Any, failures: tuple[type[Exception], ...] = (OSError,)) -> None:
        self._stream = stream
        self._models = models
        self._failures = (models.ServiceError, *failures)
        self._queue: asyncio.Queue[Message | CallFailed | None] = asyncio.Queue(WAITING)
        self._reader = asyncio.create_task(self._read())

    async def send(self, message: Message) -> None:
        text = isinstance(message, str)
        part = self._models.RequestPayloadPart(
            bytes_=message.encode() if isinstance(message, str) else message,
            data_type="UTF8" if text else "BINARY",
            completion_state="COMPLETE",
        )
        event = self._models.RequestStreamEventPayloadPart(value=part)
        await self._unless_over(self._stream.input_stream.send(event))

    async def receive(self) -> Message | None:
        got = await self._queue.get()
        if got is None or isinstance(got, CallFailed):
            self._queue.put_nowait(got)  # an end stays one
        if isinstance(got, CallFailed):
            raise got
        return got

    async def finish(self) -> None:
        with suppress(CallFailed):
            await self._unless_over(self._stream.input_stream.close())

    async def close(self) -> None:
        """The other side is given a moment to end too: a receive that is cancelled leaves AWS's client complaining."""
        await self._end()
        await asyncio.wait((self._reader,), timeout=CLOSE_S)
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)
        if self._stream.output_stream is not None:
            await self._stream.output_stream.close()

    async def _end(self) -> None:
        """AWS's client waits for what it has queued to be taken, which a stream that broke never does; cancelled, it
        waits once more."""
        task = asyncio.create_task(self._stream.input_stream.close())
        while not task.done():
            await asyncio.wait((task,), timeout=CLOSE_S)
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)  # a stream that broke has been reported to the reader

    async def _unless_over(self, writing: Coroutine[Any, Any, None]) -> None:
        """AWS's client queues what is written to a stream that has ended, and then waits for ever."""
        task = asyncio.create_task(writing)
        try:
            await asyncio.wait((task, self._reader), return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise CallFailed(503, "closed", "the other side has ended the stream")
            await task
        except self._failures as error:
            raise _failed(error) from error
        finally:
            task.cancel()

    async def _read(self) -> None:
        """One reader for the whole stream: a receive that is cancelled halfway corrupts it."""
        try:
            _, receiver = await self._stream.await_output()
            pieces: list[bytes] = []
            while (event := await receiver.receive()) is not None:
                part = event.value
                pieces.append(part.bytes_ or b"")
                if part.completion_state != "PARTIAL":
                    whole, pieces = b"".join(pieces), []
                    await self._queue.put(whole.decode() if part.data_type == "UTF8" else whole)
            await self._queue.put(None)
        except self._failures as error:
            await self._queue.put(_failed(error))
