"""What would be made, changed and left, and what it would cost."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from aural.deploy import advice, jumpstart, shapes
from aural.deploy.blueprint import LOCAL_SERVICES, draw
from aural.deploy.cloud import LOCAL_ACCOUNT, Cloud, Missing, look
from aural.deploy.endpoint import OWNER_TAG, HubModel, Place
from aural.deploy.owners import is_ours
from aural.deploy.preflight import digests
from aural.deploy.resources import Resource, changes
from aural.deploy.spec import Deployment
from aural.deploy.tidy import current_config, leaving
from aural.deploy.upload import Upload, plan_uploads


class Verdict(StrEnum):
    CREATE = "create"
    CHANGE = "change"
    REPLACE = "replace"
    KEEP = "keep"
    DELETE = "delete"
    """Ours, and no longer needed once the rest stands."""
    SKIP = "skip"
    """AWS's alone; the stand-in has no such thing."""


@dataclass(frozen=True, slots=True)
class Action:
    resource: Resource
    verdict: Verdict
    lines: tuple[str, ...] = ()
    there: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """`problems` forbid it, `notes` are worth knowing."""

    deployment: Deployment
    place: Place
    uploads: tuple[Upload, ...]
    actions: tuple[Action, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...]


def make_plan(deployment: Deployment, cloud: Cloud | None) -> Plan:
    """Compare the file with what is there; without a cloud nothing is asked and everything is new.
    Raises DeployError, SettingsError."""
    account = cloud.account() if cloud else LOCAL_ACCOUNT
    local = cloud is not None and cloud.is_local
    uploads = plan_uploads(deployment, account, local=local)
    addresses = {upload.model: upload.address for upload in uploads}
    place = Place(account, deployment.region, local, _hub(deployment, cloud), addresses)
    if cloud is not None and not local:
        place = replace(place, digests=digests(cloud, deployment, place))
    resources = draw(deployment, place)
    actions = [_judge(cloud, resource) for resource in resources]
    problems = [line for resource in resources for line in _problems(resource)]
    if cloud is not None:
        actions += [Action(one, Verdict.DELETE) for one in leaving(cloud, deployment, place, resources)]
        problems += [*_foreign(cloud, deployment, actions), *_turned(cloud, deployment)]
    notes = advice.notes(deployment, place)
    return Plan(deployment, place, tuple(uploads), tuple(actions), tuple(problems), tuple(notes))


def _hub(deployment: Deployment, cloud: Cloud | None) -> dict[str, HubModel]:
    wanted = {model.jumpstart: model.jumpstart_version for model in deployment.models if model.jumpstart}
    if cloud is None or cloud.is_local:
        return {name: jumpstart.unknown(name) for name in wanted}
    return {name: jumpstart.look_up(cloud, name, version) for name, version in wanted.items()}


def _problems(resource: Resource) -> list[str]:
    calls = [resource.create, *([resource.update] if resource.update else [])]
    return list(
        dict.fromkeys(f"{resource.kind} {resource.name}: {line}" for call in calls for line in shapes.problems(call))
    )


def _foreign(cloud: Cloud, deployment: Deployment, actions: list[Action]) -> list[str]:
    """What others made under our names."""
    name = deployment.name
    found = [(one.resource, one.there) for one in actions if one.there]
    return [
        f"{resource.kind} {resource.name}: there is one without the tag {OWNER_TAG} = {name}; expected one of ours, "
        "another name, or 'existing' for the endpoint of others"
        for resource, there in found
        if not is_ours(cloud, resource, there, name)
    ]


def _turned(cloud: Cloud, deployment: Deployment) -> list[str]:
    """An endpoint has inference components for life, or never."""
    name = "" if deployment.existing else current_config(cloud, deployment)
    config = _config(cloud, name) if name else None
    if config is None:
        return []
    has_components = not any(one.get("ModelName") for one in config["ProductionVariants"])
    if has_components == deployment.uses_components:
        return []
    ways = ("without", "with") if deployment.uses_components else ("with", "without")
    return [
        f"endpoint {deployment.name}: it stands {ways[0]} inference components, and the file wants it {ways[1]} "
        "(several models, min = 0 or 'components'); expected the same, or another name, or `aural deploy destroy` first"
    ]


def _config(cloud: Cloud, name: str) -> dict[str, Any] | None:
    try:
        return cloud.ask("sagemaker", "describe_endpoint_config", EndpointConfigName=name)
    except Missing:
        return None


def _judge(cloud: Cloud | None, resource: Resource) -> Action:
    if cloud is None:
        return Action(resource, Verdict.CREATE)
    if cloud.is_local and resource.service not in LOCAL_SERVICES:
        return Action(resource, Verdict.SKIP)
    there = look(cloud, resource)
    if there is None:
        return Action(resource, Verdict.CREATE)
    if is_broken(resource, there):
        return Action(resource, Verdict.REPLACE, (str(there.get("FailureReason", "")),), there)
    lines = changes(resource, there)
    return Action(resource, Verdict.CHANGE if lines else Verdict.KEEP, tuple(lines), there)


def is_broken(resource: Resource, there: dict[str, Any]) -> bool:
    """An endpoint or component that never came up can only be made anew."""
    status = there.get("EndpointStatus") or there.get("InferenceComponentStatus")
    return resource.kind in ("endpoint", "inference component") and status in ("Failed", "Deleting")


def render(plan: Plan) -> str:
    """For people."""
    lines = [f"{plan.deployment.name} in {plan.place.region}" + (", on this machine" if plan.place.local else "")]
    lines += [f"  upload    {upload.source} → {upload.address}" for upload in plan.uploads]
    for action in plan.actions:
        lines.append(f"  {action.verdict:<9} {action.resource.kind} {action.resource.name}")
        lines += [f"            {line}" for line in action.lines if line]
    lines += [f"note: {note}" for note in plan.notes]
    lines += [f"problem: {problem}" for problem in plan.problems]
    return "\n".join(lines)
