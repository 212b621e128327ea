"""What watches: every metric that is drawn or alarmed on is one that is counted."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import suppress
from dataclasses import replace

import pytest
import yaml

from aural import emf
from aural.deploy import watching
from aural.deploy.endpoint import Place
from aural.deploy.plan import make_plan
from aural.deploy.spec import Alarms, Asynchronous, Deployment
from aural.metrics import Metrics
from tests.deploy.conftest import ROOT, example
from tests.deploy.lives import several

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


def drawn(deployment: Deployment) -> dict[str, set[str]]:
    """Titles of the dashboard's widgets, and the metrics in each."""
    body = json.loads(watching.dashboard(deployment, PLACE).create.request["DashboardBody"])
    places = {(widget["x"], widget["y"]) for widget in body["widgets"]}
    assert len(places) == len(body["widgets"])
    shown = (widget["properties"] for widget in body["widgets"])
    return {one["title"]: {f"{line[0]} {line[1]}" for line in one["metrics"] if len(line) > 1} for one in shown}


def test_the_dashboard_shows_all_that_one_watches() -> None:
    deployment = example("parakeet-byoc")
    name = deployment.name
    assert drawn(deployment) == {
        f"{name}: Latency of the model, ms": {"AWS/SageMaker ModelLatency"},
        f"{name}: Overhead of SageMaker, ms": {"AWS/SageMaker OverheadLatency"},
        f"{name}: Calls a minute": {"AWS/SageMaker Invocations"},
        f"{name}: Errors": {f"AWS/SageMaker {metric}" for metric in watching.ERRORS},
        f"{name}: First words of a stream, ms": {"AWS/SageMaker FirstChunkLatency"},
        f"{name}: Requests at once, most": {"AWS/SageMaker ConcurrentRequestsPerModel"},
        "Hardware, % of one unit": {f"/aws/sagemaker/Endpoints {metric}" for metric in watching.HARDWARE_METRICS},
        "Audio transcribed, seconds a minute": {"aural AudioSeconds"},
        "Wait in the queue, ms": {"aural QueueWaitMs"},
        "Requests being answered": {"aural RequestsInFlight"},
        "Live streams": {"aural StreamSessions"},
        "Refused at the door": {"aural Refused"},
    }
    assert "GPUUtilization" in watching.HARDWARE_METRICS


def test_an_asynchronous_endpoint_shows_what_waits() -> None:
    asynchronous = Asynchronous(output="s3://results/")
    deployment = replace(example("parakeet-byoc"), asynchronous=asynchronous, scaling=None, alarms=None)
    metrics = set.union(*drawn(deployment).values())
    assert {"AWS/SageMaker ApproximateBacklogSize", "AWS/SageMaker ApproximateAgeOfOldestRequest"} <= metrics
    assert not {"AWS/SageMaker Invocations", "AWS/SageMaker OverheadLatency"} & metrics


def test_components_have_rows_of_their_own() -> None:
    titles = drawn(several())
    assert {"speech-whisper: Latency of the model, ms", "speech-parakeet: Errors"} <= titles.keys()
    assert "AWS/SageMaker FirstChunkLatency" not in set.union(*titles.values()), "streams cannot address them"


def test_latencies_are_drawn_in_milliseconds() -> None:
    body = watching.dashboard(example("parakeet-byoc"), PLACE).create.request["DashboardBody"]
    for widget in json.loads(body)["widgets"]:
        lines = widget["properties"]["metrics"]
        if widget["properties"]["title"].endswith(" ms") and lines[0][0] == watching.SAGEMAKER:
            hidden = [line[-1]["id"] for line in lines if len(line) > 1]
            assert [line[0]["expression"] for line in lines if len(line) == 1] == [f"{name} / 1000" for name in hidden]
            assert not any(line[-1]["visible"] for line in lines if len(line) > 1)


def test_our_own_metrics_are_those_that_are_printed() -> None:
    assert {name for _, name, _ in watching.OURS} <= emf.METRICS.keys()
    assert watching.EMF_NAMESPACE == emf.NAMESPACE


def test_latency_alarms_count_in_microseconds() -> None:
    deployment = example("parakeet-byoc")
    latency, errors = watching.alarms(deployment, PLACE)
    assert latency.create.request["Threshold"] == 5_000_000
    assert errors.create.request["Threshold"] == Alarms().errors_percent


def rate(**counted: float) -> float:
    """CloudWatch's metric math in Python's words, on one minute."""
    words = {"IF": lambda yes, one, other: one if yes else other}
    value: float = eval(watching.FAULT_RATE, {"__builtins__": {}}, words | counted)
    return value


def test_the_error_alarm_counts_the_servers_faults_once() -> None:
    assert rate(calls=100, faults=4, model=4, callers=0) == 4, "5XX of the model are in both"
    assert rate(calls=100, faults=0, model=30, callers=30) == 0, "the callers' own mistakes"
    assert rate(calls=100, faults=0, model=7, callers=2) == 5, "timeouts have no status"
    assert rate(calls=100, faults=1, model=0, callers=9) == 1
    errors = watching.alarms(example("parakeet-byoc"), PLACE)[1]
    *counts, last = errors.create.request["Metrics"]
    assert last["Expression"] == watching.FAULT_RATE
    assert {one["Id"]: one["MetricStat"]["Metric"]["MetricName"] for one in counts} == {
        "faults": "Invocation5XXErrors",
        "model": "InvocationModelErrors",
        "callers": "Invocation4XXErrors",
        "calls": "Invocations",
    }


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
