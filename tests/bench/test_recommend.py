"""Advice: right by its own arithmetic, honest about what nobody measured, and a file that `aural deploy` reads."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from aural.bench import prices
from aural.bench.http import Reply
from aural.bench.recommend import FULL, Evidence, Scenario, advise, deploy_file, own_evidence
from aural.bench.recommend_command import recommend
from aural.bench.report import write
from aural.deploy import spec
from aural.errors import BenchError
from tests.bench.made import HALF, make, make_streams
from tests.bench.virtual import words

TABLE = prices.load()


def test_the_count_leaves_room_and_the_bill_adds_up() -> None:
    own = [Evidence("mine", "ml.g6.xlarge", 100.0, 0.2, 15.0, 5.0, "measured")]
    advice = advise(Scenario("interactive", streams=2 * FULL * 100 + 1), TABLE, own)
    mine = next(c for c in [advice.best, *advice.others] if c.evidence.model == "mine")
    assert mine.count == 3
    assert mine.usd_per_month == pytest.approx(3 * 1.1267 * prices.HOURS_A_MONTH)


def test_own_measurements_go_before_published_ones() -> None:
    own = [Evidence("parakeet-tdt-0.6b-v2", "ml.g6.xlarge", 9e9, 0.01, 15.0, 6.0, "measured", loaded_s=0.1)]
    advice = advise(Scenario("analysis", hours=100_000), TABLE, own)
    assert (advice.best.evidence.kind, advice.best.count, advice.unmeasured) == ("measured", 1, ())


@pytest.mark.parametrize(
    ("scenario", "model"),
    [
        (Scenario("analysis", "zh", hours=1_000), "whisper-large-v3-turbo"),
        (Scenario("interactive", "en", streams=10), "parakeet-tdt-0.6b-v2"),
        (Scenario("interactive", "de", streams=10), "parakeet-tdt-0.6b-v3"),
        (Scenario("analysis", "fr", hours=500, understanding=True), "voxtral-mini"),
    ],
)
def test_languages_and_understanding_decide(scenario: Scenario, model: str) -> None:
    advice = advise(scenario, TABLE)
    assert advice.best.evidence.model == model
    assert any("not measured on a GPU" in gap for gap in advice.unmeasured)


def test_what_nobody_can_do_is_refused_with_reasons() -> None:
    with pytest.raises(BenchError, match="answers no questions"):
        advise(Scenario("analysis", "zh", hours=10, understanding=True), TABLE)
    with pytest.raises(BenchError, match=r"the goal is 0\.001 s"):
        advise(Scenario("interactive", streams=1, latency_s=0.001), TABLE)
    with pytest.raises(BenchError, match="how much there is to hear"):
        advise(Scenario("interactive"), TABLE)
    with pytest.raises(BenchError, match="streams at once or hours a month, got both: 1 and 2"):
        advise(Scenario("interactive", streams=1, hours=2), TABLE)


def test_the_latency_is_that_of_the_planned_load_where_it_was_measured() -> None:
    quick = Evidence("mine", "ml.g6.xlarge", 100.0, 0.2, 15.0, 5.0, "measured")
    advice = advise(Scenario("interactive", streams=1), TABLE, [quick])
    assert "at the planned load it was not measured" in str(advice.unmeasured)
    slow = replace(quick, loaded_s=1.5)
    left_out = advise(Scenario("interactive", streams=1), TABLE, [slow]).reasons
    busy = advise(Scenario("analysis", streams=1_000), TABLE, [replace(slow, rtfx=9_001.0)])
    assert busy.best.target == 630  # 70 % of 600 requests a second, 1.5 s each
    assert any("mine is left out: " in why and "1.5 s at the planned load" in why for why in left_out)


def test_a_run_of_requests_speaks_for_its_length_nearest_to_15_s(tmp_path: Path) -> None:
    got = own_evidence(make(tmp_path / "run", durations=(15, 60), instance="ml.g6.xlarge"))
    assert (got.model, got.instance, got.audio_s, got.wer_percent) == ("run", "ml.g6.xlarge", 15.0, 0.0)
    assert got.latency_s == pytest.approx(0.3, rel=0.1)
    assert got.rtfx == pytest.approx(2 * 15 / 0.3, rel=0.1)
    assert got.loaded_s == pytest.approx(5 * 0.3 / 2, rel=0.1)  # five callers keep two servers busy
    with pytest.raises(BenchError, match="a run with --instance"):
        own_evidence(make(tmp_path / "bare", requests=20))


def test_what_is_in_doubt_is_told(tmp_path: Path) -> None:
    cut = make(tmp_path / "cut", answer=lambda _: Reply(200, words(HALF)), durations=(15,), instance="ml.g6.xlarge")
    got = own_evidence(cut)
    assert got.rtfx == pytest.approx(4 / 9 * 2 * 15 / 0.3, rel=0.1)
    assert "texts end long before the speech" in str(got.unmeasured)


def test_streams_that_were_kept_in_time_are_counted_and_not_assumed(tmp_path: Path) -> None:
    got = own_evidence(make_streams(tmp_path / "mine", (1, 20, 40)))
    assert (got.model, got.streams, got.wer_percent, got.unmeasured) == ("mine", 20, 0.0, ())
    assert got.latency_s == pytest.approx(0.6)
    advice = advise(Scenario("captions", streams=141), TABLE, [got, replace(got, streams=0, rtfx=9e9)])
    mine = next(c for c in [advice.best, *advice.others] if c.evidence.model == "mine")
    assert (mine.count, mine.target) == (11, 14)
    with pytest.raises(BenchError, match="for analysis, got one of live streams"):
        advise(Scenario("analysis", streams=1), TABLE, [got])


def test_the_deploy_file_is_one(tmp_path: Path) -> None:
    path = tmp_path / "deploy.toml"
    done = CliRunner().invoke(recommend, ["--for", "captions", "--streams", "200", "--deploy-file", str(path)])
    assert done.exit_code == 0, done.output
    assert "Not measured" in done.output
    deployment = spec.load(path)
    assert deployment.instance is not None
    assert deployment.scaling is not None
    assert deployment.scaling.min == deployment.instance.count
    assert path.read_text() == deploy_file(advise(Scenario("captions", streams=200), TABLE))


def test_json() -> None:
    done = CliRunner().invoke(recommend, ["--for", "analysis", "--hours", "1000", "--json"])
    document = json.loads(done.output)
    assert document["best"]["count"] >= 1
    assert document["scenario"]["hours"] == 1000


def test_prices_of_ones_own(tmp_path: Path) -> None:
    table = tmp_path / "prices.json"
    row = {"instance": "ml.g6e.2xlarge", "usd_per_hour": 1.0, "gpu": "L40S", "gpus": 1}
    table.write_text(json.dumps({"date": "today", "region": "here", "sources": {}, "instances": [row]}))
    assert prices.load(table).of("ml.g6e.2xlarge").per_audio_hour(100) == 0.01
    assert advise(Scenario("analysis", hours=10), prices.load(table)).best.evidence.instance == "ml.g6e.2xlarge"
    run = make(tmp_path / "run", requests=20, instance="ml.g6e.2xlarge")
    write([run], price_table=table)
    assert "Prices of today, here." in (run / "report.md").read_text()
    with pytest.raises(BenchError, match="an instance of the price table"):
        prices.load(table).of("ml.none")
    table.write_text(json.dumps({"date": "", "region": "", "sources": {}, "instances": [row | {"source": "X"}]}))
    with pytest.raises(BenchError, match=r"expected sources among \[\], got \['X'\]"):
        prices.load(table)
    table.write_text("[]")
    with pytest.raises(BenchError, match="expected a price table"):
        prices.load(table)
