"""HTTP/1.1 for a stopwatch: one connection per caller over asyncio's streams, answers read by httptools.

A general client spends a millisecond or more per request on hooks, cookies and copies of the body, on the very core
that keeps the time. This one writes the bytes it was given and reads until the answer is whole. No redirects, no
proxies, no retries: each would hide something from the figures.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from urllib.parse import SplitResult, urlsplit

import httptools

from aural.bench.sounds import Body
from aural.errors import BenchError

READ_BYTES = 1 << 16
PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Ask:
    """A request, ready to be sent. `target` is path and query."""

    target: str
    body: Body = ()
    content_type: str = "application/octet-stream"
    method: str = "POST"
    attributes: str = ""
    """SageMaker's custom attributes, which hold what has no place in the body."""

    @property
    def size(self) -> int:
        """Of the body, in bytes."""
        return sum(map(len, self.body))


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    body: bytes
    sent_bytes: int = 0


class RequestFailed(Exception):
    """A request without a usable answer. `str` is the kind of failure, `detail` what is known of it, `sent_bytes` what
    was sent until then."""

    def __init__(self, kind: str, detail: str = "", sent_bytes: int = 0) -> None:
        super().__init__(kind)
        self.detail = detail
        self.sent_bytes = sent_bytes


@dataclass(frozen=True, slots=True)
class Address:
    """Where an endpoint listens."""

    scheme: str
    host: str
    port: int
    path: str
    """Where to ask; a prefix of that when it is empty or ends with a slash."""

    @classmethod
    def of(cls, url: str) -> Address:
        try:
            parts: SplitResult = urlsplit(url)
            port = parts.port or PORTS[parts.scheme]
        except (KeyError, ValueError):
            raise BenchError(f"expected http://HOST[:PORT][/PATH] or https://…, got {url!r}") from None
        if not parts.hostname:
            raise BenchError(f"expected a host in the address, got {url!r}")
        if parts.username is not None or parts.query or parts.fragment:
            where = f"{parts.scheme}://{parts.hostname}{parts.path}"
            raise BenchError(
                f"expected an address without user, password and query, such as {where}; keys go in headers"
            )
        return cls(parts.scheme, parts.hostname, port, parts.path)

    @property
    def tls(self) -> ssl.SSLContext | None:
        return _tls() if self.scheme == "https" else None


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


class _Answer:
    """What httptools says of the bytes that it is fed."""

    def __init__(self) -> None:
        self.body = bytearray()
        self.whole = False
        self.keep = False
        self.parser = httptools.HttpResponseParser(self)
        self._begun = False
        self._measured = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self._measured |= name.lower() in (b"content-length", b"transfer-encoding")

    def on_headers_complete(self) -> None:
        self._begun = True

    @property
    def ends_with_connection(self) -> bool:
        """Whether the end of the connection is that of the body (RFC 9112, 6.3)."""
        return self._begun and not self._measured

    def on_body(self, part: bytes) -> None:
        self.body += part

    def on_message_complete(self) -> None:
        self.whole = True
        self.keep = self.parser.should_keep_alive()  # which the parser knows now, and not any more afterwards


def _attributes(ask: Ask) -> str:
    return f"X-Amzn-SageMaker-Custom-Attributes: {ask.attributes}\r\n" if ask.attributes else ""


class Connection:
    """One keep-alive connection, opened when it is needed and again after it broke."""

    def __init__(self, address: Address, headers: Sequence[tuple[str, str]] = (), timeout_s: float = 120.0) -> None:
        self._address = address
        self._timeout_s = timeout_s
        lines = [("Host", f"{address.host}:{address.port}"), ("Accept", "*/*"), *headers]
        self._head = "".join(f"{name}: {value}\r\n" for name, value in lines)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._written_bytes = 0

    async def ask(self, ask: Ask) -> Reply:
        """Send and wait for the whole answer, whatever its status; raises RequestFailed when there is none."""
        self._written_bytes = 0
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._exchange(ask)
        except TimeoutError as error:
            raise self._failed("timeout", f"no answer within {self._timeout_s:g} s") from error
        except ConnectionRefusedError as error:
            raise self._failed("connection refused", str(error)) from error
        except (OSError, asyncio.IncompleteReadError) as error:
            raise self._failed("connection lost", repr(error)) from error
        except httptools.HttpParserError as error:
            raise self._failed("not HTTP", str(error)) from error
        except asyncio.CancelledError:
            self.close()
            raise

    def _failed(self, kind: str, detail: str) -> RequestFailed:
        """What is still in the client was not sent."""
        left = self._streams[1].transport.get_write_buffer_size() if self._streams is not None else 0
        self.close()
        return RequestFailed(kind, detail, max(0, self._written_bytes - left))

    async def open(self) -> None:
        if self._streams is not None and (self._streams[0].at_eof() or self._streams[1].is_closing()):
            self.close()  # the server hung up on an idle connection, which is its right
        if self._streams is None:
            where = self._address
            self._streams = await asyncio.open_connection(where.host, where.port, ssl=where.tls)

    async def _exchange(self, ask: Ask) -> Reply:
        await self.open()
        assert self._streams is not None
        reader, writer = self._streams
        size = ask.size
        head = (
            f"{ask.method} {ask.target or '/'} HTTP/1.1\r\n{self._head}"
            f"{_attributes(ask)}Content-Type: {ask.content_type}\r\nContent-Length: {size}\r\n\r\n"
        ).encode("latin-1")
        # Not drained: an answer may come before the body is through, and must be read.
        writer.writelines([head, *ask.body])
        self._written_bytes = len(head) + size
        status, body, keep = await self._read(reader)
        if not keep:
            self.close()
        return Reply(status, body, self._written_bytes)

    async def _read(self, reader: asyncio.StreamReader) -> tuple[int, bytes, bool]:
        """Status, body, and whether the connection may be used again."""
        answer = _Answer()
        while not answer.whole:
            part = await reader.read(READ_BYTES)
            if not part and answer.ends_with_connection:
                break
            if not part:
                raise asyncio.IncompleteReadError(bytes(answer.body), None)
            answer.parser.feed_data(part)
        return answer.parser.get_status_code(), bytes(answer.body), answer.keep

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None
