"""Hours of speech through one live session, faster than life, with others beside it.

    python benchmarks/soak.py [--model whisper-tiny.en] [--hours 2] [--speed 8] [--beside 3]
    python benchmarks/soak.py --minutes 1            # proves that it works

One stream sends `--hours` of speech at up to `--speed` times real speed (the server may slow it down), and the others
speak beside it at real speed until it is done. It passes when the p95 lag of the last tenth of its utterances is at
most 1.1 of the first tenth's, the server's memory in the last tenth at most 1.05 of that in the second, every ledger
is closed, and no utterance failed. Lag is from sending the end of an utterance to receiving its whole text.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import time
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import cycle
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import psutil

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path[0] = str(ROOT)

from aural.bench.clips import Item, find_audio, read_utterances  # noqa: E402
from aural.bench.sounds import RATE  # noqa: E402
from aural.streaming import events  # noqa: E402
from aural.streaming.session import LiveSession, Wish, connect  # noqa: E402
from benchmarks.streams.arms import Aural  # noqa: E402
from benchmarks.streams.cells import running  # noqa: E402
from benchmarks.streams.speech import streams  # noqa: E402

FRAME_S = 0.1
MOST_LAG_RATIO = 1.1
MOST_MEMORY_RATIO = 1.05
MEMORY_EVERY_S = 1.0
ITEM_S = 300.0
LANGUAGE = "en"


@dataclass(slots=True)
class Track:
    """What one stream did."""

    sent: list[tuple[float, float]] = field(default_factory=list)
    """Seconds of audio sent, and when."""
    lag_s: list[float] = field(default_factory=list)
    failed: int = 0
    words: int = 0
    is_closed: bool = False

    def note(self, event: events.Event) -> None:
        match event:
            case events.Done(_, text, _, float(end_s)):
                self.words += len(text.split())
                at = bisect_left(self.sent, (end_s, 0.0))
                if text and at < len(self.sent):
                    self.lag_s.append(time.monotonic() - self.sent[at][1])
            case events.Failed() | events.Lost():
                self.failed += 1


@dataclass(frozen=True, slots=True)
class Verdict:
    audio_s: float
    wall_s: float
    lag_p95_first_s: float
    lag_p95_last_s: float
    memory_early_mb: float
    memory_late_mb: float
    failed: int
    ledgers_closed: bool

    @property
    def passes(self) -> bool:
        return (
            self.ledgers_closed
            and not self.failed
            and self.lag_p95_last_s <= MOST_LAG_RATIO * self.lag_p95_first_s
            and self.memory_late_mb <= MOST_MEMORY_RATIO * self.memory_early_mb
        )


async def speak(session: LiveSession, items: Iterator[Item], length_s: float, speed: float, track: Track) -> None:
    """Send so much audio, paced; then say that it is all."""
    began, sent = time.monotonic(), 0.0
    step = round(FRAME_S * RATE)
    while sent < length_s:
        pcm = next(items).pcm
        for start in range(0, len(pcm), step):
            frame = pcm[start : start + step]
            await session.send(frame.tobytes())
            sent += len(frame) / RATE
            track.sent.append((sent, time.monotonic()))
            await asyncio.sleep(max(0.0, began + sent / speed - time.monotonic()))
            if sent >= length_s:
                break
    await session.finish()


async def listen(port: int, items: Iterator[Item], length_s: float, speed: float) -> Track:
    """One stream from its first word to its ledger."""
    track = Track()
    async with connect(f"http://127.0.0.1:{port}", Wish(language=LANGUAGE)) as session:
        speaking = asyncio.create_task(speak(session, items, length_s, speed, track))
        async for event in session:
            track.note(event)
        await speaking
    track.is_closed = session.ledger_closed
    return track


async def watch_memory(pid: int, seen: list[float]) -> None:
    """Megabytes of the server and its workers, for as long as this runs."""
    server = psutil.Process(pid)
    while True:
        with contextlib.suppress(psutil.NoSuchProcess):
            seen.append(sum(one.memory_info().rss for one in [server, *server.children(recursive=True)]) / 2**20)
        await asyncio.sleep(MEMORY_EVERY_S)


async def soak(model: str, audio_s: float, speed: float, beside: int, log: Path) -> Verdict:
    audio = find_audio(ROOT)
    if audio is None:
        sys.exit("expected shared/audio beside the repository, found none")
    utterances = read_utterances(audio, LANGUAGE)
    items = streams(utterances, 1 + beside, ITEM_S)
    memory: list[float] = []
    async with running(Aural(model, ("--max-streams", "64", "--log-level", "warning")), log) as (port, pid):
        began = time.monotonic()
        watching = asyncio.create_task(watch_memory(pid, memory))
        others = [asyncio.create_task(listen(port, cycle([item]), audio_s / speed, 1.0)) for item in items[1:]]
        main = await listen(port, cycle(items[:1]), audio_s, speed)
        wall_s = time.monotonic() - began
        tracks = [main, *await asyncio.gather(*others)]
        watching.cancel()
    first, *_, last = np.array_split(np.array(main.lag_s), 10)
    _, early, *_, late = np.array_split(np.array(memory), 10)
    return Verdict(
        audio_s=audio_s,
        wall_s=wall_s,
        lag_p95_first_s=float(np.percentile(first, 95)) if len(first) else 0.0,
        lag_p95_last_s=float(np.percentile(last, 95)) if len(last) else 0.0,
        memory_early_mb=float(np.median(early)) if len(early) else 0.0,
        memory_late_mb=float(np.median(late)) if len(late) else 0.0,
        failed=sum(track.failed for track in tracks),
        ledgers_closed=all(track.is_closed for track in tracks),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="whisper-tiny.en")
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--minutes", type=float, default=0.0, help="instead of --hours")
    parser.add_argument("--speed", type=float, default=8.0)
    parser.add_argument("--beside", type=int, default=3)
    asked = parser.parse_args()
    log = Path(mkdtemp(prefix="aural-soak-")) / "server.log"
    verdict = asyncio.run(soak(asked.model, 60 * (asked.minutes or 60 * asked.hours), asked.speed, asked.beside, log))
    print(json.dumps(asdict(verdict) | {"passes": verdict.passes}, indent=1))
    sys.exit(not verdict.passes)


if __name__ == "__main__":
    main()
