"""The container's log lines in CloudWatch."""

from __future__ import annotations

from aural.deploy.cloud import Cloud

STREAMS = 5


def group_of(name: str, *, component: bool = False) -> str:
    return f"/aws/sagemaker/{'InferenceComponents' if component else 'Endpoints'}/{name}"


def last_lines(cloud: Cloud, name: str, count: int, *, component: bool = False) -> list[str]:
    """The newest lines over the latest streams, oldest first. Raises Missing before the first line, DeployError."""
    group = group_of(name, component=component)
    streams = cloud.ask(
        "logs", "describe_log_streams", logGroupName=group, orderBy="LastEventTime", descending=True, limit=STREAMS
    )["logStreams"]
    events = [
        event
        for stream in streams
        for event in cloud.ask(
            "logs", "get_log_events", logGroupName=group, logStreamName=stream["logStreamName"], limit=count
        )["events"]
    ]
    events.sort(key=lambda event: event["timestamp"])
    return [event["message"].rstrip() for event in events[-count:]]
