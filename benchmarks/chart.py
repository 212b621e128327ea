"""The report as a picture: requests per second against callers, one panel per workload.

python benchmarks/chart.py benchmark-results/RUN/report.json docs/serving.svg
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path[0] = str(ROOT)

from aural.bench import plots  # noqa: E402
from aural.bench.plots import Point, Series  # noqa: E402
from aural.bench.report.page import style  # noqa: E402

ARMS = {
    "aural": "aural",
    "aural-full": "aural, full 30 s windows",
    "litserve": "LitServe, full 30 s windows",
    "article": "the article's design",
}
WORKLOADS = {"mix": "real mix, 1 to 28 s", "15": "15 s clips"}

Loads = Sequence[dict[str, Any]]


def main() -> None:
    source, target = map(Path, sys.argv[1:3])
    target.write_text(draw(json.loads(source.read_text(encoding="utf-8"))["loads"]), encoding="utf-8")


def draw(loads: Loads) -> str:
    """The SVG of every panel side by side."""
    shown = [name for name in WORKLOADS if any(load["workload"] == name for load in loads)]
    panels = [panel(WORKLOADS[name], [load for load in loads if load["workload"] == name]) for name in shown]
    return plots.beside("Requests per second against callers", panels, style())


def panel(title: str, loads: Loads) -> str:
    callers = sorted({float(load["callers"]) for load in loads if load["arm"] in ARMS})
    series = [Series(name, curve([load for load in loads if load["arm"] == arm])) for arm, name in ARMS.items()]
    return plots.lines(title, series, "callers at once", f"requests/s, {title}", callers)


def curve(loads: Loads) -> list[Point]:
    ordered = sorted(loads, key=lambda load: int(load["callers"]))
    return [Point(float(load["callers"]), float(load["requests_per_s"]), note=f"{load['callers']}") for load in ordered]


if __name__ == "__main__":
    main()
