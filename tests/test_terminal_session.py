"""`aural live`: what servers and people do on the way."""

from __future__ import annotations

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from aural.cli import main
from aural.errors import SessionLost
from aural.own_server import own_server
from aural.streaming.session import connect
from tests.conftest import serving
from tests.streaming.standin import TRANSCRIPTION, standing_in
from tests.streaming.standin import Line as StandinLine
from tests.test_terminal import CLIP, NOWHERE, PATIENCE_S


@dataclass
class Terminal:
    """`aural live` on a pipe that stays open."""

    process: asyncio.subprocess.Process

    async def line(self) -> str:
        assert self.process.stdout is not None
        return (await self.process.stdout.readline()).decode()

    def end(self) -> None:
        """No more audio comes."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    async def rest(self) -> tuple[int, str, str]:
        """Exit status, stdout, stderr."""
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        out, err = await asyncio.gather(self.process.stdout.read(), self.process.stderr.read())
        return await self.process.wait(), out.decode(), err.decode()


@asynccontextmanager
async def terminal(*arguments: str) -> AsyncIterator[Terminal]:
    """A second of silence has been fed to it, and no more comes."""
    command = ["-m", "aural", "live", *arguments]
    process = await asyncio.create_subprocess_exec(sys.executable, *command, stdin=PIPE, stdout=PIPE, stderr=PIPE)
    assert process.stdin is not None
    process.stdin.write(bytes(32_000))
    try:
        yield Terminal(process)
    finally:
        process.stdin.close()
        if process.returncode is None:
            process.kill()
            await process.wait()


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(), PATIENCE_S))


def test_the_first_interrupt_ends_the_audio_and_the_last_sentence_is_kept(tmp_path: Path) -> None:
    kept = tmp_path / "said.srt"

    async def script(line: StandinLine) -> None:
        await line.listen(32_000)
        await line.say("a", "First.", 0, 500)
        await line.listen()
        await line.say("b", "Last.", 500, 1000)
        await line.end(received=1000, final=1000)

    async def scenario() -> None:
        async with standing_in(script) as server, terminal("--url", server.url, "--save", str(kept)) as one:
            assert await one.line() == "First.\n"
            one.process.send_signal(signal.SIGINT)
            assert await one.rest() == (130, "Last.\n", "")
            assert len(server.lines[0].heard) == 32_000
        assert [text in kept.read_text() for text in ("First.", "Last.")] == [True, True]

    run(scenario)


def test_the_second_interrupt_ends_everything(tmp_path: Path) -> None:
    kept = tmp_path / "said.txt"

    async def stubborn(line: StandinLine) -> None:
        await line.listen(32_000)
        await line.say("a", "First.")
        await line.listen()
        await line.say("b", "Second.")
        await line.socket.wait_closed()

    async def scenario() -> None:
        async with standing_in(stubborn) as server, terminal("--url", server.url, "--save", str(kept)) as one:
            for said in ("First.\n", "Second.\n"):
                assert await one.line() == said
                one.process.send_signal(signal.SIGINT)
            assert await one.rest() == (130, "", "")
        assert kept.read_text() == "First.\nSecond.\n"

    run(scenario)


def test_a_server_that_will_not_go_on_leaves_what_was_said(tmp_path: Path) -> None:
    kept = tmp_path / "said.vtt"

    async def leaving(line: StandinLine) -> None:
        await line.listen(32_000)
        await line.say("a", "First.", 0, 500)
        await line.socket.close(1008)

    async def scenario() -> None:
        async with standing_in(leaving) as server, terminal("--url", server.url, "--save", str(kept)) as one:
            status, out, err = await one.rest()
            assert (status, out) == (1, "First.\n")
            assert len(err.splitlines()) == 1
            assert "1008" in err
        assert kept.read_text() == "WEBVTT\n\n00:00:00.000 --> 00:00:00.500\nFirst.\n"

    run(scenario)


def test_a_connection_that_is_lost_costs_no_word_and_doubles_none(tmp_path: Path) -> None:
    kept = tmp_path / "said.vtt"

    async def lost(line: StandinLine) -> None:
        await line.listen(32_000)
        await line.say("a", "First.", 0, 500)
        await line.start("b", 600, "Sec")
        await line.socket.close(1012)

    async def found(line: StandinLine) -> None:
        await line.listen(16_000)
        await line.start("c", 100, "Second.")
        await line.say("c", "Second.", 100, 400)
        await line.listen()
        await line.end(received=500, final=300, suppressed=200)

    async def scenario() -> None:
        async with standing_in(lost, found) as server, terminal("--url", server.url, "--save", str(kept)) as one:
            assert [await one.line() for _ in range(2)] == ["First.\n", "Second.\n"]
            one.end()
            status, out, err = await one.rest()
            assert (status, out) == (0, "")
            complaint, relief = err.splitlines()
            assert "trying again" in complaint
            assert "1012" in complaint
            assert relief == "connected again"
            assert len(server.lines[1].heard) == 16_000
        assert kept.read_text().endswith("00:00:00.600 --> 00:00:00.900\nSecond.\n")

    run(scenario)


def test_an_order_that_is_refused_ends_nothing() -> None:
    async def scolding(line: StandinLine) -> None:
        await line.listen(32_000)
        await line.complain("invalid_request_error", "expected less")
        await line.say("a", "Heard.")
        await line.listen()
        await line.end(received=0)

    async def scenario() -> None:
        async with standing_in(scolding) as server, terminal("--url", server.url) as one:
            assert await one.line() == "Heard.\n"
            one.end()
            assert await one.rest() == (0, "", "refused: expected less\n")

    run(scenario)


def test_a_server_that_is_full_says_so_and_the_file_stays(tmp_path: Path) -> None:
    kept = tmp_path / "said.txt"
    kept.write_text("of another day")

    async def scenario() -> None:
        with serving("--model", "fake", "--replicas", "1", "--max-streams", "1") as server:
            async with connect(server.url), terminal("--url", server.url, "--save", str(kept)) as one:
                status, out, err = await one.rest()
                assert (status, out) == (1, "")
                assert "as many as fake can hear" in err
        assert kept.read_text() == "of another day"

    run(scenario)


def test_what_could_not_be_heard_is_no_caption() -> None:
    async def failing(line: StandinLine) -> None:
        await line.listen(32_000)
        await line.say("a", "Heard.")
        await line.tell(f"{TRANSCRIPTION}.failed", item_id="b", error={"message": "the worker died"})
        await line.say("c", "Heard again.")
        await line.listen()
        await line.end(received=0)

    async def scenario() -> None:
        async with standing_in(failing) as server, terminal("--url", server.url) as one:
            assert [await one.line() for _ in range(2)] == ["Heard.\n", "Heard again.\n"]
            one.end()
            assert await one.rest() == (1, "", "not heard: the worker died\n")

    run(scenario)


def test_a_server_of_its_own_gets_every_flag_and_the_key_out_of_sight(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[list[str], str]] = []

    def own_server(flags: list[str], api_key: str) -> AbstractAsyncContextManager[str]:
        seen.append((flags, api_key))
        return nullcontext(NOWHERE)

    monkeypatch.setattr("aural.own_server.own_server", own_server)
    given = [
        "--model",
        "m",
        "--upstream",
        "http://u",
        "--memory-share",
        "0.5",
        "--idle-s",
        "9.5",
        "--log-format",
        "json",
    ]
    CliRunner().invoke(main, ["live", CLIP, *given, "--api-key", "sesame", "--insights", "all"])
    [(flags, key)] = seen
    pairs = dict(zip(flags[::2], flags[1::2], strict=True))
    assert pairs == {"--log-level": "warning", **dict(zip(given[::2], given[1::2], strict=True))}
    assert key == "sesame"


def test_nobody_waits_for_a_server_of_his_own_that_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    children: list[asyncio.subprocess.Process] = []
    start = asyncio.create_subprocess_exec

    async def noted(*command: str, **named: Any) -> asyncio.subprocess.Process:
        children.append(await start(*command, **named))
        return children[0]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", noted)

    async def scenario() -> None:
        async with own_server(["--model", "fake", "--replicas", "1"]) as url, connect(url) as session:
            children[0].kill()
            async for _ in session:
                pass

    with pytest.raises(SessionLost, match="the server has ended with -9"):
        run(scenario)
