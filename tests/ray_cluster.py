"""Serve versions on a Ray cluster of this machine until standard input is closed, for tests.

Run it with `python -m tests.ray_cluster PORT APPLICATIONS`: a JSON object from application name
(also its route prefix) to options.
"""

import json
import logging
import os
import sys

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
# Ray kills an HTTP proxy that is not ready within 5 s, which happens on a busy machine.
os.environ["RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S"] = "120"
os.environ["RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S"] = "120"
os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112  a busy machine starves nice programs

import ray
from ray import serve

from model.serving import ServeOptions, app


def main():
    port, applications = int(sys.argv[1]), json.loads(sys.argv[2])
    ray.init(
        num_cpus=8, include_dashboard=False, logging_level="ERROR", log_to_driver=False,
        object_store_memory=100_000_000,
    )  # fmt: skip
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    logging.getLogger("ray.serve").setLevel("ERROR")
    for name, options in applications.items():
        serve.run(app(ServeOptions(**options)), name=name, route_prefix=f"/{name}")
    print("ready", flush=True)
    sys.stdin.read()
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    main()
