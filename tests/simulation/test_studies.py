"""The questions asked of the simulation get sensible answers, and charts that a browser can read."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from aural.errors import SettingsError
from aural.simulation import against, plot, studies
from aural.simulation.command import batches, simulate
from aural.simulation.costs import Costs
from aural.simulation.report import MEASURED
from tests.simulation.test_costs import TRUE
from tests.simulation.test_costs import batches as drawn

WORLD = studies.World(Costs.read(MEASURED), seconds=20.0)


def test_more_pods_bear_more():
    chart = studies.replicas(WORLD, (1, 4))
    for curve in chart.curves.values():
        [(_, one), (_, four)] = curve
        assert four > 2.5 * one > 0


def test_batches_bear_what_single_clips_do_not():
    chart = studies.queueing(WORLD, (0.2, 0.8))
    assert chart.curves["one clip at a time"][-1][1] > 2 * chart.curves["batches as they form"][-1][1]


def test_short_clips_pass_long_files():
    fair, unfair = studies.head_of_line(replace(WORLD, seconds=60.0), (0.6,)).curves.values()
    assert fair[0][1] < unfair[0][1] / 2


def test_a_lost_zone_shows_and_is_made_good():
    [curve] = studies.zone_loss(WORLD, (0.75,), pods=6).curves.values()
    before = [y for x, y in curve if x < -5]
    short_of_pods = [y for x, y in curve if 60 < x < studies.NEW_POD_S]
    assert max(short_of_pods) > 2 * max(before)
    assert curve[-1][1] < 2 * max(before)


def test_faster_workers_bear_more_streams():
    slow, fast = (studies.streams_per_worker(world, pods=1) for world in (WORLD, WORLD.faster(4)))
    assert fast > 2 * slow > 0


def test_fleets_grow_with_their_streams():
    small, large = studies.fleets(per_worker=10.0, workers=2, price=0.5, streams=(100, 100_000))
    assert (small.pods, small.pods_with_zone_lost, small.dollars_per_hour) == (5, 8, 4.0)
    assert large.pods == 1000 * small.pods


@pytest.mark.parametrize("log_y", [False, True])
def test_charts_are_svg(log_y: bool):
    chart = studies.Chart("n", "a < b & c", "x", "y", {"one": [(0.0, 1.0), (5.0, 300.0)]}, log_y=log_y)
    root = ElementTree.fromstring(plot.draw(chart))
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "a < b & c" in texts
    assert "100" in texts
    assert len(list(root.iter("{http://www.w3.org/2000/svg}circle"))) == 2


def test_a_run_is_compared_figure_by_figure(tmp_path: Path):
    true = against.Measured("two pods", 2, 1, 10, (15.0,), 8, 9.0, 1.0, 2.0, WORLD.costs)
    rows = [asdict(true)]
    (tmp_path / "run.json").write_text(json.dumps({"runs": rows}))
    compared = {row.figure: row for row in against.compare(against.read(tmp_path / "run.json"))}
    simulated = compared["requests/s"].simulated
    again = replace(true, requests_per_s=simulated)
    assert against.compare([again])[0].off == pytest.approx(0.0)
    assert compared["requests/s"].measured == 9.0


def test_what_is_no_run_is_refused(tmp_path: Path):
    (tmp_path / "run.json").write_text('{"runs": [{"name": "x"}]}')
    with pytest.raises(SettingsError, match=r"expected the JSON of benchmarks/scale\.py"):
        against.read(tmp_path / "run.json")


def test_a_log_becomes_costs_and_costs_become_charts(tmp_path: Path):
    rows = [
        {"message": "batch", "model": "m", "clips_s": list(one.clips_s), "engine_s": one.engine_s}
        for one in drawn(TRUE)
    ]
    (tmp_path / "log").write_text("\n".join(map(json.dumps, rows)))
    learnt = CliRunner().invoke(batches, [str(tmp_path / "log"), "--out", str(tmp_path / "costs.json")])
    assert learnt.exit_code == 0, learnt.output
    assert "0.0120" in learnt.output
    flags = ["--costs", str(tmp_path / "costs.json"), "--out", str(tmp_path / "charts"), "--seconds", "3"]
    done = CliRunner().invoke(simulate, flags)
    assert done.exit_code == 0, done.output
    assert "100,000" in done.output
    names = {path.stem for path in (tmp_path / "charts").iterdir()}
    assert names == {"replicas", "queueing", "head-of-line", "zone-loss", "streams"}
