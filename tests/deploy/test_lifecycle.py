"""Whole lives of the article's three deployments: deploy, deploy again, scale, update, roll back, destroy."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aural.deploy import operate
from aural.deploy.apply import carry_out
from aural.deploy.plan import Verdict, make_plan, render
from aural.deploy.spec import Alarms, Asynchronous, Deployment, Instance, Model, Scaling
from aural.errors import DeployError
from tests.deploy.aws import REGION, Aws, Clock, remains
from tests.deploy.conftest import ARTICLE, example, push
from tests.deploy.lives import apply, changed, quiet, several, verdicts


@pytest.mark.parametrize("name", ARTICLE)
def test_a_whole_life(aws: Aws, clock: Clock, name: str) -> None:
    deployment = example(name)
    aws.script("DescribeEndpoint", {"EndpointStatus": "Creating"}, {"EndpointStatus": "Creating"})
    first = apply(aws, clock, deployment)
    assert verdicts(first) == {Verdict.CREATE}
    assert operate.status(aws, deployment).status == "InService"

    assert verdicts(make_plan(deployment, aws)) == {Verdict.KEEP}

    operate.scale(aws, deployment, 3, "", quiet, clock.patience())
    assert operate.status(aws, deployment).parts == ("AllTraffic: 3 of 3 instances",)

    second = make_plan(changed(deployment), aws)
    fresh = {action.resource.kind for action in second.actions if action.verdict is Verdict.CREATE}
    assert fresh == {"model", "endpoint config"}
    assert [action.resource.kind for action in second.actions if action.verdict is Verdict.CHANGE] == ["endpoint"]
    carry_out(aws, second, quiet, clock.patience())
    status = operate.status(aws, deployment)
    assert status.config != status.previous

    assert operate.roll_back(aws, deployment, quiet, clock.patience()) == status.previous
    assert operate.status(aws, deployment).config == status.previous

    operate.destroy(aws, deployment, quiet, clock.patience())
    assert remains(aws) == []
    operate.destroy(aws, deployment, quiet, clock.patience())


def test_only_two_generations_stay(aws: Aws, clock: Clock) -> None:
    deployment = example("parakeet-byoc")
    for beams in range(4):
        models = tuple(replace(one, environment={"AURAL_BEAM_SIZE": str(beams)}) for one in deployment.models)
        apply(aws, clock, replace(deployment, models=models))
    assert len(aws.ask("sagemaker", "list_endpoint_configs")["EndpointConfigs"]) == 2
    assert len(aws.ask("sagemaker", "list_models")["Models"]) == 2


def test_a_neighbour_with_a_longer_name_is_left_alone(aws: Aws, clock: Clock) -> None:
    deployment = example("parakeet-byoc")
    neighbour = replace(deployment, name=deployment.name + "-two")
    apply(aws, clock, deployment)
    apply(aws, clock, neighbour)
    operate.destroy(aws, deployment, quiet, clock.patience())
    assert verdicts(make_plan(neighbour, aws)) == {Verdict.KEEP}


def test_components_down_to_zero_and_back(aws: Aws, clock: Clock) -> None:
    deployment = several(scaling=Scaling(min=0, max=4))
    plan = apply(aws, clock, deployment)
    kinds = [action.resource.kind for action in plan.actions]
    assert kinds.count("inference component") == kinds.count("scaling policy") / 2 == 2
    alarms = aws.ask("cloudwatch", "describe_alarms")["MetricAlarms"]
    assert all("policyName/speech-" in alarm["AlarmActions"][0] for alarm in alarms)
    assert verdicts(make_plan(deployment, aws)) == {Verdict.KEEP}

    operate.scale(aws, deployment, 2, "parakeet", quiet, clock.patience())
    assert "speech-parakeet: InService, 2 of 2 copies" in operate.status(aws, deployment).parts

    carry_out(aws, make_plan(changed(deployment), aws), quiet, clock.patience())
    assert aws.calls["UpdateInferenceComponent"] == 2
    operate.destroy(aws, deployment, quiet, clock.patience())
    assert remains(aws) == []


def test_copies_follow_the_file_unless_autoscaling_has_them(aws: Aws, clock: Clock) -> None:
    deployment = several()
    apply(aws, clock, deployment)
    more = replace(deployment, models=tuple(replace(model, copies=2) for model in deployment.models))
    apply(aws, clock, more)
    assert "speech-whisper: InService, 2 of 2 copies" in operate.status(aws, more).parts
    assert verdicts(make_plan(more, aws)) == {Verdict.KEEP}
    scaled = replace(deployment, scaling=Scaling(max=4))
    apply(aws, clock, scaled)
    assert "speech-whisper: InService, 2 of 2 copies" in operate.status(aws, scaled).parts
    said = render(make_plan(replace(more, scaling=Scaling(max=4)), aws))
    assert "models.copies: for the first time only" in said


def test_what_leaves_the_file_leaves_the_account(aws: Aws, clock: Clock) -> None:
    deployment = several(scaling=Scaling(min=0, max=4), alarms=Alarms(email="you@example.com"))
    apply(aws, clock, deployment)
    smaller = several(models=deployment.models[:1], components=True)
    shown = render(make_plan(smaller, aws))
    for leaves in ("inference component speech-parakeet", "topic speech-alarms", "scaling policy speech-whisper-wake"):
        assert f"delete    {leaves}" in shown, "before anybody is asked whether to go on"
    apply(aws, clock, smaller)
    assert list(aws.components) == ["speech-whisper"]
    scaling = aws.ask("application-autoscaling", "describe_scalable_targets", ServiceNamespace="sagemaker")
    assert scaling["ScalableTargets"] == []
    assert aws.ask("cloudwatch", "describe_alarms")["MetricAlarms"] == []
    assert aws.ask("sns", "list_topics")["Topics"] == []
    operate.destroy(aws, smaller, quiet, clock.patience())
    assert remains(aws) == []


def test_an_image_that_is_pushed_again_is_rolled_out(aws: Aws, clock: Clock) -> None:
    deployment = example("voxtral-byoc")
    apply(aws, clock, deployment)
    assert verdicts(make_plan(deployment, aws)) == {Verdict.KEEP}
    push(aws, "vllm", "another build of the same version")
    plan = apply(aws, clock, deployment)
    assert Verdict.CHANGE in verdicts(plan)
    model = next(one.resource for one in plan.actions if one.resource.kind == "model").create.request
    assert "/aural@sha256:" in model["PrimaryContainer"]["Image"]


def test_an_asynchronous_endpoint(aws: Aws, clock: Clock) -> None:
    deployment = replace(
        example("parakeet-byoc"),
        asynchronous=Asynchronous(output="s3://my-models/results/"),
        scaling=Scaling(min=0, max=2),
        alarms=Alarms(),
    )
    apply(aws, clock, deployment)
    config = operate.status(aws, deployment).config
    described = aws.ask("sagemaker", "describe_endpoint_config", EndpointConfigName=config)
    assert described["AsyncInferenceConfig"]["OutputConfig"]["S3OutputPath"] == "s3://my-models/results/"
    names = {alarm["MetricName"] for alarm in aws.ask("cloudwatch", "describe_alarms")["MetricAlarms"]}
    assert names == {"HasBacklogWithoutCapacity", "InvocationFailures"}
    operate.destroy(aws, deployment, quiet, clock.patience())
    assert remains(aws) == []


def test_the_endpoint_of_others_keeps_all_but_what_is_ours(aws: Aws, clock: Clock) -> None:
    theirs = example("parakeet-byoc")
    apply(aws, clock, replace(theirs, scaling=None, alarms=None))
    before = set(remains(aws)) - {f"{theirs.name}-aural"}
    ours = Deployment(name=theirs.name, region=REGION, existing=True, scaling=Scaling(max=3), alarms=Alarms())
    apply(aws, clock, ours)
    assert set(remains(aws)) > before
    operate.destroy(aws, ours, quiet, clock.patience())
    assert set(remains(aws)) - {f"{theirs.name}-aural"} == before
    assert operate.status(aws, ours).status == "InService"


def test_local_weights_are_uploaded_once_and_taken_away(
    aws: Aws, clock: Clock, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("weights")
    (folder / "w").mkdir()
    (folder / "w" / "model.bin").write_bytes(b"weights")
    model = Model(name="own", image="cpu", data="w")
    deployment = Deployment(
        name="own", region=REGION, models=(model,), instance=Instance(type="ml.c6i.xlarge"), folder=folder
    )
    plan = make_plan(deployment, aws)
    for operation, code, status in (("PutObject", "AccessDenied", 403), ("HeadObject", "403", 403)):
        aws.fail(operation, code, "because", status=status)
        with pytest.raises(DeployError, match="denies it") as caught:
            carry_out(aws, plan, quiet, clock.patience())
        assert "Nothing had been made" not in str(caught.value)
        assert f"What was uploaded stays for the next run, or for destroy: {plan.uploads[0].address}" in str(
            caught.value
        )
    plan = apply(aws, clock, deployment)
    container = next(one for one in plan.actions if one.resource.kind == "model").resource.create.request
    source = container["PrimaryContainer"]["ModelDataSource"]["S3DataSource"]
    assert source["S3Uri"] == plan.uploads[0].address
    assert source["S3Uri"].endswith("/")
    apply(aws, clock, deployment)
    assert aws.calls["PutObject"] == 4, "two are the fixture's"
    bucket = plan.uploads[0].bucket
    aws.ask("s3", "put_object", Bucket=bucket, Key="own/notes/theirs.txt", Body=b"not ours")
    for weights in (b"second", b"third"):
        (folder / "w" / "model.bin").write_bytes(weights)
        plan = apply(aws, clock, deployment)
    assert files(aws, bucket) == {"second", "third", "not ours"}, "two generations"
    deployment = replace(deployment, models=(replace(model, data="s3://my-models/voxtral-mini-3b-2507/"),))
    apply(aws, clock, deployment)
    assert files(aws, bucket) == {"third", "not ours"}
    operate.destroy(aws, deployment, quiet, clock.patience())
    assert remains(aws) == []
    assert files(aws, bucket) == {"not ours"}


def files(aws: Aws, bucket: str) -> set[str]:
    keys = [one["Key"] for one in aws.ask("s3", "list_objects_v2", Bucket=bucket)["Contents"]]
    return {aws.ask("s3", "get_object", Bucket=bucket, Key=key)["Body"].read().decode() for key in keys}
