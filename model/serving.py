"""Generate replies of many versions on a Ray cluster.

Run it with `serve run model.serving:app models=artifacts`; needs the extra `cluster`. Each worker
loads a version when it is asked for, and forgets the one that was not asked for the longest.
"""

import asyncio
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from pydantic import BaseModel, Field
from ray import serve
from ray.serve.config import AutoscalingConfig
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse

from model.artifacts.artifact import Decoding
from model.artifacts.registry import Registry
from model.artifacts.tokenizer import load_codec
from model.errors import ArtifactError, GenerationStopped
from model.speaking.cluster import Draw, draw_together
from model.speaking.engine import Candidate, Engine, Request, open_engine
from model.speaking.server import OWNER

_BATCH_WAIT = 0.01  # seconds that the first request of a batch waits for others


class Options(BaseModel, extra="forbid"):
    """What is served: the folder of models, the number of workers, and what each of them holds.

    A worker holds up to `versions` versions in memory, and draws the candidates of up to `batch`
    replies together: more than one is of use on a GPU only. Between `min_workers` and `max_workers`
    Ray adds workers while each has more than `batch` requests. Requests that no worker can take
    wait, up to `queue` of them; more are refused. A worker reserves `cpus` and `gpus`, and
    calculates with `threads` threads.
    """

    models: Path = Path("artifacts")
    min_workers: int = Field(1, ge=1)
    max_workers: int = Field(1, ge=1)
    versions: int = Field(4, ge=1)
    batch: int = Field(1, ge=1)
    queue: int = Field(16, ge=1)
    cpus: float = Field(1, ge=0)
    gpus: float = Field(0, ge=0)
    threads: int = Field(1, ge=1)


class Voices:
    """A worker; it answers the requests of `model.speaking.cluster.ClusterEngine`."""

    def __init__(self, options: Options) -> None:
        self._options, self._registry = options, Registry(options.models)
        self._loaded: WeakValueDictionary[str, Engine] = WeakValueDictionary()
        self._draw.set_max_batch_size(options.batch)  # type: ignore[attr-defined]  # Ray adds it

    async def open(self, version: str) -> Engine:
        """Load a version; `app` adds that a worker holds only so many of them."""
        threads = self._options.threads
        engine = await asyncio.to_thread(_open_engine, self._registry, version, threads)
        self._loaded[version] = engine
        return engine

    async def __call__(self, request: HttpRequest) -> JSONResponse:
        """Answer a request; its header names the version."""
        name = request.url.path.rpartition("/")[2]
        if name == "models":
            return JSONResponse({"data": await asyncio.to_thread(self._list_versions)})
        version = serve.get_multiplexed_model_id()
        try:
            return JSONResponse(await self._answer(name, version, await request.json()))
        except ArtifactError:
            return JSONResponse({"error": "this version cannot be loaded"}, 404)
        except GenerationStopped:
            return JSONResponse({"error": "it took too long"}, 504)
        except (LookupError, TypeError, ValueError):
            return JSONResponse({"error": "this request cannot be understood"}, 400)

    def _list_versions(self) -> list[dict[str, Any]]:
        """Return all versions, and whether this worker has loaded them."""
        return [
            {"id": name, "owned_by": OWNER, "loaded": name in self._loaded}
            for name in self._registry.names
        ]

    async def _answer(self, name: str, version: str, body: dict[str, Any]) -> Any:  # noqa: ANN401  JSON
        engine = await self.open(version)
        if name == "candidates":
            requests = [Request(**one) for one in body["requests"]]
            deadline = time.monotonic() + float(body["seconds"])
            call = Draw(version, engine, requests, Decoding(**body["decoding"]), deadline)
            return [[asdict(one) for one in own] for own in await self._draw(call)]
        if name == "scores":
            parts = body["prompts"], body["forced"], body["replies"]
            return await asyncio.to_thread(engine.scores, *parts)
        if name == "labels":
            return await asyncio.to_thread(engine.label_scores, body["prompt"], body["labels"])
        raise ValueError(name)

    @serve.batch(batch_wait_timeout_s=_BATCH_WAIT)
    async def _draw(self, calls: list[Draw]) -> list[list[list[Candidate]]]:
        """Draw candidates for several requests at once."""
        return await asyncio.to_thread(draw_together, calls)


def app(options: Options) -> serve.Application:
    """Return the application, for `serve run` and `serve deploy`."""

    class LimitedVoices(Voices):
        @serve.multiplexed(max_num_models_per_replica=options.versions)  # type: ignore[untyped-decorator]  # Ray's
        async def open(self, version: str) -> Engine:
            return await super().open(version)

    deployment = serve.deployment(
        name="voices",
        autoscaling_config=AutoscalingConfig(
            min_replicas=options.min_workers,
            max_replicas=max(options.min_workers, options.max_workers),
            target_ongoing_requests=options.batch,
        ),
        max_ongoing_requests=2 * options.batch,
        max_queued_requests=options.queue,
        ray_actor_options={"num_cpus": options.cpus, "num_gpus": options.gpus},
    )
    return deployment(LimitedVoices).bind(options)


def _open_engine(registry: Registry, version: str, threads: int) -> Engine:
    artifact = registry.open(version)
    codec = load_codec(artifact.tokenizer)
    return open_engine(artifact.engine, artifact.card.family, codec, threads=threads)
