"""What a run of streams leaves behind: `streams.jsonl`, one stream a line, and `run.json`; and what was measured in it,
computed from these alone."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from aural.bench import records, scoring
from aural.bench.clips import Item
from aural.bench.records import Asked, Watch
from aural.bench.scoring import Errors
from aural.bench.stream import Measures, Said, Shown, align, measure
from aural.errors import BenchError

STREAMS = "streams.jsonl"
VERSION = 1


@dataclass(frozen=True, slots=True)
class StreamGoal:
    """What 95 % of the words and utterances must keep, and how much worse the text may be than that of the same streams
    alone."""

    emission_s: float = 2.0
    finalization_s: float = 1.5
    share: float = 0.95
    wer_points: float = 1.0


@dataclass(frozen=True, slots=True)
class Stream:
    """One stream that ran."""

    step: int
    """Number of the step in which it ran."""
    item: int
    shown: tuple[Shown, ...]
    late_s: float = 0.0
    """How late its latest frame was sent."""
    error: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """So many streams at once, and what the client itself did meanwhile."""

    count: int
    watch: Watch
    elapsed_s: float

    @property
    def client_cores(self) -> float:
        return self.watch.cpu_s / self.elapsed_s if self.elapsed_s > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Played:
    """What was said in a stream, and where each word lies."""

    asked: Asked
    said: tuple[Said, ...]

    @classmethod
    def of(cls, item: Item, language: str) -> Played:
        return cls(item.asked, tuple(align(item, language)))


@dataclass
class StreamRun:
    """What is known of a run of streams."""

    about: dict[str, Any]
    items: list[Played] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    streams: list[Stream] = field(default_factory=list)
    capacity: dict[str, Any] = field(default_factory=dict)

    @property
    def language(self) -> str:
        return str(self.about["plan"]["language"])

    @property
    def rate_name(self) -> str:
        return scoring.rate_name(self.language)

    @property
    def goal(self) -> StreamGoal:
        return StreamGoal(**self.about["plan"]["goal"])

    def together(self) -> list[Together]:
        """Every step, measured."""
        return [
            measured(step, [stream for stream in self.streams if stream.step == number], self.items, self.language)
            for number, step in enumerate(self.steps)
        ]


@dataclass(frozen=True)
class Together:
    """All streams of one step, measured as one."""

    step: Step
    streams: Sequence[Stream]
    measures: Sequence[Measures]
    scored: Mapping[int, Errors]
    """By number of the item."""

    @property
    def count(self) -> int:
        """How many ran at once."""
        return self.step.count

    @property
    def wer(self) -> scoring.Estimate:
        return scoring.corpus_rate(self.scored)

    def all(self, name: str) -> list[float]:
        """The values of a measure over all streams."""
        return [value for values in self.by_stream(name) for value in values]

    def by_stream(self, name: str) -> list[list[float]]:
        return [getattr(one, name) for one in self.measures]

    def total(self, name: str) -> int:
        return int(sum(getattr(one, name) for one in self.measures))

    @property
    def errors(self) -> list[str]:
        return [stream.error for stream in self.streams if stream.error]

    def missed(self, goal: StreamGoal, alone: Mapping[int, Errors]) -> str:
        """Why the goal is not kept; empty when it is. `alone` are the errors of the same items with nobody beside them,
        by which the text is judged; without them it is not. Utterances without a final text count as too late."""
        if self.errors:
            return f"{len(self.errors)} streams failed: {self.errors[0]}"
        for name, limit, lost in (
            ("emission_s", goal.emission_s, 0),
            ("finalization_s", goal.finalization_s, self.total("unfinished")),
        ):
            values = self.all(name)
            within = sum(value <= limit for value in values) / max(len(values) + lost, 1)
            if within < goal.share:
                return f"{within:.1%} of {name.removesuffix('_s')} within {limit:g} s"
        worse = scoring.rate_difference(self.scored, alone).value
        if worse > goal.wer_points:
            return f"error rate {worse:.1f} points above that of the same streams alone"
        return ""


def measured(step: Step, streams: Sequence[Stream], items: Sequence[Played], language: str) -> Together:
    found = []
    scored = {}
    for stream in streams:
        item = items[stream.item]
        one = measure(item.said, item.asked.text, stream.shown, language)
        found.append(one)
        scored[stream.item] = Errors(one.errors, one.words)
    return Together(step, streams, found, scored)


def append(folder: Path, streams: Iterable[Stream]) -> None:
    with (folder / STREAMS).open("a", encoding="utf-8") as file:
        for stream in streams:
            file.write(json.dumps(asdict(stream), ensure_ascii=False) + "\n")


def save(folder: Path, run: StreamRun) -> None:
    """Write run.json in one go, so that a crash leaves the old one."""
    document = {
        "version": VERSION,
        "kind": records.STREAM_RUN,
        "about": run.about,
        "items": [asdict(item) for item in run.items],
        "steps": [asdict(step) for step in run.steps],
        "capacity": run.capacity,
    }
    fresh = folder / (records.RUN + ".new")
    fresh.write_text(json.dumps(document, ensure_ascii=False, indent=1), encoding="utf-8")
    os.replace(fresh, folder / records.RUN)


def is_one(folder: Path) -> bool:
    """Whether a run of streams lies in `folder`."""
    return (folder / STREAMS).exists()


def read(folder: Path) -> StreamRun:
    """A run as it lies in `folder`; raises BenchError when it is none."""
    try:
        document = json.loads((folder / records.RUN).read_text(encoding="utf-8"))
        lines = [json.loads(line) for line in (folder / STREAMS).read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise BenchError(f"expected a run of streams with {records.RUN} and {STREAMS} in {folder}: {error}") from error
    if (found := (document.get("kind"), document.get("version"))) != (records.STREAM_RUN, VERSION):
        raise BenchError(f"expected a run of streams of version {VERSION} in {folder}, got {found[0]} of {found[1]}")
    return StreamRun(
        document["about"],
        [_played(entry) for entry in document["items"]],
        [Step(**{**entry, "watch": Watch(**entry["watch"])}) for entry in document["steps"]],
        [Stream(**{**line, "shown": tuple(Shown(**one) for one in line["shown"])}) for line in lines],
        document["capacity"],
    )


def _played(entry: dict[str, Any]) -> Played:
    return Played(records.asked(entry["asked"]), tuple(Said(**one) for one in entry["said"]))
