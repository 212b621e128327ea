"""What cannot work is said before anything is made: images, weights, quotas."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aural.deploy import preflight
from aural.deploy.apply import carry_out
from aural.deploy.plan import make_plan
from aural.deploy.spec import Scaling
from aural.errors import DeployError
from tests.deploy.aws import Aws, Clock, remains
from tests.deploy.conftest import example
from tests.deploy.lives import quiet, several


def test_an_image_that_was_never_pushed(aws: Aws) -> None:
    deployment = example("parakeet-byoc")
    aws.ask("ecr", "delete_repository", repositoryName="aural", force=True)
    ((line,), _) = preflight.problems(aws, deployment, make_plan(deployment, aws).place)
    assert "docker push" in line
    assert "containers/cuda.Dockerfile" in line


def test_weights_that_are_not_there(aws: Aws) -> None:
    deployment = example("parakeet-byoc")
    aws.ask("s3", "delete_object", Bucket="my-models", Key="parakeet-tdt-0.6b-v2/config.json")
    place = make_plan(deployment, aws).place
    nothing = "models.parakeet.data: nothing at s3://my-models/parakeet-tdt-0.6b-v2/"
    assert preflight.problems(aws, deployment, place) == ([nothing], [])
    aws.ask("s3", "delete_object", Bucket="my-models", Key="voxtral-mini-3b-2507/config.json")
    aws.ask("s3", "delete_bucket", Bucket="my-models")
    assert "no bucket my-models" in preflight.problems(aws, deployment, place)[0][0]


def test_a_quota_of_zero_is_seen_before_anything_is_made(aws: Aws, clock: Clock) -> None:
    deployment = example("parakeet-byoc")
    aws.quotas["ml.g6e.12xlarge for endpoint usage"] = 0.0
    plan = make_plan(deployment, aws)
    problems, _ = preflight.problems(aws, deployment, plan.place)
    assert "Service Quotas" in problems[0]
    with pytest.raises(DeployError, match="nothing was made"):
        carry_out(aws, replace(plan, problems=tuple(problems)), quiet, clock.patience())
    assert remains(aws) == []


@pytest.mark.parametrize(
    ("own", "default", "problem", "note"),
    [
        ({}, {}, "", "unknown to Service Quotas"),
        ({}, {"ml.g6e.xlarge for endpoint usage": 0.0}, "up to 4 are asked for", ""),
        ({"ml.g6e.xlarge for endpoint usage": 8.0}, {"ml.g6e.xlarge for endpoint usage": 0.0}, "", ""),
        ({"ml.g6e.xlarge for endpoint usage": 7.0}, {}, "", "an update at 4 runs 8"),
    ],
)
def test_quotas_that_aws_lists_elsewhere_or_nowhere(
    aws: Aws, own: dict[str, float], default: dict[str, float], problem: str, note: str
) -> None:
    aws.quotas, aws.default_quotas = own, default
    deployment = example("voxtral-byoc")
    problems, notes = preflight.problems(aws, deployment, make_plan(deployment, aws).place)
    assert problem in "".join(problems)
    assert note in "".join(notes)
    assert (len(problems), len(notes)) == (bool(problem), bool(note))


def test_copies_are_not_instances(aws: Aws) -> None:
    deployment = several(scaling=Scaling(max=6))
    aws.quotas["ml.g6e.12xlarge for endpoint usage"] = 3.0
    place = make_plan(deployment, aws).place
    assert preflight.problems(aws, deployment, place) == ([], []), "12 copies on 4 GPUs each"
    aws.quotas["ml.g6e.12xlarge for endpoint usage"] = 2.0
    assert "up to 3 are asked for" in preflight.problems(aws, deployment, place)[0][0]


def test_what_may_not_be_asked_is_said(aws: Aws) -> None:
    deployment = example("parakeet-byoc")
    aws.fail("ListServiceQuotas", "AccessDeniedException")
    problems, unasked = preflight.problems(aws, deployment, make_plan(deployment, aws).place)
    assert problems == []
    assert "not checked: service-quotas:list_service_quotas: AWS denies it" in unasked[0]
