"""Little's law as a check on printed figures."""

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


@pytest.mark.parametrize("callers", [5, 10, 20])
def test_the_finite_number_of_requests_counts(callers: int) -> None:
    assert law.expected(callers, 50)[0] == pytest.approx(min(1 - (callers - 1) / 100, 50 / -(-50 // callers) / callers))


def test_more_in_flight_than_callers_is_refused() -> None:
    verdict = law.closed(10, 1.0, 5, 1_000)
    assert not verdict.ok
    assert "cannot be in flight" in verdict.reason


def test_nothing_to_check_is_no_pass() -> None:
    assert not law.closed(0, 1.0, 5, 50).ok
    assert law.counted([], 0.0).ok
