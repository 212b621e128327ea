"""Waiting for endpoints and inference components, with what SageMaker says while one waits."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aural.deploy.cloud import Cloud
from aural.deploy.logs import last_lines
from aural.deploy.plan import look
from aural.deploy.resources import Resource
from aural.errors import DeployError

STATUS = {"endpoint": "EndpointStatus", "inference component": "InferenceComponentStatus"}
BAD = frozenset({"Failed", "UpdateRollbackFailed", "OutOfService"})
LOG_LINES = 20


@dataclass(frozen=True, slots=True)
class Patience:
    """How often to look and when to give up; tests bring a clock of their own."""

    poll_s: float = 15.0
    limit_s: float = 3600.0
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], float] = time.monotonic


def settle(
    cloud: Cloud, resource: Resource, patience: Patience, say: Callable[[str], None], *, wanted: bool = True
) -> None:
    """Wait until an endpoint or component stands, as `wanted` or as it was. Raises DeployError: why, and the last lines
    of its log."""
    if resource.kind not in STATUS:
        return
    deadline, before = patience.now() + patience.limit_s, ""
    while True:
        there = look(cloud, resource) or {}
        status = str(there.get(STATUS[resource.kind], "gone"))
        if status != before:
            say(f"{resource.kind} {resource.name}: {status}")
            before = status
        if status == "InService" or status in BAD or status == "gone":
            break
        if patience.now() > deadline:
            raise DeployError(f"{resource.kind} {resource.name}: still {status} after {patience.limit_s:.0f} s")
        patience.sleep(patience.poll_s)
    _judge(cloud, resource, there, status, wanted=wanted)


def _judge(cloud: Cloud, resource: Resource, there: dict[str, Any], status: str, *, wanted: bool) -> None:
    name = f"{resource.kind} {resource.name}"
    reason = str(there.get("FailureReason", "")) or "SageMaker gave no reason"
    if status != "InService":
        raise DeployError(f"{name} is {status}: {reason}{_log(cloud, resource)}")
    config = resource.create.request.get("EndpointConfigName")
    if wanted and config and there.get("EndpointConfigName") != config:
        raise DeployError(
            f"{name} was rolled back to {there.get('EndpointConfigName')}: {reason}{_log(cloud, resource)}"
        )


def _log(cloud: Cloud, resource: Resource) -> str:
    try:
        lines = last_lines(cloud, resource.name, LOG_LINES, component=resource.kind != "endpoint")
    except DeployError:
        lines = []
    if not lines:
        return "\nNo log line was written. A container that dies without one often met a driver too old for its CUDA."
    return "\nLast lines of its log:\n" + "\n".join(f"  {line}" for line in lines)


def wait_gone(cloud: Cloud, resource: Resource, patience: Patience) -> None:
    """Endpoints and components take minutes to go. Raises DeployError."""
    if resource.kind not in STATUS:
        return
    deadline = patience.now() + patience.limit_s
    while (there := look(cloud, resource)) is not None:
        if there.get(STATUS[resource.kind]) == "Failed" and resource.kind == "inference component":
            raise DeployError(
                f"{resource.kind} {resource.name}: could not be deleted: {there.get('FailureReason', '')}"
            )
        if patience.now() > deadline:
            raise DeployError(f"{resource.kind} {resource.name}: still there after {patience.limit_s:.0f} s")
        patience.sleep(patience.poll_s)
