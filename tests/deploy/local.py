"""The stand-in in a thread of the tests, with containers that do what they are told."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import uvicorn
from botocore.config import Config

from aural.deploy.cloud import Cloud
from aural.deploy.patience import Patience
from aural.deploy.spec import Deployment, Instance, Model
from aural.deploy.standin.app import create_app
from aural.deploy.standin.container import free_port
from tests.conftest import wait_until
from tests.deploy.aws import REGION

PUPPET = (sys.executable, str(Path(__file__).with_name("puppet.py")), "serve")
ECHO = (sys.executable, str(Path(__file__).with_name("echo.py")))
HURRY = Patience(poll_s=0.05)


@dataclass
class Local:
    url: str
    cloud: Cloud
    app: Any

    def runtime(self) -> Any:
        return boto3.client(
            "sagemaker-runtime",
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id="none",
            aws_secret_access_key="none",
            config=Config(retries={"total_max_attempts": 1}),
        )

    def invoke(self, body: str, name: str = "puppet", **more: Any) -> Any:
        runtime = self.runtime()
        try:
            return runtime.invoke_endpoint(EndpointName=name, Body=body.encode(), ContentType="text/plain", **more)
        finally:
            runtime.close()

    def asked(self, body: str, name: str = "puppet", **more: Any) -> Any:
        """The container's answer, in JSON."""
        return json.loads(self.invoke(body, name, **more)["Body"].read())

    @property
    def fleets(self) -> Any:
        return self.app.state.standin.control


@contextlib.contextmanager
def standin(root: Path, command: tuple[str, ...] = PUPPET) -> Iterator[Local]:
    app = create_app(root, command=command)
    port = free_port()
    config = uvicorn.Config(
        app, host="127.0.0.1", port=port, ws="websockets-sansio", log_level="warning", loop="asyncio"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    cloud = Cloud(REGION, f"http://127.0.0.1:{port}")
    try:
        wait_until(lambda: server.started, 120)
        yield Local(cloud.url, cloud, app)
    finally:
        cloud.close()
        server.should_exit = True
        thread.join()


def puppet(**more: Any) -> Deployment:
    model = Model(name="speech", image="cpu", **more.pop("model", {}))
    given = {"name": "puppet", "models": (model,), "instance": Instance(type="ml.c6i.xlarge", startup_s=600)} | more
    return Deployment(region=REGION, **given)
