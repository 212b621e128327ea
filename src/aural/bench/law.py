"""Little's law as a check on figures: requests in flight = throughput x latency, whoever served them and however.

In a closed loop of C callers and N requests the mean number in flight cannot be chosen freely. It is at most C, and
less only because callers run out of requests at the end. A server that takes one request after the other (N of them in
the time N x S, the last C waiting ever shorter) gives C (1 - (C - 1) / 2N); one that answers all callers together gives
N over the rounds it needs. Figures outside that range were not measured on the requests that they speak of: failed ones
were left out of one figure and not of the other, or the client was idle while its clock ran.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from aural.bench.records import Answer

TOLERANCE = 0.03
"""What rounding in a published table, and the client's own work between two requests, may explain."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether figures obey the law. `share` is throughput x latency over callers, which must lie in `low` to `high`."""

    ok: bool
    share: float
    low: float
    high: float
    reason: str = ""


def closed(throughput: float, mean_latency_s: float, callers: int, requests: int) -> Verdict:
    """Check printed figures of a closed loop: requests a second, seconds, callers at once, requests in all."""
    if not (throughput > 0 and mean_latency_s > 0):
        return Verdict(False, math.nan, 0.0, 1.0, "there is no throughput or no latency to check")
    share = throughput * mean_latency_s / callers
    low, high = expected(callers, requests)
    if low - TOLERANCE <= share <= high + TOLERANCE:
        return Verdict(True, share, low, high)
    in_flight = throughput * mean_latency_s
    why = (
        "requests are missing from the throughput, or the latency is that of others"
        if share < low
        else ("more requests than there are callers cannot be in flight")
    )
    reason = (
        f"{throughput:.3g}/s x {mean_latency_s:.3g} s = {in_flight:.2g} requests in flight, but {callers} callers "
        f"keep {low * callers:.3g} to {high * callers:.3g} in flight over {requests} requests: {why}"
    )
    return Verdict(False, share, low, high, reason)


def expected(callers: int, requests: int) -> tuple[float, float]:
    """Least and greatest mean number in flight, as a share of the callers, at so many requests in all."""
    callers_used = min(callers, requests)
    one_by_one = callers_used * (1 - (callers_used - 1) / (2 * requests)) / callers
    together = requests / math.ceil(requests / callers) / callers
    return min(one_by_one, together), 1.0


def counted(answers: Sequence[Answer], in_flight_s: float) -> Verdict:
    """Check records against a count of the requests in flight that was kept apart from them: both integrate to the same
    request-seconds, in a closed loop and in an open one, unless records are missing or made up."""
    recorded = sum(answer.end - answer.start for answer in answers)
    if in_flight_s <= 0:
        return Verdict(not answers, math.nan, 1.0, 1.0, "" if not answers else "nobody counted the requests in flight")
    share = recorded / in_flight_s
    if abs(share - 1) <= TOLERANCE:
        return Verdict(True, share, 1.0, 1.0)
    reason = f"records add up to {recorded:.3g} request-seconds, but {in_flight_s:.3g} were in flight"
    return Verdict(False, share, 1.0, 1.0, reason)
