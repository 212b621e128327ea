"""What a report is made of, before it is Markdown or HTML; and figures as people read them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from aural.bench.scoring import Estimate
from aural.bench.stats import Latency


@dataclass(frozen=True, slots=True)
class Table:
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    words: int = 1
    """So many columns from the left hold words, the others numbers."""


@dataclass(frozen=True, slots=True)
class Section:
    title: str
    text: list[str] = field(default_factory=list)
    """Paragraphs; one that begins with `! ` is a warning."""
    table: Table | None = None
    plots: list[str] = field(default_factory=list)
    """SVG."""


def number(value: float, digits: int = 2) -> str:
    return "" if not math.isfinite(value) else f"{value:,.{digits}f}"


def seconds(value: float) -> str:
    return "" if not math.isfinite(value) else f"{value:.3f} s"


def ranged(estimate: Estimate, digits: int = 2, unit: str = "") -> str:
    """A value with its 95 % interval."""
    if not math.isfinite(estimate.value):
        return ""
    text = number(estimate.value, digits) + unit
    if not math.isfinite(estimate.low) or estimate.low == estimate.high:
        return text
    return f"{text} ({number(estimate.low, digits)} to {number(estimate.high, digits)})"


def tail(latency: Latency, estimate: Estimate) -> str:
    """A high percentile with its interval, or why there is none."""
    return ranged(estimate, 3, " s") if math.isfinite(estimate.value) else f"n = {latency.n}"


def audio(workload: str) -> str:
    return workload if workload == "mix" else f"{workload} s"
