"""The figures that an article published of three models on SageMaker, as data to lay beside a run and to check."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from aural.bench import law


@dataclass(frozen=True, slots=True)
class Published:
    """One cell of the article's tables."""

    model: str
    audio_s: int
    callers: int
    requests_per_s: float
    mean_s: float
    published: bool
    """Whether both figures stand in the article as they are here; otherwise they were worked back from its tables."""


@cache
def document() -> dict[str, Any]:
    """article.json: source, instance, notes and cells."""
    text = (files("aural.bench") / "data" / "article.json").read_text(encoding="utf-8")
    return json.loads(text)  # type: ignore[no-any-return]


def cells() -> list[Published]:
    """The cells under load."""
    return [Published(**cell) for cell in document()["load"]]


def single_s(model: str, audio_s: int) -> float | None:
    """Mean latency of single requests, in seconds."""
    found = (row["mean_s"] for row in document()["single"] if (row["model"], row["audio_s"]) == (model, audio_s))
    return next(found, None)


def check(cell: Published) -> law.Verdict:
    return law.closed(cell.requests_per_s, cell.mean_s, cell.callers, document()["requests"][cell.model])
