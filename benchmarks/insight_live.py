"""Whether insights make captions late: the same streams without and with insights, in turn, on one server.

    python benchmarks/insight_live.py [--model whisper-tiny.en] [--streams 6] [--seconds 60] [--rounds 3]

Each round plays the same streams of real speech twice at the speed of life, once without and once with insights, and
takes what `streaming.py` takes: from the end of each word to when it is shown and to when it stands, and from the end
of each utterance to its final text. A ratio of 1.00 is no difference; the goal is 1.05 at most. It also says how long
after a final its insights came; the goal is 1 s. The list of keywords has a word of every fourth utterance, so that
many a one is heard once more for the time of its keyword.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path[0] = str(ROOT)

from aural.bench.clips import Utterance, find_audio, read_utterances  # noqa: E402
from aural.bench.stats import ratio  # noqa: E402
from aural.streaming import events  # noqa: E402
from benchmarks.streams.arms import Aural  # noqa: E402
from benchmarks.streams.cells import Cell, percentile, run, running  # noqa: E402
from benchmarks.streams.speech import streams  # noqa: E402

MOST_RATIO = 1.05
TIMES = {"shown": "partial_lag_s", "stands": "emission_s", "final": "finalization_s"}


@dataclass(slots=True)
class Insights:
    """When insights came, after the finals that they are of."""

    after_s: list[float] = field(default_factory=list)
    keywords: int = 0
    skipped: int = 0
    finals: dict[str, float] = field(default_factory=dict)

    def note(self, event: events.Event) -> None:
        match event:
            case events.Done(item):
                self.finals[item] = time.perf_counter()
            case events.Other({"type": "aural.utterance_insights", "item_id": item, "keywords": keywords}):
                self.after_s.append(time.perf_counter() - self.finals[item])
                self.keywords += len(keywords)
            case events.Other({"type": "aural.insights_skipped"}):
                self.skipped += 1


async def rounds(given: argparse.Namespace, insights: Insights) -> dict[bool, list[Cell]]:
    """Without and with in turn, each first in every second round, so that both meet the same moods of the machine.
    What the server does for the first time is not measured: a round of one stream comes before all."""
    audio = find_audio(ROOT)
    if audio is None:
        sys.exit("expected recordings with known text in shared/audio beside the repository, found none")
    utterances = read_utterances(audio, "en")
    items = streams(utterances, given.streams * given.rounds, given.seconds)
    asked = {"insights": {"keywords": keywords(utterances)}}
    flags = ("--max-streams", "64", "--log-level", "warning")
    arms = {
        False: Aural(given.model, flags),
        True: Aural(given.model, flags, aural=asked, listener=insights.note),
    }
    cells: dict[bool, list[Cell]] = {False: [], True: []}
    async with running(arms[False], Path(mkdtemp(prefix="aural-insight-")) / "server.log") as (port, pid):
        await run(Aural(given.model, flags, aural=asked), port, pid, items[:1])
        for number in range(given.rounds):
            these = items[number * given.streams : (number + 1) * given.streams]
            for with_them in (False, True) if number % 2 else (True, False):
                cells[with_them].append(await run(arms[with_them], port, pid, these))
                print(f"round {number + 1} of {given.rounds}, {'with' if with_them else 'without'}", file=sys.stderr)
    return cells


def keywords(utterances: Sequence[Utterance]) -> list[str]:
    """The longest word of every fourth utterance."""
    return sorted({max(re.findall(r"\w+", one.text.lower()), key=len) for one in utterances[::4]})


def report(cells: dict[bool, list[Cell]], insights: Insights) -> None:
    failed = sum(cell.failed + cell.refused for half in cells.values() for cell in half)
    print(f"{sum(cell.streams for cell in cells[True])} streams each way, {failed} failed")
    for name, attribute in TIMES.items():
        without, with_them = ([s for cell in cells[kind] for s in getattr(cell, attribute)] for kind in (False, True))
        for q in (50, 95):
            found = ratio(with_them, without, quantile_of(q))
            print(
                f"{name:6} p{q}: without {percentile(without, q):.3f} s, with {percentile(with_them, q):.3f} s, "
                f"ratio {found.value:.3f} [{found.low:.2f}, {found.high:.2f}] "
                f"{'yes' if found.value <= MOST_RATIO else 'NO'} (of {len(with_them)})"
            )
    cores = {kind: sum(cell.cores for cell in cells[kind]) / len(cells[kind]) for kind in cells}
    print(f"cores: without {cores[False]:.2f}, with {cores[True]:.2f}")
    p50, p95 = (percentile(insights.after_s, q) for q in (50, 95))
    print(
        f"insights after the final: p50 {p50:.3f} s, p95 {p95:.3f} s; "
        f"{insights.keywords} keywords in {len(insights.after_s)} utterances; skipped {insights.skipped}"
    )


def quantile_of(q: float) -> Any:
    return lambda table, axis: np.percentile(table, q, axis=axis)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="whisper-tiny.en")
    parser.add_argument("--streams", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=60.0, help="length of a stream")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    insights = Insights()
    report(asyncio.run(rounds(given, insights)), insights)


if __name__ == "__main__":
    main()
