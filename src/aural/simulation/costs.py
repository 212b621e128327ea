"""What a batch costs, learnt from the log lines that a server writes about each one (`--log-level debug`)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from aural.errors import SettingsError

FEWEST_BATCHES = 20
"""Below this a fit says more about the noise than about the engine."""
REWEIGHTINGS = 5
LEAST_S = 1e-6


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch as the server logged it."""

    clips_s: tuple[float, ...]
    engine_s: float


TERMS = ("batch_s", "clip_s", "audio_s", "padded_s", "longest_s")


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds of an engine for a batch: a sum of five terms, none below 0."""

    batch_s: float
    """Per batch."""
    clip_s: float
    """Per clip."""
    audio_s: float
    """Per second of audio."""
    padded_s: float
    """Per padded second: the longest clip times the number of clips."""
    longest_s: float
    """Per second of the longest clip: all clips of a batch share the steps of a decoder."""
    spread: float = 0.0
    """Standard deviation of a clip's true time around the fit, as a share of it; that of a batch is smaller by the root
    of its clips, which are quick and slow by themselves."""
    door_s: float = 0.0
    """What a request costs its caller outside of queue and engine: transfer, decoding, answer."""

    def engine_s(self, clips_s: Sequence[float]) -> float:
        """Mean time of a batch with clips of these lengths."""
        count, longest = len(clips_s), max(clips_s)
        per_audio = self.audio_s * sum(clips_s) + self.padded_s * longest * count + self.longest_s * longest
        return self.batch_s + self.clip_s * count + per_audio

    def rtfx(self, clip_s: float, count: int) -> float:
        """Audio seconds per second with full batches of equal clips."""
        return clip_s * count / self.engine_s([clip_s] * count)

    @classmethod
    def read(cls, path: Path) -> Self:
        """From the JSON that `write` made; raises SettingsError."""
        try:
            table = json.loads(path.read_text())
            return cls(**{field.name: float(table.pop(field.name)) for field in fields(cls)})
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            known = ", ".join(field.name for field in fields(cls))
            raise SettingsError(f"expected JSON with {known} in {path}, got {error!r}") from error

    def write(self, path: Path) -> None:
        path.write_text(json.dumps({name: round(value, 6) for name, value in asdict(self).items()}, indent=2) + "\n")


def read_batches(lines: Iterable[str], model: str | None = None) -> list[Batch]:
    """The batches in a log of JSON lines, of one model or of all; other lines are passed over, and so is what a
    cluster's log puts before the JSON of each."""
    batches = []
    for line in lines:
        if '"batch"' not in line:
            continue
        try:
            row = json.loads(line[line.index("{") :])
        except ValueError:
            continue
        if row.get("message") == "batch" and model in (None, row["model"]):
            batches.append(Batch(tuple(row["clips_s"]), row["engine_s"]))
    return batches


def fit(batches: Sequence[Batch]) -> Costs:
    """The terms that explain the batches best: least squares without negative terms, each error relative to the time
    that was expected (iteratively reweighted; relative to the measured one, fast batches would count too much and all
    times come out short). Raises SettingsError for too few."""
    if len(batches) < FEWEST_BATCHES:
        raise SettingsError(f"expected {FEWEST_BATCHES} batches in the log or more, got {len(batches)}")
    took = np.array([batch.engine_s for batch in batches])
    rows = np.array([_terms(batch.clips_s) for batch in batches])
    terms = _non_negative(rows, took)
    for _ in range(REWEIGHTINGS):
        expected = np.maximum(rows @ terms, LEAST_S)
        terms = _non_negative(rows / expected[:, None], took / expected)
    counts = np.array([len(batch.clips_s) for batch in batches])
    spread = float(np.std(np.sqrt(counts) * (took / np.maximum(rows @ terms, LEAST_S) - 1)))
    return Costs(**dict(zip(TERMS, map(float, terms), strict=True)), spread=spread)


def _terms(clips_s: Sequence[float]) -> tuple[float, ...]:
    return 1.0, float(len(clips_s)), sum(clips_s), max(clips_s) * len(clips_s), max(clips_s)


def _non_negative(rows: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Least squares with the most negative term left out until none is: five terms need no better."""
    kept = list(range(rows.shape[1]))
    while True:
        found = np.linalg.lstsq(rows[:, kept], target, rcond=None)[0]
        if found.min() >= 0:
            break
        kept.pop(int(found.argmin()))
    terms = np.zeros(rows.shape[1])
    terms[kept] = found
    return terms
