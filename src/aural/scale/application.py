"""The Ray Serve application of a configuration: an ingress, and one deployment per model."""

from __future__ import annotations

import re
from typing import Any

from ray import serve
from ray.serve import Application
from ray.serve.config import AutoscalingConfig, AutoscalingPolicy

from aural.engines.catalog import find
from aural.errors import SettingsError
from aural.scale.arguments import Arguments
from aural.scale.ingress import NAME, Ingress
from aural.scale.replica import ModelReplica
from aural.settings import ModelSettings, Settings

INGRESS_CPUS = 0.5
ONGOING = 256
"""Clips that a replica takes: its own queue orders them, so they should lie there, not in Ray's."""
QUEUED = 1024
"""Clips of an ingress that wait for a replica before newcomers are refused."""
DRAIN_MARGIN_S = 10.0
QUIET = {"enable_access_log": False}
"""The application logs each request itself, once."""


def build(arguments: Arguments) -> Application:
    """Raises SettingsError."""
    settings = arguments.settings()
    models = {find(asked.model).name: asked for asked in settings.models}
    if len(models) < len(settings.models):
        raise SettingsError(f"expected models with different names, got {', '.join(models)}")
    here = {name: asked for name, asked in models.items() if not (asked.upstream or find(asked.model).upstream)}
    replicas = {name: _model(name, asked, settings, arguments) for name, asked in here.items()}
    ingress = serve.deployment(
        name=NAME,
        num_replicas=arguments.ingress,
        max_ongoing_requests=4 * settings.max_requests,  # beyond it Ray would make callers wait; we refuse
        ray_actor_options={"num_cpus": INGRESS_CPUS},
        logging_config=QUIET,
        graceful_shutdown_timeout_s=settings.drain_s + DRAIN_MARGIN_S,
    )(serve.ingress()(Ingress))
    application: Application = ingress.bind(settings, replicas)
    return application


def _model(name: str, asked: ModelSettings, settings: Settings, arguments: Arguments) -> Application:
    deployment = serve.deployment(
        name=re.sub(r"[^\w.-]", "-", name),
        max_ongoing_requests=ONGOING,
        max_queued_requests=QUEUED,
        ray_actor_options={"num_cpus": asked.threads or arguments.cpus, "num_gpus": arguments.gpus_of(asked)},
        graceful_shutdown_timeout_s=settings.drain_s + DRAIN_MARGIN_S,
        health_check_period_s=5.0,
        logging_config=QUIET,
        **_count(asked, arguments),
    )(ModelReplica)
    application: Application = deployment.bind(settings, asked)
    return application


def _count(asked: ModelSettings, arguments: Arguments) -> dict[str, Any]:
    """A fixed number of replicas, or one that follows the load."""
    if asked.replicas or arguments.min_replicas == arguments.max_replicas:
        return {"num_replicas": asked.replicas or arguments.min_replicas}
    policy = AutoscalingPolicy(  # type: ignore[no-untyped-call]
        policy_function="aural.scale.autoscale:ByAudio", policy_kwargs={"target_s": arguments.target_audio_s}
    )
    return {
        "autoscaling_config": AutoscalingConfig(
            min_replicas=arguments.min_replicas,
            max_replicas=arguments.max_replicas,
            upscale_delay_s=arguments.upscale_delay_s,
            downscale_delay_s=arguments.downscale_delay_s,
            look_back_period_s=10.0,
            policy=policy,
        )
    }
