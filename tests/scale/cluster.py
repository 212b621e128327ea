"""A Ray cluster of two machines on the loopback address, in a process of its own: `python -m tests.scale.cluster FILE
METRICS_PORT` runs the Serve file on it. Orders come by standard input, a line each; the answers are JSON lines.

`status` counts running replicas, `ingress N` asks for so many of the ingress, `lose` kills the second machine without
warning, `gain` starts another one.
"""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

import ray
import yaml
from ray import serve
from ray.cluster_utils import Cluster
from ray.serve._private.api import serve_start
from ray.serve.config import HTTPOptions, ProxyLocation
from ray.serve.schema import ServeDeploySchema

MACHINE = {"num_cpus": 6, "object_store_memory": 200 * 2**20}


def main(path: str, metrics_port: int) -> None:
    config = yaml.safe_load(Path(path).read_text())
    out = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):
        cluster = Cluster(initialize_head=True, head_node_args=MACHINE | {"metrics_export_port": metrics_port})
        second = cluster.add_node(**MACHINE)
        ray.init(address=cluster.address, log_to_driver=True)
        client = serve_start(
            http_options=HTTPOptions(**config["http_options"]), proxy_location=ProxyLocation(config["proxy_location"])
        )
        client.deploy_apps(ServeDeploySchema(**config))
        print("{}", file=out, flush=True)
        for line in sys.stdin:
            match line.split():
                case ["ingress", number]:
                    client.deploy_apps(ServeDeploySchema(**with_ingresses(config, int(number))))
                case ["lose"]:
                    cluster.remove_node(second, allow_graceful=False)
                case ["gain"]:
                    second = cluster.add_node(**MACHINE)
            print(json.dumps(counts()), file=out, flush=True)
        serve.shutdown()
        ray.shutdown()
        cluster.shutdown()


def with_ingresses(config: dict[str, Any], number: int) -> dict[str, Any]:
    """The Serve file with so many replicas of the ingress, and nothing else changed."""
    [application] = config["applications"]
    told = [one | {"num_replicas": number} if one["name"] == "ingress" else one for one in application["deployments"]]
    return config | {"applications": [application | {"deployments": told}]}


def counts() -> dict[str, int]:
    """Running replicas of each deployment."""
    return {
        name: deployment.replica_states.get("RUNNING", 0)
        for application in serve.status().applications.values()
        for name, deployment in application.deployments.items()
    }


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
