"""A report as Markdown: text and tables, without the pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from aural.bench.report.parts import Section, Table


def render(title: str, sections: Sequence[Section]) -> str:
    return "\n".join(_lines(title, sections)) + "\n"


def _lines(title: str, sections: Sequence[Section]) -> Iterator[str]:
    yield f"# {title}"
    for section in sections:
        yield ""
        yield f"## {section.title}"
        for paragraph in section.text:
            yield ""
            yield f"**{paragraph[2:]}**" if paragraph.startswith("! ") else paragraph
        if section.table is not None:
            yield ""
            yield from _table(section.table)


def _table(table: Table) -> Iterator[str]:
    yield _row(table.head)
    yield _row(["---" if i < table.words else "---:" for i in range(len(table.head))])
    for row in table.rows:
        yield _row(row)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
