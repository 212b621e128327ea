"""What others made under our names, or beside ours, is left alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aural.deploy import operate
from aural.deploy.plan import make_plan
from aural.deploy.spec import Alarms
from aural.errors import DeployError
from tests.deploy.aws import COMPONENT_ARN, Aws, Clock, remains
from tests.deploy.conftest import example
from tests.deploy.lives import apply, changed, quiet, several


@pytest.mark.parametrize("kind", ["endpoint", "role", "topic"])
def test_what_others_made_under_our_names_is_left_alone(aws: Aws, clock: Clock, kind: str) -> None:
    deployment = replace(example("parakeet-byoc"), alarms=Alarms(email="you@example.com"))
    plan = apply(aws, clock, deployment)
    untag(aws, next(one.resource.name for one in plan.actions if one.resource.kind == kind), kind)
    before = set(remains(aws))
    said: list[str] = []
    problems = make_plan(changed(deployment), aws).problems
    assert f"{kind} " in problems[0]
    assert "without the tag" in problems[0]
    if kind == "endpoint":
        with pytest.raises(DeployError, match="not ours"):
            operate.destroy(aws, deployment, quiet, clock.patience())
        assert set(remains(aws)) == before
    else:
        operate.destroy(aws, deployment, said.append, clock.patience())
        assert len(remains(aws)) == 1
        assert any("left alone" in line for line in said)


def untag(aws: Aws, name: str, kind: str) -> None:
    keys = ["aural:deployment"]
    match kind:
        case "endpoint":
            arn = aws.ask("sagemaker", "describe_endpoint", EndpointName=name)["EndpointArn"]
            aws.ask("sagemaker", "delete_tags", ResourceArn=arn, TagKeys=keys)
        case "role":
            aws.ask("iam", "untag_role", RoleName=name, TagKeys=keys)
        case "topic":
            (topic,) = aws.ask("sns", "list_topics")["Topics"]
            aws.ask("sns", "untag_resource", ResourceArn=topic["TopicArn"], TagKeys=keys)


def test_a_component_of_others_on_our_endpoint_is_left_alone(aws: Aws, clock: Clock) -> None:
    deployment = several()
    apply(aws, clock, deployment)
    aws.components["theirs"] = aws.components["speech-whisper"] | {
        "InferenceComponentName": "theirs",
        "InferenceComponentArn": f"{COMPONENT_ARN}theirs",
        "Tags": [],
    }
    apply(aws, clock, deployment)
    assert "theirs" in aws.components
