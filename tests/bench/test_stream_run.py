"""Streams over real sockets, against a server that says what it was told to say, and a real one."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from aural.bench import clips, stream_run
from aural.bench.clips import Utterance
from aural.bench.commands import bench
from aural.bench.sounds import RATE
from aural.bench.stream_records import Together
from aural.bench.stream_run import StreamPlan, StreamRunner, spoken
from aural.errors import BenchError
from tests.bench.standin import FINGERPRINT
from tests.conftest import DATA, Server

SECONDS = 5.0
TRANSCRIPTION = "conversation.item.input_audio_transcription."


@pytest.fixture(scope="session")
def utterances() -> list[Utterance]:
    return clips.read_utterances(DATA)


class Captions:
    """Knows every recording by its middle, and shows its text in two steps once it has heard it to its end. More than
    `most` sessions are refused, and one that `breaks` does so with its first audio."""

    def __init__(self, utterances: Sequence[Utterance], most: int, breaks: bool) -> None:
        self._utterances = utterances
        self._most = most
        self._breaks = breaks
        self._open = 0

    async def admit(self, connection: ServerConnection, request: Request) -> Response | None:
        if request.path == "/ping":
            return connection.respond(HTTPStatus.OK, "")
        if not request.path.startswith("/v1/realtime"):
            return connection.respond(HTTPStatus.NOT_FOUND, "")
        if self._open >= self._most:
            return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "full")
        self._open += 1
        return None

    async def talk(self, connection: ServerConnection) -> None:
        heard = bytearray()
        told: set[str] = set()
        await tell(connection, "session.created", session={"id": "s"})
        async for frame in connection:
            message = json.loads(frame)
            match message["type"]:
                case "session.update":
                    await tell(connection, "session.updated", session={})
                case "input_audio_buffer.append" if self._breaks:
                    await connection.close(1011, "broken")
                case "input_audio_buffer.append":
                    heard += base64.b64decode(message["audio"])
                    await self._show(connection, heard, told)
                case "aural.finish":
                    await tell(connection, "aural.ended", totals_ms={})
        self._open -= 1

    async def _show(self, connection: ServerConnection, heard: bytearray, told: set[str]) -> None:
        for utterance in (one for one in self._utterances if one.name not in told):
            middle = len(utterance.pcm) // 2
            at = heard.find(utterance.pcm[middle : middle + FINGERPRINT].tobytes())
            if 0 <= at <= len(heard) - 2 * (len(utterance.pcm) - middle):
                told.add(utterance.name)
                first, rest = utterance.text.split(" ", 1)
                item = {"item_id": utterance.name}
                await tell(connection, "input_audio_buffer.speech_started", audio_start_ms=0, **item)
                await tell(connection, TRANSCRIPTION + "delta", delta=first, **item)
                await tell(connection, TRANSCRIPTION + "aural.draft", draft=" " + rest, **item)
                await tell(connection, TRANSCRIPTION + "completed", transcript=utterance.text, **item)


async def tell(connection: ServerConnection, kind: str, **more: Any) -> None:
    await connection.send(json.dumps({"type": kind, **more}))


@asynccontextmanager
async def captions(utterances: Sequence[Utterance], most: int = 99, breaks: bool = False) -> AsyncIterator[str]:
    server = Captions(utterances, most, breaks)
    async with serve(server.talk, "127.0.0.1", 0, process_request=server.admit) as listening:
        yield f"ws://127.0.0.1:{next(iter(listening.sockets)).getsockname()[1]}"


def run(
    utterances: Sequence[Utterance], out: Path, most: int = 99, breaks: bool = False, **changes: object
) -> tuple[list[Together], Any]:
    async def main() -> Any:
        async with captions(utterances, most, breaks) as url:
            plan = replace(StreamPlan(url, DATA, seconds=SECONDS), **changes)  # type: ignore[arg-type]
            return await StreamRunner(plan, out, lambda together, _: steps.append(together)).run()

    steps: list[Together] = []
    return steps, asyncio.run(main())


def test_streams_have_whole_utterances_with_pauses(utterances: list[Utterance]) -> None:
    item = next(spoken(utterances, 20.0, 1))
    assert len(item.pcm) == 20 * RATE
    assert len(item.spans) >= 2
    for (_, end, _), (start, _, _) in zip(item.spans, item.spans[1:], strict=False):
        assert 0.6 <= start - end <= 1.7
    assert item.spans[-1][1] <= 20 - 1.5
    with pytest.raises(BenchError, match="shorter than 1 s"):
        next(spoken(utterances, 3.0, 1))


def test_streams_side_by_side(utterances: list[Utterance], tmp_path: Path) -> None:
    """Three at once, of which the endpoint takes two: a failed stream is a failed stream, and the rest is measured."""
    (together,), _ = run(utterances, tmp_path, most=2, streams=(3,))
    assert together.count == 3
    assert len(together.errors) == 1
    assert "503" in together.errors[0]
    assert sum(one.errors for one in together.measures) == max(one.errors for one in together.measures) > 0
    assert len(together.all("finalization_s")) == 2
    assert together.total("committed_retracted") == together.total("words_retracted") == 0
    lines = [json.loads(line) for line in (tmp_path / "streams.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, 0, 0]
    with pytest.raises(BenchError, match="already"):
        run(utterances, tmp_path)


def test_a_stream_whose_connection_is_lost_has_failed(utterances: list[Utterance], tmp_path: Path) -> None:
    """However well it would go on over another one."""
    (together,), _ = run(utterances, tmp_path, breaks=True, streams=(1,))
    assert len(together.errors) == 1
    assert "1011 broken" in together.errors[0]


@pytest.mark.slow
def test_the_most_streams_are_found(
    utterances: list[Utterance], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_run, "ALONE", 1)
    steps, kept = run(utterances, tmp_path, most=1, find_capacity=True)
    assert [step.count for step in steps] == [1, 2, 2]
    assert (kept.capacity["kept"], kept.capacity["not_kept"]) == (1, 2)
    assert "1 streams failed" in kept.capacity["why"]


@pytest.mark.slow
def test_the_command_line_against_a_real_server(whisper: Server, tmp_path: Path) -> None:
    command = ["stream", "--target", whisper.url, "--audio", str(DATA), "--seconds", "7", "--out", str(tmp_path / "a")]
    done = CliRunner().invoke(bench, command)
    assert done.exit_code == 0, done.output
    page = (tmp_path / "a" / "report.md").read_text()
    for part in ("word emission", "finalization", "words retracted"):
        assert part in page
