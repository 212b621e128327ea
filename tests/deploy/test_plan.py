"""deploy.toml and what is planned from it, without AWS."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from aural.bench import prices
from aural.cli import main
from aural.deploy import access, instances, shapes
from aural.deploy.endpoint import Place
from aural.deploy.patience import limit_s
from aural.deploy.plan import make_plan, render
from aural.deploy.resources import Call, differences
from aural.deploy.scaling import propose_target
from aural.deploy.spec import Alarms, Asynchronous, Instance, Network, Release, Scaling, load, parse
from aural.errors import SettingsError
from tests.deploy.conftest import ARTICLE, ROOT, example
from tests.deploy.lives import several

PLACE = Place("123456789012", "us-east-1")


def table(**more: Any) -> dict[str, Any]:
    return {
        "name": "asr",
        "region": "us-east-1",
        "models": [{"name": "whisper", "image": "cpu"}],
        "instance": {"type": "ml.c6i.xlarge"},
    } | more


@pytest.mark.parametrize("name", ARTICLE)
def test_the_articles_deployments_are_sound(name: str) -> None:
    plan = make_plan(example(name), None)
    assert plan.problems == ()
    kinds = [action.resource.kind for action in plan.actions]
    assert kinds.index("role policy") < kinds.index("model") < kinds.index("endpoint config") < kinds.index("alarm")
    assert kinds.index("alarm") < kinds.index("endpoint") < kinds.index("scalable target")


def test_the_articles_waste_is_said() -> None:
    said = render(make_plan(example("whisper-jumpstart"), None))
    assert "one worker uses one of the 4 GPUs of ml.g6e.12xlarge; ml.g6e.xlarge has one for $2.60 an hour" in said
    assert "first 30 s" in said
    assert "$13.12 an hour, $9,575 a month; at most 4 = $52.46 an hour" in said
    assert "one worker" not in render(make_plan(example("parakeet-byoc"), None)), "ours has a worker per GPU"


def test_the_cost_is_that_of_what_is_made() -> None:
    more = replace(example("voxtral-byoc"), scaling=Scaling(min=2, max=4))
    assert "cost: 2 x ml.g6e.xlarge" in render(make_plan(more, None))
    assert "at most 3 = " in render(make_plan(several(scaling=Scaling(min=0, max=6)), None)), "instances of components"


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ({"nmae": "x"}, "'nmae'"),
        ({"name": "under_score"}, "inner dashes"),
        ({"name": "x" * 41}, "up to 40"),
        ({"models": []}, "at least one"),
        ({"models": [{"name": "a"}]}, "either 'image' or 'jumpstart'"),
        ({"models": [{"name": "a", "image": "cpu"}, {"name": "a", "image": "cpu"}]}, "different names"),
        ({"models": [{"name": "a", "image": "cpu", "data": "s3://b/k"}]}, "ends in /"),
        ({"models": [{"name": "a", "image": "cpu", "copies": 0}]}, "copies: expected 1"),
        ({"models": [{"name": "a", "image": "cpu", "environment": {"A": 1}}]}, "models[0].environment.A: expected str"),
        ({"instance": {"type": 3}}, "instance.type: expected str, got 3"),
        ({"instance": "ml.c6i.xlarge"}, "instance: expected a table"),
        ({"scaling": {"min": 3, "max": 1}}, "min <= max"),
        ({"scaling": {"on": "luck"}}, "'concurrency', 'invocations', 'gpu'"),
        ({"scaling": {"on": "gpu", "target": 170}}, "up to 100"),
        ({"release": {"percent": 60}}, "1 to 50"),
        ({"async": {"output": "/tmp"}}, "expected s3://"),
        ({"network": {"subnets": ["a"]}}, "both"),
        ({"existing": True}, "existing"),
        ({"models": [{"name": "a", "image": "cpu", "copies": 2}]}, "no 'copies' without"),
        ({"models": [{"name": "a", "image": "cpu", "memory_mb": 9}]}, "no 'memory_mb' without"),
        ({"models": [{"name": "a", "jumpstart": "b", "serve": "c"}]}, "'serve' with 'jumpstart'"),
        ({"models": [{"name": "a", "image": "b", "jumpstart_version": "1"}]}, "expected 'jumpstart' with"),
        ({"components": True, "release": {"strategy": "canary"}}, "copy by copy; got 'canary'"),
        ({"async": {"output": "s3://b/"}, "scaling": {"on": "gpu"}}, "got 'gpu'"),
        ({"async": {"output": "s3://b/"}, "alarms": {"latency_ms": 5}}, "no limits for an asynchronous"),
        ({"alarms": {"email": "a@b.c", "topic": "arn"}}, "got both"),
    ],
)
def test_a_file_that_is_wrong_says_where(broken: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse(table(**broken), Path())
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"scaling": {"min": 0}}, "1 or more"),
        ({"scaling": {"on": "gpu"}}, "GPUs are unknown"),
        ({"components": True}, "'components'"),
        ({"release": {"strategy": "linear"}}, "'release'"),
        ({"role": "arn"}, "'role'"),
        ({"tags": {"a": "b"}}, "'tags'"),
        ({"bucket": "b"}, "'bucket'"),
        ({"kms_key": "k"}, "'kms_key'"),
        ({"network": {"isolated": True}}, "'network'"),
    ],
)
def test_an_endpoint_of_others_keeps_its_own_settings(more: dict[str, Any], said: str) -> None:
    theirs = {"name": "asr", "region": "us-east-1", "existing": True, "variant": "V", "alarms": {}}
    assert parse(theirs, Path()).existing
    with pytest.raises(SettingsError) as caught:
        parse(theirs | more, Path())
    assert said in str(caught.value)


def test_a_file_that_is_no_toml(tmp_path: Path) -> None:
    (tmp_path / "deploy.toml").write_text("name = ")
    with pytest.raises(SettingsError, match=r"deploy\.toml"):
        load(tmp_path / "deploy.toml")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"instance": Instance(type="ml.c6i.xlarg")}, "expected one of ml.t2.medium"),
        ({"instance": Instance(type="ml.g6e.xlarge", startup_s=7200)}, "expected at most 3600, got 7200"),
        ({"instance": Instance(type="ml.g6e.xlarge", ami="al2-gpu-9")}, "InferenceAmiVersion"),
        ({"role": "me"}, "ExecutionRoleArn: expected"),
        ({"tags": {"k" * 129: "v"}}, "expected at most 128 characters"),
    ],
)
def test_the_service_model_finds_what_boto3_lets_through(change: dict[str, Any], said: str) -> None:
    problems = "\n".join(make_plan(replace(example("parakeet-byoc"), **change), None).problems)
    assert said in problems


def hosted() -> list[str]:
    names: list[str] = shapes.model_of("sagemaker").shape_for("ProductionVariantInstanceType").enum
    return [name for name in names if name.startswith(("ml.g", "ml.p"))]


def test_gpus_are_known_of_every_instance_that_has_them() -> None:
    assert all(instances.gpus_of(name) >= 1 for name in hosted())
    for price in prices.load().by_instance.values():
        assert instances.gpus_of(price.instance) == price.gpus
    assert instances.gpus_of("ml.c6i.xlarge") == 0


@pytest.mark.parametrize("name", ["ml.g9.xlarge", "ml.g5.3xlarge", "ml.p5.xlarge"])
def test_gpus_that_are_not_known_are_not_taken_for_none(name: str) -> None:
    with pytest.raises(SettingsError, match=f"got {name}"):
        make_plan(replace(example("parakeet-byoc"), instance=Instance(type=name)), None)


def test_shapes_know_required_and_unknown_members() -> None:
    (missing, unknown) = shapes.problems(Call("sagemaker", "create_endpoint", {"EndpointName": "x", "Nmae": "y"}))
    assert missing == "CreateEndpoint.EndpointConfigName: required, and missing"
    assert unknown.startswith("CreateEndpoint.Nmae: unknown")
    assert "update boto3" not in shapes.problems(Call("sagemaker", "create_wonder", {}))[0]


def test_names_follow_the_content() -> None:
    deployment = example("parakeet-byoc")
    names = [action.resource.name for action in make_plan(deployment, None).actions]
    assert names == [action.resource.name for action in make_plan(deployment, None).actions]
    faster = replace(deployment, instance=Instance(type="ml.g6e.xlarge"))
    other = [action.resource.name for action in make_plan(faster, None).actions]
    assert sum(one != two for one, two in zip(names, other, strict=True)) == 1, "the endpoint configuration"


def test_the_role_may_do_what_it_needs_and_no_more() -> None:
    allowed = access.statements(example("parakeet-byoc"), PLACE)
    everything = [one for one in allowed if one["Resource"] == ["*"]]
    assert [one["Action"] for one in everything] == [["ecr:GetAuthorizationToken"], ["cloudwatch:PutMetricData"]]
    reads = next(one for one in allowed if one["Action"] == ["s3:GetObject"])
    assert reads["Resource"] == ["arn:aws:s3:::my-models/parakeet-tdt-0.6b-v2/*"]
    assert not [one for one in allowed if "s3:PutObject" in one["Action"]]


def allowed_who_deploys() -> list[dict[str, Any]]:
    """The statements of docs/sagemaker.md."""
    text = (ROOT / "docs" / "sagemaker.md").read_text()
    (policy,) = re.findall(r"```json\n(\{\"Version\".*?)```", text, re.DOTALL)
    statements: list[dict[str, Any]] = json.loads(policy)["Statement"]
    return statements


def may(action: str, resource: str) -> bool:
    def covers(given: str | list[str], name: str) -> bool:
        return any(fnmatchcase(name, one) for one in ([given] if isinstance(given, str) else given))

    return any(covers(one["Action"], action) and covers(one["Resource"], resource) for one in allowed_who_deploys())


@pytest.mark.parametrize("name", ARTICLE)
def test_who_deploys_may_make_all_that_is_planned(name: str) -> None:
    for action in make_plan(replace(example(name), alarms=Alarms(email="a@example.com")), None).actions:
        resource = f"arn:aws:iam::123456789012:role/{action.resource.name}" if action.resource.service == "iam" else "x"
        for call in (action.resource.create, action.resource.read, action.resource.delete, action.resource.update):
            if call is not None:
                camel = "".join(part.capitalize() for part in call.operation.split("_"))
                assert may(f"{call.service}:{camel}", resource), call.operation


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("s3:ListBucket", "arn:aws:s3:::my-models"),
        ("s3:PutObject", "arn:aws:s3:::my-models/out/trial.wav"),
        ("iam:PassRole", "arn:aws:iam::123456789012:role/aural-aural"),
        ("iam:PassRole", "arn:aws:iam::123456789012:role/my-role"),
    ],
)
def test_who_deploys_may_use_buckets_and_a_role_of_ones_own(action: str, resource: str) -> None:
    assert may(action, resource)


@pytest.mark.parametrize(
    ("region", "partition", "suffix"),
    [("cn-north-1", "aws-cn", "amazonaws.com.cn"), ("us-gov-west-1", "aws-us-gov", "amazonaws.com")],
)
def test_other_partitions_have_arns_and_hosts_of_their_own(region: str, partition: str, suffix: str) -> None:
    alarms = Alarms(email="you@example.com")
    plan = make_plan(replace(example("parakeet-byoc"), region=region, alarms=alarms, kms_key="1234-abcd"), None)
    assert plan.problems == ()
    requests = json.dumps([one.resource.create.request for one in plan.actions])
    assert f"dkr.ecr.{region}.{suffix}/aural" in requests
    assert set(re.findall(r"arn:([\w-]*):", requests)) == {partition}
    assert f"parakeet-tdt-{region}-aural" in requests, "roles know no regions"


def test_a_region_that_is_none() -> None:
    with pytest.raises(SettingsError, match="got 'mars'"):
        make_plan(replace(example("parakeet-byoc"), region="mars"), None)


def test_the_key_encrypts_what_is_written() -> None:
    results = Asynchronous(output="s3://my-models/results/")
    deployment = replace(example("parakeet-byoc"), scaling=None, alarms=None, kms_key="1234-abcd", asynchronous=results)
    plan = make_plan(deployment, None)
    config = next(one.resource for one in plan.actions if one.resource.kind == "endpoint config").create.request
    assert config["AsyncInferenceConfig"]["OutputConfig"]["KmsKeyId"] == "1234-abcd"


def test_gpu_targets_sum_over_the_gpus() -> None:
    deployment = replace(example("parakeet-byoc"), scaling=Scaling(on="gpu", target=70, max=2))
    policy = next(one.resource for one in make_plan(deployment, None).actions if one.resource.kind == "scaling policy")
    tracking = policy.create.request["TargetTrackingScalingPolicyConfiguration"]
    assert tracking["TargetValue"] == 280
    assert tracking["CustomizedMetricSpecification"]["MetricName"] == "GPUUtilization"


def test_updates_keep_the_instances_that_autoscaling_made() -> None:
    endpoint = next(
        one.resource for one in make_plan(example("voxtral-byoc"), None).actions if one.resource.kind == "endpoint"
    )
    assert endpoint.update is not None
    assert endpoint.update.request["RetainAllVariantProperties"] is True
    policy = endpoint.update.request["DeploymentConfig"]
    assert policy["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"]["Type"] == "LINEAR"
    assert [alarm["AlarmName"] for alarm in policy["AutoRollbackConfiguration"]["Alarms"]] == [
        "voxtral-mini-latency",
        "voxtral-mini-errors",
    ]


@pytest.mark.parametrize(
    ("release", "least_s"),
    [(Release(), 3600 + 300), (Release(strategy="linear", percent=5), 3600 + 20 * 300)],
)
def test_an_update_may_take_as_long_as_all_its_parts(release: Release, least_s: int) -> None:
    deployment = replace(example("voxtral-byoc"), release=release)
    plan = make_plan(deployment, None)
    assert plan.problems == ()
    update = next(one.resource.update for one in plan.actions if one.resource.kind == "endpoint")
    assert update is not None
    allowed = update.request["DeploymentConfig"]["BlueGreenUpdatePolicy"]["MaximumExecutionTimeoutInSeconds"]
    assert least_s < allowed < limit_s(deployment)


def test_a_release_whose_waits_are_longer_than_sagemaker_allows() -> None:
    slow = Release(strategy="linear", percent=5, wait_s=3600)
    problems = make_plan(replace(example("voxtral-byoc"), release=slow), None).problems
    assert "MaximumExecutionTimeoutInSeconds: expected at most 28800" in problems[0]
    assert make_plan(several(scaling=Scaling(max=40)), None).problems == (), "copies are counted as if none overlapped"


def test_components_leave_room_for_all_copies() -> None:
    plan = make_plan(several(scaling=Scaling(min=0, max=6)), None)
    assert plan.problems == ()
    config = next(one.resource for one in plan.actions if one.resource.kind == "endpoint config").create.request
    managed = config["ProductionVariants"][0]["ManagedInstanceScaling"]
    assert managed == {"Status": "ENABLED", "MinInstanceCount": 0, "MaxInstanceCount": 3}


def test_a_private_network_is_planned() -> None:
    network = Network(subnets=("subnet-0a",), security_groups=("sg-0a",), isolated=True)
    plan = make_plan(replace(example("parakeet-byoc"), network=network, kms_key="1234-abcd"), None)
    assert plan.problems == ()
    model = next(one.resource for one in plan.actions if one.resource.kind == "model").create.request
    assert model["EnableNetworkIsolation"] is True
    assert model["VpcConfig"] == {"Subnets": ["subnet-0a"], "SecurityGroupIds": ["sg-0a"]}
    together = make_plan(several(network=network), None)
    assert together.problems == ()
    config = next(one.resource for one in together.actions if one.resource.kind == "endpoint config").create.request
    assert config["VpcConfig"] == model["VpcConfig"]


@pytest.mark.parametrize(("on", "target"), [("concurrency", 10.5), ("invocations", 126), ("gpu", 70)])
def test_targets_come_from_measured_capacity(on: str, target: float) -> None:
    assert propose_target(3.0, 5.0, on) == pytest.approx(target)


def test_what_is_beyond_the_wanted_is_no_difference() -> None:
    assert differences({"a": [{"b": 1}]}, {"a": [{"b": 1.0, "c": 2}], "d": 3}) == []
    assert differences({"a": 1}, {}) == ["a: None → 1"]
    assert differences('{"a": 1}', {"a": 1}) == []


def test_dry_run_needs_nothing_and_shows_requests() -> None:
    file = str(ROOT / "examples" / "article" / "voxtral-byoc.toml")
    done = CliRunner().invoke(main, ["deploy", "plan", file, "--dry-run", "--requests"])
    assert done.exit_code == 0, done.output
    requests = [json.loads(line) for line in done.output.splitlines() if line.startswith("{")]
    assert "sagemaker.create_endpoint" in [one["call"] for one in requests]
