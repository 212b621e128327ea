"""What one does with a deployment that stands: look at it, scale it, send it back, take it away."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from aural.deploy import jumpstart, scaling
from aural.deploy.apply import Say, remove_all
from aural.deploy.blueprint import LOCAL_SERVICES, draw
from aural.deploy.cloud import Cloud, look
from aural.deploy.endpoint import OWNER_TAG, Place
from aural.deploy.owners import TAGGED, is_ours
from aural.deploy.patience import Patience
from aural.deploy.resources import Call, Resource, whole
from aural.deploy.settle import settle
from aural.deploy.spec import Deployment
from aural.deploy.tidy import current_config, generations, obsolete, owned_models
from aural.deploy.upload import stored
from aural.errors import DeployError


@dataclass(frozen=True, slots=True)
class Status:
    """`parts` are variants or components: name, status and how many run of how many are wanted."""

    endpoint: str
    status: str
    reason: str
    config: str
    previous: str
    parts: tuple[str, ...]
    scaling: tuple[str, ...]


def bare_place(cloud: Cloud, deployment: Deployment) -> Place:
    """Enough to know the names of everything; asks nothing of the hub and needs no local files."""
    hub = {model.jumpstart: jumpstart.unknown(model.jumpstart) for model in deployment.models if model.jumpstart}
    return Place(cloud.account(), deployment.region, cloud.is_local, hub)


def status(cloud: Cloud, deployment: Deployment) -> Status:
    """Raises Missing when there is no endpoint."""
    answer = cloud.ask("sagemaker", "describe_endpoint", EndpointName=deployment.name)
    previous = [] if deployment.existing else [one.name for one in generations(cloud, deployment)[1:2]]
    return Status(
        deployment.name,
        answer["EndpointStatus"],
        answer.get("FailureReason", ""),
        answer["EndpointConfigName"],
        "".join(previous),
        tuple(_components(cloud, deployment) if deployment.uses_components else _variants(answer)),
        tuple(_scaling(cloud, deployment)),
    )


def _variants(answer: dict[str, Any]) -> list[str]:
    return [
        f"{one['VariantName']}: {one.get('CurrentInstanceCount', 0)} of {one.get('DesiredInstanceCount', 0)} instances"
        for one in answer.get("ProductionVariants", [])
    ]


def _components(cloud: Cloud, deployment: Deployment) -> list[str]:
    lines = []
    for thing in scaling.scaled_things(deployment):
        answer = cloud.ask("sagemaker", "describe_inference_component", InferenceComponentName=thing.label)
        copies = answer.get("RuntimeConfig", {})
        running = f"{copies.get('CurrentCopyCount', 0)} of {copies.get('DesiredCopyCount', 0)} copies"
        lines.append(f"{thing.label}: {answer['InferenceComponentStatus']}, {running}")
    return lines


def _scaling(cloud: Cloud, deployment: Deployment) -> list[str]:
    targets = [one for one in scaling.resources(deployment) if one.kind == "scalable target"]
    found = [(target.name, look(cloud, target)) for target in targets]
    return [f"{name}: {there['MinCapacity']} to {there['MaxCapacity']}" for name, there in found if there]


def scale(cloud: Cloud, deployment: Deployment, count: int, model: str, say: Say, patience: Patience) -> None:
    """Run `count` instances, or copies of one model, now; autoscaling goes on from there. Raises DeployError."""
    label = _label(deployment, model)
    cloud.call(_scale_call(deployment, label, count))
    say(f"{label}: {count} wanted")
    settle(cloud, _waited_for(deployment, label), patience, say, wanted=False)


def _label(deployment: Deployment, model: str) -> str:
    things = {thing.label: thing for thing in scaling.scaled_things(deployment)}
    if not deployment.uses_components:
        return deployment.name
    names = [one.name for one in deployment.models]
    if model not in names:
        raise DeployError(f"expected --model of {', '.join(names)}; got {model!r}")
    return list(things)[names.index(model)]


def _scale_call(deployment: Deployment, label: str, count: int) -> Call:
    if deployment.uses_components:
        request: dict[str, Any] = {"InferenceComponentName": label, "DesiredRuntimeConfig": {"CopyCount": count}}
        return Call("sagemaker", "update_inference_component_runtime_config", request)
    wanted = [{"VariantName": deployment.variant, "DesiredInstanceCount": count}]
    request = {"EndpointName": deployment.name, "DesiredWeightsAndCapacities": wanted}
    return Call("sagemaker", "update_endpoint_weights_and_capacities", request)


def _waited_for(deployment: Deployment, label: str) -> Resource:
    if not deployment.uses_components:
        return _endpoint(deployment, "")
    naming = {"InferenceComponentName": label}
    read, delete = (Call("sagemaker", f"{verb}_inference_component", naming) for verb in ("describe", "delete"))
    return Resource("inference component", label, read, read, delete, whole)


def _endpoint(deployment: Deployment, config: str) -> Resource:
    naming = {"EndpointName": deployment.name}
    request = {**naming, "EndpointConfigName": config}
    return Resource(
        "endpoint",
        deployment.name,
        Call("sagemaker", "create_endpoint", request),
        Call("sagemaker", "describe_endpoint", naming),
        Call("sagemaker", "delete_endpoint", naming),
        whole,
        Call("sagemaker", "update_endpoint", {**request, "RetainAllVariantProperties": True}),
        compare=("EndpointConfigName",),
    )


def roll_back(cloud: Cloud, deployment: Deployment, say: Say, patience: Patience) -> str:
    """Back to the generation before, at once; its name. Raises DeployError."""
    if deployment.existing or deployment.uses_components:
        raise DeployError("expected an endpoint of ours without inference components; apply the older file instead")
    current = current_config(cloud, deployment)
    older = [one.name for one in generations(cloud, deployment) if one.name != current]
    if not older:
        raise DeployError(f"{deployment.name}: there is no generation before {current or 'this one'}")
    back = _endpoint(deployment, older[0])
    assert back.update is not None
    cloud.call(back.update)
    say(f"{current} → {older[0]}")
    settle(cloud, back, patience, say)
    return older[0]


def destroy(cloud: Cloud, deployment: Deployment, say: Say, patience: Patience) -> None:
    """Take away everything of ours that bears the name, in the order that AWS wants. Raises DeployError naming what is
    left."""
    place = bare_place(cloud, deployment)
    doomed = _without_foreign(cloud, deployment, _doomed(cloud, deployment, place), say)
    if not deployment.existing:
        with suppress(DeployError):
            settle(cloud, _endpoint(deployment, ""), patience, lambda line: None, wanted=False)
    left = remove_all(cloud, [*doomed, *stored(cloud, deployment, place.account)], patience, say)
    if left:
        raise DeployError("these could not be deleted:\n" + "\n".join(left))


def _without_foreign(cloud: Cloud, deployment: Deployment, doomed: list[Resource], say: Say) -> list[Resource]:
    """A role or topic that others made under our name stays, with what hangs on it. Raises DeployError for an
    endpoint."""
    found = [(one, there) for one in doomed if one.kind in TAGGED and (there := look(cloud, one))]
    foreign = [one for one, there in found if not is_ours(cloud, one, there, deployment.name)]
    for one in foreign:
        if one.kind == "endpoint":
            raise DeployError(f"endpoint {one.name}: expected the tag {OWNER_TAG} = {one.name}; it is not ours")
        say(f"left alone, it is not ours: {one.kind} {one.name}")
    kept = {(one.service, one.name) for one in foreign}
    return [one for one in doomed if (one.service, one.name) not in kept]


def _doomed(cloud: Cloud, deployment: Deployment, place: Place) -> list[Resource]:
    drawn = [one for one in reversed(draw(deployment, place)) if not cloud.is_local or one.service in LOCAL_SERVICES]
    around = obsolete(cloud, deployment, place)
    if deployment.existing:
        return _unique([*around, *drawn])
    watched = [one for one in around if one.service in ("cloudwatch", "sns")]
    first = [one for one in around if one not in watched or one.name.endswith("-wake")]
    mine = [*generations(cloud, deployment), *owned_models(cloud, deployment)]
    last = [one for one in drawn if one.service == "iam"]
    middle = [one for one in drawn if one.kind == "endpoint" or one.service in ("cloudwatch", "sns")]
    return _unique([*first, *middle, *watched, *mine, *last])


def _unique(resources: list[Resource]) -> list[Resource]:
    return list({one.key: one for one in resources}.values())
