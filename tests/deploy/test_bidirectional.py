"""InvokeEndpointWithBidirectionalStream over HTTP/2: from AWS's client to the container's WebSocket, and back."""

from __future__ import annotations

import asyncio
import json
import sys
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from aural import eventstream
from aural.audio.decode import decode
from aural.deploy.apply import carry_out
from aural.deploy.plan import make_plan
from aural.deploy.standin.container import COMMAND
from aural.duplex import connect
from aural.errors import CallFailed
from aural.types import SAMPLE_RATE
from tests.api.realtime import COMPLETED, pcm16
from tests.conftest import Recording, wait_until, words
from tests.deploy.caller import END, Caller, calling, part
from tests.deploy.local import HURRY, Local, puppet, standin

PATH = "/invocations-bidirectional-stream"
LONG_S = 90
needs_aws = pytest.mark.skipif(
    sys.version_info < (3, 12),
    reason="AWS's own HTTP/2 client needs Python 3.12: run there with pip install 'aural[bidirectional,test]'",
)


@pytest.fixture
def caller(echo: Local) -> Iterator[Caller]:
    wait_until(lambda: container(echo).is_alive, LONG_S)
    with calling(echo.app.state.front) as opened:
        yield opened


def container(echo: Local) -> Any:
    return echo.fleets.endpoints["echo"].fleet.containers[0]


def read(message: Any) -> tuple[bytes, str, str]:
    assert message.headers[":event-type"] == "PayloadPart"
    return message.payload, message.headers["DataType"], message.headers["CompletionState"]


def talk(caller: Caller, *sent: bytes, **headers: str) -> list[Any]:
    """One message back for each that is sent, the greeting first, and a good end."""
    stream = caller.open(**headers)
    for i, data in enumerate(sent, start=1):
        caller.wait(stream, i)
        caller.send(stream, data)
    messages = caller.wait(stream, len(sent) + 1)
    caller.send(stream, END)
    caller.end(stream)
    heard = caller.rest(stream)
    assert (heard.headers[":status"], heard.headers["content-type"]) == ("200", eventstream.MEDIA_TYPE)
    assert len(heard.messages()) == len(messages)
    return messages


def last(caller: Caller, said: bytes) -> Any:
    """What a stream ends with after that."""
    stream = caller.open()
    caller.send(stream, said)
    return caller.rest(stream).messages()[-1]


def stream_error(message: Any) -> dict[str, str]:
    assert (message.headers[":message-type"], message.headers[":exception-type"]) == ("exception", "ModelStreamError")
    said: dict[str, str] = json.loads(message.payload)
    return said


def test_a_part_is_a_frame(caller: Caller) -> None:
    greeting, *others = map(read, talk(caller, part("héllo"), part(b"\x00\xff")))
    assert greeting == (PATH.encode(), "UTF8", "COMPLETE")
    assert others == [("héllo".encode(), "UTF8", "COMPLETE"), (b"\x00\xff", "BINARY", "COMPLETE")]


def test_a_part_may_come_unsigned_and_without_its_headers(caller: Caller) -> None:
    assert read(talk(caller, eventstream.payload_part(b"bare"))[1]) == (b"bare", "BINARY", "COMPLETE")


def test_path_and_query_choose_a_route_of_the_container(caller: Caller) -> None:
    (greeting,) = talk(caller, invocation_path="v1/realtime", query_string="model=a&language=en")
    assert greeting.payload == b"/v1/realtime?model=a&language=en"


def test_partial_parts_are_one_message_in_fragments(caller: Caller) -> None:
    stream = caller.open()
    pieces = "né".encode()
    for data, state in ((pieces[:2], "PARTIAL"), (pieces[2:], "PARTIAL"), (b"!", "COMPLETE")):
        headers = {"DataType": "UTF8", "CompletionState": state}
        caller.send(stream, eventstream.payload_part(data, headers))
    assert read(caller.wait(stream, 2)[1]) == ("né!".encode(), "UTF8", "COMPLETE")


def test_fragments_of_the_container_are_partial_parts(caller: Caller) -> None:
    stream = caller.open()
    caller.send(stream, part("pieces one two"))
    _, *parts = map(read, caller.wait(stream, 4))
    assert parts == [(b"one", "UTF8", "PARTIAL"), (b"two", "UTF8", "PARTIAL"), (b"", "UTF8", "COMPLETE")]


def test_messages_larger_than_the_window(caller: Caller) -> None:
    large = bytes(range(256)) * 1200
    assert read(talk(caller, part(large))[1]) == (large, "BINARY", "COMPLETE")


def test_streams_share_a_connection(caller: Caller) -> None:
    streams = [caller.open() for _ in range(3)]
    for stream in reversed(streams):
        caller.send(stream, part(str(stream)))
    assert [caller.wait(stream, 2)[1].payload for stream in streams] == [str(stream).encode() for stream in streams]


@pytest.mark.parametrize(
    ("name", "headers", "status", "code"),
    [
        ("nobody", {}, "400", "InputValidationError"),
        ("echo", {"invocation_path": "/v1/realtime"}, "400", "InputValidationError"),
        ("echo", {"invocation_path": "ping"}, "424", "ModelError"),
    ],
)
def test_what_is_refused_before_it_begins(
    caller: Caller, name: str, headers: dict[str, str], status: str, code: str
) -> None:
    heard = caller.rest(caller.open(name, **headers))
    assert (heard.headers[":status"], heard.headers["x-amzn-errortype"]) == (status, code)
    assert json.loads(heard.body)["message"]


def test_components_cannot_be_addressed(echo: Local, caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(echo.fleets.endpoints["echo"], "fleet", None)
    assert b"components" in caller.rest(caller.open()).body


def test_no_instance_in_service(echo: Local, caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(echo.fleets.endpoints["echo"].fleet, "containers", [])
    assert caller.rest(caller.open()).headers[":status"] == "503"


def test_the_containers_end_is_the_callers_end(caller: Caller) -> None:
    assert read(last(caller, part("close 1000")))[0] == PATH.encode()
    error = stream_error(last(caller, part("close 1011")))
    assert error == {"ErrorCode": "StreamBroken", "Message": "the container closed with 1011: as told"}


def test_the_callers_end_is_the_containers_end(echo: Local, caller: Caller) -> None:
    stream = caller.open()
    caller.wait(stream, 1)
    wait_until(lambda: container(echo).in_flight == 1, LONG_S)
    caller.h2.reset_stream(stream)
    caller.flush()
    wait_until(lambda: container(echo).in_flight == 0, LONG_S)
    with calling(echo.app.state.front) as other:
        other.wait(other.open(), 1)
    wait_until(lambda: container(echo).in_flight == 0, LONG_S)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (part("hello")[:-1] + b"\x00", "hecksum"),
        (eventstream.payload_part(b"", {"DataType": "UTF16"}), "UTF16"),
        (eventstream.message({":event-type": "Question"}, b""), "Question"),
    ],
)
def test_what_is_no_part_ends_the_stream(caller: Caller, said: bytes, why: str) -> None:
    headers = last(caller, said).headers
    assert (headers[":message-type"], headers[":error-code"]) == ("error", "ValidationException")
    assert why in headers[":error-message"]


def test_a_stream_lasts_half_an_hour(echo: Local, caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = echo.app.state.standin.runtime
    monkeypatch.setattr(runtime, "limits", replace(runtime.limits, duplex_s=0.1))
    error = stream_error(last(caller, part("hello")))
    assert error["ErrorCode"] == "ModelInvocationTimeExceeded"


def test_a_fault_of_the_stand_in_is_said(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aural.deploy.standin.bidirectional._read", None)
    assert last(caller, part("hello")).headers[":exception-type"] == "InternalStreamFailure"


@needs_aws
def test_awss_own_client(echo: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("aws_sdk_sagemaker_runtime_http2")
    wait_until(lambda: container(echo).is_alive, LONG_S)
    front = echo.app.state.front
    monkeypatch.setenv("SSL_CERT_FILE", str(front.authority))

    async def converse(name: str, *messages: str | bytes, **more: str) -> list[Any]:
        async with connect(f"sagemaker:{name}", region="eu-west-1", url=front.url, **more) as stream:
            heard = [await stream.receive()]
            for message in messages:
                await stream.send(message)
                heard.append(await stream.receive())
            await stream.finish()
            return [*heard, await stream.receive()]

    large = "x" * 900_000
    assert asyncio.run(converse("echo", "hello", b"\x00\xff", large)) == [PATH, "hello", b"\x00\xff", large, None]
    assert asyncio.run(converse("echo", path="v1/listen", query="a=b&c=d")) == ["/v1/listen?a=b&c=d", None]
    assert asyncio.run(converse("echo", "close 1000"))[1:] == [None, None]
    for name, said, path, code in (
        ("nobody", "", "", "400 InputValidationError"),
        ("echo", "", "/v1", "400 InputValidationError"),
        ("echo", "", "ping", "200 ModelError"),
        ("echo", "close 1011", "", "503 StreamBroken"),
    ):
        with pytest.raises(CallFailed, match=code):
            asyncio.run(converse(name, *[said] * bool(said), path=path))


def test_a_container_that_dies(caller: Caller) -> None:
    assert "1006" in stream_error(last(caller, part("die")))["Message"]


@pytest.fixture(scope="module")
def captions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    """The stand-in, with an endpoint whose container is the server itself."""
    with standin(tmp_path_factory.mktemp("captions"), command=COMMAND) as running:
        endpoint = puppet(name="captions", model={"serve": "whisper-tiny.en"})
        carry_out(running.cloud, make_plan(endpoint, running.cloud), lambda _: None, HURRY)
        yield running


def test_a_session_of_the_server_itself(captions: Local, clips: dict[str, Recording]) -> None:
    audio = pcm16(decode(clips["libri-367-130732-0001"].bytes, limit_s=60).samples)
    pieces = [b64encode(audio[at : at + SAMPLE_RATE]).decode() for at in range(0, len(audio), SAMPLE_RATE)]
    heard = {"input": {"format": {"type": "audio/pcm", "rate": SAMPLE_RATE}}}
    with calling(captions.app.state.front) as caller:
        stream = caller.open("captions")
        caller.wait(stream, 1)
        caller.send(stream, part(json.dumps({"type": "session.update", "session": {"audio": heard}}).encode()))
        for piece in pieces:
            caller.send(stream, part(json.dumps({"type": "input_audio_buffer.append", "audio": piece})))
        caller.send(stream, part(json.dumps({"type": "aural.finish"}).encode()))
        events = [json.loads(message.payload) for message in caller.rest(stream).messages()]
    assert [event["type"] for event in events[:2]] == ["session.created", "session.updated"]
    assert events[-1]["type"] == "aural.ended"
    said = [event["transcript"] for event in events if event["type"] == COMPLETED]
    assert {"lobster", "crayfish"} <= set(words(" ".join(said)))
