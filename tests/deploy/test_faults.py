"""Faults in what is done with a deployment that stands: it says why, and the deployment stands as before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from aural.deploy import operate
from aural.deploy.apply import carry_out
from aural.deploy.plan import Verdict, make_plan
from aural.deploy.spec import Deployment
from aural.errors import DeployError
from tests.deploy.aws import Aws, Clock, remains
from tests.deploy.conftest import ARTICLE, example
from tests.deploy.lives import apply, changed, quiet, several, verdicts

NO_IMAGE = "The image '123456789012.dkr.ecr.us-east-1.amazonaws.com/aural:1' does not exist."
Do = Callable[[Aws, Clock, Deployment], object]


def update(aws: Aws, clock: Clock, deployment: Deployment) -> None:
    carry_out(aws, make_plan(changed(deployment), aws), quiet, clock.patience())


def scale(aws: Aws, clock: Clock, deployment: Deployment) -> None:
    operate.scale(aws, deployment, 2, "", quiet, clock.patience())


def roll_back(aws: Aws, clock: Clock, deployment: Deployment) -> None:
    operate.roll_back(aws, deployment, quiet, clock.patience())


@pytest.mark.parametrize("name", ARTICLE)
def test_calls_that_aws_throttles_are_waited_out(
    aws: Aws, clock: Clock, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("botocore.endpoint.time.sleep", pauses.append)
    calls = ("CreateModel", "CreateEndpoint", "UpdateEndpointWeightsAndCapacities", "DeleteEndpoint")
    for operation in calls:
        aws.throttle(operation)
    deployment = example(name)
    apply(aws, clock, deployment)
    scale(aws, clock, deployment)
    operate.destroy(aws, deployment, quiet, clock.patience())
    assert remains(aws) == []
    assert len(pauses) == len(calls)


@pytest.mark.parametrize("name", ARTICLE)
def test_an_image_that_sagemaker_does_not_find(aws: Aws, clock: Clock, name: str) -> None:
    aws.script(
        "DescribeEndpoint", {"EndpointStatus": "Creating"}, {"EndpointStatus": "Failed", "FailureReason": NO_IMAGE}
    )
    with pytest.raises(DeployError) as caught:
        carry_out(aws, make_plan(example(name), aws), quiet, clock.patience())
    assert NO_IMAGE in str(caught.value)
    assert remains(aws) == []


@pytest.mark.parametrize("name", ARTICLE)
@pytest.mark.parametrize(
    ("operation", "do"),
    [
        ("UpdateEndpoint", update),
        ("CreateEndpointConfig", update),
        ("UpdateEndpointWeightsAndCapacities", scale),
    ],
)
def test_a_refusal_leaves_what_stands(aws: Aws, clock: Clock, name: str, operation: str, do: Do) -> None:
    deployment = example(name)
    apply(aws, clock, deployment)
    before = set(remains(aws))
    aws.fail(operation, "AccessDeniedException", "because")
    with pytest.raises(DeployError, match=r"denies it.*because"):
        do(aws, clock, deployment)
    assert set(remains(aws)) == before
    assert verdicts(make_plan(deployment, aws)) == {Verdict.KEEP}


@pytest.mark.parametrize("name", ARTICLE)
@pytest.mark.parametrize("reason", [NO_IMAGE, "The primary container did not pass the ping health check."])
def test_an_update_that_sagemaker_sends_back_says_why(aws: Aws, clock: Clock, name: str, reason: str) -> None:
    deployment = example(name)
    apply(aws, clock, deployment)
    before, old = set(remains(aws)), operate.status(aws, deployment).config
    plan = make_plan(changed(deployment), aws)
    back = {"EndpointStatus": "InService", "EndpointConfigName": old, "FailureReason": reason}
    aws.script("DescribeEndpoint", {}, {"EndpointStatus": "Updating"}, back, back)
    with pytest.raises(DeployError, match="rolled back") as caught:
        carry_out(aws, plan, quiet, clock.patience())
    assert reason in str(caught.value)
    assert set(remains(aws)) == before


@pytest.mark.parametrize("do", [scale, roll_back])
def test_an_endpoint_that_fails_on_the_way_says_why(aws: Aws, clock: Clock, do: Do) -> None:
    deployment = example("voxtral-byoc")
    apply(aws, clock, deployment)
    apply(aws, clock, changed(deployment))
    before = set(remains(aws))
    looks = 1 if do is scale else 3
    failed = {"EndpointStatus": "Failed", "FailureReason": "no capacity for ml.g6e.xlarge"}
    aws.script("DescribeEndpoint", *[{}] * (looks - 1), failed)
    with pytest.raises(DeployError, match="is Failed: no capacity"):
        do(aws, clock, deployment)
    assert set(remains(aws)) == before


def test_a_rollback_that_is_refused(aws: Aws, clock: Clock) -> None:
    deployment = example("parakeet-byoc")
    apply(aws, clock, deployment)
    apply(aws, clock, changed(deployment))
    current = operate.status(aws, deployment).config
    aws.fail("UpdateEndpoint", "AccessDeniedException")
    with pytest.raises(DeployError, match="denies"):
        roll_back(aws, clock, deployment)
    assert operate.status(aws, deployment).config == current


@pytest.mark.parametrize("operation", ["DeleteEndpointConfig", "DeleteModel", "DeleteRole", "DeleteDashboards"])
def test_what_would_not_be_destroyed_is_named_and_goes_the_next_time(aws: Aws, clock: Clock, operation: str) -> None:
    deployment = example(ARTICLE[len(operation) % len(ARTICLE)])
    apply(aws, clock, deployment)
    aws.fail(operation, "AccessDeniedException")
    with pytest.raises(DeployError, match="could not be deleted"):
        operate.destroy(aws, deployment, quiet, clock.patience())
    assert len(remains(aws)) == 1
    operate.destroy(aws, deployment, quiet, clock.patience())
    assert remains(aws) == []


def test_what_is_no_longer_needed_and_would_not_go_is_named(aws: Aws, clock: Clock) -> None:
    deployment = several(components=True)
    apply(aws, clock, deployment)
    aws.fail("DeleteInferenceComponent", "AccessDeniedException")
    smaller = replace(deployment, models=deployment.models[:1])
    with pytest.raises(DeployError, match=r"all stands(.|\n)*inference component speech-parakeet"):
        carry_out(aws, make_plan(smaller, aws), quiet, clock.patience())
    apply(aws, clock, smaller)
    assert list(aws.components) == ["speech-whisper"]
