"""Comparisons that must not cry wolf, and must see it when it comes."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner

from aural.bench import compare, records, verdict
from aural.bench.commands import bench
from aural.bench.figures import of_run
from aural.bench.http import Reply, RequestFailed
from aural.errors import BenchError
from tests.bench import made
from tests.bench.made import HALF
from tests.bench.virtual import words

make = partial(made.make, durations=(15,))


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("runs") / "before")


def exit_status(ours: Path, theirs: Path, *more: str) -> int:
    return CliRunner().invoke(bench, ["compare", str(ours), str(theirs), *more]).exit_code


def test_chance_alone_is_no_loss(before: Path, tmp_path: Path) -> None:
    for seed in (100, 200):
        assert exit_status(make(tmp_path / f"{seed}", seed=seed), before) == 0


def test_intervals_of_equals_hold_one(before: Path, tmp_path: Path) -> None:
    again = of_run(records.read(make(tmp_path / "again", seed=300)))
    pairs = compare.pairs(again, of_run(records.read(before)))
    assert len(pairs) == 3
    assert sum(pair.latency.low <= 1 <= pair.latency.high for pair in pairs) == 3
    assert sum(pair.throughput.low <= 1 <= pair.throughput.high for pair in pairs) == 3
    assert all(pair.wer.value == 0 for pair in pairs)


def test_a_slower_run_is_worse_and_a_faster_one_is_not(before: Path, tmp_path: Path) -> None:
    slower = make(tmp_path / "slower", mean_s=0.4, seed=100)
    assert exit_status(slower, before) == 1
    assert exit_status(before, slower) == 0
    assert exit_status(slower, before, "--margin", "0.6") == 0


def test_a_loss_within_the_margin_is_borne(before: Path, tmp_path: Path) -> None:
    assert exit_status(make(tmp_path / "little", mean_s=0.303, seed=100), before) == 0


def test_worse_texts_and_failures_are_losses_at_the_same_speed(before: Path, tmp_path: Path) -> None:
    def cut(number: int) -> Reply:
        return Reply(200, words(HALF) if number % 3 == 0 else words())

    def failing(number: int) -> Reply | RequestFailed:
        return Reply(500, b"") if number % 10 == 0 else Reply(200, words())

    for name, answer, what in (("cut", cut, "WER"), ("failing", failing, "failures")):
        worse = make(tmp_path / name, answer=answer)
        pairs = compare.pairs(of_run(records.read(worse)), of_run(records.read(before)))
        assert {trial.what for trial in compare.trials(pairs) if trial.worse} >= {what}
        assert exit_status(worse, before) == 1


def test_runs_with_nothing_in_common_are_refused(before: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    records.save(empty, records.Run({"language": "en"}))
    with pytest.raises(BenchError, match="a load in common"):
        verdict.show(empty, before, 0.05, 0.3)
