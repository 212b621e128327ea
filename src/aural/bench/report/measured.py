"""A run with its figures, computed once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aural.bench.figures import Figures, of_run
from aural.bench.records import Run


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

    def best_rtfx(self, workload: str) -> float:
        """The most audio seconds per second: at the capacity that kept its goal where one was searched, else with
        callers that never rest."""
        for found in self.search:
            if found["workload"] == workload and found["low"]:
                seconds = [
                    f.audio_s / len(f.completed) for f in self.figures if f.load.workload == workload and f.completed
                ]
                return float(found["low"]) * sum(seconds) / len(seconds)
        return max((f.rtfx for f in self.kind("single", "closed") if f.load.workload == workload), default=0.0)

    @property
    def workloads(self) -> list[str]:
        return list(dict.fromkeys(figures.load.workload for figures in self.figures))
