"""A report as one HTML file: no script, nothing fetched, light or dark as the reader has it, good on paper."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html import escape
from importlib.resources import files

from aural.bench.report.parts import Section, Table

LINK = re.compile(r"\[([^\]]+)\]\((https?://[^)\s]+)\)")


def render(title: str, sections: Sequence[Section]) -> str:
    body = "\n".join(_section(section) for section in sections)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<link rel="icon" href="data:,">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style()}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{escape(title)}</h1>\n{body}\n</main>\n</body>\n</html>\n"
    )


def style() -> str:
    """The colours of page and plots, in light and dark and on paper."""
    return (files("aural.bench.report") / "page.css").read_text(encoding="utf-8")


def _section(section: Section) -> str:
    parts = [f"<section>\n<h2>{escape(section.title)}</h2>", *map(_paragraph, section.text)]
    if section.table is not None:
        parts.append(f'<div class="wide">{"".join(_table(section.table))}</div>')
    if section.plots:
        parts.append('<div class="plots">' + "".join(map(_figure, section.plots)) + "</div>")
    return "\n".join([*parts, "</section>"])


def _figure(plot: str) -> str:
    title = plot.partition("<title>")[2].partition("</title>")[0]
    return f"<figure><figcaption>{title}</figcaption>{plot}</figure>"


def _paragraph(text: str) -> str:
    warns = text.startswith("! ")
    inner = LINK.sub(r'<a href="\2">\1</a>', escape(text[2:] if warns else text, quote=False))
    return f'<p class="warning">{inner}</p>' if warns else f"<p>{inner}</p>"


def _table(table: Table) -> Iterator[str]:
    yield "<table><thead><tr>"
    yield from (_cell("th", table, i, cell) for i, cell in enumerate(table.head))
    yield "</tr></thead><tbody>"
    for row in table.rows:
        yield "<tr>" + "".join(_cell("td", table, i, cell) for i, cell in enumerate(row)) + "</tr>"
    yield "</tbody></table>"


def _cell(tag: str, table: Table, column: int, text: str) -> str:
    kinds = [] if column < table.words else ["number"]
    if tag == "td" and text.endswith(" !"):
        kinds.append("bad")
        text = text[:-2]
    value, bracket, interval = text.partition(" (")
    shown = escape(value) + (f' <span class="interval">({escape(interval)}</span>' if bracket else "")
    chosen = f' class="{" ".join(kinds)}"' if kinds else ""
    return f"<{tag}{chosen}>{shown}</{tag}>"
