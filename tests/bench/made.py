"""Runs that nobody had to wait for: cells of endpoints in made-up time, written into a folder as a real run is."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from aural.bench import records, stream_records
from aural.bench.http import Reply, RequestFailed
from aural.bench.records import Load, Run, Watch
from aural.bench.stream import Said, Shown
from aural.bench.stream_records import Played, Step, Stream, StreamGoal, StreamRun
from tests.bench.virtual import TEXT, Endpoint, asked, measure, words

ABOUT: dict[str, Any] = {
    "label": "made",
    "target": "http://127.0.0.1:1",
    "protocol": "openai",
    "language": "en",
    "hardware": "nothing",
    "instance": "",
    "plan": {"requests": 250, "warm_up": 0, "model": ""},
    "client": {"started": "2026-01-01T00:00:00", "revision": "abc"},
    "endpoint": {},
}
HALF = " ".join(TEXT.split()[:4])


def service(mean_s: float, seed: int) -> Iterator[float]:
    chance = random.Random(seed)
    while True:
        yield mean_s * chance.lognormvariate(0, 0.3)


def make(
    folder: Path,
    mean_s: float = 0.3,
    seed: int = 1,
    answer: Callable[[int], Reply | RequestFailed] = lambda _: Reply(200, words()),
    requests: int = 250,
    durations: Sequence[int] = (15, 30),
    **about: Any,
) -> Path:
    """A run at 1, 5 and 20 callers; 30 s of audio take twice as long as 15 s."""
    run = Run(ABOUT | {"label": folder.name} | about)
    folder.mkdir(parents=True)
    for duration in durations:
        run.items[f"{duration}"] = []
        for callers in (1, 5, 20):
            load = Load(
                f"{duration}-x{callers}",
                "closed" if callers > 1 else "single",
                f"{duration}",
                callers,
                requests=requests,
            )
            seconds = service(mean_s * duration / 15, seed + callers)
            done, answers = measure(Endpoint(seconds, servers=2, answer=answer), load)
            offset = len(run.items[f"{duration}"])
            run.items[f"{duration}"] += asked(requests, float(duration))
            answers = [replace(a, item=a.item + offset) for a in answers]
            run.done.append(done)
            run.answers[load.name] = answers
            records.append(folder, load.name, answers)
    records.save(folder, run)
    return folder


def make_streams(folder: Path, counts: Sequence[int], instance: str = "ml.g6.xlarge") -> Path:
    """A run of live streams whose words stand 0.6 s after their end; in the last step nothing is heard."""
    said = tuple(Said(word, i + 0.5, i + 1.0, 0) for i, word in enumerate(TEXT.split()))
    shown = [Shown(word.end_s + 0.6, "a", " ".join(TEXT.split()[: i + 1])) for i, word in enumerate(said)]
    shown.append(Shown(9.8, "a", TEXT, kind="final"))
    plan = {"language": "en", "model": "", "seconds": 10.0, "goal": asdict(StreamGoal())}
    about = {"label": folder.name, "instance": instance, "plan": plan, "client": ABOUT["client"]}
    steps = [Step(count, Watch(), 10.0) for count in counts]
    folder.mkdir(parents=True)
    stream_records.save(folder, StreamRun(about, [Played(asked(1, 10.0)[0], said)], steps))
    deaf = len(counts) - 1
    stream_records.append(
        folder,
        [Stream(n, 0, () if n == deaf else tuple(shown)) for n, count in enumerate(counts) for _ in range(count)],
    )
    return folder
