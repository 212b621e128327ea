"""A deployment as the list of its resources, in the order in which they are made."""

from __future__ import annotations

from aural.deploy import access, endpoint, scaling, watching
from aural.deploy.endpoint import Place
from aural.deploy.resources import Resource
from aural.deploy.spec import Deployment, Model

LOCAL_SERVICES = frozenset({"sagemaker", "application-autoscaling"})
"""What the stand-in knows; the rest of a plan is AWS's alone."""


def draw(deployment: Deployment, place: Place) -> list[Resource]:
    """Alarms come before the endpoint: a release that is watched needs them."""
    watched = watching.alarms(deployment, place)
    names = [alarm.name for alarm in watched]
    around = [*watching.topic(deployment, place), *watched, watching.dashboard(deployment, place)]
    if deployment.existing:
        return [*around, *scaling.resources(deployment)]
    models = [endpoint.model(deployment, model, place) for model in deployment.models]
    config = endpoint.config(deployment, models, place)
    components = [
        endpoint.component(deployment, model, made, _of_component(deployment, model, names))
        for model, made in zip(deployment.models, models, strict=True)
        if deployment.uses_components
    ]
    return [
        *access.role(deployment, place),
        *models,
        config,
        *around,
        endpoint.endpoint(deployment, config, names),
        *components,
        *scaling.resources(deployment),
    ]


def _of_component(deployment: Deployment, model: Model, alarm_names: list[str]) -> list[str]:
    """A component goes back for its own alarms."""
    label = endpoint.component_name(deployment, model)
    return [name for name in alarm_names if name.rpartition("-")[0] == label]
