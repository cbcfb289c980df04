"""Serve versions on a Ray cluster of this machine until standard input is closed, for tests.

Run it with `python -m tests.ray_cluster PORT OPTIONS`, with the options as JSON.
"""

import json
import logging
import os
import sys

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

import ray
from ray import serve

from model.serving import ServeOptions, app


def main():
    port, options = int(sys.argv[1]), ServeOptions(**json.loads(sys.argv[2]))
    ray.init(
        num_cpus=8, include_dashboard=False, logging_level="ERROR", log_to_driver=False,
        object_store_memory=100_000_000,
    )  # fmt: skip
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    logging.getLogger("ray.serve").setLevel("ERROR")
    serve.run(app(options), route_prefix="/v1")
    print("ready", flush=True)
    sys.stdin.read()
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    main()
