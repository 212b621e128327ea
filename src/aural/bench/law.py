"""Little's law as a check on figures: requests in flight = throughput x latency, whoever served them and however.

In a closed loop of C callers the mean number in flight cannot be chosen freely. It is at most C, and less only because
callers run out of requests at the end, and the last ones then wait alone: for no longer than the longest request takes.
If that is L, and the whole loop T, then at least C (1 - (1 - 1/C) L/T) were in flight. Printed figures seldom give L;
it is taken to be up to ten times the mean. Figures outside that range were not measured on the requests that they speak
of: failed ones were left out of one figure and not of the other, or the client was idle while its clock ran.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from aural.bench.records import Answer

STRAGGLER = 10.0
"""The longest request over the mean one."""
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
    low, high = least(throughput, mean_latency_s, callers, requests), 1.0
    if low - TOLERANCE <= share <= high + TOLERANCE:
        return Verdict(True, share, low, high)
    in_flight = throughput * mean_latency_s
    why = (
        "requests are missing from the throughput, the latency is that of others, or one took more than "
        f"{STRAGGLER:g} times the mean"
        if share < low
        else ("more requests than there are callers cannot be in flight")
    )
    reason = (
        f"{throughput:.3g}/s x {mean_latency_s:.3g} s = {in_flight:.2g} requests in flight, but {callers} callers "
        f"keep {low * callers:.3g} to {high * callers:.3g} in flight over {requests} requests: {why}"
    )
    return Verdict(False, share, low, high, reason)


def least(throughput: float, mean_latency_s: float, callers: int, requests: int) -> float:
    """The least mean number in flight, as a share of the callers: all were busy until the longest was the last."""
    used = min(callers, requests)
    alone = min(1.0, STRAGGLER * mean_latency_s * throughput / requests)
    return used * (1 - (1 - 1 / used) * alone) / callers


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
