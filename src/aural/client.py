"""One client for a server of one's own and for a SageMaker endpoint.

`Client("http://127.0.0.1:8080")` speaks to `aural serve`, `Client("sagemaker:NAME")` to an endpoint through boto3.
Refusals are repeated by class: a request that a busy container shed comes from SageMaker as ModelError 424 with 503
inside, which boto3 never repeats.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPException
from typing import Any, Protocol, TypeVar

from aural import attributes
from aural.errors import BadRequest, BodyTooLarge, CallFailed, SettingsError

T = TypeVar("T")

LARGEST_BYTES = 25 * 1024 * 1024
"""Of a body to SageMaker by its pages; its older service model says 6 MiB."""
LONGEST_ATTRIBUTES = 1024
"""Characters that SageMaker takes; a server's limit is that of its headers."""
READ_S, STREAM_READ_S = 70.0, 490.0
"""SageMaker gives a container 60 s, and 8 minutes for a stream."""
SERVER_READ_S = 3600.0
"""A server of one's own hears a file to its end, however long that takes."""
POOL = 50
REPEATED = frozenset({429, 503})
"""Statuses that say: later. Everything else would be the same again."""
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 20.0
COLD = "cold"
"""Code of a call to an endpoint that has scaled to zero."""
THROTTLED = frozenset({"Throttling", "ThrottlingException", "RequestThrottledException", "TooManyRequestsException"})
"""Codes that AWS gives with 400 as well as with 429."""
UNREACHABLE, BROKEN_OFF = "unreachable", "broken_off"
NEVER_MADE = (ConnectionRefusedError, socket.gaierror)
"""Connections over which nothing was sent."""
LINES = "application/x-ndjson"
ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"


@dataclass(frozen=True, slots=True)
class Asked:
    """One call: the body as it is, raw rather than in base64, which is a third larger."""

    body: bytes
    content_type: str = "application/octet-stream"
    accept: str = "application/json"
    attributes: str = ""


class Transport(Protocol):
    """`send` and `stream` raise CallFailed."""

    largest_bytes: int
    longest_attributes: int

    def send(self, asked: Asked) -> bytes: ...

    def stream(self, asked: Asked) -> Iterator[bytes]:
        """The body in arbitrary pieces."""
        ...

    def close(self) -> None: ...


@dataclass(slots=True)
class Client:
    """Safe to share between threads. `wake_s` is how long a call may wait for an endpoint that sleeps at zero, `read_s`
    how long for the next bytes of an answer: 0 takes what SageMaker allows, and an hour for a server.
    Raises SettingsError without boto3 or a region where they are needed."""

    endpoint: str
    region: str = ""
    url: str = ""
    component: str = ""
    api_key: str = ""
    attempts: int = 4
    wake_s: float = 0.0
    read_s: float = 0.0
    largest_bytes: int = 0
    """0 takes SageMaker's limit for an endpoint, and leaves a server to its own."""
    sleep: Callable[[float], None] = time.sleep
    _transport: Transport = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.endpoint.startswith(("http://", "https://")):
            self._transport = _Http(self.endpoint.rstrip("/"), self.api_key, self.read_s or SERVER_READ_S)
        else:
            name = self.endpoint.removeprefix("sagemaker:")
            self._transport = _SageMaker(name, self.component, self.region, self.url, self.read_s)

    def transcribe(
        self, audio: bytes, *, content_type: str = "application/octet-stream", **options: Any
    ) -> dict[str, Any]:
        """The transcript of a whole file: `text` and more. Options are those of /invocations: language, task,
        timestamps, … Raises CallFailed, and BadRequest or BodyTooLarge for what is not sent."""
        return _parsed(self.send(Asked(audio, content_type, attributes=attributes.write(options))))

    def stream(
        self, audio: bytes, *, content_type: str = "application/octet-stream", **options: Any
    ) -> Iterator[dict[str, Any]]:
        """Segments as they are heard, then `{"type": "done", …}`; for files that take longer than a minute.
        Raises as `transcribe` does."""
        asked = Asked(audio, content_type, LINES, attributes.write(options))
        self._check(asked)
        chunks = self._patiently(partial(_opened, self._transport, asked))
        part: dict[str, Any] = {}
        for part in map(_parsed, lines(chunks)):
            if part.get("type") == "error":
                raise CallFailed(500, part["error"]["code"], part["error"]["message"])
            yield part
        if not part or part.get("type") == "segment":
            raise CallFailed(500, BROKEN_OFF, "expected a last part, of type done; the stream ended before it")

    def send(self, asked: Asked) -> bytes:
        """Any call of /invocations. Raises as `transcribe` does."""
        self._check(asked)
        return self._patiently(partial(self._transport.send, asked))

    def close(self) -> None:
        self._transport.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _check(self, asked: Asked) -> None:
        largest = self.largest_bytes or self._transport.largest_bytes
        longest = self._transport.longest_attributes
        if len(asked.body) > largest:
            advice = "send FLAC, Opus or MP3, or use an asynchronous endpoint"
            raise BodyTooLarge(largest, f"{len(asked.body)}; {advice}")
        if len(asked.attributes) > longest or not asked.attributes.isascii():
            expected = f"expected options of at most {longest} ASCII characters once written"
            raise BadRequest(f"{expected}, got {len(asked.attributes)}; send them in a JSON body", param="attributes")

    def _patiently(self, call: Callable[[], T]) -> T:
        """Repeat what was refused for lack of room, with waits that grow and differ between callers."""
        tried, waited_s = 0, 0.0
        while True:
            try:
                return call()
            except CallFailed as error:
                tried += 1
                if not (waited_s < self.wake_s if error.code == COLD else self._again(error, tried)):
                    raise
                pause_s = error.retry_after_s or min(LONGEST_WAIT_S, FIRST_WAIT_S * 2**tried) * random.uniform(0.5, 1.0)
            self.sleep(pause_s)
            waited_s += pause_s

    def _again(self, error: CallFailed, tried: int) -> bool:
        return error.status in REPEATED and tried < self.attempts


class AsyncClient:
    """The same for asyncio, over threads of its own: boto3 has no other way."""

    def __init__(self, endpoint: str, *, concurrency: int = POOL, **options: Any) -> None:
        self._client = Client(endpoint, **options)
        self._threads = ThreadPoolExecutor(concurrency, "aural-client")

    async def transcribe(self, audio: bytes, **options: Any) -> dict[str, Any]:
        return await self._in_thread(partial(self._client.transcribe, audio, **options))

    async def stream(self, audio: bytes, **options: Any) -> AsyncIterator[dict[str, Any]]:
        parts = self._client.stream(audio, **options)
        while (part := await self._in_thread(partial(next, parts, None))) is not None:
            yield part

    async def close(self) -> None:
        self._threads.shutdown(wait=False)
        self._client.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def _in_thread(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)


@dataclass(slots=True)
class _Http:
    """A server of one's own, which says its limits itself."""

    url: str
    api_key: str
    read_s: float
    largest_bytes: int = sys.maxsize
    longest_attributes: int = sys.maxsize

    def send(self, asked: Asked) -> bytes:
        with self._unbroken(), self._open(asked) as answer:
            body: bytes = answer.read()
            return body

    def stream(self, asked: Asked) -> Iterator[bytes]:
        with self._unbroken(), self._open(asked) as answer:
            while chunk := answer.read1():
                yield chunk

    def close(self) -> None:
        """Nothing is kept open."""

    @contextmanager
    def _unbroken(self) -> Iterator[None]:
        """Only a connection that was never made is worth another: a server may have begun on what was sent."""
        try:
            yield
        except (OSError, HTTPException) as error:
            if isinstance(getattr(error, "reason", None), NEVER_MADE):
                raise CallFailed(503, UNREACHABLE, f"{self.url}: {error}") from error
            raise CallFailed(500, BROKEN_OFF, f"{self.url}: {error!r}") from error

    def _open(self, asked: Asked) -> Any:
        headers = {"Content-Type": asked.content_type, "Accept": asked.accept}
        headers |= {ATTRIBUTES: asked.attributes} if asked.attributes else {}
        headers |= {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}
        request = urllib.request.Request(f"{self.url}/invocations", asked.body, headers, method="POST")
        try:
            return urllib.request.urlopen(request, timeout=self.read_s)
        except urllib.error.HTTPError as error:
            with error:
                raise _failure(error.code, error.read().decode(errors="replace"), dict(error.headers)) from error


@dataclass(slots=True)
class _SageMaker:
    """An endpoint through boto3, or through its stand-in at `url`."""

    name: str
    component: str
    region: str
    url: str
    read_s: float
    largest_bytes: int = LARGEST_BYTES
    longest_attributes: int = LONGEST_ATTRIBUTES
    _runtime: Any = field(init=False, repr=False)
    _streaming: Any = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._runtime = _runtime(self.region, self.url, self.read_s or READ_S)
        self._streaming = _runtime(self.region, self.url, self.read_s or STREAM_READ_S)

    def send(self, asked: Asked) -> bytes:
        with _unbroken():
            answer: bytes = self._runtime.invoke_endpoint(**self._request(asked))["Body"].read()
            return answer

    def stream(self, asked: Asked) -> Iterator[bytes]:
        with _unbroken():
            answer = self._streaming.invoke_endpoint_with_response_stream(**self._request(asked))
            for event in answer["Body"]:
                yield event["PayloadPart"]["Bytes"]

    def close(self) -> None:
        self._runtime.close()
        self._streaming.close()

    def _request(self, asked: Asked) -> dict[str, Any]:
        request = {"EndpointName": self.name, "Body": asked.body}
        request |= {"ContentType": asked.content_type, "Accept": asked.accept}
        request |= {"CustomAttributes": asked.attributes} if asked.attributes else {}
        return request | ({"InferenceComponentName": self.component} if self.component else {})


@contextmanager
def _unbroken() -> Iterator[None]:
    """A call through boto3, to the end of its answer. Raises CallFailed."""
    from botocore.eventstream import ParserError
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        ConnectTimeoutError,
        EndpointConnectionError,
        EventStreamError,
    )
    from urllib3.exceptions import HTTPError

    try:
        yield
    except (EndpointConnectionError, ConnectTimeoutError) as error:
        raise CallFailed(503, UNREACHABLE, str(error)) from error
    except (BotoCoreError, EventStreamError, HTTPError, ParserError) as error:
        raise CallFailed(500, BROKEN_OFF, str(error)) from error
    except ClientError as error:
        raise _explained(error.response) from error


def _runtime(region: str, url: str, read_s: float) -> Any:
    """One attempt each: boto3 would send an hour of audio again after a timeout, five times. Raises SettingsError."""
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError
    except ImportError as error:
        raise SettingsError("expected boto3 for a SageMaker endpoint; pip install 'aural[deploy]'") from error
    config = Config(read_timeout=read_s, max_pool_connections=POOL, retries={"total_max_attempts": 1})
    where = {"region_name": region or None, "endpoint_url": url or None}
    local = {"aws_access_key_id": "local", "aws_secret_access_key": "local"} if url else {}
    try:
        return boto3.client("sagemaker-runtime", config=config, **where, **local)
    except (BotoCoreError, ValueError) as error:
        raise SettingsError(f"expected a region and an address for SageMaker: {error}") from error


def lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Whole lines of a body that comes in arbitrary pieces."""
    rest = b""
    for chunk in chunks:
        *done, rest = (rest + chunk).split(b"\n")
        yield from (line for line in done if line.strip())
    if rest.strip():
        yield rest


def _parsed(answer: bytes) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(answer)
    except ValueError as error:
        raise CallFailed(500, BROKEN_OFF, f"expected a whole object in JSON, got {answer[:100]!r}") from error
    return document


def _opened(transport: Transport, asked: Asked) -> Iterator[bytes]:
    """The stream with its first piece read, so that a refusal is met here and may be repeated."""
    chunks = transport.stream(asked)
    first = next(chunks, b"")
    return _joined(first, chunks)


def _joined(first: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from chunks


def _explained(response: Mapping[str, Any]) -> CallFailed:
    """ModelError carries the container's own answer; the rest is SageMaker's."""
    error = response.get("Error", {})
    code, said = error.get("Code", ""), error.get("Message", "")
    if code == "ModelError":
        return _failure(response.get("OriginalStatusCode", 500), response.get("OriginalMessage", said), {})
    if "capacity" in said and code.startswith("Validation"):
        return CallFailed(503, COLD, said)
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
    return CallFailed(429 if code in THROTTLED else status, code, said)


def _failure(status: int, body: str, headers: Mapping[str, str]) -> CallFailed:
    """From our error object, or from whatever else came."""
    try:
        error = json.loads(body)["error"]
        failure = CallFailed(status, error["code"], error["message"])
    except (ValueError, KeyError, TypeError):
        failure = CallFailed(status, "error", body[:500])
    with suppress(ValueError, TypeError):
        failure.retry_after_s = float(headers.get("Retry-After") or 0) or None
    return failure


__all__ = ["Asked", "AsyncClient", "CallFailed", "Client"]
