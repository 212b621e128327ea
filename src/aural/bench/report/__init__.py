"""The report of one run or several: Markdown, and one HTML file that needs nothing else. Built from records alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from aural.bench import prices, records
from aural.bench.report import markdown, page
from aural.bench.report.measured import Measured
from aural.bench.report.sections import build

MARKDOWN, HTML = "report.md", "report.html"


def write(folders: Sequence[Path], out: Path | None = None, article: str = "", price_table: Path | None = None) -> bool:
    """Write report.md and report.html of runs side by side into `out`, or into the first folder. False when there is a
    doubt about any figure. `article` names a model of the published figures to lay beside."""
    runs = [Measured.of(records.read(folder)) for folder in folders]
    sections = build(runs, prices.load(price_table), article)
    target = out or folders[0]
    target.mkdir(parents=True, exist_ok=True)
    title = " against ".join(run.label for run in runs)
    (target / MARKDOWN).write_text(markdown.render(title, sections), encoding="utf-8")
    (target / HTML).write_text(page.render(title, sections), encoding="utf-8")
    return not any(figures.doubts for run in runs for figures in run.judged)
