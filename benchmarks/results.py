"""Questions that a report asks of the cells of a run."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

from aural.bench import scoring
from aural.bench.records import Answer
from aural.bench.scoring import Errors, Estimate
from benchmarks.plan import SATURATED
from benchmarks.records import Cell

NOISY_CORES = 0.1
UNACCOUNTED = 0.03
CLIENT_CORES_PER_REQUEST = 0.002
"""A fifth of a core for each 100 requests a second."""
CLIENT_CORES_IDLE = 0.02

Metric = Callable[[Cell], float]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ItemInfo:
    """An item without its samples."""

    name: str
    text: str
    duration_s: float
    speech_share: float


@dataclass(frozen=True)
class Results:
    model: str
    cells: list[Cell]
    items: dict[str, list[ItemInfo]]
    """By workload, in the order of the workload."""
    unavailable: dict[str, str] = field(default_factory=dict)

    def of(self, arm: str, workload: str, callers: int = SATURATED) -> list[Cell]:
        """Measured cells, by round."""
        return sorted(self._measured.get((arm, workload, callers), []), key=lambda cell: cell.round)

    @cached_property
    def _measured(self) -> dict[tuple[str, str, int], list[Cell]]:
        found: dict[tuple[str, str, int], list[Cell]] = {}
        for cell in self.cells:
            if cell.purpose == "measure":
                found.setdefault((cell.arm, cell.workload, cell.callers), []).append(cell)
        return found

    @property
    def loads(self) -> list[tuple[str, str, int]]:
        """Arm, workload and callers of every measured cell, in the order in which they first ran."""
        return list(self._measured)

    def answers(self, arm: str, workload: str) -> list[Answer]:
        """All that an arm answered with the settings it was measured with."""
        chosen = ("measure", "texts") if workload in self.items else ()
        cells = [c for c in self.cells if c.arm == arm and c.workload == workload and c.purpose in chosen]
        return [answer for cell in cells for answer in cell.answers]

    def texts(self, workload: str) -> list[str]:
        return [item.text for item in self.items[workload]]

    def scored(self, arm: str, workload: str) -> dict[int, Errors]:
        return scoring.by_item(self.answers(arm, workload), self.texts(workload)) if workload in self.items else {}

    def audio_s(self, cell: Cell) -> float:
        """Seconds of audio answered in the window."""
        return sum(self.items[cell.workload][answer.item].duration_s for answer in cell.completed)

    def rtfx(self, cell: Cell) -> float:
        """Seconds of audio answered per second."""
        return cell.throughput * self.audio_s(cell) / len(cell.completed) if cell.completed else 0.0

    def cpu(self, cell: Cell) -> float:
        """CPU seconds of the whole process tree per second of audio."""
        return self.cpu_of(cell, cell.usage.cpu_s)

    def cpu_of(self, cell: Cell, cpu_s: float) -> float:
        """CPU seconds of the window, as cores kept busy, over the audio seconds answered per second."""
        return cpu_s / max(cell.window_s, 1e-9) / max(self.rtfx(cell), 1e-9)

    def ratio(self, ours: str, theirs: str, workload: str, metric: Metric, callers: int = SATURATED) -> Estimate:
        """Ratio of the medians over the rounds that both arms ran."""
        a, b = self.pair((ours, workload, callers), (theirs, workload, callers), metric)
        return scoring.ratio_of_medians(a, b)

    def pair(
        self,
        ours: tuple[str, str, int],
        theirs: tuple[str, str, int],
        metric: Callable[[Cell], T],
        other: Callable[[Cell], T] | None = None,
    ) -> tuple[list[T], list[T]]:
        """A metric of two loads, and of the second perhaps another, over the rounds that both have."""
        a, b = ({cell.round: cell for cell in self.of(*load)} for load in (ours, theirs))
        rounds = sorted(a.keys() & b.keys())
        return [metric(a[round_]) for round_ in rounds], [(other or metric)(b[round_]) for round_ in rounds]

    def values(self, arm: str, workload: str, metric: Metric, callers: int = SATURATED) -> list[float]:
        return [metric(cell) for cell in self.of(arm, workload, callers)]

    def wer_difference(self, ours: str, theirs: str, workload: str) -> Estimate:
        return scoring.rate_difference(self.scored(ours, workload), self.scored(theirs, workload))

    def failures(self, cells: Sequence[Cell]) -> Counter[str]:
        """Requests that failed, by kind, in and outside windows."""
        return Counter(answer.error for cell in cells for answer in cell.answers if answer.error)

    def wrong_texts(self, cells: Sequence[Cell]) -> int:
        return sum(len(scoring.wrong_texts(cell.answers, self.texts(cell.workload))) for cell in cells)

    def doubts(self, cell: Cell) -> list[str]:
        """What makes the figures of a cell less trustworthy."""
        client = cell.usage.client_cpu_s / max(cell.window_s, 1e-9)
        limit = CLIENT_CORES_IDLE + CLIENT_CORES_PER_REQUEST * cell.throughput
        found = {
            f"other processes kept {cell.usage.other_cores:.2f} cores busy": cell.usage.other_cores > NOISY_CORES,
            f"{cell.unaccounted:.1%} of the callers' time is in no request": cell.unaccounted > UNACCOUNTED,
            f"the client used {client:.2f} cores": client > limit,
        }
        return [doubt for doubt, holds in found.items() if holds]


def p50(cell: Cell) -> float:
    return scoring.percentile(cell.latencies_s, 50)


def p95(cell: Cell) -> float:
    return scoring.percentile(cell.latencies_s, 95)


def mean(cell: Cell) -> float:
    return sum(cell.latencies_s) / len(cell.latencies_s) if cell.latencies_s else math.nan
