"""Figures against their true values, in an event loop whose time is made up."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from aural.bench import stats
from aural.bench.figures import Figures
from aural.bench.http import Reply, RequestFailed
from aural.bench.load import NOT_SENT
from aural.bench.records import Answer, Cell, Done, Load, Watch
from tests.bench.virtual import TEXT, Endpoint, asked, cell, words

SERVICE_S = 0.05


def closed(callers: int, requests: int, warm_up: int = 0) -> Load:
    return Load(f"closed {callers}", "closed", "3", callers, requests=requests, warm_up=warm_up)


def opened(rate: float, requests: int) -> Load:
    return Load(f"open {rate}", "open", "3", rate=rate, requests=requests)


def figures(endpoint: Endpoint, load: Load) -> Figures:
    return Figures(cell(endpoint, load), asked(load.requests + load.warm_up), "en")


@pytest.mark.parametrize("callers", [1, 2, 5, 10, 20, 64])
def test_a_closed_loop_on_one_server_gives_the_law_of_one_server(callers: int) -> None:
    requests = 400
    got = figures(Endpoint(SERVICE_S), closed(callers, requests))
    true_mean = SERVICE_S * callers * (1 - (callers - 1) / (2 * requests))
    assert got.latency.mean.value == pytest.approx(true_mean, rel=0.01)
    assert got.throughput.value == pytest.approx(1 / SERVICE_S, rel=0.01)
    assert got.throughput.low <= 1 / SERVICE_S * 1.001
    assert got.throughput.high >= 1 / SERVICE_S * 0.999
    assert got.rtfx == pytest.approx(3.0 / SERVICE_S, rel=0.01)
    assert got.doubts == []
    assert got.wer.value == 0


def test_warm_up_is_recorded_and_counts_for_nothing() -> None:
    slow_start = iter([1.0] * 4 + [SERVICE_S] * 40)
    got = figures(Endpoint(slow_start, servers=4), closed(4, 40, warm_up=4))
    assert len(got.cell.warm_up) == 4
    assert got.latency.highest == pytest.approx(SERVICE_S)


def test_percentiles_are_those_of_all_samples() -> None:
    service = np.random.default_rng(3).lognormal(-2, 0.6, 2_000)
    got = figures(Endpoint(iter(service)), closed(1, 2_000)).latency
    for q, estimate in ((50, got.p50), (95, got.p95), (99, got.p99)):
        assert estimate.value == pytest.approx(np.percentile(service, q), rel=0.005)
        assert estimate.low < estimate.value < estimate.high
    assert got.highest == pytest.approx(service.max())


def exponential(seed: int) -> Iterator[float]:
    chance = random.Random(seed)
    while True:
        yield chance.expovariate(1.0)


def covering(load: Load, mean_s: float, seeds: int) -> float:
    """Share of the intervals of P50 and P95 that hold the true value, where latencies are exponential."""
    held = []
    for seed in range(seeds):
        answers = cell(Endpoint(exponential(seed)), replace(load, name=f"run {seed}")).answers
        block = Figures(Cell(Done(load, 0, 0, Watch()), answers), [], "en").block
        for q in (50, 95):
            interval = stats.quantile([a.latency_s for a in answers], q, block)
            held.append(interval.low <= -mean_s * math.log(1 - q / 100) <= interval.high)
    return sum(held) / len(held)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """One caller waits as long as the service takes. Arrivals at half of what one server can do wait as M/M/1 says,
    exponentially with twice its mean; neighbours waited in one queue."""
    assert 0.9 <= covering(closed(1, 200), 1.0, seeds=30) < 1
    assert 0.85 <= covering(opened(0.5, 400), 2.0, seeds=12) < 1


@pytest.mark.parametrize(("samples", "p95", "p99"), [(199, False, False), (200, True, False), (1_000, True, True)])
def test_no_percentile_is_given_that_the_sample_cannot_carry(samples: int, p95: bool, p99: bool) -> None:
    got = figures(Endpoint(SERVICE_S), closed(1, samples)).latency
    assert math.isfinite(got.p95.value) == p95
    assert math.isfinite(got.p99.value) == p99
    assert got.n == samples


def test_poisson_arrivals_wait_as_queueing_theory_says() -> None:
    """Pollaczek-Khinchine: at 70 % load a server of constant service time makes callers wait 0.7 / (2 x 0.3) of it."""
    true_mean = SERVICE_S * (1 + 0.7 / (2 * 0.3))
    rate = 0.7 / SERVICE_S
    runs = [figures(Endpoint(SERVICE_S), replace(opened(rate, 1_500), name=f"run {i}")) for i in range(8)]
    assert sum(run.latency.mean.low <= true_mean <= run.latency.mean.high for run in runs) >= 6
    assert sum(run.throughput.low <= rate <= run.throughput.high for run in runs) >= 6
    assert np.mean([run.latency.mean.value for run in runs]) == pytest.approx(true_mean, rel=0.05)
    assert all(run.doubts == [] for run in runs)


def test_an_open_loop_shows_overload_where_a_closed_one_does_not() -> None:
    """Twice what the server can take: after n arrivals the last one waits n / 2 services."""
    requests = 1_000
    honest = figures(Endpoint(SERVICE_S), opened(2 / SERVICE_S, requests))
    flattering = figures(Endpoint(SERVICE_S), closed(1, requests))
    assert flattering.latency.highest == pytest.approx(SERVICE_S)
    assert honest.latency.highest == pytest.approx(requests * SERVICE_S / 2, rel=0.1)
    assert honest.latency.mean.value == pytest.approx(requests * SERVICE_S / 4, rel=0.1)
    assert honest.throughput.value == pytest.approx(1 / SERVICE_S, rel=0.01)
    assert any("overload: " in doubt and "20 of 40 a second" in doubt for doubt in honest.doubts)


def test_a_stall_of_a_second_is_seen_by_all_who_came_meanwhile() -> None:
    service = [0.001] * 2_000
    service[1_000] = 1.0
    honest = figures(Endpoint(iter(service)), opened(100, 2_000)).latency
    flattering = figures(Endpoint(iter(service)), closed(1, 2_000)).latency
    assert honest.p99.value > 0.7
    assert flattering.p99.value == pytest.approx(0.001)


def test_what_could_not_be_sent_is_a_failure() -> None:
    got = figures(Endpoint(10.0, servers=2_000), opened(10_000, 2_100))
    assert got.failures[NOT_SENT] == 100


def test_failures_are_counted_by_kind_and_never_dropped() -> None:
    def answer(number: int) -> Reply | RequestFailed:
        kinds: dict[int, Reply | RequestFailed] = {
            0: Reply(500, b"out of memory"),
            1: Reply(503, b"busy"),
            2: RequestFailed("timeout"),
            3: Reply(200, b"<html>"),
            4: Reply(200, words("  ")),
        }
        return kinds.get(number % 10, Reply(200, words()))

    got = figures(Endpoint(SERVICE_S, 5, answer), closed(5, 100))
    kinds = ("http-500", "http-503", "timeout", "no text in the answer", "empty text")
    assert got.failures == dict.fromkeys(kinds, 10)
    assert got.refusals == 10
    assert len(got.completed) == 50
    assert got.throughput.value == pytest.approx(50 / got.elapsed_s)
    assert any("50 of 100 requests failed" in doubt for doubt in got.doubts)
    assert got.law.ok
    assert {a.detail for a in got.cell.answers if a.error == "http-500"} == {"out of memory"}


def test_truncation_shows() -> None:
    """An endpoint that hears half of what was sent, as one that knows only its first window."""
    half = " ".join(TEXT.split()[:4])
    got = Figures(
        cell(Endpoint(SERVICE_S, answer=lambda _: Reply(200, words(half))), closed(1, 20)), asked(20, 9.0), "en"
    )
    assert got.cut_off == 20
    assert got.heard_s / got.audio_s == pytest.approx(4 / 9, abs=0.01)
    assert any("texts end long before the speech" in doubt for doubt in got.doubts)
    assert got.wer.value == pytest.approx(100 * 5 / 9)


def test_an_endpoint_that_says_it_heard_less_is_believed() -> None:
    got = figures(Endpoint(SERVICE_S, answer=lambda _: Reply(200, words(duration=1.0))), closed(1, 20))
    assert got.heard_s / got.audio_s == pytest.approx(1 / 3)
    one = Reply(200, words(duration=1.0))
    got = figures(Endpoint(SERVICE_S, answer=lambda number: Reply(200, words()) if number else one), closed(1, 40))
    assert (got.cut_off, got.truncates) == (1, True)


def test_records_that_are_missing_break_littles_law() -> None:
    """What a client does that throws failed requests away."""
    whole = cell(Endpoint(SERVICE_S, 5), closed(5, 100))
    kept = replace(whole, answers=whole.answers[::2])
    got = Figures(kept, asked(100), "en")
    assert not got.law.ok
    assert any("Little's law" in doubt for doubt in got.doubts)


def test_a_client_that_rests_breaks_littles_law() -> None:
    def rested(answers: tuple[Answer, ...]) -> Iterator[Answer]:
        for i, answer in enumerate(answers):
            yield replace(answer, start=answer.start + i, end=answer.end + i)

    whole = cell(Endpoint(SERVICE_S), closed(1, 20))
    got = Figures(replace(whole, answers=tuple(rested(whole.answers))), asked(20), "en")
    assert any("no recorded request" in doubt for doubt in got.doubts)


def test_two_runs_of_the_same_endpoint_do_not_differ() -> None:
    chance = random.Random(4)
    service = [chance.lognormvariate(-2, 0.5) for _ in range(1_000)]
    one, other = (figures(Endpoint(iter(part)), closed(1, 500)) for part in (service[:500], service[500:]))
    got = stats.ratio(one.gaps_s, other.gaps_s, np.mean)
    assert got.low < 1 < got.high
