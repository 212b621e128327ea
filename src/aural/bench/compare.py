"""Is one run worse than another? A test per figure, corrected for their number, with a margin that may be lost.

What cannot be tested is told too: cells that only one of the two has whole, and figures of so few requests that not
even the largest loss could be told from chance.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import takewhile
from statistics import NormalDist

import numpy as np

from aural.bench import chance, scoring, stats
from aural.bench.chance import Chance
from aural.bench.figures import Figures
from aural.bench.scoring import Errors, Estimate

CHANCE = 0.05
"""How often a comparison of equals may be called a loss, over all its tests together."""
MARGIN = 0.05
"""A loss of so much is borne: 5 % of speed."""
WER_MARGIN = 0.3
"""Points of word error rate that are borne."""
MOST_COMMON = 0.8
"""Share of the recordings of either run from which on they are compared in pairs."""
WIDTH = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True)
class Pair:
    """The same load in two runs."""

    ours: Figures
    theirs: Figures

    @property
    def throughput(self) -> Estimate:
        """Ours over theirs."""
        if not self.ours.completed or not self.theirs.completed:
            return scoring.NOTHING
        gaps = stats.ratio(self.theirs.gaps_s, self.ours.gaps_s, np.mean, self.block)
        value = self.ours.throughput.value / self.theirs.throughput.value
        return Estimate(value, min(gaps.low, value), max(gaps.high, value))

    @property
    def latency(self) -> Estimate:
        """Mean of ours over mean of theirs."""
        return stats.ratio(_latencies(self.ours), _latencies(self.theirs), np.mean, self.block)

    @property
    def wer(self) -> Estimate:
        """Ours less theirs, in points; paired by recording where both heard mostly the same ones."""
        if common := self.common:
            names = {name: i for i, name in enumerate(sorted(common))}
            return scoring.rate_difference(*({names[n]: side[n] for n in names} for side in self.errors))
        a, b = self.ours.wer, self.theirs.wer
        error = math.hypot(a.high - a.low, b.high - b.low) / 2
        return Estimate(a.value - b.value, a.value - b.value - error, a.value - b.value + error)

    @property
    def common(self) -> set[str]:
        """Recordings that both heard, when they are most of those of either; else none."""
        ours, theirs = self.errors
        common = ours.keys() & theirs.keys()
        return common if len(common) >= MOST_COMMON * max(len(ours), len(theirs)) else set()

    @cached_property
    def errors(self) -> tuple[dict[str, Errors], dict[str, Errors]]:
        """By name of the recording, ours and theirs."""
        return _by_name(self.ours), _by_name(self.theirs)

    @property
    def whole(self) -> bool:
        return not (self.ours.cell.done.interrupted or self.theirs.cell.done.interrupted)

    @cached_property
    def block(self) -> int:
        """Neighbours that may have waited in one queue, of the longer of the two."""
        return max(1, *(figures.block for figures in (self.ours, self.theirs)))


def _latencies(figures: Figures) -> list[float]:
    return [answer.latency_s for answer in figures.completed]


def _by_name(figures: Figures) -> dict[str, Errors]:
    texts = [item.text for item in figures.items]
    scored = scoring.by_item(figures.completed, texts, figures.language)
    return {figures.items[item].name: errors for item, errors in scored.items()}


def pairs(ours: Sequence[Figures], theirs: Sequence[Figures]) -> list[Pair]:
    """Loads that both ran, in our order, but for steps of a search."""
    others = _cells(theirs)
    return [Pair(f, others[name]) for name, f in _cells(ours).items() if name in others]


def gaps(ours: Sequence[Figures], theirs: Sequence[Figures]) -> list[str]:
    """Loads that cannot be compared, and why."""
    sides = {"OURS": _cells(ours), "THEIRS": _cells(theirs)}
    names = dict.fromkeys(name for cells in sides.values() for name in cells)
    return [
        f"{name}: {why} {side}" for name in names for side, cells in sides.items() if (why := _missing(cells.get(name)))
    ]


def _missing(figures: Figures | None) -> str:
    if figures is None:
        return "missing from"
    if figures.cell.done.interrupted:
        return "interrupted in"
    return "" if figures.completed else f"none of {len(figures.cell.answers)} requests answered in"


def _cells(figures: Sequence[Figures]) -> dict[str, Figures]:
    return {f.load.name: f for f in figures if f.load.kind != "capacity"}


@dataclass(frozen=True, slots=True)
class Trial:
    """One figure of one load: how sure it is that `ours` lost more than the margin."""

    load: str
    what: str
    effect: Estimate
    chance: float
    """Of so large a loss, or a larger one, if there were none beyond the margin."""
    least: float
    """The smallest chance that so few requests could show."""
    few: bool = False
    """Whether not even that would be called a loss."""
    worse: bool = False


def trials(pairs: Sequence[Pair], margin: float = MARGIN, wer_margin: float = WER_MARGIN) -> list[Trial]:
    """Every trial of the loads that both ran whole, those that stand after Holm's correction marked as worse."""
    found = [trial for pair in pairs if pair.whole for trial in _of(pair, margin, wer_margin)]
    told = [i for i, trial in enumerate(found) if trial.least <= CHANCE / len(found)]
    worse = {i for i, lost in zip(told, _worse([found[i].chance for i in told]), strict=True) if lost}
    return [replace(trial, few=i not in told, worse=i in worse) for i, trial in enumerate(found)]


def _worse(chances: Sequence[float]) -> list[bool]:
    """Holm (1979): the smallest chance is held to a share of `CHANCE` by all, the next by all but one, and so on."""
    order = sorted(range(len(chances)), key=lambda i: chances[i])
    held = takewhile(lambda at: chances[order[at]] <= CHANCE / (len(order) - at), range(len(order)))
    worse = {order[at] for at in held}
    return [i in worse for i in range(len(chances))]


def _of(pair: Pair, margin: float, wer_margin: float) -> Iterator[Trial]:
    name = pair.ours.load.name
    ours, theirs = pair.ours, pair.theirs
    if ours.completed and theirs.completed:
        lost = chance.of_means(ours.gaps_s, theirs.gaps_s, pair.block, 1 + margin)
        yield Trial(name, "throughput", pair.throughput, lost.value, lost.least)
        late = chance.of_means(_latencies(ours), _latencies(theirs), pair.block, 1 + margin)
        yield Trial(name, "mean latency", pair.latency, late.value, late.least)
    if math.isfinite(pair.wer.value):
        wrong = _misheard(pair, wer_margin / 100)
        yield Trial(name, "WER", pair.wer, wrong.value, wrong.least)
    if ours.cell.answers and theirs.cell.answers:
        failed = chance.of_counts(
            ours.failures.total(), len(ours.cell.answers), theirs.failures.total(), len(theirs.cell.answers)
        )
        yield Trial(name, "failures", _failures(pair), failed.value, failed.least)


def _misheard(pair: Pair, margin: float) -> Chance:
    """`margin` is a share of words."""
    ours, theirs = pair.errors
    if common := pair.common:
        return chance.of_differences(
            [ours[n].errors - theirs[n].errors - margin * ours[n].words for n in sorted(common)]
        )
    return chance.of_rates(
        [(e.errors - margin * e.words, float(e.words)) for e in ours.values()],
        [(e.errors, float(e.words)) for e in theirs.values()],
    )


def _failures(pair: Pair) -> Estimate:
    """Share of failed requests in percent, ours less theirs."""
    (a, n), (b, m) = ((f.failures.total(), len(f.cell.answers)) for f in (pair.ours, pair.theirs))
    pooled = (a + b) / (n + m)
    error = 100 * WIDTH * math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    difference = 100 * (a / n - b / m)
    return Estimate(difference, difference - error, difference + error)
