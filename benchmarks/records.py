"""What a run leaves behind: one `Cell` a line in cells.jsonl, complete enough to make the report again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

from aural.bench.records import Answer

Variant = dict[str, Any]
"""How an arm is set up: names and plain values."""

Purpose = Literal["choose", "measure", "texts"]
"""Why a cell was run: to choose an arm's settings, to be reported, or to have a text of every item."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What the machine did between the opening and the closing of a window."""

    cpu_s: float = 0.0
    """CPU seconds of the arm's whole process tree."""
    engine_cpu_s: float = 0.0
    """The part spent in processes that hold the model's library."""
    engine_processes: int = 0
    peak_rss_bytes: int = 0
    """Of the process tree, pages that processes share counted in each."""
    client_cpu_s: float = 0.0
    other_cores: float = 0.0
    """Cores kept busy by processes that are not part of the benchmark."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One arm under one load. Answers hold every request; rates and latencies look only at the window, which opens
    when as many requests as there are callers have been answered and closes while all callers are still at work."""

    arm: str
    variant: Variant
    workload: str
    callers: int
    round: int
    purpose: Purpose
    opened: float
    closed: float
    answers: tuple[Answer, ...]
    usage: Usage = Usage()
    ready_s: float = 0.0
    """From the start of the arm's processes until they answered that they are ready."""
    extra: dict[str, float] = field(default_factory=dict)
    """Figures that only this arm can give."""

    @property
    def window(self) -> list[Answer]:
        return [answer for answer in self.answers if self.opened < answer.end <= self.closed]

    @property
    def window_s(self) -> float:
        return self.closed - self.opened

    @property
    def completed(self) -> list[Answer]:
        return [answer for answer in self.window if answer.ok]

    @property
    def throughput(self) -> float:
        """Answers per second. Callers never rest, so this is how many there are over the mean time that one of their
        rounds takes; unlike answers over window, it is right also when answers come in batches."""
        busy = sum(end - since for since, end in self._turns())
        return len({answer.caller for answer in self.answers}) * len(self.completed) / busy if busy else 0.0

    @property
    def counted(self) -> float:
        """Answers over window, a cross-check of `throughput` that batches make coarse."""
        return len(self.completed) / self.window_s if self.window_s > 0 else 0.0

    @property
    def latencies_s(self) -> list[float]:
        return sorted(answer.latency_s for answer in self.completed)

    @property
    def unaccounted(self) -> float:
        """Share of the callers' time, from their first request to their last answer, spent in no recorded request.

        Little's law with the finite number of requests taken into account exactly: the mean number in flight must be
        the number of callers, less those who had already finished. A request that was lost, or dropped because it
        failed, shows as time of a caller without a request.
        """
        total = inside = 0.0
        for answers in self._by_caller():
            total += answers[-1].end - answers[0].start
            inside += sum(end - start for start, end in {(a.start, a.end) for a in answers})
        return 1 - inside / total if total else 0.0

    def _turns(self) -> Iterator[tuple[float, float]]:
        """The time from one answer to the next of the same caller, for answers inside the window."""
        for answers in self._by_caller():
            since = answers[0].start
            for answer in answers:
                if self.opened < answer.end <= self.closed:
                    yield since, answer.end
                since = answer.end

    def _by_caller(self) -> Iterator[list[Answer]]:
        ordered = sorted(self.answers, key=lambda answer: (answer.caller, answer.end))
        return (list(group) for _, group in groupby(ordered, key=lambda answer: answer.caller))


def append(path: Path, cell: Cell) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(cell), ensure_ascii=False) + "\n")


def read(path: Path) -> list[Cell]:
    return [_cell(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def _cell(entry: dict[str, Any]) -> Cell:
    answers = tuple(Answer(**answer) for answer in entry.pop("answers"))
    return Cell(**{**entry, "answers": answers, "usage": Usage(**entry["usage"])})
