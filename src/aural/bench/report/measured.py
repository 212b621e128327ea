"""A run with its figures, computed once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aural.bench import scoring
from aural.bench.figures import Figures, of_run
from aural.bench.records import Run


@dataclass(frozen=True, slots=True)
class Pace:
    """The most that an endpoint heard of audio of one length."""

    rtfx: float
    """Audio seconds heard per second."""
    figures: Figures
    """Of the cell that says so."""

    @property
    def doubts(self) -> list[str]:
        return self.figures.doubts


@dataclass(frozen=True)
class Measured:
    label: str
    about: dict[str, Any]
    figures: list[Figures]
    search: list[dict[str, Any]]

    @classmethod
    def of(cls, run: Run) -> Measured:
        return cls(str(run.about.get("label", "")), run.about, of_run(run), run.search)

    def kind(self, *kinds: str) -> list[Figures]:
        return [figures for figures in self.figures if figures.load.kind in kinds]

    def cell(self, name: str) -> Figures | None:
        return next((figures for figures in self.figures if figures.load.name == name), None)

    @property
    def instance(self) -> str:
        return str(self.about.get("instance", ""))

    @property
    def hardware(self) -> str:
        return str(self.about.get("hardware", ""))

    @property
    def judged(self) -> list[Figures]:
        """All cells but those steps of a search that decided nothing."""
        rates = {(found["workload"], rate) for found in self.search for rate in (found["low"], found["high"])}
        return [f for f in self.figures if f.load.kind != "capacity" or (f.load.workload, f.load.rate) in rates]

    def tries(self, workload: str, rate: float | None) -> list[Figures]:
        """The steps of a search at this rate; the last one decided."""
        return [f for f in self.kind("capacity") if (f.load.workload, f.load.rate) == (workload, rate)]

    def best(self, workload: str) -> Pace | None:
        """At the capacity that kept its goal where one was searched, else with callers that never rest; a cell in doubt
        only where there is no other."""
        for found in self.search:
            tries = self.tries(workload, found["low"])
            if found["workload"] == workload and tries:
                return Pace(tries[-1].load.rate * tries[-1].heard_s / len(tries[-1].cell.answers), tries[-1])
        cells = [f for f in self.kind("single", "closed") if f.load.workload == workload and f.completed]
        sound = [f for f in cells if not f.doubts] or cells
        paces = [Pace(f.rtfx, f) for f in sound if f.rtfx > 0]
        return max(paces, key=lambda pace: pace.rtfx, default=None)

    @property
    def workloads(self) -> list[str]:
        return list(dict.fromkeys(figures.load.workload for figures in self.figures))


def rate_name(runs: Sequence[Measured]) -> str:
    """What the error rates of runs are called, side by side."""
    return " or ".join(sorted({scoring.rate_name(str(run.about["language"])) for run in runs}, reverse=True))
