"""What is legal and still worth knowing before it costs money."""

from __future__ import annotations

from aural.deploy import instances
from aural.deploy.endpoint import Place, first_instances, most_instances
from aural.deploy.instances import HOURS_PER_MONTH
from aural.deploy.spec import Deployment

ONE_GPU_IMAGES = frozenset({"vllm"})
"""Ours with one engine per endpoint unless told otherwise."""


def notes(deployment: Deployment, place: Place) -> list[str]:
    if deployment.existing:
        return ["the endpoint is not ours: its models, instances and cost are left alone"]
    lines = [*_cost(deployment), *_idle_gpus(deployment), *_jumpstart(deployment, place), *_release(deployment)]
    if deployment.scaling and any(model.copies > 1 for model in deployment.models):
        lines.append("models.copies: for the first time only; [scaling] decides from then on")
    if deployment.uses_components:
        lines.append("inference components: bidirectional streaming cannot address them; calls name one component")
    if deployment.asynchronous:
        lines.append("an asynchronous endpoint takes asynchronous calls only")
    if deployment.scaling and deployment.scaling.min == 0:
        lines.append("scale to zero: calls to a sleeping endpoint fail until it is up again, which takes minutes")
    if deployment.network.isolated and any(not model.data for model in deployment.models if not model.jumpstart):
        lines.append("network isolation: weights must be in the image or in 'data'; none can be downloaded")
    if deployment.kms_key and instances.gpus_of(deployment.machine.type):
        lines.append("kms_key: instances with local NVMe encrypt it by themselves, and some refuse a key")
    if place.local:
        lines += [f"{model.name}: served here by {model.local}" for model in deployment.models if model.local]
    return lines


def price_per_hour(deployment: Deployment) -> float:
    """Of one instance; 0 when it is not known."""
    machine = deployment.machine
    known = instances.find(machine.type)
    return machine.price_per_hour or (known.usd_per_hour if known else 0.0)


def _cost(deployment: Deployment) -> list[str]:
    price, machine = price_per_hour(deployment), deployment.machine
    if not price:
        return [f"cost: no price is known here for {machine.type}; set instance.price_per_hour"]
    source = "deploy.toml" if machine.price_per_hour else instances.origin(machine.type)
    first, most = first_instances(deployment), most_instances(deployment)
    line = f"cost: {first} x {machine.type} = {_money(price * first)}"
    if most > first:
        line += f"; at most {most} = {_money(price * most)}"
    return [f"{line} ({source})"]


def _money(per_hour: float) -> str:
    return f"${per_hour:,.2f} an hour, ${per_hour * HOURS_PER_MONTH:,.0f} a month"


def _idle_gpus(deployment: Deployment) -> list[str]:
    """The article's deployments start one worker on an instance with four GPUs."""
    gpus = instances.gpus_of(deployment.machine.type)
    single = [one for one in deployment.models if one.jumpstart or one.image in ONE_GPU_IMAGES or not one.is_ours]
    if gpus < 2 or deployment.uses_components or not single:
        return []
    line = f"{single[0].name}: one worker uses one of the {gpus} GPUs of {deployment.machine.type}"
    other = instances.cheaper_with_one_gpu(deployment.machine.type)
    if other:
        line += f"; {other.instance} has one for ${other.usd_per_hour:.2f} an hour"
        line += f", or set components = true and {'scaling.min' if deployment.scaling else 'copies'} = {gpus}"
    return [line]


def _jumpstart(deployment: Deployment, place: Place) -> list[str]:
    lines = []
    for model in deployment.models:
        types = place.hub[model.jumpstart].instance_types if model.jumpstart else ()
        if types and deployment.machine.type not in types:
            lines.append(f"{model.jumpstart}: the hub lists {', '.join(types)}, not {deployment.machine.type}")
        if model.jumpstart and "whisper" in model.jumpstart:
            lines.append(f"{model.jumpstart}: JumpStart's Whisper hears the first 30 s of a call and drops the rest")
    return lines


def _release(deployment: Deployment) -> list[str]:
    if deployment.release.strategy != "all_at_once" and deployment.alarms is None:
        return ["release: without [alarms] nothing sends a bad release back"]
    return []
