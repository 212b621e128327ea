"""From the records of a cell to its figures, and to the doubts about them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from aural.bench import law, scoring, stats
from aural.bench.records import Answer, Asked, Cell, Load, Run
from aural.bench.scoring import Estimate

MOST_CLIENT_CORES = 0.8
MOST_LAG_S = 0.005
MOST_LAG_SHARE = 0.05
"""The client's own delay may be 5 ms, or 5 % of the median latency where that is more."""
CUT_SHARE, CUT_S = 0.2, 2.5
"""A text whose last right word lies so far before the end of speech, as a share of it and in seconds, is cut off."""
MOST_CUT, BY_CHANCE = 0.02, 0.05
"""So many texts may seem cut off because their last words were misheard; a doubt is what chance makes of that share
less often than once in twenty. So one of 40 is none, and three are."""
EMPTY = "empty text"
"""What an answer without a word is recorded as: a failure, whose words were all missed."""
MOST_WAITING, MOST_WAITING_SHARE = 5, 0.05
"""Requests that may be unanswered when the last one arrives, or a share of all; more is a queue that grows."""
REFUSED = frozenset({"http-429", "http-503", "ThrottlingException", "ServiceUnavailable"})
"""What an endpoint says that does not take the request; everything else is a failure."""
TIMEOUT = "timeout"


@dataclass(frozen=True)
class Figures:
    """What a table says of one cell."""

    cell: Cell
    items: Sequence[Asked]
    language: str

    @property
    def load(self) -> Load:
        return self.cell.load

    @cached_property
    def completed(self) -> list[Answer]:
        """In the order in which they were answered."""
        return sorted((a for a in self.cell.answers if a.ok), key=lambda a: a.end)

    @cached_property
    def failures(self) -> Counter[str]:
        return Counter(a.error for a in self.cell.answers if not a.ok)

    @property
    def refusals(self) -> int:
        return sum(count for kind, count in self.failures.items() if kind in REFUSED)

    @cached_property
    def latency(self) -> stats.Latency:
        return stats.latency([a.latency_s for a in self.completed], self.block)

    @property
    def elapsed_s(self) -> float:
        return max((a.end for a in self.cell.answers), default=self.cell.done.ended) - self.cell.done.began

    @cached_property
    def gaps_s(self) -> list[float]:
        """From one answer to the next."""
        ends = [self.cell.done.began, *(a.end for a in self.completed)]
        return [b - a for a, b in pairwise(ends)]

    @cached_property
    def throughput(self) -> Estimate:
        """Answers a second from the first request to the last answer; the interval resamples the gaps between them."""
        if not self.completed:
            return Estimate(0.0, 0.0, 0.0)
        mean_gap = stats.bootstrap(self.gaps_s, np.mean, self.block)
        return Estimate(len(self.completed) / self.elapsed_s, 1 / mean_gap.high, 1 / mean_gap.low)

    @property
    def block(self) -> int:
        """Neighbours that may have waited in one queue: those in flight together; in an open loop a stretch that grows
        with the sample."""
        return self.load.callers if self.load.kind in ("single", "closed") else math.isqrt(len(self.completed))

    @property
    def rtfx(self) -> float:
        """Audio seconds that were heard per second: who leaves out the end of every text is not the quicker for it."""
        return self.heard_s / self.elapsed_s if self.elapsed_s > 0 else math.nan

    @property
    def audio_s(self) -> float:
        """Audio of all requests, failed ones included."""
        return sum(self.items[a.item].duration_s for a in self.cell.answers)

    @cached_property
    def heard_s(self) -> float:
        """Audio up to the last word that was heard right."""
        claimed = (math.inf if a.heard_s is None else a.heard_s for a in self.completed)
        return sum(min(one, other) for one, other in zip(self._reached, claimed, strict=True))

    @cached_property
    def cut_off(self) -> int:
        """Answers whose text ends long before the speech does, or that say so themselves."""
        return sum(map(self._is_cut, self.completed, self._reached))

    def _is_cut(self, answer: Answer, reached_s: float) -> bool:
        whole_s = self.items[answer.item].duration_s
        return self._owns_up(answer) or whole_s - reached_s > max(CUT_SHARE * whole_s, CUT_S)

    def _owns_up(self, answer: Answer) -> bool:
        return answer.heard_s is not None and answer.heard_s < (1 - CUT_SHARE) * self.items[answer.item].duration_s

    @property
    def truncates(self) -> bool:
        """Whether an endpoint says that it cuts texts off, or does so more often than chance explains."""
        by_chance = stats.at_least(self.cut_off, len(self.completed), MOST_CUT) >= BY_CHANCE
        return not by_chance or any(map(self._owns_up, self.completed))

    @cached_property
    def _reached(self) -> list[float]:
        return [reach(self.items[a.item], a.text, self.language) for a in self.completed]

    @property
    def sent_bytes(self) -> int:
        return sum(a.sent_bytes for a in self.cell.answers)

    @cached_property
    def wer(self) -> Estimate:
        """In percent; of characters for languages without spaces."""
        return self._error_rate(scoring.tokens)

    @property
    def rate_name(self) -> str:
        """What `wer` is called."""
        return scoring.rate_name(self.language)

    @cached_property
    def cer(self) -> Estimate:
        return self._error_rate(scoring.letters)

    def _error_rate(self, split: scoring.Split) -> Estimate:
        return scoring.corpus_rate(scoring.by_recording(self.scored, self.language, split))

    @cached_property
    def scored(self) -> list[tuple[Asked, str]]:
        """Every item that was answered with what was heard, which is nothing when the answer was empty."""
        return [(self.items[a.item], a.text) for a in self.cell.answers if a.ok or a.error == EMPTY]

    @cached_property
    def wrong_texts(self) -> int:
        """Answers with the text of another request that was in flight."""
        return len(scoring.wrong_texts(self.cell.answers, self._texts, self.language))

    @cached_property
    def _texts(self) -> list[str]:
        return [item.text for item in self.items]

    @property
    def client_cores(self) -> float:
        return self.cell.done.watch.cpu_s / self.elapsed_s if self.elapsed_s > 0 else 0.0

    @cached_property
    def law(self) -> law.Verdict:
        return law.counted(self.cell.answers, self.cell.done.watch.in_flight_s)

    @cached_property
    def idle(self) -> float:
        """Share of the callers' time, between their first request and their last answer, spent in no request, but for
        the few milliseconds that the client may need between two."""
        total = inside = 0.0
        for caller in {a.caller for a in self.cell.answers}:
            own = [a for a in self.cell.answers if a.caller == caller]
            total += max(a.end for a in own) - min(a.start for a in own)
            inside += sum(a.end - a.start for a in own) + MOST_LAG_S * (len(own) - 1)
        return max(0.0, 1 - inside / total) if total > 0 else 0.0

    @cached_property
    def doubts(self) -> list[str]:
        """Why these figures should not be believed, or not be compared; empty when nothing speaks against them."""
        return [*self._failed(), *self._wrong(), *self._overloaded(), *self._unlawful(), *self.own_fault()]

    def _failed(self) -> list[str]:
        found = []
        if self.cell.done.interrupted:
            found.append("interrupted before all requests were made")
        if self.failures and self.load.kind != "capacity":  # a step may be more than the endpoint takes: its verdict
            kinds = ", ".join(f"{count} x {kind}" for kind, count in self.failures.most_common())
            found.append(f"{self.failures.total()} of {len(self.cell.answers)} requests failed: {kinds}")
        return found

    def _wrong(self) -> list[str]:
        found = []
        if self.truncates:
            found.append(
                f"{self.cut_off} of {len(self.completed)} texts end long before the speech, more than chance explains: "
                f"{self.heard_s:.0f} of {self.audio_s:.0f} s of audio were transcribed"
            )
        if self.wrong_texts:
            found.append(f"{self.wrong_texts} answers carry the text of another request")
        return found

    def _overloaded(self) -> list[str]:
        """An open loop whose queue grew until the end: its latency says how long it was watched."""
        dues = [a.due for a in self.cell.answers if a.due is not None]
        if self.load.kind != "open" or not dues:
            return []
        waiting = sum(a.end > max(dues) for a in self.cell.answers)
        if waiting <= max(MOST_WAITING, MOST_WAITING_SHARE * len(dues)):
            return []
        return [
            f"overload: {waiting} of {len(dues)} requests were unanswered when the last one came, "
            f"{self.throughput.value:.3g} of {self.load.rate:.3g} a second were answered"
        ]

    def _unlawful(self) -> list[str]:
        if self.cell.done.interrupted:
            return []  # requests in flight were counted, and have no record
        found = [] if self.law.ok else [f"Little's law: {self.law.reason}"]
        if self.load.kind in ("single", "closed") and self.idle > law.TOLERANCE:
            found.append(f"Little's law: callers spent {self.idle:.0%} of their time in no recorded request")
        return found

    def own_fault(self) -> list[str]:
        """What the client did to the figures."""
        found = []
        watch = self.cell.done.watch
        bearable = max(MOST_LAG_S, MOST_LAG_SHARE * self.latency.p50.value if self.completed else 0.0)
        if self.client_cores > MOST_CLIENT_CORES:
            found.append(f"the client was busy: {self.client_cores:.2f} of a core")
        if watch.loop_lag_p99_s > bearable:
            found.append(f"the client's event loop lagged: p99 {1000 * watch.loop_lag_p99_s:.1f} ms")
        if self.load.kind in ("open", "capacity") and self.cell.answers:
            late = float(np.percentile([a.late_s for a in self.cell.answers], 99))
            if late > bearable:
                found.append(f"the client sent late: p99 {1000 * late:.1f} ms")
        return found


def reach(item: Asked, heard: str, language: str = "en") -> float:
    """Seconds of the item's audio up to the last word of it that was heard right, the pause at the end in proportion:
    all of it when that is the last word of the last utterance."""
    spans = item.spans or ((0.0, item.duration_s, item.text),)
    owners = [
        (start + (position + 1) / len(words) * (end - start))
        for start, end, text in spans
        if (words := scoring.tokens(text, language))
        for position in range(len(words))
    ]
    expected = [token for _, _, text in spans for token in scoring.tokens(text, language)]
    found = scoring.matches(expected, scoring.tokens(heard, language))
    if not expected:
        return item.duration_s
    if not found:
        return 0.0
    return item.duration_s * owners[found[-1][0]] / spans[-1][1]


def of_run(run: Run) -> list[Figures]:
    """Figures of every cell, in the order in which they ran."""
    language = str(run.about.get("language", "en"))
    return [Figures(cell, run.items.get(cell.load.workload, []), language) for cell in run.cells]
