"""The client's own HTTP, and how requests name what they ask for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from aural.bench import clips
from aural.bench.http import Address, Ask, Connection, Reply, RequestFailed
from aural.bench.load import Driver
from aural.bench.plan import Plan
from aural.bench.protocols import PROTOCOLS, Wish
from aural.bench.records import Answer, Load
from aural.bench.targets import SageMakerTarget
from aural.errors import BenchError
from tests.bench.virtual import Plain

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
ITEM = clips.join([clips.Utterance("a", "words", np.ones(16_000, np.int16))], 16_000)


@asynccontextmanager
async def serving(talk: Talk) -> AsyncIterator[str]:
    """The address of a server; its conversations have ended when the block has."""
    talks: list[asyncio.Task[None]] = []

    async def whole(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.append(asyncio.current_task())  # type: ignore[arg-type]
        await talk(reader, writer)
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(whole, "127.0.0.1", 0) as server:
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            await asyncio.gather(*talks)


async def with_server(talk: Talk, ask: Ask, timeout_s: float = 10.0) -> Reply:
    async with serving(talk) as url:
        connection = Connection(Address.of(url), timeout_s=timeout_s)
        try:
            return await connection.ask(ask)
        finally:
            connection.close()


def test_an_answer_without_a_length_ends_with_the_connection() -> None:
    heads: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{"text": "words"}')

    reply = asyncio.run(with_server(talk, Ask("/", attributes="language=de")))
    assert (reply.status, reply.body) == (200, b'{"text": "words"}')
    assert b"\r\nX-Amzn-SageMaker-Custom-Attributes: language=de\r\n" in heads[0]


def test_an_answer_that_is_cut_off_is_a_failure() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"text')

    with pytest.raises(RequestFailed, match="connection lost"):
        asyncio.run(with_server(talk, Ask("/")))


def test_what_was_sent_before_a_timeout_is_counted() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    with pytest.raises(RequestFailed, match="timeout") as failed:
        asyncio.run(with_server(talk, Ask("/", (b"0" * 1_000,)), timeout_s=0.1))
    assert failed.value.sent_bytes > 1_000


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_request_names_model_and_language(name: str) -> None:
    ask = PROTOCOLS[name].ask(ITEM, Wish("some-model", "de"))
    whole = b"".join(ask.body) + ask.attributes.encode()
    assert b"some-model" in whole
    assert b"de" in ask.attributes.encode() or b'"de' in whole or b"\r\n\r\nde" in whole


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("", "/invocations"),
        ("/", "/invocations"),
        ("/invocations", "/invocations"),
        ("/custom/transcribe", "/custom/transcribe"),
        ("/behind/a/gateway/", "/behind/a/gateway/invocations"),
    ],
)
def test_a_path_is_taken_as_it_is_unless_it_is_a_prefix(path: str, asked: str) -> None:
    base = Address.of(f"http://host{path}").path
    assert PROTOCOLS["invocations-raw"].ask(ITEM, Wish(), base).target == asked


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"target": "http://user:secret@host/path"}, "without user, password and query, such as http://host/path"),
        ({"target": "http://host/path?key=secret"}, "without user, password and query, such as http://host/path"),
        ({"target": "http://host", "region": "us-east-1"}, "--region and --endpoint-url with sagemaker:ENDPOINT only"),
        ({"target": "http://host", "endpoint_url": "http://aws"}, "--region and --endpoint-url with sagemaker:"),
        ({"target": "sagemaker:one", "headers": (("X-Key", "secret"),)}, "expected no headers .* got X-Key$"),
    ],
)
def test_what_would_have_no_effect_is_refused(changed: dict[str, object], message: str) -> None:
    with pytest.raises(BenchError, match=message) as refused:
        replace(Plan("http://host", Path()), **changed)  # type: ignore[arg-type]
    assert "secret" not in str(refused.value)


def test_arrivals_at_sagemaker_wait_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """More at once than any load has callers, and none of them waits in the client."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "none")
    count = 40
    answers: list[Answer] = []

    async def main() -> None:
        arrived, all_there = 0, asyncio.Event()

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal arrived
            await reader.readuntil(b"\r\n\r\n")
            arrived += 1
            if arrived == count:
                all_there.set()
            await all_there.wait()
            writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 17\r\nConnection: close\r\n\r\n{"text": "words"}')

        async with serving(talk) as url:
            target = SageMakerTarget("aural", "us-east-1", url, 10.0)
            load = Load("open", "open", "3", 16, 1_000.0, count)
            try:
                await Driver(target, PROTOCOLS["invocations-raw"], Plain(), answers.append).run(load)
            finally:
                await target.close()

    asyncio.run(main())
    assert [answer.error for answer in answers] == [""] * count
