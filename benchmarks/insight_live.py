"""Whether insights make captions late: the same streams with insights on and off, in turn, on one server.

    python benchmarks/insight_live.py --url http://127.0.0.1:8080 --audio ../shared/audio --streams 4 --rounds 5

Each round plays so many clips at the speed of life, once without and once with insights, and takes from every stream
the time from the end of speech to the final text, and from each word's end to the word. A ratio of 1.00 is no
difference; the goal is 1.05 at most. It also says how long after a final its insights came; the goal is 1 s.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from websockets.asyncio.client import connect

from aural.audio.decode import decode
from aural.types import SAMPLE_RATE, Samples

FRAME_S = 0.1
TAIL_S = 1.5
SHORTEST_S, LONGEST_S = 3.0, 12.0
TRANSCRIPTION = "conversation.item.input_audio_transcription"


@dataclass(slots=True)
class Lags:
    """Seconds, of all streams of a kind."""

    word: list[float] = field(default_factory=list)
    final: list[float] = field(default_factory=list)
    insight: list[float] = field(default_factory=list)
    skipped: int = 0


async def play(url: str, samples: Samples, insights: bool, lags: Lags) -> None:
    """One stream at the speed of life."""
    sent: list[tuple[float, float]] = []
    finals: dict[str, float] = {}
    stopped: dict[str, float] = {}
    async with connect(url, max_size=None) as socket:
        include = ["aural.words", *(["aural.insights"] if insights else [])]
        audio = {"input": {"format": {"type": "audio/pcm", "rate": SAMPLE_RATE}}}
        await socket.send(json.dumps({"type": "session.update", "session": {"include": include, "audio": audio}}))
        sending = asyncio.create_task(_send(socket, samples, sent))
        async for frame in socket:
            _note(json.loads(frame), time.perf_counter(), sent, stopped, finals, lags)
            if '"aural.ended"' in str(frame):
                break
        await sending


async def _send(socket: Any, samples: Samples, sent: list[tuple[float, float]]) -> None:
    step = round(FRAME_S * SAMPLE_RATE)
    began = time.perf_counter()
    for start in range(0, len(samples), step):
        await asyncio.sleep(max(0.0, began + (start + step) / SAMPLE_RATE - time.perf_counter()))
        pcm = (samples[start : start + step] * 32767).astype("<i2").tobytes()
        await socket.send(json.dumps({"type": "input_audio_buffer.append", "audio": b64encode(pcm).decode()}))
        sent.append(((start + step) / SAMPLE_RATE, time.perf_counter()))
    await socket.send(json.dumps({"type": "aural.finish"}))


def _note(
    event: dict[str, Any],
    now: float,
    sent: Sequence[tuple[float, float]],
    stopped: dict[str, float],
    finals: dict[str, float],
    lags: Lags,
) -> None:
    item = event.get("item_id", "")
    match event["type"]:
        case "input_audio_buffer.speech_stopped":
            stopped[item] = _sent_at(sent, event["audio_end_ms"] / 1000)
        case kind if kind == f"{TRANSCRIPTION}.delta" and event.get("words"):
            lags.word.append(now - _sent_at(sent, event["words"][-1]["end"]))
        case kind if kind == f"{TRANSCRIPTION}.completed":
            finals[item] = now
            if item in stopped:
                lags.final.append(now - stopped[item])
        case "aural.utterance_insights":
            lags.insight.append(now - finals[item])
        case "aural.insights_skipped":
            lags.skipped += 1


def _sent_at(sent: Sequence[tuple[float, float]], audio_s: float) -> float:
    """When the sound at this place had been sent."""
    return next((at for until, at in sent if until >= audio_s), sent[-1][1])


def clips(folder: Path, count: int) -> list[Samples]:
    """Recordings of fitting length, with silence after them."""
    rows = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    fit = [
        row for row in rows if row["text"] and row["language"] == "en" and SHORTEST_S <= row["duration_s"] <= LONGEST_S
    ]
    tail = round(TAIL_S * SAMPLE_RATE)
    return [np.pad(decode((folder / row["file"]).read_bytes(), limit_s=60).samples, (0, tail)) for row in fit[:count]]


async def rounds(url: str, sounds: Sequence[Samples], count: int) -> dict[bool, Lags]:
    """Off and on in turn, so that both meet the same moods of the machine. The first round warms up, uncounted."""
    lags = {False: Lags(), True: Lags()}
    for number in range(count + 1):
        for insights in (False, True):
            kept = lags[insights] if number else Lags()
            await asyncio.gather(*(play(url, sound, insights, kept) for sound in sounds))
    return lags


def report(lags: dict[bool, Lags]) -> None:
    for name in ("word", "final"):
        off, on = (getattr(lags[kind], name) for kind in (False, True))
        for quantile in (0.5, 0.95):
            without, with_them = float(np.quantile(off, quantile)), float(np.quantile(on, quantile))
            ratio = with_them / without
            met = "yes" if ratio <= 1.05 else "NO"
            print(f"{name:6} p{quantile * 100:.0f}: off {without:.3f} s, on {with_them:.3f} s, ratio {ratio:.3f} {met}")
    found = lags[True].insight
    if found:
        p50, p95 = (float(np.quantile(found, quantile)) for quantile in (0.5, 0.95))
        print(f"insights after the final: p50 {p50:.3f} s, p95 {p95:.3f} s")
    print(f"skipped {lags[True].skipped} of {len(found) + lags[True].skipped}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    parser.add_argument("--audio", type=Path, required=True, help="folder with manifest.jsonl and recordings")
    parser.add_argument("--streams", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    url = given.url.replace("http", "ws", 1).rstrip("/") + "/v1/realtime?intent=transcription"
    report(asyncio.run(rounds(url, clips(given.audio, given.streams), given.rounds)))


if __name__ == "__main__":
    main()
