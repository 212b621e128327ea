"""What a deployment no longer needs: older generations and their data, components and policies that left the file."""

from __future__ import annotations

import re
from dataclasses import replace

from aural.deploy import scaling, watching
from aural.deploy.blueprint import LOCAL_SERVICES
from aural.deploy.cloud import Cloud, Missing, look
from aural.deploy.endpoint import Place
from aural.deploy.owners import bears_tag, is_ours
from aural.deploy.resources import Call, Resource, whole
from aural.deploy.spec import Deployment, Model
from aural.deploy.upload import stored

GENERATION = re.compile(r".*-[0-9a-f]{8}")


def leaving(cloud: Cloud, deployment: Deployment, place: Place, wanted: list[Resource]) -> list[Resource]:
    """What is ours and not wanted any more, in the order of deletion. The generation before stays, for `rollback`.
    Raises DeployError."""
    keys = {one.key for one in wanted}
    around = [one for one in obsolete(cloud, deployment, place) if one.key not in keys]
    found = [one for one in around if (there := look(cloud, one)) and is_ours(cloud, one, there, deployment.name)]
    return found if deployment.existing else [*found, *_stale(cloud, deployment, place, wanted)]


def obsolete(cloud: Cloud, deployment: Deployment, place: Place) -> list[Resource]:
    """All around the endpoint that any deploy.toml of this name could have made, in the order of deletion."""
    standing = components(cloud, deployment)
    names = [made.name for made in standing]
    forms = (deployment, _plain(deployment))
    around = [one for form in forms for one in watching.possible(form, place, names)]
    around += [one for form in forms for one in scaling.possible(form)]
    around += [one for name in names for one in scaling.possible_for(deployment, scaling.component(name))]
    known = [one for one in around if not cloud.is_local or one.service in LOCAL_SERVICES]
    return list({one.key: one for one in [*reversed(known), *standing]}.values())


def _plain(deployment: Deployment) -> Deployment:
    """The same endpoint without components: it may have been that before."""
    if deployment.existing:
        return deployment
    return replace(deployment, components=False, scaling=None, models=(Model(name="any", image="cpu"),))


def _stale(cloud: Cloud, deployment: Deployment, place: Place, wanted: list[Resource]) -> list[Resource]:
    """Once what is wanted stands, the one in use now is the generation before."""
    names = {one.name for one in wanted}
    others = [one for one in generations(cloud, deployment) if one.name not in names]
    needed = names.union(*(models_of(cloud, one) for one in others[:1]))
    owned = owned_models(cloud, deployment)
    data = {data_of(cloud, one) for one in owned if one.name in needed} | set(place.uploads.values())
    kept = tuple(address for address in data if address)
    files = [one for one in stored(cloud, deployment, place.account) if not one.name.startswith(kept)]
    return [*others[1:], *(one for one in owned if one.name not in needed), *files]


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


def data_of(cloud: Cloud, model: Resource) -> str:
    """s3://… of a model's data; empty when it has none."""
    container = cloud.call(model.read).get("PrimaryContainer", {})
    source = container.get("ModelDataSource") or {}
    return str(container.get("ModelDataUrl") or source.get("S3DataSource", {}).get("S3Uri", ""))


def components(cloud: Cloud, deployment: Deployment) -> list[Resource]:
    """Our inference components on the endpoint, whether the file still has any or not."""
    if deployment.existing:
        return []
    found = cloud.pages(
        "sagemaker", "list_inference_components", "InferenceComponents", EndpointNameEquals=deployment.name
    )
    ours = [one for one in found if bears_tag(cloud, one["InferenceComponentArn"], deployment.name)]
    names = [one["InferenceComponentName"] for one in ours]
    return [_deletable("inference component", "inference_component", "InferenceComponentName", name) for name in names]


def _is_ours(cloud: Cloud, deployment: Deployment, name: str, arn: str) -> bool:
    return bool(GENERATION.fullmatch(name)) and bears_tag(cloud, arn, deployment.name)


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
