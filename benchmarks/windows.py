"""What fitted windows do to the text, beside full ones: word error rate of aural's Whisper engine, in process.

    python -m benchmarks.windows [--model whisper-tiny.en] [--workloads mix,15,30,long] [--batch 8]

`mix` is single utterances, a number utterances joined to that many seconds, `long` all long recordings, cut as the
server cuts them. Each is heard in fitted and in full windows, with and without the times of segments. `left out` counts
the texts that lack five words in a row of what was said, `redone` the clips heard again in the full window. The last
column is processor time over that of full windows without times.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from rich.progress import track

from aural.bench import clips, scoring
from aural.bench.clips import Item
from aural.engines import base, catalog
from aural.engines.base import Engine, ModelSpec
from aural.text import join
from aural.types import Clip, Options, Timestamps, Transcript
from benchmarks import engine as windows_of

ROOT = Path(__file__).resolve().parents[1]
LEFT_OUT_WORDS = 5


@dataclass(frozen=True)
class Heard:
    """One workload, heard one way."""

    workload: str
    fitted: bool
    timestamps: Timestamps
    transcripts: Sequence[Transcript]
    cpu_s: float


def read_items(workload: str, audio: Path) -> Sequence[Item]:
    if workload == clips.LONG:
        return clips.read_all_long(audio)
    return clips.build(workload, clips.read_utterances(audio)).items


def hear(engine: Engine, items: Sequence[Item], timestamps: Timestamps, batch: int) -> list[Transcript]:
    """The transcript of each item, whose clips are heard `batch` at a time."""
    options = Options(language="en", timestamps=timestamps)
    cut = [[Clip(window, options) for window in windows_of.cut(item.pcm)] for item in items]
    waiting = [clip for parts in cut for clip in parts]
    heard: list[Transcript] = []
    for at in range(0, len(waiting), batch):
        heard += engine.transcribe(waiting[at : at + batch])
    parts = iter(heard)
    return [join([next(parts) for _ in clips_of]) for clips_of in cut]


def left_out(text: str, heard: str) -> bool:
    """Whether five words in a row of what was said are not in the text."""
    expected = scoring.tokens(text)
    found = {place for place, _ in scoring.matches(expected, scoring.tokens(heard))}
    missing = 0
    for place in range(len(expected)):
        missing = 0 if place in found else missing + 1
        if missing == LEFT_OUT_WORDS:
            return True
    return False


def row(one: Heard, items: Sequence[Item], base_cpu_s: float) -> str:
    texts = ["".join(segment.text for segment in transcript.segments) for transcript in one.transcripts]
    pairs = [(item.text, text) for item, text in zip(items, texts, strict=True)]
    rate = scoring.corpus_rate(dict(enumerate(scoring.word_errors(*pair) for pair in pairs)))
    cells = (
        one.workload,
        "fitted" if one.fitted else "full",
        one.timestamps.value,
        f"{rate.value:.2f} % ({rate.low:.1f} to {rate.high:.1f})",
        f"{sum(left_out(*pair) for pair in pairs)} of {len(pairs)}",
        str(sum(transcript.redone for transcript in one.transcripts)),
        f"{one.cpu_s / base_cpu_s:.2f}",
    )
    return f"| {' | '.join(cells)} |"


def table(workload: str, items: Sequence[Item], engines: dict[bool, Engine], batch: int) -> Iterable[str]:
    ways = list(product((False, True), (Timestamps.NONE, Timestamps.SEGMENT)))
    done = []
    for fitted, timestamps in track(ways, f"{workload}: {len(items)} texts"):
        begun = time.process_time()
        transcripts = hear(engines[fitted], items, timestamps, batch)
        done.append(Heard(workload, fitted, timestamps, transcripts, time.process_time() - begun))
    return [row(one, items, done[0].cpu_s) for one in done]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="whisper-tiny.en")
    parser.add_argument("--workloads", default="mix,15,30,long")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--audio", type=Path, default=clips.find_audio(ROOT))
    options = parser.parse_args()
    card = catalog.find(options.model)
    spec = ModelSpec(card.name, card.family, card.fetch(), card.sha256, threads=2)
    engines = {fitted: base.load(replace(spec, fitted_windows=fitted)) for fitted in (False, True)}
    print("| workload | windows | times | WER | left out | redone | CPU |\n| --- | --- | --- | --- | --- | --- | --- |")
    for workload in options.workloads.split(","):
        for line in table(workload, read_items(workload, options.audio), engines, options.batch):
            print(line, flush=True)


if __name__ == "__main__":
    main()
