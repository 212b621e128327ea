"""The report as a picture: requests per second against callers, one panel per workload.

python benchmarks/chart.py benchmark-results/RUN/report.json docs/serving.svg
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

ARMS = {
    "aural": ("aural", "#0b7285"),
    "aural-full": ("aural, full 30 s windows", "#74b816"),
    "litserve": ("LitServe, full 30 s windows", "#e67700"),
    "article": ("the article's design", "#868e96"),
}
WORKLOADS = {"mix": "real mix, 1 to 28 s", "15": "15 s clips"}
WIDTH, HEIGHT, LEFT, TOP, GAP = 330, 230, 50, 50, 70
STYLE = """text{font:12px system-ui,sans-serif;fill:#343a40}.axis{stroke:#adb5bd}.grid{stroke:#e9ecef}
.head{font-size:14px;font-weight:600}@media(prefers-color-scheme:dark){text{fill:#dee2e6}.grid{stroke:#343a40}}"""

Point = tuple[float, float]


def main() -> None:
    source, target = map(Path, sys.argv[1:3])
    target.write_text(draw(json.loads(source.read_text(encoding="utf-8"))["loads"]), encoding="utf-8")


def draw(loads: Sequence[dict[str, Any]]) -> str:
    """The SVG of every panel side by side, with one legend."""
    shown = [name for name in WORKLOADS if any(load["workload"] == name for load in loads)]
    width = LEFT + len(shown) * (WIDTH + GAP)
    panels = (panel(name, loads, LEFT + i * (WIDTH + GAP)) for i, name in enumerate(shown))
    size = f'viewBox="0 0 {width} {TOP + HEIGHT + 100}" width="{width}"'
    title = "<title>Requests per second against callers</title>"
    body = "".join((*panels, legend(TOP + HEIGHT + 60)))
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">{title}<style>{STYLE}</style>{body}</svg>\n'


def panel(workload: str, loads: Sequence[dict[str, Any]], x0: float) -> str:
    here = [load for load in loads if load["workload"] == workload and load["arm"] in ARMS]
    callers = sorted({load["callers"] for load in here})
    top = max(load["requests_per_s"] for load in here) * 1.1
    curves = (
        curve(
            [(place(load["callers"], callers, x0), height(load["requests_per_s"], top)) for load in of(arm, here)],
            colour,
        )
        for arm, (_, colour) in ARMS.items()
    )
    head = f'<text class="head" x="{x0}" y="{TOP - 22}">{escape(WORKLOADS[workload])}</text>'
    return head + axes(callers, top, x0) + "".join(curves)


def of(arm: str, loads: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted((load for load in loads if load["arm"] == arm), key=lambda load: int(load["callers"]))


def axes(callers: Sequence[int], top: float, x0: float) -> str:
    step = next(step for step in (1, 2, 5, 10, 20, 50) if top / step <= 6)
    rungs = "".join(
        f'<line class="grid" x1="{x0}" x2="{x0 + WIDTH}" y1="{height(value, top):.1f}" y2="{height(value, top):.1f}"/>'
        f'<text x="{x0 - 8}" y="{height(value, top) + 4:.1f}" text-anchor="end">{value}</text>'
        for value in range(0, int(top) + 1, step)
    )
    base = TOP + HEIGHT
    ticks = "".join(
        f'<text x="{place(count, callers, x0):.1f}" y="{base + 18}" text-anchor="middle">{count}</text>'
        for count in callers
    )
    names = (
        f'<text x="{x0 + WIDTH / 2}" y="{base + 36}" text-anchor="middle">callers at once</text>'
        f'<text x="{x0 - 30}" y="{TOP - 6}">requests/s</text>'
    )
    return f'{rungs}<line class="axis" x1="{x0}" x2="{x0 + WIDTH}" y1="{base}" y2="{base}"/>{ticks}{names}'


def curve(points: Sequence[Point], colour: str) -> str:
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in points)
    return f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2.5"/>{dots}'


def legend(y: float) -> str:
    return "".join(_legend(y, ARMS.values()))


def _legend(y: float, entries: Iterable[tuple[str, str]]) -> Iterable[str]:
    for i, (name, colour) in enumerate(entries):
        x = LEFT + i % 2 * 260
        line = y + i // 2 * 20
        yield f'<rect x="{x}" y="{line - 9}" width="14" height="10" fill="{colour}"/>'
        yield f'<text x="{x + 20}" y="{line}">{escape(name)}</text>'


def place(count: int, callers: Sequence[int], x0: float) -> float:
    """Evenly spaced, since 1 to 64 is no scale for the eye."""
    return x0 + WIDTH * (callers.index(count) + 0.5) / len(callers)


def height(value: float, top: float) -> float:
    return TOP + HEIGHT * (1 - value / top)


if __name__ == "__main__":
    main()
