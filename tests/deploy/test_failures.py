"""Whatever AWS does wrong ends in a message that says what to do, and leaves nothing behind."""

from __future__ import annotations

import time
from dataclasses import replace

import boto3
import pytest
from botocore.config import Config
from botocore.stub import Stubber

from aural.deploy import operate
from aural.deploy.apply import carry_out
from aural.deploy.plan import Verdict, make_plan
from aural.deploy.spec import Alarms, Deployment, Scaling
from aural.errors import DeployError
from tests.deploy.aws import REGION, Aws, Clock, remains
from tests.deploy.conftest import ARTICLE, example
from tests.deploy.lives import apply, changed, quiet, several, verdicts

FAILED = {"EndpointStatus": "Failed", "FailureReason": "The primary container did not pass the ping health check."}


def failure(aws: Aws, clock: Clock, deployment: Deployment) -> str:
    with pytest.raises(DeployError) as caught:
        carry_out(aws, make_plan(deployment, aws), quiet, clock.patience())
    return str(caught.value)


@pytest.mark.parametrize(
    ("operation", "code", "said"),
    [
        ("CreateEndpoint", "ResourceLimitExceeded", "quota"),
        ("CreateEndpoint", "AccessDeniedException", "denies"),
        ("CreateEndpointConfig", "AccessDeniedException", "denies"),
        ("CreateModel", "ValidationException", "ValidationException"),
        ("PutScalingPolicy", "AccessDeniedException", "denies"),
        ("PutDashboard", "AccessDenied", "denies"),
        ("PutRolePolicy", "LimitExceeded", "quota"),
    ],
)
def test_a_refusal_at_any_step_leaves_nothing(aws: Aws, clock: Clock, operation: str, code: str, said: str) -> None:
    aws.fail(operation, code, "because")
    message = failure(aws, clock, example(ARTICLE[len(code) % len(ARTICLE)]))
    assert said in message
    assert "because" in message
    assert "What this run had made is gone again." in message
    assert remains(aws) == []


def test_throttling_without_end_is_told(aws: Aws, clock: Clock) -> None:
    aws.fail("CreateEndpoint", "ThrottlingException", "Rate exceeded")
    message = failure(aws, clock, example("parakeet-byoc"))
    assert "slow down" in message
    assert remains(aws) == []


def test_botocore_itself_repeats_throttled_calls() -> None:
    """The settings that the clients are made with."""
    config = aws_config()
    client = boto3.client("sagemaker", REGION, config=config, aws_access_key_id="a", aws_secret_access_key="b")
    assert client.meta.config.retries == {"mode": "standard", "total_max_attempts": 8}
    client.close()


def aws_config() -> Config:
    from aural.deploy.cloud import Cloud

    return Cloud(REGION)._config()


def test_an_endpoint_that_fails_says_why_and_shows_its_log(aws: Aws, clock: Clock) -> None:
    deployment = example("voxtral-byoc")
    aws.script("DescribeEndpoint", {"EndpointStatus": "Creating"}, FAILED)
    group = f"/aws/sagemaker/Endpoints/{deployment.name}"
    aws.ask("logs", "create_log_group", logGroupName=group)
    aws.ask("logs", "create_log_stream", logGroupName=group, logStreamName="AllTraffic/i-1")
    event = {"timestamp": int(time.time() * 1000), "message": "CUDA out of memory"}
    aws.ask("logs", "put_log_events", logGroupName=group, logStreamName="AllTraffic/i-1", logEvents=[event])
    message = failure(aws, clock, deployment)
    assert "did not pass the ping health check" in message
    assert "CUDA out of memory" in message
    assert remains(aws) == []


def test_an_endpoint_that_fails_without_a_line(aws: Aws, clock: Clock) -> None:
    aws.script("DescribeEndpoint", {"EndpointStatus": "Creating"}, FAILED)
    assert "driver too old" in failure(aws, clock, example("parakeet-byoc"))


def test_an_endpoint_that_never_comes_up(aws: Aws, clock: Clock) -> None:
    aws.script("DescribeEndpoint", *[{"EndpointStatus": "Creating"}] * 100)
    plan = make_plan(example("parakeet-byoc"), aws)
    with pytest.raises(DeployError, match="still Creating after 600 s"):
        carry_out(aws, plan, quiet, clock.patience(limit_s=600))
    aws.scripts.clear()
    assert remains(aws) == []


def test_who_waits_hears_every_minute_how_long(aws: Aws, clock: Clock) -> None:
    aws.script("DescribeEndpoint", *[{"EndpointStatus": "Creating"}] * 12)
    said: list[str] = []
    carry_out(aws, make_plan(example("parakeet-byoc"), aws), said.append, clock.patience())
    waiting = [line.partition(": ")[2] for line in said if line.startswith("endpoint parakeet-tdt")]
    assert waiting == ["Creating", "Creating, 1 min", "Creating, 2 min", "InService, 3 min"]


def test_a_component_that_fails(aws: Aws, clock: Clock) -> None:
    aws.script("DescribeInferenceComponent", {"InferenceComponentStatus": "Failed", "FailureReason": "no room"})
    assert "no room" in failure(aws, clock, several())
    assert remains(aws) == []


def test_a_lost_answer_is_not_a_lost_endpoint(aws: Aws, clock: Clock) -> None:
    """AWS fails within, having made it or not: whichever it was, nothing may stay."""
    aws.fail("CreateEndpoint", "InternalFailure", status=500, times=9)
    failure(aws, clock, example("parakeet-byoc"))
    assert aws.calls["DeleteEndpoint"] == 1
    assert remains(aws) == []


def test_what_exists_already_is_taken_over(aws: Aws, clock: Clock) -> None:
    plan = make_plan(example("parakeet-byoc"), aws)
    carry_out(aws, plan, quiet, clock.patience())
    aws.fail("CreateModel", "ValidationException", "Cannot create already existing model")
    carry_out(aws, plan, quiet, clock.patience())
    assert operate.status(aws, plan.deployment).status == "InService"


def test_half_of_it_is_there_already(aws: Aws, clock: Clock) -> None:
    """A run that was killed: the next one goes on from there."""
    deployment = example("whisper-jumpstart")
    plan = make_plan(deployment, aws)
    for action in plan.actions[:4]:
        aws.call(action.resource.create)
    again = make_plan(deployment, aws)
    assert [action.verdict for action in again.actions[:4]] == [Verdict.KEEP] * 4
    carry_out(aws, again, quiet, clock.patience())
    assert verdicts(make_plan(deployment, aws)) == {Verdict.KEEP}


def test_a_failed_endpoint_of_before_is_made_anew(aws: Aws, clock: Clock) -> None:
    deployment = example("parakeet-byoc")
    apply(aws, clock, deployment)
    aws.script("DescribeEndpoint", FAILED)
    plan = make_plan(deployment, aws)
    assert Verdict.REPLACE in verdicts(plan)
    carry_out(aws, plan, quiet, clock.patience())
    assert aws.calls["CreateEndpoint"] == 2


def test_an_update_that_rolls_back_says_so_and_takes_its_generation_away(aws: Aws, clock: Clock) -> None:
    deployment = example("parakeet-byoc")
    apply(aws, clock, deployment)
    before = set(remains(aws))
    old = operate.status(aws, deployment).config
    reason = "Canary failed: alarm parakeet-tdt-errors went off"
    plan = make_plan(changed(deployment), aws)
    back = {"EndpointStatus": "InService", "EndpointConfigName": old, "FailureReason": reason}
    aws.script("DescribeEndpoint", {}, {"EndpointStatus": "Updating"}, {"EndpointStatus": "RollingBack"}, back, back)
    with pytest.raises(DeployError, match="rolled back") as caught:
        carry_out(aws, plan, quiet, clock.patience())
    assert reason in str(caught.value)
    assert set(remains(aws)) == before


def later(deployment: Deployment) -> Deployment:
    """Another generation, and what comes after it."""
    return replace(changed(deployment), scaling=Scaling(max=7, target=3.0))


def models_in_use(aws: Aws) -> set[str]:
    return {one["Specification"]["ModelName"] for one in aws.components.values()}


@pytest.mark.parametrize("name", ARTICLE)
@pytest.mark.parametrize("operation", ["RegisterScalableTarget", "PutScalingPolicy"])
def test_an_endpoint_that_was_changed_keeps_what_it_rests_on(aws: Aws, clock: Clock, name: str, operation: str) -> None:
    deployment = example(name)
    apply(aws, clock, deployment)
    aws.fail(operation, "AccessDeniedException")
    message = failure(aws, clock, later(deployment))
    assert "what it may use stays" in message
    status = operate.status(aws, deployment)
    assert status.previous
    assert {status.config, status.previous} < set(remains(aws))
    described = aws.ask("sagemaker", "describe_endpoint_config", EndpointConfigName=status.config)
    assert described["ProductionVariants"][0]["ModelName"] in remains(aws)
    apply(aws, clock, later(deployment))
    assert operate.status(aws, deployment).config == status.config


def test_a_component_that_was_changed_keeps_its_model(aws: Aws, clock: Clock) -> None:
    deployment = several()
    apply(aws, clock, deployment)
    plan = make_plan(changed(deployment), aws)
    well, moved = {"InferenceComponentStatus": "InService"}, plan.actions
    ill = {"InferenceComponentStatus": "Failed", "FailureReason": "no room"}
    aws.script("DescribeInferenceComponent", well, well, well, ill)
    with pytest.raises(DeployError, match="no room"):
        carry_out(aws, plan, quiet, clock.patience())
    fresh = {one.resource.name for one in moved if one.resource.kind == "model"}
    assert models_in_use(aws) & fresh
    assert models_in_use(aws) < set(remains(aws))


def test_nothing_is_taken_from_an_endpoint_that_still_moves(aws: Aws, clock: Clock) -> None:
    deployment = example("parakeet-byoc")
    apply(aws, clock, deployment)
    plan = make_plan(changed(deployment), aws)
    aws.script("DescribeEndpoint", {}, *[{"EndpointStatus": "Updating"}] * 100)
    with pytest.raises(DeployError, match="still Updating"):
        carry_out(aws, plan, quiet, clock.patience(limit_s=600))
    aws.scripts.clear()
    assert {one.resource.name for one in plan.actions if one.resource.kind == "endpoint config"} < set(remains(aws))


def test_an_update_under_way_is_waited_for_and_not_repeated(aws: Aws, clock: Clock) -> None:
    deployment = example("parakeet-byoc")
    apply(aws, clock, deployment)
    old = operate.status(aws, deployment).config
    apply(aws, clock, changed(deployment))
    aws.script("DescribeEndpoint", {"EndpointStatus": "Updating", "EndpointConfigName": old})
    plan = make_plan(changed(deployment), aws)
    assert Verdict.CHANGE in verdicts(plan)
    carry_out(aws, plan, quiet, clock.patience())
    assert aws.calls["UpdateEndpoint"] == 1


def test_a_component_that_goes_back_has_failed(aws: Aws, clock: Clock) -> None:
    deployment = several()
    apply(aws, clock, deployment)
    old, before = dict(aws.components["speech-whisper"]), set(remains(aws))
    plan = make_plan(changed(deployment), aws)
    aws.script("DescribeInferenceComponent", {}, old | {"FailureReason": "alarm"}, old)
    with pytest.raises(DeployError, match=r"rolled back.*alarm"):
        carry_out(aws, plan, quiet, clock.patience())
    aws.components["speech-whisper"] = old
    assert models_in_use(aws) <= set(remains(aws))
    assert set(remains(aws)) >= before


def test_what_cannot_be_taken_away_is_named(aws: Aws, clock: Clock) -> None:
    aws.fail("PutScalingPolicy", "AccessDeniedException")
    aws.fail("DeleteEndpoint", "AccessDeniedException")
    message = failure(aws, clock, example("parakeet-byoc"))
    assert "delete them by hand:\nendpoint parakeet-tdt" in message
    assert "and what comes after it" in message
    config = operate.status(aws, example("parakeet-byoc")).config
    (kept,) = aws.ask("sagemaker", "list_models")["Models"]
    assert {config, kept["ModelName"]} < set(remains(aws)), "an endpoint that stands needs them"


def test_an_endpoint_that_will_not_go_keeps_what_it_rests_on(aws: Aws, clock: Clock) -> None:
    deployment = example("parakeet-byoc")
    apply(aws, clock, deployment)
    aws.fail("DeleteEndpoint", "AccessDeniedException")
    with pytest.raises(DeployError, match="and what comes after it"):
        operate.destroy(aws, deployment, quiet, clock.patience())
    assert operate.status(aws, deployment).config in remains(aws)
    operate.destroy(aws, deployment, quiet, clock.patience())
    assert remains(aws) == []


def test_a_lost_answer_to_a_subscription_leaves_the_topic(aws: Aws, clock: Clock) -> None:
    deployment = replace(example("parakeet-byoc"), alarms=Alarms(email="you@example.com"))
    apply(aws, clock, deployment)
    aws.fail("Subscribe", "InternalFailure", status=500, times=9)
    failure(aws, clock, replace(deployment, alarms=Alarms(email="them@example.com")))
    assert len(aws.ask("sns", "list_topics")["Topics"]) == 1


@pytest.mark.parametrize("one_model", [True, False])
def test_an_endpoint_does_not_turn_to_components_or_back(aws: Aws, clock: Clock, one_model: bool) -> None:
    asleep = replace(several(), models=several().models[:1], scaling=Scaling(min=0, max=2))
    awake = replace(asleep, scaling=Scaling(min=1, max=2))
    before, after = (awake, asleep) if one_model else (asleep, awake)
    apply(aws, clock, before)
    plan = make_plan(after, aws)
    assert "inference components" in plan.problems[0]
    operate.destroy(aws, after, quiet, clock.patience())
    assert remains(aws) == []


def test_a_new_role_takes_a_moment_to_be_known(aws: Aws, clock: Clock) -> None:
    aws.fail("CreateModel", "ValidationException", "Could not assume role arn:aws:iam::1:role/x", times=3)
    apply(aws, clock, example("parakeet-byoc"))
    assert aws.calls["CreateModel"] == 4
    assert clock.now_s >= 45


def test_a_model_that_the_hub_does_not_have(aws: Aws) -> None:
    aws.hub.clear()
    with pytest.raises(DeployError, match="no such content"):
        make_plan(example("whisper-jumpstart"), aws)


def test_without_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    from aural.deploy.cloud import Cloud

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    cloud = Cloud(REGION)
    with pytest.raises(DeployError, match="aws configure"):
        cloud.account()
    cloud.close()


def test_components_by_stub() -> None:
    """botocore's Stubber checks each request against the service model as AWS would receive it."""
    from aural.deploy import endpoint

    deployment = several()
    client = boto3.client("sagemaker", REGION, aws_access_key_id="a", aws_secret_access_key="b")
    place = endpoint.Place("123456789012", REGION)
    made = endpoint.model(deployment, deployment.models[0], place)
    component = endpoint.component(deployment, deployment.models[0], made, ["alarm"])
    with Stubber(client) as stub:
        stub.add_response(
            "create_inference_component",
            {"InferenceComponentArn": "arn:aws:sagemaker:::x"},
            dict(component.create.request),
        )
        client.create_inference_component(**component.create.request)
        assert component.update is not None
        stub.add_response(
            "update_inference_component",
            {"InferenceComponentArn": "arn:aws:sagemaker:::x"},
            dict(component.update.request),
        )
        client.update_inference_component(**component.update.request)
    client.close()
