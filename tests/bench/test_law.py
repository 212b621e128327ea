"""Little's law as a check on printed figures."""

import heapq
import random
from collections.abc import Sequence

import pytest

from aural.bench import article, law
from aural.bench.article import Published

SOUND = [cell for cell in article.cells() if not cell.model.startswith("parakeet")]
BROKEN = [cell for cell in article.cells() if cell.model.startswith("parakeet")]


def name(cell: Published) -> str:
    return f"{cell.model}-{cell.audio_s}s-{cell.callers}"


def test_all_cells_of_the_article_are_there() -> None:
    assert (len(SOUND), len(BROKEN)) == (18, 9)
    assert {(cell.audio_s, cell.callers) for cell in BROKEN} == {(d, c) for d in (15, 30, 60) for c in (5, 10, 20)}
    assert article.single_s("whisper-large-v3-turbo", 15) == 0.483


@pytest.mark.parametrize("cell", SOUND, ids=name)
def test_figures_that_can_be(cell: Published) -> None:
    verdict = article.check(cell)
    assert verdict.ok, verdict.reason


@pytest.mark.parametrize("cell", BROKEN, ids=name)
def test_figures_that_cannot_be(cell: Published) -> None:
    verdict = article.check(cell)
    assert not verdict.ok
    assert f"{cell.callers} callers keep" in verdict.reason
    assert "requests are missing" in verdict.reason


def loop(latencies: Sequence[float], callers: int) -> tuple[float, float, int, int]:
    """Throughput, mean latency, callers and requests of a loop whose callers never rest."""
    free = [0.0] * callers
    for latency in latencies:
        heapq.heapreplace(free, free[0] + latency)
    return len(latencies) / max(free), sum(latencies) / len(latencies), callers, len(latencies)


@pytest.mark.parametrize(
    ("latencies", "callers"),
    [([1, 1, 1, 1, 10], 5), ([1] * 49 + [9], 10), ([1] * 3, 20), ([0.1] * 40 + [3] * 10, 20), ([1] * 51, 50)],
)
def test_the_last_may_wait_alone(latencies: list[float], callers: int) -> None:
    verdict = law.closed(*loop(latencies, callers))
    assert verdict.ok, verdict.reason


def test_chance_breaks_no_law() -> None:
    """Service times of all sorts, many and few requests."""
    chance = random.Random(5)
    for _ in range(300):
        latencies = [chance.lognormvariate(0, 0.5) for _ in range(chance.randrange(1, 200))]
        verdict = law.closed(*loop(latencies, chance.randrange(1, 30)))
        assert verdict.ok, verdict.reason


def test_requests_that_were_left_out_are_missed() -> None:
    throughput, *others = loop([1.0] * 200, 10)
    assert "requests are missing" in law.closed(throughput / 2, *others).reason


def test_more_in_flight_than_callers_is_refused() -> None:
    verdict = law.closed(10, 1.0, 5, 1_000)
    assert not verdict.ok
    assert "cannot be in flight" in verdict.reason


def test_nothing_to_check_is_no_pass() -> None:
    assert not law.closed(0, 1.0, 5, 50).ok
    assert law.counted([], 0.0).ok
