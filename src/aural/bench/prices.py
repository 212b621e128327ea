"""What an instance costs an hour, as dated data with sources that anybody can put their own in place of."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from aural.errors import BenchError

HOURS_A_MONTH = 730.0


@dataclass(frozen=True, slots=True)
class Price:
    instance: str
    usd_per_hour: float
    gpu: str = ""
    gpus: int = 0
    vcpus: int = 0
    memory_gib: int = 0
    source: str = ""
    """Key of `sources`."""

    def per_audio_hour(self, rtfx: float) -> float:
        """US dollars for an hour of audio at `rtfx` audio seconds per second. GPUs that stand idle are paid for too."""
        return self.usd_per_hour / rtfx


@dataclass(frozen=True, slots=True)
class Prices:
    date: str
    region: str
    sources: dict[str, str]
    by_instance: dict[str, Price]

    def of(self, instance: str) -> Price:
        if instance not in self.by_instance:
            known = next(iter(self.by_instance), "none")
            raise BenchError(f"expected an instance of the price table, such as {known}; got {instance!r}")
        return self.by_instance[instance]


def load(path: Path | None = None) -> Prices:
    """The table that came with this version, or one of the same form."""
    if path is None:
        return _parse(_shipped())
    try:
        return _parse(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BenchError(f"expected a price table as prices.json in {path}: {error!r}") from error


@cache
def _shipped() -> dict[str, Any]:
    return json.loads((files("aural.bench") / "data" / "prices.json").read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def _parse(document: dict[str, Any]) -> Prices:
    rows = [Price(**row) for row in document["instances"]]
    if unknown := {row.source for row in rows} - {"", *document["sources"]}:
        raise ValueError(f"expected sources among {sorted(document['sources'])}, got {sorted(unknown)}")
    return Prices(document["date"], document["region"], document["sources"], {row.instance: row for row in rows})
