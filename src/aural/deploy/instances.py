"""What is known of SageMaker's instances: GPUs, and prices out of the table that `aural bench` computes cost with."""

from __future__ import annotations

import re

from aural.bench import prices
from aural.bench.prices import Price
from aural.errors import SettingsError

HOURS_PER_MONTH = prices.HOURS_A_MONTH
ONE_TO_EIGHT = {
    **dict.fromkeys(("xlarge", "2xlarge", "4xlarge", "8xlarge", "16xlarge"), 1),
    **dict.fromkeys(("12xlarge", "24xlarge"), 4),
    "48xlarge": 8,
}
SEVENTH = {"2xlarge": 1, "4xlarge": 1, "8xlarge": 1, "12xlarge": 2, "24xlarge": 4, "48xlarge": 8}
GPUS = {
    "p2": {"xlarge": 1, "8xlarge": 8, "16xlarge": 16},
    "p3": {"2xlarge": 1, "8xlarge": 4, "16xlarge": 8},
    "p4d": {"24xlarge": 8},
    "p4de": {"24xlarge": 8},
    "p5": {"4xlarge": 1, "48xlarge": 8},
    "p5e": {"48xlarge": 8},
    "p5en": {"48xlarge": 8},
    "p6-b200": {"48xlarge": 8},
    "p6-b300": {"48xlarge": 8},
    "p6e-gb200": {"36xlarge": 4},
    "g4dn": {"xlarge": 1, "2xlarge": 1, "4xlarge": 1, "8xlarge": 1, "12xlarge": 4, "16xlarge": 1},
    "g5": ONE_TO_EIGHT,
    "g6": ONE_TO_EIGHT,
    "g6e": ONE_TO_EIGHT,
    "g7": SEVENTH,
    "g7e": SEVENTH,
}
"""Of each family with GPUs that SageMaker hosts on, by size; November 2026."""
WITH_GPUS = re.compile(r"ml\.([gp]\d[^.]*)\.(\w+)")


def find(name: str) -> Price | None:
    """None for a type that is not listed: SageMaker has more than 250."""
    return prices.load().by_instance.get(name)


def gpus_of(name: str) -> int:
    """0 for a type of another family than g and p. Raises SettingsError for one of those that is not known."""
    named = WITH_GPUS.fullmatch(name)
    if named is None:
        return 0
    family, size = named.groups()
    if size not in GPUS.get(family, {}):
        sizes = ", ".join(GPUS[family]) if family in GPUS else ", ".join(GPUS)
        raise SettingsError(f"instance: expected a type whose GPUs are known here ({sizes}); got {name}")
    return GPUS[family][size]


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
