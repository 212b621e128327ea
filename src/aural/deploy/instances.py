"""What is known of SageMaker's instances: GPUs and prices, dated and with their source."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

HOURS_PER_MONTH = 730


@dataclass(frozen=True, slots=True)
class InstanceType:
    """`usd_per_hour` is 0 where no price is known."""

    gpu: str
    gpus: int
    vcpus: int
    memory_gib: int
    usd_per_hour: float
    source: str


@cache
def _data() -> dict[str, Any]:
    text = files("aural.deploy").joinpath("instances.json").read_text()
    return json.loads(text)  # type: ignore[no-any-return]


def find(name: str) -> InstanceType | None:
    """None for a type that is not listed here: SageMaker has more than 250."""
    row = _data()["types"].get(name)
    return InstanceType(**row) if row else None


def gpus_of(name: str) -> int:
    known = find(name)
    return known.gpus if known else 0


def origin(name: str) -> str:
    """Where and when the price was read."""
    data, known = _data(), find(name)
    source = data["sources"][known.source if known else "none"]
    return f"{source}; {data['region']}, {data['date']}"


def cheaper_with_one_gpu(name: str) -> tuple[str, float] | None:
    """The cheapest listed type with a single GPU of the same kind, and its price."""
    own = find(name)
    if own is None or own.gpus < 2:
        return None
    rows = {kind: InstanceType(**row) for kind, row in _data()["types"].items()}
    alike = [(row.usd_per_hour, kind) for kind, row in rows.items() if row.gpu == own.gpu and row.gpus == 1]
    return (min(alike)[1], min(alike)[0]) if alike else None
