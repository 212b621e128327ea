"""Alarms, the topic they call, and the CloudWatch dashboard."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from aural.deploy.endpoint import Place, component_name, tags
from aural.deploy.resources import Call, Resource, whole
from aural.deploy.scaling import alarm
from aural.deploy.spec import Alarms, Asynchronous, Deployment

SAGEMAKER = "AWS/SageMaker"
HARDWARE = "/aws/sagemaker/Endpoints"
EMF_NAMESPACE = "aural"
US_PER_MS = 1000
FAULT_RATE = "IF(calls > 0, 100 * IF(model - callers > faults, model - callers, faults) / calls, 0)"
WIDTH, HEIGHT, COLUMNS = 8, 6, 3


def topic_arn(deployment: Deployment, place: Place) -> str:
    alarms = deployment.alarms
    if alarms is None or not (alarms.topic or alarms.email):
        return ""
    return alarms.topic or f"arn:{place.partition}:sns:{place.region}:{place.account}:{deployment.name}-alarms"


def topic(deployment: Deployment, place: Place) -> list[Resource]:
    if deployment.alarms is None or not deployment.alarms.email or deployment.alarms.topic:
        return []
    arn, name = topic_arn(deployment, place), f"{deployment.name}-alarms"
    subscription = {"TopicArn": arn, "Protocol": "email", "Endpoint": deployment.alarms.email}
    made = Resource(
        "topic",
        name,
        Call("sns", "create_topic", {"Name": name, "Tags": tags(deployment)}),
        Call("sns", "get_topic_attributes", {"TopicArn": arn}),
        Call("sns", "delete_topic", {"TopicArn": arn}),
        whole,
    )
    subscribed = Resource(
        "subscription",
        name,
        Call("sns", "subscribe", subscription),
        Call("sns", "list_subscriptions_by_topic", {"TopicArn": arn}),
        None,
        lambda answer: next(
            (one for one in answer["Subscriptions"] if one["Endpoint"] == subscription["Endpoint"]), None
        ),
    )
    return [made, subscribed]


@dataclass(frozen=True, slots=True)
class Subject:
    """What CloudWatch has metrics of: a variant, or an inference component."""

    label: str
    dimensions: tuple[tuple[str, str], ...]

    @property
    def flat(self) -> list[str]:
        return [part for pair in self.dimensions for part in pair]

    @property
    def named(self) -> list[dict[str, str]]:
        return [{"Name": name, "Value": value} for name, value in self.dimensions]


def subjects(deployment: Deployment) -> list[Subject]:
    if deployment.uses_components:
        return [component_subject(component_name(deployment, model)) for model in deployment.models]
    return [Subject(deployment.name, (("EndpointName", deployment.name), ("VariantName", deployment.variant)))]


def component_subject(name: str) -> Subject:
    return Subject(name, (("InferenceComponentName", name),))


def possible(deployment: Deployment, place: Place, components: list[str]) -> list[Resource]:
    """All that any [alarms] could have made, for these components too; the topic first, so that it goes last."""
    plain = replace(deployment, components=deployment.uses_components, scaling=None, asynchronous=None)
    sync = replace(plain, alarms=Alarms(email="nobody@example.com"))
    watched = [*subjects(deployment), *map(component_subject, components)]
    made = [*topic(sync, place)[:1], *(one for subject in watched for one in _alarms(sync, place, subject))]
    if deployment.existing or deployment.uses_components:
        return made
    return [*made, *alarms(replace(sync, asynchronous=Asynchronous(output="s3://none/")), place)]


def alarms(deployment: Deployment, place: Place) -> list[Resource]:
    """The two that tell a bad release, too many errors and too slow, for each subject."""
    return [one for subject in subjects(deployment) for one in _alarms(deployment, place, subject)]


def _alarms(deployment: Deployment, place: Place, subject: Subject) -> list[Resource]:
    wish = deployment.alarms
    if wish is None:
        return []
    arn = topic_arn(deployment, place)
    common: dict[str, Any] = {
        "EvaluationPeriods": 3,
        "TreatMissingData": "notBreaching",
        "ComparisonOperator": "GreaterThanThreshold",
        "AlarmActions": [arn] if arn else [],
    }
    one_metric = {"Namespace": SAGEMAKER, "Dimensions": subject.named, "Period": 60}
    if deployment.asynchronous:
        failed = {**one_metric, "MetricName": "InvocationFailures", "Statistic": "Sum", "Threshold": 0.0}
        return [alarm(f"{subject.label}-failures", {**common, **failed})]
    threshold = wish.latency_ms * US_PER_MS
    slow = {**one_metric, "MetricName": "ModelLatency", "ExtendedStatistic": "p95", "Threshold": threshold}
    failing = {"Metrics": _error_rate(subject), "Threshold": wish.errors_percent}
    return [
        alarm(f"{subject.label}-latency", {**common, **slow}),
        alarm(f"{subject.label}-errors", {**common, **failing}),
    ]


def _error_rate(subject: Subject) -> list[dict[str, Any]]:
    """The server's faults in percent of the calls. InvocationModelErrors has all that is not 2XX: the model's 5XX,
    which are counted by themselves too, timeouts and broken connections, but also the callers' own mistakes (4XX).

    Source: Amazon SageMaker's documents, "monitoring-cloudwatch"."""
    counts = {
        "faults": "Invocation5XXErrors",
        "model": "InvocationModelErrors",
        "callers": "Invocation4XXErrors",
        "calls": "Invocations",
    }
    queries = [_query(name, metric, subject) for name, metric in counts.items()]
    return [*queries, {"Id": "rate", "Expression": FAULT_RATE, "ReturnData": True}]


def _query(name: str, metric: str, subject: Subject) -> dict[str, Any]:
    stat = {
        "Metric": {"Namespace": SAGEMAKER, "MetricName": metric, "Dimensions": subject.named},
        "Period": 60,
        "Stat": "Sum",
    }
    return {"Id": name, "MetricStat": stat, "ReturnData": False}


def dashboard(deployment: Deployment, place: Place) -> Resource:
    body = json.dumps({"widgets": _widgets(deployment, place.region)}, sort_keys=True)
    name = f"{deployment.name}-aural"
    put = Call("cloudwatch", "put_dashboard", {"DashboardName": name, "DashboardBody": body})
    return Resource(
        "dashboard",
        name,
        put,
        Call("cloudwatch", "get_dashboard", {"DashboardName": name}),
        Call("cloudwatch", "delete_dashboards", {"DashboardNames": [name]}),
        whole,
        put,
        compare=("DashboardBody",),
    )


def _widgets(deployment: Deployment, region: str) -> list[dict[str, Any]]:
    hardware = ["EndpointName", deployment.name, "VariantName", deployment.variant]
    rows = [
        *[row for subject in subjects(deployment) for row in _rows(deployment, subject)],
        ("Hardware, % of one unit", [[HARDWARE, name, *hardware, {"stat": "Average"}] for name in HARDWARE_METRICS]),
        *[(title, [_ours(name, stat, deployment)]) for title, name, stat in OURS],
        *_component_rows(deployment),
    ]
    return [_widget(i, title, metrics, region) for i, (title, metrics) in enumerate(rows)]


Row = tuple[str, list[Any]]


def _rows(deployment: Deployment, subject: Subject) -> list[Row]:
    rows = _async_rows(subject) if deployment.asynchronous else _subject_rows(subject)
    return [(f"{subject.label}: {title}", metrics) for title, metrics in rows]


def _subject_rows(subject: Subject) -> list[Row]:
    where = subject.flat
    rows = [
        _latency("Latency of the model, ms", "ModelLatency", where),
        _latency("Overhead of SageMaker, ms", "OverheadLatency", where),
        _sums("Calls a minute", ("Invocations",), where),
        _sums("Errors", ERRORS, where),
    ]
    return rows + _stream_rows(where) if where[0] == "EndpointName" else rows


def _stream_rows(where: list[str]) -> list[Row]:
    """Of endpoints without components, which streams cannot address."""
    return [
        _latency("First words of a stream, ms", "FirstChunkLatency", where),
        ("Requests at once, most", [[SAGEMAKER, "ConcurrentRequestsPerModel", *where, {"stat": "Maximum"}]]),
    ]


def _async_rows(subject: Subject) -> list[Row]:
    """An asynchronous endpoint has neither Invocations nor OverheadLatency, and what waits is the endpoint's."""
    where, endpoint = subject.flat, subject.flat[:2]
    return [
        _latency("Latency of the model, ms", "ModelLatency", where),
        _sums("Errors", ASYNC_ERRORS, where),
        ("Waiting calls, most", [[SAGEMAKER, "ApproximateBacklogSize", *endpoint, {"stat": "Maximum"}]]),
        ("Oldest call, seconds", [[SAGEMAKER, "ApproximateAgeOfOldestRequest", *endpoint, {"stat": "Maximum"}]]),
    ]


def _sums(title: str, names: tuple[str, ...], where: list[str]) -> Row:
    return title, [[SAGEMAKER, name, *where, {"stat": "Sum"}] for name in names]


ERRORS = ("Invocation4XXErrors", "Invocation5XXErrors", "InvocationModelErrors", "MidStreamErrors")
ASYNC_ERRORS = ("Invocation4XXErrors", "Invocation5XXErrors", "InvocationFailures", "ExpiredRequests")
HARDWARE_METRICS = ("CPUUtilization", "MemoryUtilization", "GPUUtilization", "GPUMemoryUtilization")
OURS = (
    ("Audio transcribed, seconds a minute", "AudioSeconds", "Sum"),
    ("Wait in the queue, ms", "QueueWaitMs", "Average"),
    ("Requests being answered", "RequestsInFlight", "Maximum"),
    ("Live streams", "StreamSessions", "Maximum"),
    ("Refused at the door", "Refused", "Sum"),
)


def _ours(name: str, stat: str, deployment: Deployment) -> list[Any]:
    return [EMF_NAMESPACE, name, "EndpointName", deployment.name, {"stat": stat}]


def _latency(title: str, metric: str, where: list[str]) -> Row:
    """SageMaker counts microseconds; people read milliseconds."""
    hidden = [
        [SAGEMAKER, metric, *where, {"stat": stat, "id": f"us{i}", "visible": False}]
        for i, stat in enumerate(("p50", "p95", "p99"))
    ]
    shown = [[{"expression": f"us{i} / {US_PER_MS}", "label": label}] for i, label in enumerate(("p50", "p95", "p99"))]
    return title, [*hidden, *shown]


def _component_rows(deployment: Deployment) -> list[Row]:
    if not deployment.uses_components:
        return []
    names = [component_name(deployment, model) for model in deployment.models]
    return [
        (title, [[SAGEMAKER, metric, "InferenceComponentName", name, {"stat": stat}] for name in names])
        for title, metric, stat in (
            ("Requests per copy, most", "ConcurrentRequestsPerCopy", "Maximum"),
            ("Calls that found no copy", "NoCapacityInvocationFailures", "Sum"),
        )
    ]


def _widget(i: int, title: str, metrics: list[Any], region: str) -> dict[str, Any]:
    properties = {"title": title, "metrics": metrics, "region": region, "period": 60, "view": "timeSeries"}
    place = {"x": i % COLUMNS * WIDTH, "y": i // COLUMNS * HEIGHT, "width": WIDTH, "height": HEIGHT}
    return {"type": "metric", **place, "properties": properties}
