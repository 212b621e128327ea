"""One application on a Ray cluster of this machine, until SIGTERM: `python -m benchmarks.scale_cluster CONFIG PORT`."""

from __future__ import annotations

import signal
import sys
from threading import Event

import ray
from ray import serve

from aural import scale

MEMORY_BYTES = 300 * 2**20
CPUS = 16
"""What Ray believes: all arms share the same cores."""


def main(config: str, port: int) -> None:
    over = Event()
    ray.init(
        address="local",  # not one that happens to run here
        num_cpus=CPUS,
        include_dashboard=False,
        object_store_memory=MEMORY_BYTES,
    )
    signal.signal(signal.SIGTERM, lambda *_: over.set())  # after Ray, which sets its own
    serve.start(proxy_location="HeadOnly", http_options={"host": "127.0.0.1", "port": port})
    serve.run(scale.app({"config": config}), name="aural", route_prefix="/")
    over.wait()
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
