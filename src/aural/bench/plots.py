"""Plots as SVG text: lines with intervals, steps, bars. Colours are classes: the page decides on dark or light."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 520, 300
LEFT, RIGHT, TOP, BOTTOM = 58, 104, 34, 46
SERIES = 8
"""Colours that there are; more series begin again."""
MOST_RUNGS = 6
LONGEST_NAME = 14
"""Letters that have room at the end of a line; longer names go below the plot."""
GAP = 15.0
"""Least distance of two labels at the ends of lines."""


@dataclass(frozen=True, slots=True)
class Point:
    """A value and its 95 % interval, where there is one."""

    x: float
    y: float
    low: float = math.nan
    high: float = math.nan
    note: str = ""
    """Shown when the pointer rests on it."""


@dataclass(frozen=True, slots=True)
class Series:
    name: str
    points: Sequence[Point]


Scale = Callable[[float], float]


def lines(
    title: str,
    series: Sequence[Series],
    x_name: str,
    y_name: str,
    categories: Sequence[float] | None = None,
    labels: bool = False,
) -> str:
    """Points joined by a line per series. With `categories` the x values stand evenly apart; with `labels` each point
    bears its note."""
    shown = [one for one in series if one.points]
    if not shown:
        return ""
    top = _top(shown)
    y = _linear(0, top, TOP + HEIGHT, TOP)
    if categories is None:
        right = max(p.x for one in shown for p in one.points) * 1.08 or 1.0
        x = _linear(0, right, LEFT, LEFT + WIDTH)
        ticks = [(value, _short(value)) for value in _rungs(right)]
    else:
        slot = WIDTH / len(categories)
        x = {value: LEFT + slot * (i + 0.5) for i, value in enumerate(categories)}.__getitem__
        ticks = [(value, f"{value:g}") for value in categories]
    marks = "".join(_line(i, one, x, y, labels) for i, one in enumerate(shown))
    grid = _axes(x, y, ticks, top, x_name, y_name)
    if max(len(one.name) for one in shown) > LONGEST_NAME:
        return _frame(title, grid + marks + _legend([one.name for one in shown]), legend_rows=len(shown))
    return _frame(title, grid + marks + _names(shown, x, y))


def beside(title: str, plots: Sequence[str], style: str) -> str:
    """Plots in a row as an SVG file of its own."""
    width = LEFT + WIDTH + RIGHT
    height = max((int(plot.split('viewBox="0 0 ')[1].split('"')[0].split()[1]) for plot in plots), default=0)
    placed = "".join(
        plot.replace("<svg ", f'<svg x="{width * i}" y="0" width="{width}" ', 1).replace(
            ' role="img"', ' preserveAspectRatio="xMidYMin"', 1
        )
        for i, plot in enumerate(plots)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width * len(plots)} {height}" role="img">'
        f"<title>{escape(title)}</title><style>{escape(style, quote=False)}</style>{placed}</svg>\n"
    )


def steps(title: str, series: Sequence[Series], x_name: str) -> str:
    """Cumulative distributions: `Point.x` is the value, `Point.y` the share up to it."""
    shown = [one for one in series if one.points]
    if not shown:
        return ""
    right = max(p.x for one in shown for p in one.points) * 1.04
    x, y = _linear(0, right, LEFT, LEFT + WIDTH), _linear(0, 1.0, TOP + HEIGHT, TOP)
    ticks = [(value, _short(value)) for value in _rungs(right)]
    marks = "".join(
        f'<path class="line s{i % SERIES}" d="{_staircase(one.points, x, y)}"><title>{escape(one.name)}</title></path>'
        for i, one in enumerate(shown)
    )
    grid = _axes(x, y, ticks, 1.0, x_name, "share of requests", percent=True)
    return _frame(title, grid + marks + _legend([one.name for one in shown]), legend_rows=len(shown))


def _staircase(points: Sequence[Point], x: Scale, y: Scale) -> str:
    return f"M{x(0):.1f} {y(0):.1f}" + "".join(f"H{x(point.x):.1f}V{y(point.y):.1f}" for point in points)


def bars(title: str, groups: Sequence[tuple[str, Sequence[tuple[int, Point]]]], names: Sequence[str], unit: str) -> str:
    """Bars side by side per group; each is (number of its series, value with interval)."""
    shown = [(name, bars) for name, bars in groups if bars]
    if not shown:
        return ""
    points = [point for _, bars in shown for _, point in bars]
    top = _top([Series("", points)])
    y = _linear(0, top, TOP + HEIGHT, TOP)
    slot = WIDTH / len(shown)
    width = min(34.0, slot / (len(names) + 1))
    marks = []
    for i, (_, group) in enumerate(shown):
        begin = LEFT + slot * (i + 0.5) - width * len(group) / 2
        marks += [_bar(number, point, begin + j * width, width, y) for j, (number, point) in enumerate(group)]
    ticks = [(float(i), name) for i, (name, _) in enumerate(shown)]
    grid = _axes(lambda value: LEFT + slot * (value + 0.5), y, ticks, top, "", unit)
    return _frame(title, grid + "".join(marks) + _legend(names), legend_rows=len(names))


def _bar(number: int, point: Point, x: float, width: float, y: Scale) -> str:
    top, base = y(point.y), y(0)
    centre = x + width / 2
    return (
        f'<rect class="bar s{number % SERIES}" x="{x + 1.5:.1f}" y="{top:.1f}" width="{width - 3:.1f}" '
        f'height="{max(base - top, 0.5):.1f}" rx="2"><title>{escape(point.note)}</title></rect>'
        + _whisker(centre, point, y)
        + f'<text class="value" x="{centre:.1f}" y="{min(top, y(point.high) if _known(point) else top) - 5:.1f}" '
        f'text-anchor="middle">{_short(point.y)}</text>'
    )


def _line(number: int, series: Series, x: Scale, y: Scale, labels: bool) -> str:
    colour = f"s{number % SERIES}"
    path = " ".join(f"{x(p.x):.1f},{y(p.y):.1f}" for p in series.points)
    dots = "".join(
        f'<g class="{colour}">{_whisker(x(p.x), p, y)}<circle class="dot" cx="{x(p.x):.1f}" cy="{y(p.y):.1f}" r="4">'
        f"<title>{escape(p.note)}</title></circle></g>"
        for p in series.points
    )
    written = "".join(
        f'<text class="tick" x="{x(p.x) + 7:.1f}" y="{y(p.y) - 7:.1f}">{escape(p.note.split(":")[0])}</text>'
        for p in series.points
        if labels
    )
    return f'<polyline class="line {colour}" points="{path}"/>{dots}{written}'


def _known(point: Point) -> bool:
    return math.isfinite(point.low) and math.isfinite(point.high)


def _whisker(x: float, point: Point, y: Scale) -> str:
    if not _known(point):
        return ""
    return f'<line class="whisker" x1="{x:.1f}" x2="{x:.1f}" y1="{y(point.low):.1f}" y2="{y(point.high):.1f}"/>'


def _names(series: Sequence[Series], x: Scale, y: Scale) -> str:
    """Each line's name at its end, pushed apart where they would lie on each other."""
    ends = sorted((y(one.points[-1].y), x(one.points[-1].x), i, one.name) for i, one in enumerate(series))
    written, last = [], -math.inf
    for at, end, number, name in ends:
        last = max(at, last + GAP)
        written.append(
            f'<text class="name t{number % SERIES}" x="{end + 9:.1f}" y="{last + 4:.1f}">{escape(name)}</text>'
        )
    return "".join(written)


def _legend(names: Sequence[str]) -> str:
    base = TOP + HEIGHT + BOTTOM
    return "".join(
        f'<rect class="bar s{i % SERIES}" x="{LEFT}" y="{base + 18 * i}" width="12" height="10" rx="2"/>'
        f'<text x="{LEFT + 18}" y="{base + 9 + 18 * i}">{escape(name)}</text>'
        for i, name in enumerate(names)
    )


def _axes(
    x: Scale,
    y: Scale,
    ticks: Sequence[tuple[float, str]],
    top: float,
    x_name: str,
    y_name: str,
    percent: bool = False,
) -> str:
    base = TOP + HEIGHT
    rungs = "".join(
        f'<line class="grid" x1="{LEFT}" x2="{LEFT + WIDTH}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>'
        f'<text class="tick" x="{LEFT - 8}" y="{y(value) + 4:.1f}" text-anchor="end">'
        f"{f'{value:.0%}' if percent else _short(value)}</text>"
        for value in _rungs(top)
    )
    marks = "".join(
        f'<text class="tick" x="{x(value):.1f}" y="{base + 17}" text-anchor="middle">{escape(name)}</text>'
        for value, name in ticks
    )
    named = (
        f'<text class="axis-name" x="{LEFT + WIDTH / 2}" y="{base + 36}" text-anchor="middle">{escape(x_name)}</text>'
        f'<text class="axis-name" x="{LEFT - 48}" y="{TOP - 14}">{escape(y_name)}</text>'
    )
    return f'{rungs}<line class="axis" x1="{LEFT}" x2="{LEFT + WIDTH}" y1="{base}" y2="{base}"/>{marks}{named}'


def _frame(title: str, body: str, legend_rows: int = 0) -> str:
    width, height = LEFT + WIDTH + RIGHT, TOP + HEIGHT + BOTTOM + 18 * legend_rows
    return (
        f'<svg class="plot" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title>{body}</svg>"
    )


def _top(series: Sequence[Series]) -> float:
    values = [value for one in series for p in one.points for value in (p.y, p.high) if math.isfinite(value)]
    return max(values, default=1.0) * 1.1 or 1.0


def _rungs(top: float) -> list[float]:
    """Round values from 0 to `top`, few enough to read."""
    size = 10 ** math.floor(math.log10(top))
    steps = (factor * size for factor in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0))
    step = next(step for step in steps if top / step <= MOST_RUNGS)
    return [step * i for i in range(int(top / step + 1e-9) + 1)]


def _linear(low: float, high: float, begin: float, end: float) -> Scale:
    return lambda value: begin + (value - low) / (high - low) * (end - begin)


def _short(value: float) -> str:
    return f"{value:.3g}" if value < 1_000 else f"{value:,.0f}"
