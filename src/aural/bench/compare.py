"""Is one run worse than another? A test per figure, corrected for their number, with a margin that may be lost."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np

from aural.bench import scoring, stats
from aural.bench.figures import Figures
from aural.bench.scoring import Errors, Estimate

CHANCE = 0.05
"""How often a comparison of equals may be called a loss, over all its tests together."""
MARGIN = 0.05
"""A loss of so much is borne: 5 % of speed."""
WER_MARGIN = 0.3
"""Points of word error rate that are borne."""
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
        gaps = stats.ratio(self.theirs.gaps_s, self.ours.gaps_s, np.mean, self._block)
        value = self.ours.throughput.value / self.theirs.throughput.value
        return Estimate(value, min(gaps.low, value), max(gaps.high, value))

    @property
    def latency(self) -> Estimate:
        """Mean of ours over mean of theirs."""
        ours, theirs = ([a.latency_s for a in f.completed] for f in (self.ours, self.theirs))
        return stats.ratio(ours, theirs, np.mean, self._block)

    @property
    def wer(self) -> Estimate:
        """Ours less theirs, in points; paired by recording where both heard the same ones."""
        ours, theirs = _by_name(self.ours), _by_name(self.theirs)
        if ours.keys() & theirs.keys():
            names = {name: i for i, name in enumerate(sorted(ours.keys() & theirs.keys()))}
            return scoring.rate_difference(*({names[n]: side[n] for n in names} for side in (ours, theirs)))
        a, b = self.ours.wer, self.theirs.wer
        error = math.hypot(a.high - a.low, b.high - b.low) / 2
        return Estimate(a.value - b.value, a.value - b.value - error, a.value - b.value + error)

    @property
    def _block(self) -> int:
        return self.ours.load.callers


def _by_name(figures: Figures) -> dict[str, Errors]:
    texts = [item.text for item in figures.items]
    scored = scoring.by_item(figures.completed, texts, figures.language)
    return {figures.items[item].name: errors for item, errors in scored.items()}


def pairs(ours: Sequence[Figures], theirs: Sequence[Figures]) -> list[Pair]:
    """Loads that both ran, in our order, but for steps of a search."""
    others = {f.load.name: f for f in theirs}
    return [
        Pair(f, others[f.load.name])
        for f in ours
        if f.load.name in others and f.load.kind != "capacity" and f.completed and others[f.load.name].completed
    ]


@dataclass(frozen=True, slots=True)
class Trial:
    """One figure of one load: how sure it is that `ours` lost more than the margin."""

    load: str
    what: str
    effect: Estimate
    chance: float
    """Of so large a loss, or a larger one, if there were none beyond the margin."""
    worse: bool = False


def trials(pairs: Sequence[Pair], margin: float = MARGIN, wer_margin: float = WER_MARGIN) -> list[Trial]:
    """Every trial, those that stand after Holm's correction marked as worse."""
    found = [trial for pair in pairs for trial in _of(pair, margin, wer_margin)]
    left = len(found)
    verdicts = {}
    for i in sorted(range(left), key=lambda i: found[i].chance):
        if found[i].chance > CHANCE / left:
            break
        verdicts[i] = True
        left -= 1
    return [replace(trial, worse=verdicts.get(i, False)) for i, trial in enumerate(found)]


def _of(pair: Pair, margin: float, wer_margin: float) -> Iterator[Trial]:
    name = pair.ours.load.name
    for what, effect, sign in (("throughput", pair.throughput, -1), ("mean latency", pair.latency, 1)):
        if math.isfinite(effect.value):
            log = Estimate(*(sign * math.log(v) for v in (effect.value, effect.low, effect.high)))
            yield Trial(name, what, effect, _chance(log, math.log1p(margin)))
    if math.isfinite(pair.wer.value):
        yield Trial(name, "WER", pair.wer, _chance(pair.wer, wer_margin))
    ours, theirs = (1 - len(f.completed) / len(f.cell.answers) for f in (pair.ours, pair.theirs))
    effect, chance = _failures(pair, ours - theirs)
    yield Trial(name, "failures", effect, chance)


def _chance(loss: Estimate, margin: float) -> float:
    """One-sided, from the width of the bootstrap interval."""
    error = abs(loss.high - loss.low) / (2 * WIDTH)
    if error == 0:
        return 0.0 if loss.value > margin else 1.0
    return 1 - NormalDist().cdf((loss.value - margin) / error)


def _failures(pair: Pair, difference: float) -> tuple[Estimate, float]:
    """Share of failed requests, ours less theirs: two proportions."""
    n, m = len(pair.ours.cell.answers), len(pair.theirs.cell.answers)
    pooled = (pair.ours.failures.total() + pair.theirs.failures.total()) / (n + m)
    error = math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    effect = Estimate(100 * difference, 100 * (difference - WIDTH * error), 100 * (difference + WIDTH * error))
    return effect, _chance(Estimate(difference, difference - WIDTH * error, difference + WIDTH * error), 0.0)
