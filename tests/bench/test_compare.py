"""Comparisons that must not cry wolf, and must see it when it comes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner

from aural.bench import chance, compare, records, verdict
from aural.bench.commands import bench
from aural.bench.figures import Figures, of_run
from aural.bench.http import Reply, RequestFailed
from aural.bench.records import Load
from aural.errors import BenchError
from tests.bench import made
from tests.bench.made import HALF, service
from tests.bench.virtual import Endpoint, asked, cell, words

Answerer = Callable[[int], Reply | RequestFailed]
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


def of_load(callers: int, requests: int, seed: int, answer: Answerer = lambda _: Reply(200, words())) -> Figures:
    load = Load(f"x{callers}", "closed", "15", callers, requests=requests)
    return Figures(cell(Endpoint(service(0.3, seed), 2, answer), load), asked(requests, 15.0), "en")


@pytest.mark.parametrize("callers", [1, 5])
def test_equals_are_told_apart_as_seldom_as_promised(callers: int) -> None:
    """40 requests a run, 60 comparisons: 3 are to be expected at 5 %."""
    runs = [of_load(callers, 40, seed) for seed in range(120)]
    chances = [
        chance.of_means(ours.gaps_s, theirs.gaps_s, callers, 1.0)
        for ours, theirs in zip(runs[::2], runs[1::2], strict=True)
    ]
    assert sum(found.value <= compare.CHANCE for found in chances) <= 6
    assert min(found.least for found in chances) < compare.CHANCE


def test_two_queues_full_are_too_few_to_tell() -> None:
    """40 requests of 20 callers: the requests of either run waited in two queues, whatever they took."""
    trials = compare.trials([compare.Pair(of_load(20, 40, 1), of_load(20, 40, 2))])
    assert {trial.what: trial.few for trial in trials}["mean latency"]
    alone = compare.trials([compare.Pair(of_load(1, 1, 1), of_load(1, 1, 2))])
    assert all(trial.few and not trial.worse for trial in alone)


def test_texts_are_compared_in_pairs_only_when_most_are_common() -> None:
    ours, theirs = of_load(1, 40, 1), of_load(1, 40, 2)
    one = replace(ours, items=[*ours.items[:1], *(replace(item, name=f"other {item.name}") for item in ours.items[1:])])
    assert compare.Pair(ours, theirs).common
    assert not compare.Pair(one, theirs).common


def test_a_comparison_that_says_nothing_is_no_pass(tmp_path: Path) -> None:
    tiny = [make(tmp_path / name, requests=1) for name in ("a", "b")]
    done = CliRunner().invoke(bench, ["compare", *map(str, tiny)])
    assert done.exit_code == 1
    assert "too few to tell" in done.output
    assert "0 of 0 figures worse" in done.output


def test_a_load_that_nobody_answered_is_a_loss(before: Path, tmp_path: Path) -> None:
    dead = make(tmp_path / "dead", answer=lambda _: Reply(500, b""), requests=4)
    done = CliRunner().invoke(bench, ["compare", str(dead), str(before)])
    assert done.exit_code == 1
    assert "15-x5: none of 4 requests answered in OURS" in done.output
    failures = [trial for trial in compare.trials(pairs_of(dead, before)) if trial.worse]
    assert {trial.what for trial in failures} == {"failures"}


def pairs_of(ours: Path, theirs: Path) -> list[compare.Pair]:
    return compare.pairs(of_run(records.read(ours)), of_run(records.read(theirs)))


def test_loads_that_are_not_whole_in_both_are_told(before: Path, tmp_path: Path) -> None:
    for name, what in (("missing", "missing from OURS"), ("interrupted", "interrupted in OURS")):
        run = records.read(make(tmp_path / name))
        *others, last = run.done
        run.done = others if name == "missing" else [*others, replace(last, interrupted=True)]
        records.save(tmp_path / name, run)
        done = CliRunner().invoke(bench, ["compare", str(tmp_path / name), str(before)])
        assert done.exit_code == 1
        assert f"not compared: 15-x20: {what}" in done.output


def test_runs_with_nothing_in_common_are_refused(before: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    records.save(empty, records.Run({"language": "en"}))
    with pytest.raises(BenchError, match="a load in common"):
        verdict.show(empty, before, 0.05, 0.3)
