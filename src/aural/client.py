"""One client for a server of one's own and for a SageMaker endpoint.

`Client("http://127.0.0.1:8080")` speaks to `aural serve`, `Client("sagemaker:NAME")` to an endpoint through boto3.
Refusals are repeated by class: a request that a busy container shed comes from SageMaker as ModelError 424 with 503
inside, which boto3 never repeats.
"""

from __future__ import annotations

import asyncio
import json
import random
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

from aural.errors import BodyTooLarge, CallFailed, SettingsError

T = TypeVar("T")

LARGEST_BYTES = 25 * 1024 * 1024
"""Of a body to SageMaker by its pages; its older service model says 6 MiB."""
READ_S = 70.0
"""SageMaker gives a container 60 s; boto3's own limit of 60 s would send the same audio again."""
STREAM_READ_S = 490.0
POOL = 50
REPEATED = frozenset({429, 503})
"""Statuses that say: later. Everything else would be the same again."""
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 20.0
COLD = "cold"
"""Code of a call to an endpoint that has scaled to zero."""
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
    """Both raise CallFailed."""

    def send(self, asked: Asked) -> bytes: ...

    def stream(self, asked: Asked) -> Iterator[bytes]:
        """The body in arbitrary pieces."""
        ...

    def close(self) -> None: ...


@dataclass(slots=True)
class Client:
    """Safe to share between threads. `wake_s` is how long a call may wait for an endpoint that sleeps at zero.
    Raises SettingsError without boto3 or a region where they are needed."""

    endpoint: str
    region: str = ""
    url: str = ""
    component: str = ""
    api_key: str = ""
    attempts: int = 4
    wake_s: float = 0.0
    largest_bytes: int = LARGEST_BYTES
    sleep: Callable[[float], None] = time.sleep
    _transport: Transport = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.endpoint.startswith(("http://", "https://")):
            self._transport = _Http(self.endpoint.rstrip("/"), self.api_key)
        else:
            name = self.endpoint.removeprefix("sagemaker:")
            self._transport = _SageMaker(name, self.component, self.region, self.url)

    def transcribe(
        self, audio: bytes, *, content_type: str = "application/octet-stream", **options: Any
    ) -> dict[str, Any]:
        """The transcript of a whole file: `text` and more. Options are those of /invocations: language, task,
        timestamps, … Raises CallFailed, BodyTooLarge."""
        answer = self.send(Asked(audio, content_type, attributes=_attributes(options)))
        whole: dict[str, Any] = json.loads(answer)
        return whole

    def stream(
        self, audio: bytes, *, content_type: str = "application/octet-stream", **options: Any
    ) -> Iterator[dict[str, Any]]:
        """Segments as they are heard, then `{"type": "done", …}`; for files that take longer than a minute.
        Raises CallFailed, BodyTooLarge."""
        asked = Asked(audio, content_type, LINES, _attributes(options))
        self._check(asked)
        chunks = self._patiently(partial(_opened, self._transport, asked))
        for part in map(json.loads, lines(chunks)):
            if part.get("type") == "error":
                raise CallFailed(500, part["error"]["code"], part["error"]["message"])
            yield part

    def send(self, asked: Asked) -> bytes:
        """Any call of /invocations. Raises CallFailed, BodyTooLarge."""
        self._check(asked)
        return self._patiently(partial(self._transport.send, asked))

    def close(self) -> None:
        self._transport.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _check(self, asked: Asked) -> None:
        if len(asked.body) > self.largest_bytes:
            advice = "send FLAC, Opus or MP3, or use an asynchronous endpoint"
            raise BodyTooLarge(self.largest_bytes, f"{len(asked.body)}; {advice}")

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
    """A server of one's own."""

    url: str
    api_key: str

    def send(self, asked: Asked) -> bytes:
        with self._open(asked, READ_S) as answer, self._whole():
            body: bytes = answer.read()
            return body

    def stream(self, asked: Asked) -> Iterator[bytes]:
        with self._open(asked, STREAM_READ_S) as answer, self._whole():
            while chunk := answer.read1():
                yield chunk

    def close(self) -> None:
        """Nothing is kept open."""

    @contextmanager
    def _whole(self) -> Iterator[None]:
        try:
            yield
        except (OSError, HTTPException) as error:
            raise CallFailed(500, "broken_off", f"{self.url}: {error!r}") from error

    def _open(self, asked: Asked, limit_s: float) -> Any:
        headers = {"Content-Type": asked.content_type, "Accept": asked.accept}
        headers |= {ATTRIBUTES: asked.attributes} if asked.attributes else {}
        headers |= {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}
        request = urllib.request.Request(f"{self.url}/invocations", asked.body, headers, method="POST")
        try:
            return urllib.request.urlopen(request, timeout=limit_s)
        except urllib.error.HTTPError as error:
            with error:
                raise _failure(error.code, error.read().decode(errors="replace"), dict(error.headers)) from error
        except OSError as error:
            raise CallFailed(503, "unreachable", f"{self.url}: {error}") from error


@dataclass(slots=True)
class _SageMaker:
    """An endpoint through boto3, or through its stand-in at `url`."""

    name: str
    component: str
    region: str
    url: str
    _runtime: Any = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._runtime = _runtime(self.region, self.url)

    def send(self, asked: Asked) -> bytes:
        answer: bytes = self._call("invoke_endpoint", asked)["Body"].read()
        return answer

    def stream(self, asked: Asked) -> Iterator[bytes]:
        from botocore.exceptions import EventStreamError

        try:
            for event in self._call("invoke_endpoint_with_response_stream", asked)["Body"]:
                yield event["PayloadPart"]["Bytes"]
        except EventStreamError as error:
            raise CallFailed(500, "stream_broken", str(error)) from error

    def close(self) -> None:
        self._runtime.close()

    def _call(self, operation: str, asked: Asked) -> dict[str, Any]:
        from botocore.exceptions import BotoCoreError, ClientError

        request = {"EndpointName": self.name, "Body": asked.body}
        request |= {"ContentType": asked.content_type, "Accept": asked.accept}
        request |= {"CustomAttributes": asked.attributes} if asked.attributes else {}
        request |= {"InferenceComponentName": self.component} if self.component else {}
        try:
            answer: dict[str, Any] = getattr(self._runtime, operation)(**request)
        except ClientError as error:
            raise _explained(error.response) from error
        except BotoCoreError as error:
            raise CallFailed(500, "unreachable", str(error)) from error
        return answer


def _runtime(region: str, url: str) -> Any:
    """One attempt each: boto3 would send an hour of audio again after a timeout, five times. Raises SettingsError."""
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError
    except ImportError as error:
        raise SettingsError("expected boto3 for a SageMaker endpoint; pip install 'aural[deploy]'") from error
    config = Config(read_timeout=STREAM_READ_S, max_pool_connections=POOL, retries={"total_max_attempts": 1})
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


def _opened(transport: Transport, asked: Asked) -> Iterator[bytes]:
    """The stream with its first piece read, so that a refusal is met here and may be repeated."""
    chunks = transport.stream(asked)
    first = next(chunks, b"")
    return _joined(first, chunks)


def _joined(first: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from chunks


def _attributes(options: Mapping[str, Any]) -> str:
    """Options as `key=value`, the form in which they pass through SageMaker beside a raw body."""
    texts = {key: str(value).lower() if isinstance(value, bool) else value for key, value in options.items()}
    return ",".join(f"{key}={text}" for key, text in texts.items())


def _explained(response: Mapping[str, Any]) -> CallFailed:
    """ModelError carries the container's own answer; the rest is SageMaker's."""
    error = response.get("Error", {})
    code, said = error.get("Code", ""), error.get("Message", "")
    if code == "ModelError":
        return _failure(response.get("OriginalStatusCode", 500), response.get("OriginalMessage", said), {})
    if "capacity" in said and code.startswith("Validation"):
        return CallFailed(503, COLD, said)
    return CallFailed(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500), code, said)


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
