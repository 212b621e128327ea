"""Streams that go both ways: over the stand-in, to a server of one's own, and in the parts of AWS's event stream."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest

from aural.duplex import Duplex, Message, Parts, connect
from aural.errors import CallFailed, SettingsError
from tests.deploy.faulty import faulty
from tests.deploy.local import Local

PATH = "/invocations-bidirectional-stream"


def spoken(endpoint: str, *messages: Message, **where: str) -> list[Message | None]:
    """What comes back, the greeting first."""

    async def converse() -> list[Message | None]:
        async with connect(endpoint, **where) as stream:
            heard = [await stream.receive()]
            for message in messages:
                await stream.send(message)
                heard.append(await stream.receive())
            await stream.finish()
        return heard

    return asyncio.run(converse())


def test_text_and_bytes_through_the_stand_in(echo: Local) -> None:
    assert spoken("sagemaker:echo", "hello", b"\x00\xff", url=echo.url) == [PATH, "hello", b"\x00\xff"]


def test_path_and_query_choose_a_route_of_the_container(echo: Local) -> None:
    assert spoken("sagemaker:echo", url=echo.url, path="v1/realtime", query="model=a") == ["/v1/realtime?model=a"]


def test_a_server_of_ones_own(echo: Local) -> None:
    (container,) = echo.fleets.endpoints["echo"].fleet.containers
    assert spoken(f"http://127.0.0.1:{container.port}", "hello") == [PATH, "hello"]


def test_a_stream_has_an_end(echo: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = echo.app.state.standin.runtime
    monkeypatch.setattr(runtime, "limits", replace(runtime.limits, duplex_s=0.3))

    async def silent() -> Message | None:
        async with connect("sagemaker:echo", url=echo.url) as stream:
            assert await stream.receive() == PATH
            return await stream.receive()

    with pytest.raises(CallFailed, match=r"closed_1001: a stream lasts 0\.005 minutes at most"):
        asyncio.run(silent())


def test_the_containers_end_is_the_callers_end(echo: Local) -> None:
    assert spoken("sagemaker:echo", "close 1000", url=echo.url)[-1] is None
    with pytest.raises(CallFailed) as caught:
        spoken("sagemaker:echo", "close 1011", url=echo.url)
    assert (caught.value.code, "as told" in str(caught.value)) == ("closed_1011", True)
    with pytest.raises(CallFailed, match="closed_1011"):
        spoken("sagemaker:echo", "die", url=echo.url)


@pytest.mark.parametrize(("name", "path"), [("nobody", ""), ("echo", "/v1/realtime")])
def test_what_aws_would_refuse(echo: Local, name: str, path: str) -> None:
    with pytest.raises(CallFailed, match="leading slash"):
        spoken(f"sagemaker:{name}", url=echo.url, path=path)


def test_nobody_there() -> None:
    with pytest.raises(CallFailed, match="unreachable"):
        spoken("http://127.0.0.1:9")


@pytest.mark.parametrize("answer", [b"nonsense\r\n\r\n", b"HTTP/1.1 101 Yes\r\n\r\n"])
def test_who_speaks_no_websocket(answer: bytes) -> None:
    with faulty(answer) as server, pytest.raises(CallFailed, match="unreachable"):
        spoken(server.url)


def test_an_endpoint_needs_awss_client_or_a_region() -> None:
    with pytest.raises(SettingsError):
        spoken("sagemaker:x")


@dataclass
class Scripted:
    """AWS's DuplexEventStream as its client has it."""

    events: list[Any]
    sent: list[Any] = field(default_factory=list)
    closed: bool = False
    output_stream: Any = None

    @property
    def input_stream(self) -> Any:
        async def send(event: Any) -> None:
            self.sent.append(event.value)

        async def close() -> None:
            self.closed = True

        return SimpleNamespace(send=send, close=close)

    async def await_output(self) -> tuple[None, Any]:
        async def receive() -> Any:
            event = self.events.pop(0) if self.events else None
            if isinstance(event, Exception):
                raise event
            return event

        return None, SimpleNamespace(receive=receive)


class ServiceError(Exception):
    error_code = "ModelInvocationTimeExceeded"


MODELS = SimpleNamespace(
    RequestPayloadPart=SimpleNamespace, RequestStreamEventPayloadPart=SimpleNamespace, ServiceError=ServiceError
)


def part(data: bytes, kind: str | None, state: str | None = "COMPLETE") -> Any:
    return SimpleNamespace(value=SimpleNamespace(bytes_=data, data_type=kind, completion_state=state))


def through(stream: Scripted, count: int, *messages: Message) -> list[Message | None]:
    async def converse() -> list[Message | None]:
        duplex: Duplex = Parts(stream, MODELS)
        for message in messages:
            await duplex.send(message)
        heard = [await duplex.receive() for _ in range(count)]
        assert isinstance(duplex, Parts)
        await duplex.close()
        return heard

    return asyncio.run(converse())


def test_parts_become_messages() -> None:
    pieces = ["é".encode()[:1], "é".encode()[1:]]
    stream = Scripted([part(pieces[0], "UTF8", "PARTIAL"), part(pieces[1], "UTF8"), part(b"\x01", None)])
    assert through(stream, 3, "hi", b"\x02") == ["é", b"\x01", None]
    assert [(one.bytes_, one.data_type, one.completion_state) for one in stream.sent] == [
        (b"hi", "UTF8", "COMPLETE"),
        (b"\x02", "BINARY", "COMPLETE"),
    ]
    assert stream.closed


@dataclass
class Clogged(Scripted):
    """One that has broken: nobody takes what is written to it, and closing waits for that."""

    @property
    def input_stream(self) -> Any:
        async def write(event: Any = None) -> None:
            await asyncio.Event().wait()

        return SimpleNamespace(send=write, close=write)


def test_writing_to_a_stream_that_has_ended_does_not_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aural.duplex.CLOSE_S", 0.01)

    async def converse() -> None:
        duplex = Parts(Clogged([OSError("reset")]), MODELS)
        with pytest.raises(CallFailed, match="closed"):
            await duplex.send("hello")
        for _ in range(2):
            with pytest.raises(CallFailed, match="reset"):
                await duplex.receive()
        await duplex.close()

    asyncio.run(converse())


def test_a_stream_that_fails_says_so() -> None:
    with pytest.raises(CallFailed, match="ModelInvocationTimeExceeded"):
        through(Scripted([ServiceError("too long")]), 1)
