"""`aural live`: a file and stdin, through a server elsewhere, and what is on the screen."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from aural.audio.decode import decode
from aural.errors import SessionLost, SettingsError
from aural.streaming.clock import CaptureClock
from aural.streaming.events import Done, Drafted, Failed, Grown, Started, Stopped
from aural.streaming.session import Wish, connect
from aural.terminal import Screen
from tests.conftest import DATA, Recording, Server, word_errors

PATIENCE_S = 300


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
        ([str(DATA / "manifest.jsonl"), "--url", "http://127.0.0.1:9", "--save", "x.docx"], "to save to"),
        ([str(DATA / "manifest.jsonl"), "--url", "127.0.0.1"], "expected an address"),
        ([str(DATA / "manifest.jsonl"), "--url", "http://127.0.0.1:9"], "cannot be reached"),
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


def drawn(screen: Screen) -> str:
    console = Console(width=80, file=open(os.devnull, "w"))  # noqa: SIM115 - closed below
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
    failed = screen.follow(Failed("c", "broken"))
    assert failed is not None
    assert failed.committed == "[broken]"
    assert [segment.text for segment in screen.segments] == ["Hello world."]


def test_the_clock_knows_when_a_sound_was_captured() -> None:
    clock = CaptureClock()
    clock.note(16_000, at=100.0)
    clock.note(16_000, at=101.0)
    near, far = clock.since(1.5), clock.since(1.0)
    assert near is not None
    assert far is not None
    assert far - near == pytest.approx(0.5, abs=0.2)
    assert clock.since(2.5) is None
