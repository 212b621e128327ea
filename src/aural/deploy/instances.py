"""What is known of SageMaker's instances: GPUs and prices, out of the table that `aural bench` computes cost with."""

from __future__ import annotations

from aural.bench import prices
from aural.bench.prices import Price

HOURS_PER_MONTH = prices.HOURS_A_MONTH


def find(name: str) -> Price | None:
    """None for a type that is not listed: SageMaker has more than 250."""
    return prices.load().by_instance.get(name)


def gpus_of(name: str) -> int:
    known = find(name)
    return known.gpus if known else 0


def origin(name: str) -> str:
    """Where and when the price was read."""
    table, known = prices.load(), find(name)
    source = table.sources.get(known.source, "") if known else ""
    return f"{source}; {table.region}, {table.date}"


def cheaper_with_one_gpu(name: str) -> Price | None:
    """The cheapest listed type with a single GPU of the same kind."""
    own = find(name)
    if own is None or own.gpus < 2:
        return None
    alike = [row for row in prices.load().by_instance.values() if row.gpu == own.gpu and row.gpus == 1]
    return min(alike, key=lambda row: row.usd_per_hour, default=None)
