"""What is run, and in which order: pure decisions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from aural.bench.clips import LONG, Workload
from benchmarks.arms.base import ANY, Arm, Load
from benchmarks.records import Cell, Variant

SATURATED = 20
FEW = 5
CURVES = ("5", "15", "mix")
"""Workloads on which the other servers show how they scale, in one round."""
KEPT_VARIANTS = 2
"""Settings that get a second trial, and that are tried on each further workload; the first tries all."""


@dataclass(frozen=True, slots=True)
class Plan:
    workloads: tuple[str, ...] = ("5", "15", "30", "60", "mix", LONG)
    rounds: int = 5
    callers: tuple[int, ...] = tuple(sorted(ANY))
    seconds: float = 6.0
    """How long a window stays open at least."""
    at_least: int = 20
    """Answers in a window, at least; half as many when there is one caller."""
    choose: bool = True
    """Try an arm's settings before the rounds; otherwise take its first."""
    every_text: bool = True
    """Ask in the end for the items that the rounds did not reach."""

    def order(self, arms: Sequence[Arm], round_: int) -> list[Arm]:
        """A B, then B A: slow changes of the machine strike all arms alike."""
        return list(arms) if round_ % 2 else list(reversed(arms))

    def loads(self, arm: Arm, workload: Workload, round_: int) -> list[Load]:
        """The cells of one arm in one round."""
        if workload.name == LONG:
            return [Load(1, (0,), once=True, round=round_)] if arm.name in ("aural", "article") else []
        again = arm.every_round & self._every_round(workload)
        once = arm.callers if round_ == 1 and (arm.every_round == ANY or workload.name in CURVES) else again
        order = tuple(workload.order((round_ - 1) * len(workload.items) // self.rounds))
        return [
            Load(callers, order, self.seconds, self._answers(callers), round=round_)
            for callers in self.callers
            if callers in again | once
        ]

    def trial(self, arm: Arm, workload: Workload) -> Load:
        """The short cell by which settings are compared."""
        callers = FEW if arm.serial else min(SATURATED, max(arm.callers))
        order = tuple(workload.order(0))
        return Load(callers, order, self.seconds / 2, self.at_least // 2, purpose="choose")

    def rest(self, workload: Workload, cells: Sequence[Cell], round_: int) -> Load | None:
        """A request for every item that an arm has not yet heard, in its last round."""
        heard = {answer.item for cell in cells for answer in cell.answers if answer.ok}
        missing = tuple(item for item in workload.order(0) if item not in heard)
        if round_ < self.rounds or not missing or not self.every_text:
            return None
        return Load(SATURATED, missing, once=True, purpose="texts", round=round_)

    def _answers(self, callers: int) -> int:
        return self.at_least // 2 if callers == 1 else max(self.at_least, callers if callers > SATURATED else 0)

    def _every_round(self, workload: Workload) -> set[int]:
        return {1, SATURATED, 64} if workload.name in ("5", "mix") else {1, SATURATED}


QUICK = replace(
    Plan(),
    workloads=("15",),
    rounds=1,
    callers=(1, SATURATED),
    seconds=4.0,
    at_least=8,
    choose=False,
    every_text=False,
)
QUICK_ARMS = ("article", "aural", "aural-full", "raw-fitted", "raw", "litserve")


def candidates(arm: Arm, tried: Sequence[Cell]) -> list[Variant]:
    """All settings of an arm at first, the best few once it was tried on another workload."""
    return best(tried) or list(arm.variants)


def best(tried: Sequence[Cell]) -> list[Variant]:
    """The few best settings, each by its best trial: other load on the machine only ever slows a trial down."""
    ranked: list[Variant] = []
    for cell in sorted(tried, key=merit, reverse=True):
        if cell.variant not in ranked:
            ranked.append(cell.variant)
    return ranked[:KEPT_VARIANTS]


def merit(cell: Cell) -> float:
    """The more the better: answers per second, which for a lone caller is one over the latency."""
    return cell.throughput
