"""The simulation beside runs that were measured: the same callers, clips and workers, and how far apart they are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aural.errors import SettingsError
from aural.serving.policy import Policy
from aural.simulation.costs import Costs
from aural.simulation.pool import Clock, Pool
from aural.simulation.traffic import Files, Record

SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Measured:
    """A closed loop as it was measured."""

    name: str
    pods: int
    workers: int
    callers: int
    lengths_s: tuple[float, ...]
    max_batch: int
    requests_per_s: float
    p50_s: float
    p95_s: float
    costs: Costs


@dataclass(frozen=True, slots=True)
class Compared:
    """A figure of both, and the difference as a share of the measured one."""

    name: str
    figure: str
    measured: float
    simulated: float

    @property
    def off(self) -> float:
        return self.simulated / self.measured - 1.0


def read(path: Path) -> list[Measured]:
    """The runs in a file that benchmarks/scale.py wrote; raises SettingsError."""
    try:
        rows = json.loads(path.read_text())["runs"]
        return [
            Measured(**row | {"lengths_s": tuple(row["lengths_s"]), "costs": Costs(**row["costs"])}) for row in rows
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SettingsError(f"expected the JSON of benchmarks/scale.py in {path}, got {error!r}") from error


def compare(runs: Sequence[Measured]) -> list[Compared]:
    return [row for run in runs for row in _compare(run)]


def _compare(run: Measured) -> list[Compared]:
    clock, record = Clock(), Record()
    pool = Pool(
        clock, run.costs, pods=run.pods, workers=run.workers, policy=Policy(run.max_batch, run.max_batch * 30 * 16_000)
    )
    Files(pool, record, run.lengths_s).closed(run.callers)
    clock.run(SECONDS)
    begun = SECONDS / 10
    figures = {
        "requests/s": (run.requests_per_s, len(record.since(begun)) / (SECONDS - begun)),
        "p50, s": (run.p50_s, record.p(0.5, begun)),
        "p95, s": (run.p95_s, record.p(0.95, begun)),
    }
    return [Compared(run.name, figure, *values) for figure, values in figures.items()]
