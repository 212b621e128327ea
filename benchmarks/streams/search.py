"""The largest number of streams that a server carries within the limits: doubling, then halving the gap."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from benchmarks.streams.cells import Cell, percentile

EMISSION_P95_S = 2.0
FINAL_P95_S = 0.6


def holds(cell: Cell) -> bool:
    """Whether every stream was heard, words stood in time, and finals came in time after the silence waited for."""
    if cell.refused or cell.failed or not cell.emission_s:
        return False
    in_time = percentile(cell.emission_s, 95) <= EMISSION_P95_S
    return in_time and (not cell.finalization_s or percentile(cell.compute_s(), 95) <= FINAL_P95_S)


async def largest(measure: Callable[[int], Awaitable[Cell]], start: int, most: int) -> int:
    """The largest count that holds, of those from `start` to `most`; 0 when not even `start` does. A count is measured
    once; the one that is found has been measured."""
    good, bad = 0, most + 1
    count = start
    while good < count < bad:
        if holds(await measure(count)):
            good, count = count, min(2 * count, most)
        else:
            bad = count
    while bad - good > max(1, good // 8):
        count = (good + bad) // 2
        if holds(await measure(count)):
            good = count
        else:
            bad = count
    return good
