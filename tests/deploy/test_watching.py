"""What watches: every metric that is drawn or alarmed on is one that is counted."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import suppress

import pytest
import yaml

from aural import emf
from aural.deploy import watching
from aural.deploy.endpoint import Place
from aural.deploy.plan import make_plan
from aural.deploy.spec import Alarms
from aural.metrics import Metrics
from tests.deploy.conftest import ROOT, example
from tests.deploy.test_lifecycle import several

MONITORING = ROOT / "containers" / "monitoring"
PLACE = Place("123456789012", "us-east-1")


def counted() -> set[str]:
    return {metric.name for metric in Metrics().registry.collect()}


def named(text: str) -> set[str]:
    return {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in re.findall(r"\baural_\w+", text)}


@pytest.mark.parametrize("name", ["grafana.json", "prometheus-rules.yaml"])
def test_prometheus_files_name_metrics_that_exist(name: str) -> None:
    text = (MONITORING / name).read_text()
    assert named(text) <= counted()
    assert yaml.safe_load(text)


def test_grafana_panels_do_not_overlap() -> None:
    panels = json.loads((MONITORING / "grafana.json").read_text())["panels"]
    corners = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels]
    assert len(set(corners)) == len(panels)
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_alerts_say_how_bad_it_is() -> None:
    (group,) = yaml.safe_load((MONITORING / "prometheus-rules.yaml").read_text())["groups"]
    for rule in group["rules"]:
        assert "record" in rule or rule["labels"]["severity"] in ("page", "ticket")


def test_the_dashboard_shows_milliseconds_and_our_own_metrics() -> None:
    body = json.loads(watching.dashboard(several(), PLACE).create.request["DashboardBody"])
    titles = [widget["properties"]["title"] for widget in body["widgets"]]
    assert {"speech-whisper: Latency of the model, ms", "speech-parakeet: Errors"} <= set(titles)
    expressions = [
        line[0].get("expression")
        for widget in body["widgets"]
        for line in widget["properties"]["metrics"]
        if isinstance(line[0], dict)
    ]
    assert {"us0 / 1000", "us1 / 1000", "us2 / 1000"} <= set(expressions)
    ours = {
        line[1]
        for widget in body["widgets"]
        for line in widget["properties"]["metrics"]
        if line[0] == watching.EMF_NAMESPACE
    }
    assert ours
    assert ours <= emf.METRICS.keys()
    assert watching.EMF_NAMESPACE == emf.NAMESPACE
    places = {(widget["x"], widget["y"]) for widget in body["widgets"]}
    assert len(places) == len(body["widgets"])


def test_latency_alarms_count_in_microseconds() -> None:
    deployment = example("parakeet-byoc")
    latency, errors = watching.alarms(deployment, PLACE)
    assert latency.create.request["Threshold"] == 5_000_000
    assert errors.create.request["Threshold"] == Alarms().errors_percent


def test_components_go_back_for_alarms_of_their_own() -> None:
    plan = make_plan(several(alarms=Alarms()), None)
    assert plan.problems == ()
    whisper = next(one.resource for one in plan.actions if one.resource.name == "speech-whisper")
    assert whisper.update is not None
    watched = whisper.update.request["DeploymentConfig"]["AutoRollbackConfiguration"]["Alarms"]
    assert watched == [{"AlarmName": "speech-whisper-latency"}, {"AlarmName": "speech-whisper-errors"}]
    alarm = next(one.resource for one in plan.actions if one.resource.name == "speech-whisper-latency")
    assert alarm.create.request["Dimensions"] == [{"Name": "InferenceComponentName", "Value": "speech-whisper"}]


def test_a_line_of_emf_is_what_happened_between_two_readings() -> None:
    metrics = Metrics()
    metrics.audio_s.labels("a").inc(10)
    before = emf.read(metrics.registry)
    metrics.audio_s.labels("a").inc(5)
    metrics.audio_s.labels("b").inc(7)
    metrics.queue_wait_s.labels("a").observe(0.25)
    metrics.queue_wait_s.labels("b").observe(0.75)
    metrics.in_flight.set(3)
    document = json.loads(emf.line(emf.read(metrics.registry), before, "asr", 1_700_000_000.5))
    assert document["EndpointName"] == "asr"
    assert (document["AudioSeconds"], document["QueueWaitMs"], document["RequestsInFlight"]) == (12, 500, 3)
    directive = document["_aws"]["CloudWatchMetrics"][0]
    assert document["_aws"]["Timestamp"] == 1_700_000_000_500
    for metric in directive["Metrics"]:
        assert isinstance(document[metric["Name"]], int | float)
    for dimension in directive["Dimensions"][0]:
        assert dimension in document


def test_lines_are_printed_and_nothing_beside_them(capsys: pytest.CaptureFixture[str]) -> None:
    async def two_lines() -> str:
        printing = asyncio.create_task(emf.publish(Metrics().registry, "asr", every_s=0.001))
        printed = ""
        while printed.count("\n") < 2:
            await asyncio.sleep(0)
            printed += capsys.readouterr().out
        printing.cancel()
        with suppress(asyncio.CancelledError):
            await printing
        return printed

    for line in asyncio.run(two_lines()).splitlines():
        assert json.loads(line)["EndpointName"] == "asr"
