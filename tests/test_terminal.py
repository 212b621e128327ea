"""`aural live`: a file and stdin, through a server elsewhere, and what is on the screen."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.cells import cell_len
from rich.console import Console

from aural.api import formats
from aural.audio.decode import decode
from aural.cli import main
from aural.errors import SessionLost, SettingsError
from aural.notebook import Notebook
from aural.own_server import own_server
from aural.streaming.clock import CaptureClock
from aural.streaming.events import Done, Drafted, Failed, Grown, Lost, Started, Stopped
from aural.streaming.session import Wish, connect
from aural.terminal import Screen
from aural.types import Segment, samples
from tests.conftest import DATA, Recording, Server, serving, word_errors
from tests.streaming.standin import TRANSCRIPTION, standing_in
from tests.streaming.standin import Line as StandinLine

PATIENCE_S = 300
NOWHERE = "http://127.0.0.1:9"
CLIP = str(DATA / "clips" / "LJ001-0002.flac")


def live(*arguments: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "aural", "live", *arguments]
    return subprocess.run(
        command, input=stdin, capture_output=True, timeout=PATIENCE_S, env=os.environ | {"COLUMNS": "100"}, check=False
    )


def test_a_file_is_captioned_and_kept(whisper: Server, clips: dict[str, Recording], tmp_path: Path) -> None:
    kept = tmp_path / "said.vtt"
    clip = clips["LJ001-0002"]
    done = live(str(clip.path), "--url", whisper.url, "--language", "en", "--save", str(kept))
    assert done.returncode == 0, done.stderr
    assert word_errors([clip.text], [done.stdout.decode()]) < 0.3
    assert kept.read_text().startswith("WEBVTT\n\n00:00:0")


def test_samples_on_stdin_are_captioned(whisper: Server, clips: dict[str, Recording]) -> None:
    clip = clips["libri-367-130732-0001"]
    pcm = (decode(clip.bytes, limit_s=60).samples * 32_767).astype("<i2").tobytes()
    done = live("--url", whisper.url, stdin=pcm + b"\0")
    assert done.returncode == 0, done.stderr
    assert word_errors([clip.text], [done.stdout.decode()]) < 0.2


@pytest.mark.slow
def test_without_an_address_it_starts_a_server_of_its_own(clips: dict[str, Recording]) -> None:
    done = live(str(clips["LJ001-0002"].path), "--model", "whisper-tiny.en", "--replicas", "1")
    assert done.returncode == 0, done.stderr
    assert word_errors(["in being comparatively modern"], [done.stdout.decode()]) < 0.3


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nowhere.wav"], "is no file"),
        ([CLIP, "--url", NOWHERE, "--save", "x.docx"], "to save to"),
        ([CLIP, "--url", NOWHERE, "--save", "nowhere/x.srt"], "No such file"),
        ([CLIP, "--url", "127.0.0.1"], "expected an address"),
        ([CLIP, "--url", NOWHERE], "cannot be reached"),
        ([str(DATA / "manifest.jsonl"), "--url", NOWHERE], "expected audio"),
        ([CLIP, "--url", NOWHERE, "--device", "cpu"], "expected no --device"),
    ],
)
def test_mistakes_are_told_in_a_line(arguments: list[str], complaint: str) -> None:
    done = live(*arguments)
    assert done.returncode in (1, 2)
    assert complaint in done.stderr.decode()
    assert b"Traceback" not in done.stderr


def test_a_server_that_refuses_says_why(whisper: Server) -> None:
    async def talk(wish: Wish) -> None:
        async with connect(whisper.url, wish):
            pass

    with pytest.raises(SessionLost, match="klingon"):
        asyncio.run(talk(Wish(language="klingon")))
    with pytest.raises(SettingsError):
        asyncio.run(_to("ftp://somewhere"))


async def _to(url: str) -> None:
    async with connect(url):
        pass


def drawn(screen: Screen, width: int = 80) -> str:
    console = Console(width=width, file=open(os.devnull, "w"))  # noqa: SIM115 - closed below
    with console.capture() as captured:
        console.print(screen)
    console.file.close()
    return captured.get()


def test_the_screen_follows_the_session() -> None:
    clock = CaptureClock()
    for _ in range(40):
        clock.note(1600)
    screen = Screen(clock)
    assert "listening" in drawn(screen)
    screen.follow(Started("a", 0.5))
    screen.follow(Grown("a", "Hello"))
    screen.follow(Drafted("a", " wor"))
    shown = drawn(screen)
    assert "Hello wor" in shown
    assert "hearing speech" in shown
    assert "first word" in shown
    screen.follow(Stopped("a", 2.0))
    line = screen.follow(Done("a", "Hello world."))
    assert line is not None
    assert (line.committed, line.start_s, line.end_s) == ("Hello world.", 0.5, 2.0)
    assert "Hello" not in drawn(screen)
    assert screen.follow(Done("b", "")) is None
    screen.follow(Grown("c", "Gone"))
    assert screen.follow(Failed("c", "broken")) is None
    assert "Gone" not in drawn(screen)
    screen.follow(Started("d", 3.0))
    screen.follow(Grown("d", "Half a"))
    screen.follow(Lost("cut", ("d",)))
    assert "Half a" not in drawn(screen)
    assert "listening" in drawn(screen)


def test_the_clock_knows_when_a_sound_was_captured() -> None:
    clock = CaptureClock()
    clock.note(16_000, at=100.0)
    clock.note(16_000, at=101.0)
    near, far = clock.since(1.5), clock.since(1.0)
    assert near is not None
    assert far is not None
    assert far - near == pytest.approx(0.5, abs=0.2)
    assert clock.since(2.5) is None


def test_wide_characters_fit() -> None:
    text = "桥下垂直净空十五米该项目于二〇一一年八月完工但直到二〇一七年三月才开始通车"
    screen = Screen(CaptureClock())
    screen.follow(Grown("a", text))
    screen.follow(Drafted("a", "。谢谢"))
    *lines, status = drawn(screen, width=41).splitlines()
    assert "listening" in status
    assert max(map(cell_len, lines)) <= 41
    assert "".join("".join(lines).split()).endswith(text + "。谢谢")


def test_on_a_terminal_words_are_drawn_while_they_are_spoken(whisper: Server) -> None:
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "aural", "live", CLIP, "--url", whisper.url, "--language", "en"]
    surroundings = os.environ | {"COLUMNS": "100", "TERM": "xterm-256color"}
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, stdin=theirs, env=surroundings) as process:
        os.close(theirs)
        seen = b""
        with suppress(OSError):  # the other side is closed
            while data := os.read(ours, 65_536):
                seen += data
        os.close(ours)
        assert process.wait(PATIENCE_S) == 0
    shown = seen.decode()
    assert "hearing speech" in shown
    assert "comparatively modern" in shown
    assert "\x1b[?25h" in shown[shown.rindex("comparatively") :], "the cursor is shown again at the end"


def test_the_key_of_a_server() -> None:
    with serving("--model", "fake", "--replicas", "1", AURAL_API_KEY="sesame") as server:
        assert live(CLIP, "--url", server.url, "--api-key", "sesame").returncode == 0
        done = live(CLIP, "--url", server.url, "--api-key", "wrong")
    assert (done.returncode, done.stdout) == (1, b"")
    assert "expected a valid key" in done.stderr.decode()


@pytest.mark.parametrize("form", [".txt", ".srt", ".vtt"])
def test_each_kind_of_file_is_as_it_should_be(tmp_path: Path, form: str) -> None:
    path = tmp_path / f"said{form}"
    path.write_text("of another day\n" * 100)
    cues = [Segment("你好 <b> & more", samples(0.5), samples(1.25)), Segment("bye", samples(3661.0), samples(3662.0))]
    with Notebook(path) as notebook:
        assert path.read_text().startswith("of another day")
        notebook.begin()
        for cue in cues:
            notebook.add(cue)
            assert cue.text.split()[0] in path.read_text(encoding="utf-8")
    whole = {".srt": formats.as_srt(cues), ".vtt": formats.as_vtt(cues), ".txt": "你好 <b> & more\nbye\n"}
    assert path.read_text(encoding="utf-8") == whole[form]


# What servers and people do on the way


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
