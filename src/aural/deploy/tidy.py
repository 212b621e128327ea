"""What a deployment no longer needs: older generations, components and policies that left the file."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from aural.deploy import scaling, watching
from aural.deploy.blueprint import LOCAL_SERVICES
from aural.deploy.cloud import Cloud, Missing
from aural.deploy.endpoint import OWNER_TAG, Place
from aural.deploy.patience import Patience
from aural.deploy.plan import Plan, look
from aural.deploy.resources import Call, Resource, whole
from aural.deploy.settle import wait_gone
from aural.deploy.spec import Deployment

GENERATION = re.compile(r".*-[0-9a-f]{8}")


def tidy(cloud: Cloud, plan: Plan, say: Callable[[str], None], patience: Patience) -> None:
    """Delete what is ours and not wanted any more. The generation before stays, for `rollback`. Raises DeployError."""
    wanted = {action.resource.key for action in plan.actions}
    stale = [*obsolete(cloud, plan.deployment, plan.place), *_stale(cloud, plan.deployment)]
    for resource in stale:
        if resource.key in wanted or look(cloud, resource) is None:
            continue
        cloud.call(resource.delete)
        wait_gone(cloud, resource, patience)
        say(f"deleted {resource.kind} {resource.name}, no longer needed")


def obsolete(cloud: Cloud, deployment: Deployment, place: Place) -> list[Resource]:
    """All around the endpoint that any deploy.toml of this name could have made, in the order of deletion."""
    standing = components(cloud, deployment)
    around = scaling.possible(deployment)
    around += [one for made in standing for one in scaling.possible_for(deployment, scaling.component(made.name))]
    around = [*watching.possible(deployment, place, [made.name for made in standing]), *around]
    known = [one for one in around if not cloud.is_local or one.service in LOCAL_SERVICES]
    return [*reversed(known), *standing]


def _stale(cloud: Cloud, deployment: Deployment) -> list[Resource]:
    if deployment.existing:
        return []
    configs = generations(cloud, deployment)
    kept = configs[:2]
    needed = {name for one in kept for name in models_of(cloud, one)} | component_models(cloud, deployment)
    models = [one for one in owned_models(cloud, deployment) if one.name not in needed]
    return [*configs[2:], *models]


def generations(cloud: Cloud, deployment: Deployment) -> list[Resource]:
    """Our endpoint configurations: the one in use first, then the newest."""
    found = cloud.pages(
        "sagemaker", "list_endpoint_configs", "EndpointConfigs", NameContains=deployment.name, SortBy="CreationTime"
    )
    found.sort(key=lambda one: one["CreationTime"], reverse=True)
    ours = [one for one in found if _is_ours(cloud, deployment, one["EndpointConfigName"], one["EndpointConfigArn"])]
    names = [one["EndpointConfigName"] for one in ours]
    current = current_config(cloud, deployment)
    names.sort(key=lambda name: name != current)
    return [_deletable("endpoint config", "endpoint_config", "EndpointConfigName", name) for name in names]


def current_config(cloud: Cloud, deployment: Deployment) -> str:
    """Empty when there is no endpoint."""
    try:
        answer = cloud.ask("sagemaker", "describe_endpoint", EndpointName=deployment.name)
    except Missing:
        return ""
    return str(answer["EndpointConfigName"])


def owned_models(cloud: Cloud, deployment: Deployment) -> list[Resource]:
    found = cloud.pages("sagemaker", "list_models", "Models", NameContains=deployment.name[:30])
    names = [one["ModelName"] for one in found if _is_ours(cloud, deployment, one["ModelName"], one["ModelArn"])]
    return [_deletable("model", "model", "ModelName", name) for name in names]


def models_of(cloud: Cloud, config: Resource) -> set[str]:
    variants = cloud.call(config.read)["ProductionVariants"]
    return {variant["ModelName"] for variant in variants if variant.get("ModelName")}


def component_models(cloud: Cloud, deployment: Deployment) -> set[str]:
    described = [cloud.call(one.read) for one in components(cloud, deployment)]
    return {one["Specification"]["ModelName"] for one in described}


def components(cloud: Cloud, deployment: Deployment) -> list[Resource]:
    """Every inference component on our endpoint."""
    if not deployment.uses_components:
        return []
    found = cloud.pages(
        "sagemaker", "list_inference_components", "InferenceComponents", EndpointNameEquals=deployment.name
    )
    names = [one["InferenceComponentName"] for one in found]
    return [_deletable("inference component", "inference_component", "InferenceComponentName", name) for name in names]


def _is_ours(cloud: Cloud, deployment: Deployment, name: str, arn: str) -> bool:
    """By its name and by its tag: a name alone would be a guess, and others have names too."""
    if not GENERATION.fullmatch(name):
        return False
    return deployment.name in _values(cloud.ask("sagemaker", "list_tags", ResourceArn=arn)["Tags"])


def _values(tags: Iterable[dict[str, Any]]) -> set[str]:
    return {tag["Value"] for tag in tags if tag["Key"] == OWNER_TAG}


def _deletable(kind: str, noun: str, key: str, name: str) -> Resource:
    """Known by name only: enough to read and delete it."""
    naming = {key: name}
    return Resource(
        kind,
        name,
        Call("sagemaker", f"create_{noun}", naming),
        Call("sagemaker", f"describe_{noun}", naming),
        Call("sagemaker", f"delete_{noun}", naming),
        whole,
    )
