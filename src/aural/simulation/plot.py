"""Charts as SVG, for pages in light and dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from aural.simulation.studies import Chart

WIDTH, HEIGHT, LEFT, TOP, RIGHT = 460, 240, 60, 50, 20
ROW = 20
COLOURS = ("#0b7285", "#e67700", "#868e96", "#74b816")
STYLE = """text{font:12px system-ui,sans-serif;fill:#343a40}.axis{stroke:#adb5bd}.grid{stroke:#e9ecef}
.head{font-size:14px;font-weight:600}@media(prefers-color-scheme:dark){text{fill:#dee2e6}.grid{stroke:#343a40}}"""
MOST_RUNGS = 6

Point = tuple[float, float]


class Scale:
    """Values of one axis to pixels. Logarithmic ones end at whole powers of ten."""

    def __init__(self, values: Sequence[float], start: float, end: float, *, is_log: bool) -> None:
        self._log = is_log
        self._start, self._end = start, end
        if is_log:
            self.low = 10.0 ** math.floor(math.log10(min(values)))
            self.high = 10.0 ** max(math.ceil(math.log10(max(values))), math.floor(math.log10(min(values))) + 1)
        else:
            self.low, self.high = min(0.0, *values), max(values) * 1.08 or 1.0

    def __call__(self, value: float) -> float:
        low, high, here = (math.log10(v) if self._log else v for v in (self.low, self.high, value))
        return self._start + (self._end - self._start) * (here - low) / (high - low)

    @property
    def rungs(self) -> list[float]:
        if self._log:
            powers = round(math.log10(self.high / self.low))
            return [self.low * 10.0**i for i in range(powers + 1)]
        span = self.high - self.low
        rough = span / MOST_RUNGS
        unit = 10.0 ** math.floor(math.log10(rough))
        step = next(unit * times for times in (1, 2, 5, 10) if unit * times >= rough)
        first = math.ceil(self.low / step)
        return [step * i for i in range(first, math.floor(self.high / step) + 1)]


def draw(chart: Chart) -> str:
    """The whole SVG: title, axes, curves, legend."""
    points = [point for curve in chart.curves.values() for point in curve]
    across = Scale([x for x, _ in points], LEFT, LEFT + WIDTH, is_log=chart.log_x)
    upward = Scale([y for _, y in points], TOP + HEIGHT, TOP, is_log=chart.log_y)
    body = _axes(chart, across, upward) + "".join(
        _curve([(across(x), upward(y)) for x, y in curve], colour)
        for curve, colour in zip(chart.curves.values(), COLOURS, strict=False)
    )
    width, height = LEFT + WIDTH + RIGHT, TOP + HEIGHT + 50 + ROW * len(chart.curves)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img">'
        f"<title>{escape(chart.title)}</title><style>{STYLE}</style>"
        f'<text class="head" x="{LEFT}" y="{TOP - 28}">{escape(chart.title)}</text>{body}{_legend(chart)}</svg>\n'
    )


def _axes(chart: Chart, across: Scale, upward: Scale) -> str:
    base = TOP + HEIGHT
    rungs = "".join(
        f'<line class="grid" x1="{LEFT}" x2="{LEFT + WIDTH}" y1="{upward(value):.1f}" y2="{upward(value):.1f}"/>'
        f'<text x="{LEFT - 8}" y="{upward(value) + 4:.1f}" text-anchor="end">{value:,g}</text>'
        for value in upward.rungs
    )
    ticks = "".join(
        f'<text x="{across(value):.1f}" y="{base + 18}" text-anchor="middle">{value:,g}</text>'
        for value in across.rungs
    )
    names = (
        f'<text x="{LEFT + WIDTH / 2}" y="{base + 36}" text-anchor="middle">{escape(chart.x)}</text>'
        f'<text x="{LEFT - 40}" y="{TOP - 10}">{escape(chart.y)}</text>'
    )
    return f'{rungs}<line class="axis" x1="{LEFT}" x2="{LEFT + WIDTH}" y1="{base}" y2="{base}"/>{ticks}{names}'


def _curve(points: Sequence[Point], colour: str) -> str:
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points)
    return f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>{dots}'


def _legend(chart: Chart) -> str:
    first = TOP + HEIGHT + 60
    return "".join(
        f'<rect x="{LEFT}" y="{first + ROW * i - 9}" width="14" height="10" fill="{colour}"/>'
        f'<text x="{LEFT + 20}" y="{first + ROW * i}">{escape(name)}</text>'
        for i, (name, colour) in enumerate(zip(chart.curves, COLOURS, strict=False))
    )
