"""The stand-in is SageMaker as boto3 sees it: life of endpoints, data plane, limits, errors."""

from __future__ import annotations

import asyncio
import contextlib
import io
import signal
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EventStreamError

from aural.deploy import operate, trial
from aural.deploy.apply import carry_out
from aural.deploy.logs import last_lines
from aural.deploy.plan import Verdict, make_plan
from aural.deploy.spec import Asynchronous, Deployment, Instance, Model, Scaling
from aural.deploy.standin.container import StartFailed
from aural.deploy.standin.runtime import Limits
from aural.errors import DeployError
from tests.conftest import wait_until
from tests.deploy.aws import REGION
from tests.deploy.lives import quiet, verdicts
from tests.deploy.local import HURRY, Local, puppet, standin
from tests.deploy.puppet import Handler

TIGHT = Limits(body_bytes=1000, answer_s=1.5, stream_s=1.5)
LONG_S = 90


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    """With one endpoint that stands."""
    with standin(tmp_path_factory.mktemp("standin")) as running:
        apply(running, puppet())
        yield running


@pytest.fixture
def tight(local: Local) -> Iterator[Local]:
    """Seconds in place of minutes, a kilobyte in place of megabytes."""
    runtime = local.app.state.standin.runtime
    usual, runtime.limits = runtime.limits, TIGHT
    yield local
    runtime.limits = usual


def apply(local: Local, deployment: Deployment) -> None:
    carry_out(local.cloud, make_plan(deployment, local.cloud), quiet, HURRY)


def model_error(local: Local, body: str, **more: Any) -> dict[str, Any]:
    with pytest.raises(ClientError) as caught:
        local.invoke(body, **more)
    answer = caught.value.response
    assert answer["Error"]["Code"] == "ModelError"
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 424
    return answer


def test_a_container_gets_what_sagemaker_gives(local: Local) -> None:
    seen = local.asked("environment")
    assert seen["argv"] == ["serve"]
    assert seen["SAGEMAKER_BIND_TO_PORT"].isdecimal()
    assert seen["AURAL_MODEL_FOLDER"].endswith("/opt/ml/model")
    assert seen["AURAL_EMF"] == "puppet"
    assert seen["cwd"].endswith(f"/instances/{Path(seen['cwd']).name}")
    assert "PYTEST_CURRENT_TEST" not in seen


def test_only_sagemakers_headers_pass(local: Local) -> None:
    answer = local.invoke("headers", Accept="application/json", CustomAttributes="language=en", InferenceId="7")
    seen = answer["Body"].read().decode()
    assert '"x-amzn-sagemaker-custom-attributes": "language=en"' in seen
    assert '"content-type": "text/plain"' in seen
    for name in ("authorization", "user-agent", "amz-sdk", "x-amz-date", "inference-id"):
        assert name not in seen
    assert answer["CustomAttributes"] == "language=en"
    assert answer["InvokedProductionVariant"] == "AllTraffic"


@pytest.mark.parametrize("status", [400, 413, 500, 503])
def test_refusals_of_the_container_are_model_errors(local: Local, status: int) -> None:
    answer = model_error(local, f"fail {status}")
    assert (answer["OriginalStatusCode"], answer["OriginalMessage"]) == (status, "the container says no")


def test_an_answer_has_a_minute(tight: Local) -> None:
    assert "within 1.5 s" in model_error(tight, "hang")["OriginalMessage"]


def test_a_body_has_a_limit(tight: Local) -> None:
    with pytest.raises(ClientError) as caught:
        tight.invoke("x" * 1001)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413
    assert tight.invoke("x" * 1000)["Body"].read() == b"x" * 1000


def test_an_endpoint_that_is_not_there(local: Local) -> None:
    with pytest.raises(ClientError, match="not found"):
        local.invoke("hello", "nobody")


def stream(local: Local, body: str) -> list[bytes]:
    runtime = local.runtime()
    try:
        answer = runtime.invoke_endpoint_with_response_stream(EndpointName="puppet", Body=body.encode())
        with contextlib.closing(answer["Body"]) as events:
            return [event["PayloadPart"]["Bytes"] for event in events]
    finally:
        runtime.close()


def test_streams_come_in_parts(local: Local) -> None:
    assert b"".join(stream(local, "stream")) == b'{"n": 1}\n{"n": 2}\n'


@pytest.mark.parametrize(("how", "said"), [("break", "broke off"), ("hang", "no end within 1.5 s")])
def test_a_stream_that_does_not_end(tight: Local, how: str, said: str) -> None:
    with pytest.raises(EventStreamError, match=rf"ModelStreamError.*{said}"):
        stream(tight, f"stream {how}")


def test_a_refused_stream_is_a_model_error(local: Local) -> None:
    with pytest.raises(ClientError) as caught:
        stream(local, "fail 503")
    assert caught.value.response["OriginalStatusCode"] == 503


def test_logs_are_the_containers_own(local: Local) -> None:
    assert answers(local)
    assert any("POST /invocations" in line for line in last_lines(local.cloud, "puppet", 100))


def test_a_container_that_dies_is_replaced(local: Local) -> None:
    fleet = local.fleets.endpoints["puppet"].fleet
    before = fleet.replaced
    assert "broke off" in model_error(local, "die")["OriginalMessage"]
    wait_until(lambda: fleet.replaced > before and answers(local), LONG_S)


def answers(local: Local) -> bool:
    try:
        return bool(local.invoke("hello")["Body"].read() == b"hello")
    except ClientError:
        return False


def test_an_update_that_never_comes_up_leaves_the_old_fleet(local: Local) -> None:
    deployment = puppet(model={"environment": {"PUPPET": "stillborn"}})
    with pytest.raises(DeployError, match="rolled back") as caught:
        apply(local, deployment)
    assert "ended with exit status 1" in str(caught.value)
    assert answers(local)
    assert verdicts(make_plan(puppet(), local.cloud)) <= {Verdict.KEEP, Verdict.SKIP}


def test_a_whole_life(local: Local) -> None:
    deployment = puppet(name="other", scaling=Scaling(max=3))
    apply(local, deployment)
    operate.scale(local.cloud, deployment, 2, "", quiet, HURRY)
    ports = {local.asked("environment", "other")["SAGEMAKER_BIND_TO_PORT"] for _ in range(2)}
    assert operate.status(local.cloud, deployment).parts == ("AllTraffic: 2 of 2 instances",)
    assert operate.status(local.cloud, deployment).scaling == ("other: 1 to 3",)
    second = replace(deployment, models=(Model(name="speech", image="cpu", environment={"GENERATION": "2"}),))
    apply(local, second)
    seen = local.asked("environment", "other")
    assert seen["GENERATION"] == "2"
    assert seen["SAGEMAKER_BIND_TO_PORT"] not in ports
    operate.roll_back(local.cloud, deployment, quiet, HURRY)
    assert "GENERATION" not in local.asked("environment", "other")
    operate.destroy(local.cloud, deployment, quiet, HURRY)
    with pytest.raises(DeployError, match="Could not find endpoint"):
        operate.status(local.cloud, deployment)


def test_without_autoscaling_the_file_says_how_many(local: Local) -> None:
    def counted(count: int, **more: Any) -> Deployment:
        return puppet(name="counted", instance=Instance(type="ml.c6i.xlarge", startup_s=600, count=count), **more)

    for deployment in (counted(2), counted(1)):
        apply(local, deployment)
        count = deployment.machine.count
        assert operate.status(local.cloud, deployment).parts == (f"AllTraffic: {count} of {count} instances",)
    operate.destroy(local.cloud, deployment, quiet, HURRY)


def test_components_of_one_endpoint(local: Local) -> None:
    models = tuple(Model(name=name, image="cpu", environment={"WHO": name}) for name in ("one", "two"))
    deployment = puppet(name="several", models=models, scaling=Scaling(min=0, max=2))
    apply(local, deployment)
    for name in ("one", "two"):
        assert local.asked("environment", "several", InferenceComponentName=f"several-{name}")["WHO"] == name
    with pytest.raises(ClientError, match="header is required"):
        local.invoke("hello", "several")
    operate.scale(local.cloud, deployment, 0, "two", quiet, HURRY)
    with pytest.raises(ClientError, match="no capacity"):
        local.invoke("hello", "several", InferenceComponentName="several-two")
    operate.destroy(local.cloud, deployment, quiet, HURRY)
    assert "several" not in local.fleets.endpoints


def test_a_component_whose_new_copies_do_not_come_up_stays_as_it_was(local: Local) -> None:
    one = Model(name="one", image="cpu", environment={"WHO": "one"})
    deployment = puppet(name="back", models=(one,), components=True)
    apply(local, deployment)
    bad = replace(deployment, models=(replace(one, environment={"PUPPET": "stillborn"}),))
    with pytest.raises(DeployError, match=r"rolled back(.|\n)*out of memory"):
        apply(local, bad)
    assert verdicts(make_plan(deployment, local.cloud)) <= {Verdict.KEEP, Verdict.SKIP}
    operate.destroy(local.cloud, deployment, quiet, HURRY)


def test_asynchronous_calls_by_s3_and_by_body(local: Local) -> None:
    deployment = puppet(name="later", asynchronous=Asynchronous(output="s3://results/out"))
    apply(local, deployment)
    local.cloud.ask("s3", "create_bucket", Bucket="results")
    local.cloud.ask("s3", "put_object", Bucket="results", Key="in/a", Body=b"heard")
    local.cloud.ask("s3", "put_object", Bucket="results", Key="in/b", Body=b"fail 500")
    runtime = local.runtime()
    called, failing = (
        runtime.invoke_endpoint_async(EndpointName="later", InputLocation=f"s3://results/in/{key}", InferenceId=name)
        for key, name in (("a", "seven"), ("b", "eight"))
    )
    runtime.close()
    assert called["OutputLocation"] == "s3://results/out/seven.out"
    assert fetched(local, called["OutputLocation"]) == b"heard"
    assert b"the container says no" in fetched(local, failing["FailureLocation"])
    assert [result.ok for result in trial.run(local.cloud, deployment, b'{"text": "heard"}')] == [True, True]
    with pytest.raises(ClientError, match="takes InvokeEndpointAsync only"):
        local.invoke("hello", "later")
    operate.destroy(local.cloud, deployment, quiet, HURRY)


@pytest.fixture(scope="module")
def later(local: Local) -> Iterator[Local]:
    """An asynchronous endpoint that takes one call at a time, with its bucket."""
    deployment = puppet(name="slow", asynchronous=Asynchronous(output="s3://slow/out", concurrency=1))
    apply(local, deployment)
    local.cloud.ask("s3", "create_bucket", Bucket="slow")
    yield local
    operate.destroy(local.cloud, deployment, quiet, HURRY)


def call_later(local: Local, **asked: Any) -> dict[str, Any]:
    runtime = local.runtime()
    try:
        answer: dict[str, Any] = runtime.invoke_endpoint_async(EndpointName="slow", **asked)
    finally:
        runtime.close()
    return answer


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"Body": bytes(128_001)}, "at most 128000 bytes"),
        ({}, "either InputLocation or Body"),
        ({"Body": b"x", "InputLocation": "s3://slow/in"}, "either InputLocation or Body"),
        ({"InputLocation": "s3://slow/large"}, "at most 1000 bytes, got 1001"),
        ({"Body": b"x", "InvocationTimeoutSeconds": 3601}, "InvocationTimeoutSeconds: expected 1 to 3600, got 3601"),
        ({"Body": b"x", "RequestTTLSeconds": 21_601}, "RequestTTLSeconds: expected 60 to 21600, got 21601"),
    ],
)
def test_what_asynchronous_calls_do_not_take(
    later: Local, monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any], said: str
) -> None:
    runtime = later.app.state.standin.runtime
    monkeypatch.setattr(runtime, "limits", replace(runtime.limits, async_input_bytes=1000))
    later.cloud.ask("s3", "put_object", Bucket="slow", Key="large", Body=bytes(1001))
    with pytest.raises(ClientError, match=said):
        call_later(later, **asked)


def test_an_asynchronous_call_ends_and_one_that_waits_expires(later: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = later.app.state.standin.runtime
    monkeypatch.setattr(runtime, "limits", replace(runtime.limits, async_ttl_s=0.1))
    hanging = call_later(later, Body=b"hang", InvocationTimeoutSeconds=1)
    waiting = call_later(later, Body=b"hello")
    assert b"expired" in fetched(later, waiting["FailureLocation"])
    assert b"did not answer within 1 s" in fetched(later, hanging["FailureLocation"])


def test_a_container_of_others_answers_as_it_likes(local: Local) -> None:
    """It says back what it hears: only the clip as it is comes back as a transcript."""
    theirs = Deployment(name="puppet", region=REGION, existing=True)
    results = trial.run(local.cloud, theirs, b'{"text": "heard"}')
    assert all(result.ok for result in results)
    answered = [result.route for result in results if not result.skipped]
    assert answered == ["endpoint", "existing: raw audio", "existing: response stream"]
    assert not all(result.ok for result in trial.run(local.cloud, puppet(), b'{"text": "heard"}'))
    assert not all(result.ok for result in trial.run(local.cloud, theirs, b"no transcript"))


@pytest.mark.parametrize("well", [True, False])
def test_a_server_of_any_kind_is_pinged(monkeypatch: pytest.MonkeyPatch, well: bool) -> None:
    monkeypatch.setattr(Handler, "well", well)
    monkeypatch.setattr(trial, "_forms", lambda client, clip: {})
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server, ThreadPoolExecutor(1) as threads:
        server.daemon_threads = True
        threads.submit(server.serve_forever)
        try:
            ping, _ = trial.at(f"http://127.0.0.1:{server.server_port}", b"")
        finally:
            server.shutdown()
    assert (ping.route, ping.ok) == ("ping", well)


def fetched(local: Local, address: str) -> bytes:
    path = local.app.state.standin.store.path(address)
    wait_until(path.is_file, LONG_S)
    bucket, _, key = address.removeprefix("s3://").partition("/")
    data: bytes = local.cloud.ask("s3", "get_object", Bucket=bucket, Key=key)["Body"].read()
    return data


@pytest.mark.parametrize("packed", [False, True])
def test_model_data_come_as_files(local: Local, tmp_path: Path, packed: bool) -> None:
    (tmp_path / "w" / "deep").mkdir(parents=True)
    (tmp_path / "w" / "deep" / "model.bin").write_bytes(b"weights")
    if packed:
        with tarfile.open(tmp_path / "w.tar.gz", "w:gz") as archive:
            member = tarfile.TarInfo("deep/model.bin")
            member.size = 7
            archive.addfile(member, io.BytesIO(b"weights"))
    source = "w.tar.gz" if packed else "w"
    deployment = puppet(name="weights", model={"data": source}, folder=tmp_path)
    apply(local, deployment)
    folder = Path(local.asked("environment", "weights")["AURAL_MODEL_FOLDER"])
    assert (folder / "deep" / "model.bin").read_bytes() == b"weights"
    operate.destroy(local.cloud, deployment, quiet, HURRY)


@pytest.mark.parametrize(
    ("deployment", "said"),
    [
        (puppet(name="sick", model={"environment": {"PUPPET": "stillborn"}}), "out of memory"),
        (
            puppet(name="sick", models=(Model(name="x", image="1.dkr.ecr.us-east-1.amazonaws.com/nemo:1"),)),
            "models.local",
        ),
        (puppet(name="sick", model={"data": "s3://nowhere/weights/"}), "Could not find model data"),
    ],
)
def test_what_does_not_start_says_why_and_leaves_nothing(local: Local, deployment: Deployment, said: str) -> None:
    with pytest.raises(DeployError, match=said):
        apply(local, deployment)
    control = local.fleets
    assert "sick" not in control.endpoints
    assert not [name for name in (*control.models, *control.configs) if name.startswith("sick")]


def test_pings_that_stay_bad_end_the_wait(local: Local) -> None:
    instance = Instance(type="ml.c6i.xlarge", startup_s=60)
    deployment = puppet(name="sick", model={"environment": {"PUPPET": "sick"}}, instance=instance)
    plan = make_plan(deployment, local.cloud)
    control = local.fleets
    limit = next(one for one in plan.actions if one.resource.kind == "endpoint config").resource.create.request
    assert limit["ProductionVariants"][0]["ContainerStartupHealthCheckTimeoutInSeconds"] == 60
    container = control._container("sick", {"Image": "x/aural:1", "Environment": {"PUPPET": "sick"}}, 99, 1.0)

    with pytest.raises(StartFailed, match="ping health check within 1 s"):
        asyncio.run(container.start())
    assert not container.is_alive


def test_who_does_not_end_when_asked_is_killed(local: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aural.deploy.standin.container.STOP_S", 0.2)
    container = local.fleets._container("deaf", {"Image": "x/aural:1", "Environment": {"PUPPET": "deaf"}}, 98, 600.0)

    async def life() -> int | None:
        await container.start()
        process = container.process
        await container.stop()
        return process.returncode if process else None

    assert asyncio.run(life()) == -signal.SIGKILL


def test_requests_are_checked_as_aws_checks_them(local: Local) -> None:
    with pytest.raises(DeployError, match="expected one of"):
        local.cloud.ask(
            "sagemaker",
            "create_endpoint_config",
            EndpointConfigName="x",
            ProductionVariants=[{"VariantName": "v", "InstanceType": "ml.laptop", "InitialInstanceCount": 1}],
        )
