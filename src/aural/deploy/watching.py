"""Alarms, the topic they call, and the CloudWatch dashboard."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from aural.deploy.endpoint import Place, component_name, tags
from aural.deploy.resources import Call, Resource, whole
from aural.deploy.scaling import alarm
from aural.deploy.spec import Alarms, Asynchronous, Deployment

SAGEMAKER = "AWS/SageMaker"
HARDWARE = "/aws/sagemaker/Endpoints"
EMF_NAMESPACE = "aural"
US_PER_MS = 1000
WIDTH, HEIGHT, COLUMNS = 8, 6, 3


def topic_arn(deployment: Deployment, place: Place) -> str:
    alarms = deployment.alarms
    if alarms is None or not (alarms.topic or alarms.email):
        return ""
    return alarms.topic or f"arn:aws:sns:{place.region}:{place.account}:{deployment.name}-alarms"


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
        Call("sns", "delete_topic", {"TopicArn": arn}),
        lambda answer: next(
            (one for one in answer["Subscriptions"] if one["Endpoint"] == subscription["Endpoint"]), None
        ),
    )
    return [made, subscribed]


def possible(deployment: Deployment, place: Place) -> list[Resource]:
    """All that any [alarms] could have made; the topic last, so that it goes last."""
    sync = replace(deployment, alarms=Alarms(email="nobody@example.com"), asynchronous=None)
    made = [*topic(sync, place)[:1], *alarms(sync, place)]
    if deployment.existing or deployment.uses_components:
        return made
    return [*made, *alarms(replace(sync, asynchronous=Asynchronous(output="s3://none/")), place)]


def alarms(deployment: Deployment, place: Place) -> list[Resource]:
    """The two that tell a bad release: too many errors, too slow."""
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
    if deployment.asynchronous:
        return [alarm(f"{deployment.name}-failures", {**common, **_async_failures(deployment)})]
    slow = {
        "Namespace": SAGEMAKER,
        "MetricName": "ModelLatency",
        "Dimensions": _dimensions(deployment),
        "ExtendedStatistic": "p95",
        "Period": 60,
        "Threshold": wish.latency_ms * US_PER_MS,
    }
    failing = {"Metrics": _error_rate(deployment), "Threshold": wish.errors_percent}
    return [
        alarm(f"{deployment.name}-latency", {**common, **slow}),
        alarm(f"{deployment.name}-errors", {**common, **failing}),
    ]


def _async_failures(deployment: Deployment) -> dict[str, Any]:
    return {
        "Namespace": SAGEMAKER,
        "MetricName": "InvocationFailures",
        "Dimensions": _dimensions(deployment),
        "Statistic": "Sum",
        "Period": 60,
        "Threshold": 0.0,
    }


def _error_rate(deployment: Deployment) -> list[dict[str, Any]]:
    """Errors of the model and of SageMaker in percent of the calls. The caller's own (4XX) do not count."""
    counts = {"faults": "Invocation5XXErrors", "model": "InvocationModelErrors", "calls": "Invocations"}
    queries = [_query(name, metric, deployment) for name, metric in counts.items()]
    rate = {"Id": "rate", "Expression": "IF(calls > 0, 100 * (faults + model) / calls, 0)", "ReturnData": True}
    return [*queries, rate]


def _query(name: str, metric: str, deployment: Deployment) -> dict[str, Any]:
    stat = {
        "Metric": {"Namespace": SAGEMAKER, "MetricName": metric, "Dimensions": _dimensions(deployment)},
        "Period": 60,
        "Stat": "Sum",
    }
    return {"Id": name, "MetricStat": stat, "ReturnData": False}


def _dimensions(deployment: Deployment) -> list[dict[str, str]]:
    return [
        {"Name": "EndpointName", "Value": deployment.name},
        {"Name": "VariantName", "Value": deployment.variant},
    ]


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
    where = ["EndpointName", deployment.name, "VariantName", deployment.variant]
    rows = [
        _latency("Latency of the model", "ModelLatency", where),
        _latency("Overhead of SageMaker", "OverheadLatency", where),
        ("Calls a minute", [[SAGEMAKER, "Invocations", *where, {"stat": "Sum"}]]),
        ("Errors", [[SAGEMAKER, name, *where, {"stat": "Sum"}] for name in ERRORS]),
        ("Requests at once, most", [[SAGEMAKER, "ConcurrentRequestsPerModel", *where, {"stat": "Maximum"}]]),
        ("Hardware, % of one unit", [[HARDWARE, name, *where, {"stat": "Average"}] for name in HARDWARE_METRICS]),
        *[(title, [_ours(name, stat, deployment)]) for title, name, stat in OURS],
        *_component_rows(deployment),
    ]
    return [_widget(i, title, metrics, region) for i, (title, metrics) in enumerate(rows)]


ERRORS = ("Invocation4XXErrors", "Invocation5XXErrors", "InvocationModelErrors", "MidStreamErrors")
HARDWARE_METRICS = ("CPUUtilization", "MemoryUtilization", "GPUUtilization", "GPUMemoryUtilization")
OURS = (
    ("Audio transcribed, seconds a minute", "AudioSeconds", "Sum"),
    ("Wait in the queue, ms", "QueueWaitMs", "Average"),
    ("Requests being answered", "RequestsInFlight", "Maximum"),
    ("Refused at the door", "Refused", "Sum"),
)


def _ours(name: str, stat: str, deployment: Deployment) -> list[Any]:
    return [EMF_NAMESPACE, name, "EndpointName", deployment.name, {"stat": stat}]


def _latency(title: str, metric: str, where: list[str]) -> tuple[str, list[Any]]:
    """SageMaker counts microseconds; people read milliseconds."""
    hidden = [
        [SAGEMAKER, metric, *where, {"stat": stat, "id": f"us{i}", "visible": False}]
        for i, stat in enumerate(("p50", "p95", "p99"))
    ]
    shown = [[{"expression": f"us{i} / {US_PER_MS}", "label": label}] for i, label in enumerate(("p50", "p95", "p99"))]
    return f"{title}, ms", [*hidden, *shown]


def _component_rows(deployment: Deployment) -> list[tuple[str, list[Any]]]:
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
