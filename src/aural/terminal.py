"""`aural live`: captions in a terminal, from a file at the speed at which it was spoken or from samples on stdin."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from aural.audio.decode import decode
from aural.insight import digest
from aural.notebook import Notebook
from aural.streaming.clock import CaptureClock
from aural.streaming.events import (
    Done,
    Drafted,
    Event,
    Failed,
    Grown,
    Lost,
    Other,
    Reconnected,
    Refused,
    Started,
    Stopped,
)
from aural.streaming.pace import FRAME_S, paced
from aural.streaming.session import LiveSession, Wish, connect
from aural.types import SAMPLE_RATE, Segment, samples, seconds

LONGEST_S = 24 * 3600.0
FULL_SCALE = 32_767
FRAMES_PER_SECOND = 12
FRAME_BYTES = round(FRAME_S * SAMPLE_RATE) * 2
READ_AHEAD_FRAMES = 64
FAILED, INTERRUPTED = 1, 130
STDIN = "-"
INSIGHTS = ("aural.utterance_insights", "aural.alert", "aural.call_insights", "aural.insights_skipped")

Step = Callable[[], object]
"""Of ending, one for each Ctrl-C."""


@dataclass(slots=True)
class Line:
    """An utterance on the screen."""

    start_s: float = 0.0
    end_s: float = 0.0
    committed: str = ""
    draft: str = ""


@dataclass(slots=True)
class Screen:
    """What is shown: the utterances that are still open, whether somebody speaks, how late it all is."""

    clock: CaptureClock
    open: dict[str, Line] = field(default_factory=dict)
    speaking: set[str] = field(default_factory=set)
    first_lag_s: float | None = None
    """From the start of the newest utterance, its pre-roll included, to its first shown word."""
    final_lag_s: float | None = None
    """From the end of the newest finished one, the silence waited for included, to its final text."""

    def follow(self, event: Event) -> Line | None:
        """Take in an event; the line, when it is finished and says something."""
        match event:
            case Started(item, at_s):
                self.open[item] = Line(at_s, at_s)
                self.speaking.add(item)
            case Stopped(item, at_s):
                self._line(item).end_s = at_s
                self.speaking.discard(item)
            case Grown(item, text):
                line = self._shown(item)
                line.committed, line.draft = line.committed + text, ""
            case Drafted(item, text):
                self._shown(item).draft = text
            case Done(item, text, start_s, end_s):
                return self._finish(item, text, start_s, end_s)
            case Failed(item, _):
                self.speaking.discard(item)
                self.open.pop(item, None)
            case Lost():
                self.speaking.clear()
                self.open.clear()
        return None

    def _shown(self, item: str) -> Line:
        """The line, of which something is shown now."""
        line = self._line(item)
        if not line.committed and not line.draft:
            self.first_lag_s = self.clock.since(line.start_s)
        return line

    def _line(self, item: str) -> Line:
        return self.open.setdefault(item, Line())

    def _finish(self, item: str, text: str, start_s: float | None, end_s: float | None) -> Line | None:
        line = self.open.pop(item, Line())
        self.speaking.discard(item)
        self.final_lag_s = self.clock.since(line.end_s) if line.end_s else self.final_lag_s
        line.committed = text.strip()
        line.start_s = line.start_s if start_s is None else start_s
        line.end_s = line.end_s if end_s is None else end_s
        return line if line.committed else None

    def __rich__(self) -> Group:
        lines = [_drawn(line) for line in self.open.values() if line.committed or line.draft]
        mark, word = ("●", "hearing speech") if self.speaking else ("○", "listening")
        lags = "".join(
            f" · {name} {lag:.1f} s"
            for name, lag in (("first word", self.first_lag_s), ("final", self.final_lag_s))
            if lag is not None
        )
        heard_s = seconds(self.clock.samples)
        status = Text.assemble((mark, "red" if self.speaking else "green"), (f" {word} · {heard_s:.0f} s{lags}", "dim"))
        return Group(*lines, status)


class Display(Protocol):
    def say(self, line: Line) -> None: ...

    def beside(self, raw: Mapping[str, Any]) -> None:
        """Another event of the server."""

    def complain(self, text: str) -> None:
        """What went wrong."""


@dataclass(frozen=True, slots=True)
class Colour:
    console: Console

    def say(self, line: Line) -> None:
        self.console.print(_drawn(line))

    def beside(self, raw: Mapping[str, Any]) -> None:
        for note in _notes(raw):
            self.console.print(Text(f"       {note}", "cyan"))

    def complain(self, text: str) -> None:
        self.console.print(Text(f"       {text}", "red"))


@dataclass(frozen=True, slots=True)
class Plain:
    """For pipes and files: finished lines alone."""

    def say(self, line: Line) -> None:
        print(line.committed, flush=True)

    def beside(self, raw: Mapping[str, Any]) -> None:
        for note in _notes(raw):
            print(f"# {note}", flush=True)

    def complain(self, text: str) -> None:
        _warn(text)


@dataclass(frozen=True, slots=True)
class Lines:
    """For programs: finished lines and insights, a JSON object each."""

    def say(self, line: Line) -> None:
        _print({"type": "utterance", "start": line.start_s, "end": line.end_s, "text": line.committed})

    def beside(self, raw: Mapping[str, Any]) -> None:
        if raw.get("type") in INSIGHTS:
            _print(raw)

    def complain(self, text: str) -> None:
        _warn(text)


def _print(body: Mapping[str, Any]) -> None:
    print(json.dumps(body, ensure_ascii=False), flush=True)


def _warn(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


async def caption(
    source: str,
    wish: Wish,
    server: AbstractAsyncContextManager[str],
    api_key: str,
    save: Path | None,
    *,
    as_json: bool = False,
) -> int:
    """Show what is said in `source` (a file, or `-` for PCM16 at 16 kHz on stdin), as the `server` of an address hears
    it. Ctrl-C ends the audio, and what was said until then is still heard; a second one ends everything. Returns the
    exit status: 0, 1 when something could not be heard, 130 after Ctrl-C. Raises SessionLost, Overloaded, BadAudio,
    SettingsError, OSError."""
    with _interruptible() as steps, Notebook(save) if save else nullcontext() as notebook:
        frames = _from_stdin() if source == STDIN else paced(await asyncio.to_thread(_read, Path(source)))
        async with server as url, connect(url, wish, api_key) as session:
            if notebook:
                notebook.begin()
            screen = Screen(CaptureClock())
            with _display(screen, as_json=as_json) as display:
                return await _caption(session, frames, screen, display, notebook, steps)


async def _caption(
    session: LiveSession,
    frames: AsyncIterator[bytes],
    screen: Screen,
    display: Display,
    notebook: Notebook | None,
    steps: list[Step],
) -> int:
    status = 0
    feeding = asyncio.create_task(_feed(session, frames, screen.clock))
    ending = asyncio.create_task(_end(session, feeding))
    steps.append(feeding.cancel)
    try:
        async for event in session:
            if trouble := _trouble(event):
                display.complain(trouble)
            if isinstance(event, Failed):
                status = FAILED
            if line := screen.follow(event):
                display.say(line)
                if notebook:
                    notebook.add(Segment(line.committed, samples(line.start_s), samples(line.end_s)))
            if isinstance(event, Other):
                display.beside(event.raw)
        await ending
    finally:
        ending.cancel()
        feeding.cancel()
    return INTERRUPTED if feeding.cancelled() else status


@contextmanager
def _interruptible() -> Iterator[list[Step]]:
    """Ctrl-C and SIGTERM take the next step of those that are put into the list; after the last one they cancel."""
    task = asyncio.current_task()
    assert task is not None
    steps: list[Step] = []
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, lambda: (steps.pop(0) if steps else task.cancel)())
    try:
        yield steps
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def _trouble(event: Event) -> str | None:
    """What an event says of something that went wrong, or is right again."""
    match event:
        case Failed(_, message):
            return f"not heard: {message}"
        case Refused(message):
            return f"refused: {message}"
        case Lost(message):
            return f"connection lost, trying again: {message}"
        case Reconnected():
            return "connected again"
    return None


def _notes(raw: Mapping[str, Any]) -> list[str]:
    """What insights say, in lines."""
    match raw.get("type"):
        case "aural.utterance_insights" if "language_model" not in raw.get("engine", {}):
            return [said] if (said := digest.of_utterance(raw)) else []
        case "aural.alert":
            return [digest.of_alert(raw)]
        case "aural.call_insights" if raw.get("is_final"):
            return digest.of_call(raw)
        case "aural.insights_skipped":
            return [f"insights skipped: {raw.get('message')}"]
    return []


async def _feed(session: LiveSession, frames: AsyncIterator[bytes], clock: CaptureClock) -> None:
    async for frame in frames:
        clock.note(len(frame) // 2)
        await session.send(frame)


async def _end(session: LiveSession, feeding: asyncio.Task[None]) -> None:
    """No more audio comes, whyever; raises what kept it from coming."""
    await asyncio.wait([feeding])
    await session.finish()
    if not feeding.cancelled():
        feeding.result()


def _read(path: Path) -> bytes:
    pcm = decode(path.read_bytes(), limit_s=LONGEST_S)
    return (np.clip(pcm.samples, -1, 1) * FULL_SCALE).astype("<i2").tobytes()


async def _from_stdin() -> AsyncIterator[bytes]:
    """Frames as they come, whole samples each. They are read by a thread that nobody waits for: a read of a terminal or
    a pipe in which nothing comes cannot be ended."""
    loop = asyncio.get_running_loop()
    frames: asyncio.Queue[bytes | OSError] = asyncio.Queue()
    room = threading.Semaphore(READ_AHEAD_FRAMES)

    def read() -> None:
        with suppress(RuntimeError):  # the loop is closed, and nobody listens any more
            try:
                while room.acquire() and (data := os.read(sys.stdin.fileno(), FRAME_BYTES)):
                    loop.call_soon_threadsafe(frames.put_nowait, data)
                loop.call_soon_threadsafe(frames.put_nowait, b"")
            except OSError as error:
                loop.call_soon_threadsafe(frames.put_nowait, error)

    threading.Thread(target=read, name="stdin", daemon=True).start()
    rest = b""
    while data := await frames.get():
        if isinstance(data, OSError):
            raise data
        room.release()
        data = rest + data
        even = len(data) // 2 * 2
        rest = data[even:]
        if even:
            yield data[:even]


@contextmanager
def _display(screen: Screen, *, as_json: bool) -> Iterator[Display]:
    console = Console()
    if as_json or not console.is_terminal:
        yield Lines() if as_json else Plain()
        return
    with Live(screen, console=console, refresh_per_second=FRAMES_PER_SECOND):
        yield Colour(console)


def _drawn(line: Line) -> Text:
    minutes, rest_s = divmod(int(line.start_s), 60)
    return Text.assemble((f"{minutes:02d}:{rest_s:02d}  ", "dim"), line.committed, (line.draft, "italic dim underline"))
