"""Advice: right by its own arithmetic, honest about what nobody measured, and a file that `aural deploy` reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from aural.bench import prices
from aural.bench.recommend import FULL, Evidence, Scenario, advise, deploy_file
from aural.bench.recommend_command import recommend
from aural.deploy import spec
from aural.errors import BenchError

TABLE = prices.load()


def test_the_count_leaves_room_and_the_bill_adds_up() -> None:
    own = [Evidence("mine", "ml.g6.xlarge", 100.0, 0.2, 15.0, 5.0, "measured")]
    advice = advise(Scenario("interactive", streams=2 * FULL * 100 + 1), TABLE, own)
    mine = next(c for c in [advice.best, *advice.others] if c.evidence.model == "mine")
    assert mine.count == 3
    assert mine.usd_per_month == pytest.approx(3 * 1.1267 * prices.HOURS_A_MONTH)


def test_own_measurements_go_before_published_ones() -> None:
    own = [Evidence("parakeet-tdt-0.6b-v2", "ml.g6.xlarge", 9e9, 0.01, 15.0, 6.0, "measured")]
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
    row = {"instance": "ml.g6e.12xlarge", "usd_per_hour": 1.0, "gpu": "L40S", "gpus": 4}
    table.write_text(json.dumps({"date": "today", "region": "here", "sources": {}, "instances": [row]}))
    assert prices.load(table).of("ml.g6e.12xlarge").per_audio_hour(100) == 0.01
    with pytest.raises(BenchError, match="an instance of the price table"):
        prices.load(table).of("ml.none")
    table.write_text("[]")
    with pytest.raises(BenchError, match="expected a price table"):
        prices.load(table)
