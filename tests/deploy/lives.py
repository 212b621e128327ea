"""What whole lives of deployments are made of: one that is carried out, one that changes, one of several models."""

from __future__ import annotations

from dataclasses import replace

from aural.deploy import preflight
from aural.deploy.apply import carry_out
from aural.deploy.plan import Plan, Verdict, make_plan
from aural.deploy.spec import Deployment, Instance, Model
from tests.deploy.aws import REGION, Aws, Clock


def quiet(line: str) -> None:
    """Nobody listens."""


def apply(aws: Aws, clock: Clock, deployment: Deployment) -> Plan:
    plan = make_plan(deployment, aws)
    assert preflight.problems(aws, deployment, plan.place) == ([], [])
    carry_out(aws, plan, quiet, clock.patience())
    return plan


def verdicts(plan: Plan) -> set[Verdict]:
    return {action.verdict for action in plan.actions}


def changed(deployment: Deployment) -> Deployment:
    """Another generation: other models."""
    models = tuple(replace(model, environment={"AURAL_BEAM_SIZE": "2"}) for model in deployment.models)
    return replace(deployment, models=models)


def several(**more: object) -> Deployment:
    """Whisper and Parakeet as inference components of one instance."""
    models = (
        Model(name="whisper", image="cuda", serve="whisper-large-v3-turbo"),
        Model(name="parakeet", image="cuda", serve="parakeet-tdt-0.6b-v2"),
    )
    instance = Instance(type="ml.g6e.12xlarge")
    wish = Deployment(name="speech", region=REGION, models=models, instance=instance)
    return replace(wish, **more)  # type: ignore[arg-type]
