"""What `aural bench run` is asked for, and what of it a run that is continued may change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from aural.bench.capacity import Goal
from aural.bench.http import Address
from aural.bench.protocols import AUTO
from aural.bench.records import Kind, Load
from aural.bench.targets import SAGEMAKER
from aural.errors import BenchError

MOST_WARM_UP = 5
OPEN_CONNECTIONS = 16
EXTENDED = frozenset({"durations", "concurrency", "rates"})
"""Settings that a continued run may change: they say which cells there are, and nothing of how one is measured."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What `aural bench run` was asked for."""

    target: str
    audio: Path
    protocol: str = AUTO
    durations: tuple[str, ...] = ("15", "30", "60")
    """Lengths of audio in seconds, or `mix`."""
    concurrency: tuple[int, ...] = (1, 5, 10, 20)
    requests: int = 100
    rates: tuple[float, ...] = ()
    """Requests a second of open loops."""
    goal: Goal | None = None
    """Search the capacity that keeps it."""
    warm_up: int = MOST_WARM_UP
    """Requests before each cell, at most one per caller."""
    limit_s: float | None = None
    """The longest that a cell of a closed loop may take before it makes no more requests."""
    language: str = "en"
    model: str = ""
    label: str = ""
    """What the run is called in reports; the target when empty."""
    instance: str = ""
    """The SageMaker instance type of the endpoint, for its price."""
    hardware: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    timeout_s: float = 120.0
    region: str | None = None
    endpoint_url: str | None = None
    seed: int = 7

    def __post_init__(self) -> None:
        """Raises BenchError for what would have no effect at the target."""
        if not self.target.startswith(SAGEMAKER):
            Address.of(self.target)
            if self.region or self.endpoint_url:
                raise BenchError(
                    f"expected --region and --endpoint-url with sagemaker:ENDPOINT only, got {self.target}"
                )
        elif self.headers:
            names = ", ".join(name for name, _ in self.headers)
            raise BenchError(f"expected no headers and no API key for {self.target}, which passes none on; got {names}")

    def loads(self) -> list[Load]:
        """Every cell, in order: single requests, then callers, then arrivals, per length of audio."""
        return [load for workload in self.durations for load in self._of(workload)]

    def _of(self, workload: str) -> Iterator[Load]:
        for callers in sorted({1, *self.concurrency}):  # one caller that never rests is one request after the other
            kind: Kind
            kind, name = ("single", "single") if callers == 1 else ("closed", f"x{callers}")
            warm_up = min(callers, self.warm_up)
            yield Load(
                f"{workload}-{name}",
                kind,
                workload,
                callers,
                0.0,
                self.requests,
                warm_up,
                self.limit_s,
            )
        for rate in self.rates:
            yield self.arrivals(f"{workload}-{rate:g}rps", "open", workload, rate, self.requests)

    def arrivals(self, name: str, kind: Kind, workload: str, rate: float, requests: int) -> Load:
        """An open loop."""
        return Load(name, kind, workload, OPEN_CONNECTIONS, rate, requests, min(OPEN_CONNECTIONS, self.warm_up))

    def described(self) -> dict[str, Any]:
        """The plan as run.json keeps it, without what is secret."""
        kept = asdict(self)
        del kept["headers"]
        return {**kept, "audio": str(self.audio)}

    def refuse_to_continue(self, before: Mapping[str, Any]) -> None:
        """Raises BenchError unless cells of the plan `before`, as run.json keeps it, may lie beside cells of this."""
        now = self.described()
        for name in sorted(now.keys() - EXTENDED):
            if before.get(name) != now[name]:
                raise BenchError(
                    f"expected the settings of the run that is continued: it had {name} {before.get(name)!r}, "
                    f"this one has {now[name]!r}"
                )
