"""Reports from records alone, and one of them in a real browser."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from aural.bench import stream_report
from aural.bench.http import Reply
from aural.bench.report import write
from tests.bench.made import HALF, make, make_streams
from tests.bench.virtual import words
from tests.browser import chromium, open_tab


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A quick run and a slow one whose texts are cut, side by side, with cost and the article's figures."""
    base = tmp_path_factory.mktemp("report")
    quick = make(base / "quick", instance="ml.g6e.xlarge", hardware="one L40S")
    cut = make(base / "cut", 0.9, answer=lambda _: Reply(200, words(HALF)), instance="ml.g6.xlarge", hardware="one L4")
    assert not write([quick, cut], base, "parakeet-tdt-0.6b")
    return base


def rows(page: str, section: str) -> list[list[str]]:
    lines = page.split(f"## {section}\n")[1].split("\n## ")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")][2:]


def test_the_tables_are_those_of_the_article_and_more(folder: Path) -> None:
    page = (folder / "report.md").read_text()
    single = rows(page, "Single requests")
    assert [row[:2] for row in single] == [["quick", "15 s"], ["quick", "30 s"], ["cut", "15 s"], ["cut", "30 s"]]
    load = rows(page, "Under load")
    assert [row[2] for row in load[:3]] == ["1", "5", "20"]
    _, _, _, mean, p50, p95, p99, most, *_ = load[0]
    assert mean.startswith("0.3")
    for percentile in (p50, p95):
        assert re.fullmatch(r"\d\.\d{3} s \(\d\.\d{3} to \d\.\d{3}\)", percentile)
    assert p99 == "n = 250"
    assert float(most.split()[0]) > float(p95.split()[0]) > float(p50.split()[0])


def test_doubts_come_before_figures(folder: Path) -> None:
    page = (folder / "report.md").read_text()
    assert page.index("## Doubts") < page.index("## Single requests")
    assert page.count("texts end long before the speech") == 6
    assert "different hardware" in page


def test_cost_and_the_articles_figures(folder: Path) -> None:
    page = (folder / "report.md").read_text()
    (instance, dollars), *_ = [(row[1], float(row[5].strip("$"))) for row in rows(page, "Cost")]
    rtfx = float(rows(page, "Cost")[0][3])
    assert instance == "ml.g6e.xlarge"
    assert dollars == pytest.approx(2.605 / rtfx, rel=0.01)
    article = rows(page, "The article's figures")
    assert len(article) == 9
    assert all(row[4].startswith("broken") for row in article)
    assert "would compare hardware" in page


class Tags(HTMLParser):
    """Addresses that a page would fetch, and the tags that stayed open."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.fetched += [v for name, v in attributes if name in ("src", "href") and tag != "a" and v != "data:,"]
        if tag not in ("meta", "link", "rect", "circle", "line", "path", "polyline", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("rect", "circle", "line", "path", "polyline"):
            assert self.open.pop() == tag


def test_the_page_is_whole_and_fetches_nothing(folder: Path) -> None:
    tags = Tags()
    html = (folder / "report.html").read_text()
    tags.feed(html)
    assert (tags.fetched, tags.open) == ([], [])
    assert html.count("<figure>") >= 8
    assert "nan" not in html.lower().replace("nano", "")


def test_what_a_label_says_is_text(tmp_path: Path) -> None:
    run = make(tmp_path / "odd", label="<script>alert(1)</script> | x", requests=20)
    write([run])
    assert "<script" not in (run / "report.html").read_text()
    assert "\\| x" in (run / "report.md").read_text()


COMMITTED = sorted((Path(__file__).parents[2] / "docs" / "benchmarks").rglob("report.html"))


@pytest.mark.slow
def test_a_browser_shows_it_without_complaint(folder: Path) -> None:
    chromium()
    limited(lambda: look(folder / "report.html", folder))


@pytest.mark.slow
def test_a_browser_shows_a_report_of_streams(tmp_path: Path) -> None:
    chromium()
    stream_report.rebuild(make_streams(tmp_path / "live", (1, 5, 20, 2)), tmp_path)
    limited(lambda: look(tmp_path / "report.html", tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("page", COMMITTED, ids=lambda page: page.parent.name)
def test_a_browser_shows_the_reports_that_are_published(page: Path, tmp_path: Path) -> None:
    chromium()
    limited(lambda: look(page, tmp_path))


async def look(page: Path, pictures: Path) -> None:
    """In light and in dark, on a desk and on a phone; a picture of both is left for people."""
    async with open_tab(page.as_uri()) as tab:
        await tab.media(prefers_color_scheme="light")
        light = await tab.run("getComputedStyle(document.body).backgroundColor")
        await tab.picture(pictures / "light.png")
        await tab.media(prefers_color_scheme="dark")
        assert await tab.run("getComputedStyle(document.body).backgroundColor") != light
        await tab.picture(pictures / "dark.png")
        inside = "[...document.querySelectorAll('svg text')].every((one) => { const box = one.getBoundingClientRect(),"
        inside += " frame = one.closest('svg').getBoundingClientRect(); return box.right <= frame.right + 2"
        inside += " && box.left >= frame.left - 2 && box.bottom <= frame.bottom + 2; })"
        assert await tab.run(inside)
        await tab.size(390, 800, phone=True)
        assert await tab.run("document.documentElement.scrollWidth <= innerWidth")
        assert [address for address in tab.requested if not address.startswith(("file:", "data:"))] == []
        assert tab.complaints == []


def limited(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(), 120))
