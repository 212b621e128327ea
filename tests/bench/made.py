"""Runs that nobody had to wait for: cells of endpoints in made-up time, written into a folder as a real run is."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from aural.bench import records
from aural.bench.http import Reply, RequestFailed
from aural.bench.records import Load, Run
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
