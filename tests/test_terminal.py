"""`aural live`: a file and stdin, through a server elsewhere, and what is on the screen."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from aural.api import formats
from aural.audio.decode import decode
from aural.errors import SessionLost, SettingsError
from aural.notebook import Notebook
from aural.streaming.clock import CaptureClock
from aural.streaming.events import Done, Drafted, Failed, Grown, Lost, Started, Stopped
from aural.streaming.session import Wish, connect
from aural.terminal import Screen
from aural.types import Segment, samples
from tests.conftest import DATA, Recording, Server, serving, word_errors

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
