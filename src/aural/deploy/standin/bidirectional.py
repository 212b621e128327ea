"""InvokeEndpointWithBidirectionalStream as AWS's own clients speak it: HTTP/2 over TLS, where both sides send messages
of an event stream, joined to a WebSocket to the container.

A PayloadPart is one frame there and the other way round: UTF8 is text, BINARY or nothing is bytes, and PARTIAL parts up
to a COMPLETE one are one message in fragments. Signatures are taken off and not verified. Where AWS's documents are
silent (what a broken message gets, the ErrorCode of a close) the choice is ours.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import trustme
from botocore.eventstream import EventStreamBuffer, ParserError
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from aural import eventstream
from aural.deploy.standin.control import Control
from aural.deploy.standin.http2 import Gone, Stream, serve
from aural.deploy.standin.relay import NORMAL, PATH, PATH_HEADER, opened
from aural.deploy.standin.runtime import Runtime, RuntimeFault, stream_error
from aural.deploy.standin.wire import HOST

NAME = "localhost"
QUERY_HEADER = "x-amzn-sagemaker-model-query-string"
VARIANT = {"content-type": eventstream.MEDIA_TYPE, "x-amzn-invoked-production-variant": "AllTraffic"}
BROKEN, TOO_LONG = "StreamBroken", "ModelInvocationTimeExceeded"
"""The error codes that AWS documents for ModelStreamError."""
NO_CLOSE = 1006
OUR_FAULT = b'{"Message": "the stand-in failed; see its log"}'


@dataclass(frozen=True, slots=True)
class Front:
    """Where the stand-in takes streams over HTTP/2, and the certificate to trust for it (PEM)."""

    url: str
    authority: Path


@asynccontextmanager
async def front(runtime: Runtime, root: Path) -> AsyncIterator[Front]:
    """AWS's clients insist on TLS, so that an authority is made, whose certificate is left in `root`."""
    authority = trustme.CA()
    path = root / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(NAME, HOST).configure_cert(context)

    async def take(stream: Stream) -> None:
        await invoke(runtime, stream)

    async with serve(take, context) as port:
        yield Front(f"https://{NAME}:{port}", path)


async def invoke(runtime: Runtime, stream: Stream) -> None:
    """One stream. What is wrong before it begins is an HTTP status, what goes wrong later the stream's last message."""
    try:
        async with AsyncExitStack() as stack:
            inner = await _container(runtime.control, stream, stack)
            await stream.answer(200, VARIANT)
            if last := await _joined(stream, inner, runtime.limits.duplex_s):
                await stream.send(last)
            await stream.end()
    except RuntimeFault as fault:
        answer = fault.response()
        await stream.answer(answer.status_code, dict(answer.headers), bytes(answer.body))


async def _container(control: Control, stream: Stream, stack: AsyncExitStack) -> ClientConnection:
    """Its WebSocket, open. Raises RuntimeFault, Gone."""
    _, _, name, *rest = [*unquote(stream.headers[":path"]).split("/"), "", ""]
    endpoint = control.endpoints.get(name)
    path = stream.headers.get(PATH_HEADER, PATH)
    if stream.headers[":method"] != "POST" or rest[0].partition("?")[0] != PATH or endpoint is None:
        raise _invalid(f"Endpoint {name} of account not found.")
    if path.startswith("/"):
        raise _invalid("expected a path without a leading slash")
    if endpoint.fleet is None:
        raise _invalid("inference components cannot be addressed by bidirectional streams")
    try:
        container = stack.enter_context(endpoint.fleet.least_busy())
        query = stream.headers.get(QUERY_HEADER, "")
        address = f"ws://{HOST}:{container.port}/{path}?{query}".rstrip("?")
        return await stack.enter_async_context(opened(address))
    except LookupError as error:
        raise RuntimeFault(503, "ServiceUnavailableError", str(error)) from error
    except (OSError, InvalidHandshake) as error:
        status = error.response.status_code if isinstance(error, InvalidStatus) else 500
        more = {"OriginalStatusCode": status, "OriginalMessage": str(error), "LogStreamArn": ""}
        raise RuntimeFault(424, "ModelError", f"the container did not take the stream: {error}", **more) from error


async def _joined(stream: Stream, inner: ClientConnection, longest_s: float) -> bytes:
    """Both ways until one side ends; the message that tells the caller why, or nothing when all is well."""
    up = Upward(stream, inner)
    task = asyncio.create_task(up.run())
    try:
        async with asyncio.timeout(longest_s):
            await _down(inner, stream)
    except TimeoutError:
        return stream_error(TOO_LONG, f"a stream lasts {longest_s / 60:g} minutes at most")
    finally:
        task.cancel()
        await asyncio.wait([task])
    return _verdict(inner) if up.last is None else up.last


def _verdict(inner: ClientConnection) -> bytes:
    code, reason = inner.close_code or NO_CLOSE, inner.close_reason or ""
    return b"" if code == NORMAL else stream_error(BROKEN, f"the container closed with {code}: {reason}")


async def _down(inner: ClientConnection, stream: Stream) -> None:
    """The container's frames, until it has no more. A frame waits for the next one, which tells whether it is the last
    of its message; a whole message does not wait."""
    with suppress(ConnectionClosed):
        while True:
            held: str | bytes | None = None
            async for fragment in inner.recv_streaming():
                if held is not None:
                    await stream.send(_part(held, "PARTIAL"))
                held = fragment
            if held is not None:
                await stream.send(_part(held, "COMPLETE"))


@dataclass(slots=True)
class Upward:
    """The caller's side. `last` is what to tell it in the end, or None while that is the container's to say."""

    stream: Stream
    inner: ClientConnection
    last: bytes | None = None

    async def run(self) -> None:
        """Until the caller's end, which is the container's Close."""
        try:
            self.last = await self._outcome()
        except ConnectionClosed:
            return
        except Exception:
            self.last = eventstream.exception("InternalStreamFailure", OUR_FAULT)
            raise
        finally:
            await self.inner.close()

    async def _outcome(self) -> bytes:
        try:
            await self._forward()
        except ParserError as error:
            return eventstream.error("ValidationException", str(error))  # AWS's own answer is not documented
        except Gone:
            self.stream.lose()
        return b""

    async def _forward(self) -> None:
        parts = _parts(self.stream)
        async for part in parts:
            if part.is_last:
                await self.inner.send(part.data, text=part.is_text)
            else:
                await self.inner.send(_fragments(part, parts), text=part.is_text)


@dataclass(frozen=True, slots=True)
class Part:
    data: bytes
    is_text: bool
    is_last: bool


async def _fragments(part: Part, parts: AsyncIterator[Part]) -> AsyncIterator[bytes]:
    """A message from its first part on."""
    yield part.data
    while not part.is_last and (following := await anext(parts, None)):
        part = following
        yield part.data


async def _parts(stream: Stream) -> AsyncIterator[Part]:
    """Until the caller ends its stream; the signed message with nothing in it that comes before is no part. Raises
    Gone, ParserError."""
    buffer = EventStreamBuffer()
    async for chunk in stream.chunks():
        buffer.add_data(chunk)
        for message in buffer:
            headers, payload = _unsigned(message)
            if headers:
                yield _read(headers, payload)


def _unsigned(message: Any) -> tuple[dict[str, Any], bytes]:
    """Headers and payload of the message inside the one that signs it; none when that is empty. Raises ParserError."""
    if ":chunk-signature" not in message.headers:
        return message.headers, message.payload
    if not message.payload:
        return {}, b""
    inside = EventStreamBuffer()
    inside.add_data(message.payload)
    for one in inside:
        return one.headers, one.payload
    raise ParserError("expected a whole message inside the signed one")


def _read(headers: dict[str, Any], payload: bytes) -> Part:
    kind, data_type = headers.get(":event-type"), headers.get("DataType", "BINARY")
    state = headers.get("CompletionState", "COMPLETE")
    if kind != "PayloadPart" or data_type not in ("UTF8", "BINARY") or state not in ("PARTIAL", "COMPLETE"):
        raise ParserError(
            f"expected PayloadPart, UTF8 or BINARY, PARTIAL or COMPLETE; got {kind}, {data_type}, {state}"
        )
    return Part(payload, data_type == "UTF8", state == "COMPLETE")


def _part(frame: str | bytes, state: str) -> bytes:
    text = isinstance(frame, str)
    data = frame.encode() if isinstance(frame, str) else frame
    return eventstream.payload_part(data, {"DataType": "UTF8" if text else "BINARY", "CompletionState": state})


def _invalid(message: str) -> RuntimeFault:
    return RuntimeFault(400, "InputValidationError", message)
