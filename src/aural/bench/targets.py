"""Who is asked: an address over HTTP, or a SageMaker endpoint through boto3."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from aural.bench.http import Address, Ask, Connection, Reply, RequestFailed
from aural.errors import BenchError

SAGEMAKER = "sagemaker:"
DETAIL_CHARS = 200
MOST_IN_FLIGHT = 2_000
"""Arrivals beyond so many unanswered requests are not sent, but recorded as failures."""


class Target(Protocol):
    """Somebody who can be asked. Waits for a free connection of its pool, which is as large as the concurrency."""

    async def ask(self, ask: Ask) -> Reply:
        """The answer, whatever its status; raises RequestFailed when there is none."""
        ...

    async def open(self, connections: int) -> None:
        """Have so many connections ready."""
        ...

    async def close(self) -> None: ...


@dataclass(slots=True)
class HttpTarget:
    """An address; connections are lent and given back, the one that was used last first."""

    address: Address
    headers: Mapping[str, str]
    timeout_s: float
    _idle: list[Connection]

    @classmethod
    def at(cls, url: str, headers: Mapping[str, str], timeout_s: float) -> HttpTarget:
        return cls(Address.of(url), headers, timeout_s, [])

    async def open(self, connections: int) -> None:
        missing = [self._new() for _ in range(connections - len(self._idle))]
        with suppress(OSError):  # whoever cannot be reached shows as failed requests, with their kind
            await asyncio.gather(*(connection.open() for connection in missing))
        self._idle += missing

    async def ask(self, ask: Ask) -> Reply:
        connection = self._idle.pop() if self._idle else self._new()
        try:
            return await connection.ask(ask)
        finally:
            self._idle.append(connection)

    async def close(self) -> None:
        for connection in self._idle:
            connection.close()
        self._idle.clear()
        await asyncio.sleep(0)

    def _new(self) -> Connection:
        return Connection(self.address, list(self.headers.items()), self.timeout_s)


class SageMakerTarget:
    """An endpoint of Amazon SageMaker. boto3 signs and sends in threads, one per connection, and never tries again.
    Threads and connections come as they are needed, so that no request waits for one."""

    def __init__(self, endpoint: str, region: str | None, endpoint_url: str | None, timeout_s: float) -> None:
        self._endpoint = endpoint
        self._made = {"region_name": region, "endpoint_url": endpoint_url}
        self._timeout_s = timeout_s
        self._client: Any = None
        self._threads: ThreadPoolExecutor | None = None
        self._size = 0

    async def open(self, connections: int) -> None:
        if connections <= self._size:
            return
        connections = max(connections, MOST_IN_FLIGHT)
        await self.close()
        self._size = connections
        self._client = self._make(connections)
        self._threads = ThreadPoolExecutor(connections, "sagemaker")

    def _make(self, connections: int) -> Any:
        try:
            import boto3
            from botocore.config import Config
            from botocore.exceptions import BotoCoreError
        except ImportError as error:
            raise BenchError("expected boto3 for sagemaker: targets; pip install boto3") from error
        config = Config(
            retries={"total_max_attempts": 1},
            max_pool_connections=connections,
            read_timeout=self._timeout_s,
            connect_timeout=self._timeout_s,
        )
        try:
            return boto3.client("sagemaker-runtime", config=config, **self._made)
        except (BotoCoreError, ValueError) as error:
            raise BenchError(f"expected credentials and a region for {SAGEMAKER}{self._endpoint}: {error}") from error

    async def ask(self, ask: Ask) -> Reply:
        if self._threads is None:
            await self.open(1)
        assert self._threads is not None
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._invoke, ask)

    def _invoke(self, ask: Ask) -> Reply:
        from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, ReadTimeoutError

        attributes = {"CustomAttributes": ask.attributes} if ask.attributes else {}
        try:
            answer = self._client.invoke_endpoint(
                EndpointName=self._endpoint, ContentType=ask.content_type, Body=b"".join(ask.body), **attributes
            )
            return Reply(200, answer["Body"].read(), ask.size)
        except ReadTimeoutError as error:
            raise RequestFailed("timeout", str(error)[:DETAIL_CHARS], ask.size) from error
        except ClientError as error:
            raise RequestFailed(_kind(error.response), str(error)[:DETAIL_CHARS], ask.size) from error
        except BotoCoreError as error:
            sent = ask.size if isinstance(error, HTTPClientError) else 0  # others come before anything is sent
            raise RequestFailed(type(error).__name__, str(error)[:DETAIL_CHARS], sent) from error

    async def close(self) -> None:
        if self._threads is not None:
            self._threads.shutdown()
            self._client.close()
            self._threads = None
            self._size = 0


def _kind(response: Any) -> str:
    """A failure inside the container goes by its own status, one of AWS by AWS's code."""
    inner = response.get("OriginalStatusCode")
    return f"http-{inner}" if inner else str(response.get("Error", {}).get("Code", "ClientError"))


def target_of(
    name: str,
    *,
    headers: Mapping[str, str] | None = None,
    timeout_s: float = 120.0,
    region: str | None = None,
    endpoint_url: str | None = None,
) -> Target:
    """`http://…`, `https://…` or `sagemaker:ENDPOINT`."""
    if name.startswith(SAGEMAKER):
        return SageMakerTarget(name.removeprefix(SAGEMAKER), region, endpoint_url, timeout_s)
    return HttpTarget.at(name, headers or {}, timeout_s)
