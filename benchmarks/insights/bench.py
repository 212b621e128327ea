"""What the rows share: a figure beside its goal, text of a folder, vectors that are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aural.insight.embed import EMBEDDERS, Vectors

Row = dict[str, str]


@dataclass(frozen=True, slots=True)
class Result:
    task: str
    embedder: str
    value: float
    goal: float | None
    n: int
    note: str = ""

    @property
    def met(self) -> str:
        if self.goal is None:
            return ""
        lower_is_better = self.goal < 0
        return "yes" if (self.value <= -self.goal if lower_is_better else self.value >= self.goal) else "NO"


class Bench:
    """Folders of text, and vectors that are kept."""

    def __init__(self, data: Path, test: Path, cache: Path, limit: int) -> None:
        self.data, self.test, self.limit = data, test, limit
        self.apart = test != data
        self._cache = cache
        self._vectors: dict[str, dict[str, Vectors]] = {}

    def rows(self, name: str, *, test: bool = False, limited: bool = True, **where: str) -> list[Row]:
        path = (self.test if test else self.data) / name
        head, *lines = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
        every = (dict(zip(head, line, strict=True)) for line in lines)
        # of text kept apart every row may test; of the folder that trains only its test part
        found = [
            row for row in every if (test and self.apart) or all(row[key] == value for key, value in where.items())
        ]
        return found[: self.limit] if test and limited and self.limit else found

    def embed(self, name: str, texts: Sequence[str]) -> Vectors:
        if name not in self._vectors:
            self._vectors[name] = self._load(name)
        known = self._vectors[name]
        fresh = list(dict.fromkeys(text for text in texts if text not in known))
        if fresh:
            known |= dict(zip(fresh, EMBEDDERS[name]().embed(fresh), strict=True))
            np.savez(self._path(name), texts=np.array(list(known), object), vectors=np.stack(list(known.values())))
        return np.stack([known[text] for text in texts])

    def _path(self, name: str) -> Path:
        return self._cache / f"{name}.cache.npz"

    def _load(self, name: str) -> dict[str, Vectors]:
        if not self._path(name).is_file():
            return {}
        with np.load(self._path(name), allow_pickle=True) as kept:
            return dict(zip(kept["texts"], kept["vectors"], strict=True))


class Kept:
    """The vectors of a bench, as an embedder."""

    def __init__(self, bench: Bench, name: str) -> None:
        self.name = name
        self._bench = bench

    def embed(self, texts: Sequence[str]) -> Vectors:
        return self._bench.embed(self.name, texts)
