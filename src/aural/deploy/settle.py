"""Waiting for endpoints and inference components, with what SageMaker says while one waits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aural.deploy.cloud import Cloud, look
from aural.deploy.logs import last_lines
from aural.deploy.patience import Patience
from aural.deploy.resources import Resource, changes
from aural.errors import DeployError

STATUS = {"endpoint": "EndpointStatus", "inference component": "InferenceComponentStatus"}
BAD = frozenset({"Failed", "UpdateRollbackFailed", "OutOfService"})
LOG_LINES = 20
TELL_S = 60.0
"""Between two lines about one status: silence looks like hanging."""


def settle(
    cloud: Cloud, resource: Resource, patience: Patience, say: Callable[[str], None], *, wanted: bool = True
) -> dict[str, Any] | None:
    """Wait until an endpoint or component stands, as `wanted` or as it was, and give what stands then; None for all
    that needs no waiting. Raises DeployError: why, and the last lines of its log."""
    if resource.kind not in STATUS:
        return None
    began, told_s, before = patience.now(), 0.0, ""
    while True:
        there = look(cloud, resource) or {}
        status = _status(resource, there)
        waited_s = patience.now() - began
        if status != before or waited_s - told_s >= TELL_S:
            minutes = f", {waited_s / 60:.0f} min" if waited_s >= TELL_S else ""
            say(f"{resource.kind} {resource.name}: {status}{minutes}")
            before, told_s = status, waited_s
        if is_settled(resource, there):
            break
        if waited_s > patience.limit_s:
            raise DeployError(f"{resource.kind} {resource.name}: still {status} after {patience.limit_s:.0f} s")
        patience.sleep(patience.poll_s)
    _judge(cloud, resource, there, status, wanted=wanted)
    return there


def is_settled(resource: Resource, there: dict[str, Any] | None) -> bool:
    """Stands, fell or is gone: nothing is under way."""
    return _status(resource, there or {}) in {"InService", "gone", *BAD}


def _status(resource: Resource, there: dict[str, Any]) -> str:
    return str(there.get(STATUS[resource.kind], "gone"))


def _judge(cloud: Cloud, resource: Resource, there: dict[str, Any], status: str, *, wanted: bool) -> None:
    name = f"{resource.kind} {resource.name}"
    reason = str(there.get("FailureReason", "")) or "SageMaker gave no reason"
    if status != "InService":
        raise DeployError(f"{name} is {status}: {reason}{_log(cloud, resource)}")
    if wanted and (lines := changes(resource, there)):
        raise DeployError(f"{name} was rolled back ({'; '.join(lines)}): {reason}{_log(cloud, resource)}")


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
