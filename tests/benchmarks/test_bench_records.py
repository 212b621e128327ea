"""A closed loop whose law is known: the records must give it back."""

from dataclasses import replace
from pathlib import Path

import pytest

from aural.bench.records import Answer
from benchmarks import records
from benchmarks.records import Cell


def cell(answers: list[Answer], callers: int, opened: float, closed: float) -> Cell:
    return Cell("arm", {"threads": 1}, "15", callers, 1, "measure", opened, closed, tuple(answers))


def closed_loop(callers: int, batch: int, workers: int, service_s: float, answers: int) -> Cell:
    """Workers that take turns, each hearing `batch` requests at once in `service_s`."""
    waiting = [(0.0, caller) for caller in range(callers)]
    free = [(worker + 1) * service_s / workers for worker in range(workers)]
    done: list[Answer] = []
    while len(done) < answers + 2 * callers:
        end = min(free)
        taken, waiting = waiting[:batch], waiting[batch:]
        done += [Answer(0, caller, start, end) for start, caller in taken]
        waiting += [(end, caller) for _, caller in taken]
        free[free.index(end)] = end + service_s
    return cell(done, callers, done[callers - 1].end, done[answers + callers - 1].end)


@pytest.mark.parametrize(("callers", "batch", "workers"), [(1, 1, 1), (20, 1, 1), (20, 4, 1), (20, 4, 2), (64, 8, 2)])
def test_throughput_is_that_of_the_server(callers: int, batch: int, workers: int) -> None:
    loop = closed_loop(callers, batch, workers, service_s=0.5, answers=200)
    assert loop.throughput == pytest.approx(workers * batch / 0.5, rel=0.01)
    assert loop.unaccounted == pytest.approx(0)


def test_littles_law_in_the_window() -> None:
    loop = closed_loop(20, 1, 1, service_s=0.05, answers=50)
    latencies = loop.latencies_s
    assert loop.throughput * sum(latencies) / len(latencies) == pytest.approx(20)


def test_throughput_counts_a_batch_of_one_process_once() -> None:
    heard = [Answer(item, worker, turn, turn + 1.0) for worker in (0, 1) for turn in range(5) for item in range(4)]
    assert cell(heard, 20, opened=1.0, closed=5.0).throughput == pytest.approx(8.0)


def test_dropped_requests_are_missed() -> None:
    loop = closed_loop(5, 1, 1, service_s=0.1, answers=50)
    kept = replace(loop, answers=loop.answers[::2])
    assert kept.unaccounted > 0.3


def test_failed_requests_take_time_but_do_not_count() -> None:
    loop = closed_loop(5, 1, 1, service_s=0.1, answers=60)
    half = [replace(answer, error="http-500") if i % 2 else answer for i, answer in enumerate(loop.answers)]
    assert replace(loop, answers=tuple(half)).throughput == pytest.approx(5.0, rel=0.05)


def test_records_survive_the_file(tmp_path: Path) -> None:
    loop = closed_loop(2, 1, 1, service_s=0.1, answers=3)
    records.append(tmp_path / "cells.jsonl", loop)
    records.append(tmp_path / "cells.jsonl", loop)
    assert records.read(tmp_path / "cells.jsonl") == [loop, loop]
