"""The decoding benchmark runs, and its table finds its place. How fast is not for tests to say."""

from __future__ import annotations

from argparse import Namespace

import pytest

from benchmarks.nemo_models import write_random
from benchmarks.tdt_decoding import PAGE, TABLE_BEGINS, TABLE_ENDS, Arms, Result, compare, table, write


@pytest.mark.parametrize("end_to_end", [False, True])
def test_both_hear_the_same(tmp_path, end_to_end):
    arms = Arms(write_random(tmp_path, "tdt"), "tdt", threads=1)
    wanted = Namespace(size="small", kind="tdt", rounds=1, end_to_end=end_to_end)
    result = compare(arms, wanted, batch=9)
    assert result.tokens > 100
    assert result.ours_s > 0 < result.theirs_s


def result(batch: int, ours_s: float) -> Result:
    return Result("small", "tdt", batch, audio_s=10, tokens=20, ours_s=ours_s, theirs_s=1.0)


def test_a_missed_bar_is_said():
    assert [result(*one).verdict for one in [(1, 0.9), (1, 1.1), (8, 0.1), (32, 0.2), (32, 0.3)]] == [
        *("cleared: 1", "MISSED: 1", "", "cleared: 5", "MISSED: 5")
    ]


def test_the_table_replaces_the_one_before(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{TABLE_BEGINS}old\n{TABLE_ENDS}after\n")
    write(page, table([result(8, 0.5)], "decoding alone", threads=2))
    assert "old" not in page.read_text()
    assert page.read_text().startswith("before\n" + TABLE_BEGINS)
    assert page.read_text().endswith(TABLE_ENDS + "after\n")
    assert "| small | tdt | 8 | 10 s | 20 | 1000.0 ms | 500.0 ms | 2.0 |  |" in page.read_text()


def test_the_page_has_a_place_for_it():
    page = PAGE.read_text()
    assert 0 < page.find(TABLE_BEGINS) < page.find(TABLE_ENDS)
