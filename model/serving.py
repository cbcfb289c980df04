"""Serve many versions on a Ray cluster, for `model.speaking.cluster.ClusterEngine`.

Run it with `serve run model.serving:app models=artifacts --route-prefix /v1`; needs the extra
`cluster`. Each worker loads a version at its first request and unloads the least recently used one.
"""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from threading import Event
from typing import Annotated, Any, Self
from weakref import WeakValueDictionary

from pydantic import BaseModel, Field, FiniteFloat, ValidationError, model_validator
from ray import serve
from ray.serve.config import AutoscalingConfig
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse

from model.artifacts.artifact import Artifact, Decoding, load_artifact
from model.artifacts.registry import Registry, explain_no_model
from model.artifacts.tokenizer import load_codec
from model.errors import ArtifactError, GenerationStopped
from model.speaking.batching import CandidateCall, draw_together
from model.speaking.client import OWNER, SECONDS
from model.speaking.engine import Candidate, Engine, GenerationRequest
from model.speaking.speaker import load_engine

_BATCH_WAIT = 0.01  # seconds that the first request of a batch waits for others
_MAX_TEXTS = 256  # of one request
_MAX_TOKENS = 8_192  # of one text, before a version's own limit is known
_LONGER = 64  # tokens that a prompt may have more than its limit: labels, and its end

TokenIds = Annotated[list[Annotated[int, Field(ge=0)]], Field(max_length=_MAX_TOKENS)]


class ServeOptions(BaseModel, extra="forbid"):
    """Options of `serve run`."""

    models: Path = Field(Path("artifacts"), description="Folder of models")
    min_workers: int = Field(1, ge=1, description="Workers without requests")
    max_workers: int = Field(
        1, ge=1, description="Ray adds workers while each has more than `batch` requests"
    )
    versions: int = Field(4, ge=1, description="Versions that a worker holds in memory")
    batch: int = Field(
        1, ge=1, description="Requests whose candidates are drawn together; 1 on a CPU"
    )
    queue: int = Field(16, ge=1, description="Requests that wait on each machine")
    cpus: float = Field(1, ge=0, description="Cores that a worker reserves")
    gpus: float = Field(0, ge=0, description="GPUs that a worker reserves")
    threads: int = Field(1, ge=1, description="CPU threads of a worker")

    @model_validator(mode="after")
    def _check_workers(self) -> Self:
        if self.max_workers < self.min_workers:
            raise ValueError("max_workers is below min_workers")
        return self


class RefusedError(Exception):
    """A request that is not answered; `status` is HTTP's."""

    def __init__(self, reason: str, status: int) -> None:
        super().__init__(reason)
        self.status = status


class _Body(BaseModel, extra="forbid"):
    """What every request says: how long its sender waits, in seconds since 1970."""

    deadline: FiniteFloat

    @property
    def seconds_left(self) -> float:
        """Return the seconds that are left, by this machine's clock."""
        return min(SECONDS, self.deadline - time.time())


class _OneRequest(BaseModel, extra="forbid"):
    prompt: TokenIds
    forced: TokenIds
    label: TokenIds


class CandidatesBody(_Body):
    """A request for candidates."""

    requests: list[_OneRequest] = Field(max_length=_MAX_TEXTS)
    decoding: Decoding


class ScoresBody(_Body):
    """A request for scores of replies."""

    prompts: list[TokenIds] = Field(max_length=_MAX_TEXTS)
    forced: list[TokenIds]
    replies: list[TokenIds]

    @model_validator(mode="after")
    def _check_lengths(self) -> Self:
        if not len(self.prompts) == len(self.forced) == len(self.replies):
            raise ValueError("as many prompts as forced beginnings and replies are needed")
        return self


class LabelsBody(_Body):
    """A request for scores of labels."""

    prompt: TokenIds
    labels: list[TokenIds] = Field(max_length=_MAX_TEXTS)


_BODIES: Mapping[str, type[CandidatesBody | ScoresBody | LabelsBody]] = {
    "candidates": CandidatesBody,
    "scores": ScoresBody,
    "labels": LabelsBody,
}


class Worker:
    """Answers requests with engines of this process."""

    def __init__(self, options: ServeOptions) -> None:
        self._options, self._registry = options, open_models(options.models)
        self._loaded: WeakValueDictionary[str, LoadedVersion] = WeakValueDictionary()
        self._draw.set_max_batch_size(options.batch)  # type: ignore[attr-defined]  # Ray adds it

    async def load(self, version: str) -> "LoadedVersion":
        """Load a version; `app` limits how many stay loaded."""
        loaded = await asyncio.to_thread(self._load, version)
        self._loaded[version] = loaded
        return loaded

    async def __call__(self, request: HttpRequest) -> JSONResponse:
        """Answer a request; its header names the version. Stop if the sender gives up."""
        is_given_up = Event()
        try:
            return JSONResponse(await self._handle(request, is_given_up))
        except RefusedError as error:
            return JSONResponse({"error": str(error)}, error.status)
        except ArtifactError:
            return JSONResponse({"error": "this version cannot be loaded"}, 404)
        except GenerationStopped:
            return JSONResponse({"error": "it took too long"}, 504)
        finally:
            is_given_up.set()

    async def _handle(self, request: HttpRequest, is_given_up: Event) -> Any:  # noqa: ANN401  JSON
        name, version = request.url.path.rpartition("/")[2], serve.get_multiplexed_model_id()
        if name == "models":
            return {"owned_by": OWNER, "data": await asyncio.to_thread(self._list_versions)}
        if name not in _BODIES:
            raise RefusedError("there is nothing here", 404)
        is_here = version in self._loaded
        if not is_here and not await asyncio.to_thread(self._find, version):
            raise RefusedError("this version is not here", 404)
        try:
            body = _BODIES[name].model_validate_json(await request.body())
        except ValidationError as error:
            raise RefusedError("this request makes no sense", 400) from error
        if body.seconds_left < 0:
            raise GenerationStopped("the request waited for too long")
        loaded = await self.load(version)
        if not loaded.accepts(body):
            raise RefusedError("a text is too long, or a token is not in the vocabulary", 400)
        return await self._answer(version, loaded, body, is_given_up)

    def _list_versions(self) -> list[dict[str, Any]]:
        """Return all versions, and whether this worker has loaded them."""
        names = [*self._registry.names]
        with suppress(ArtifactError):  # the folders cannot be listed
            for folder in self._registry.group_folders().values():
                with suppress(PermissionError):
                    names += folder.names
        return [{"id": name, "loaded": name in self._loaded} for name in names]

    def _find(self, version: str) -> Path | None:
        return self._registry.find_version_folder(version)

    def _load(self, version: str) -> "LoadedVersion":
        if (path := self._find(version)) is None:
            raise ArtifactError("this version was removed")
        return LoadedVersion(load_artifact(path), self._options.threads)

    async def _answer(
        self,
        version: str,
        loaded: "LoadedVersion",
        body: CandidatesBody | ScoresBody | LabelsBody,
        is_given_up: Event,
    ) -> Any:  # noqa: ANN401  JSON
        engine = loaded.engine
        match body:
            case CandidatesBody():
                requests = [
                    GenerationRequest(one.prompt, one.forced, one.label) for one in body.requests
                ]
                deadline = time.monotonic() + body.seconds_left
                found = await self._draw(
                    CandidateCall(version, engine, requests, body.decoding, deadline, is_given_up)
                )
                if isinstance(found, GenerationStopped):
                    raise found
                return [[asdict(one) for one in own] for own in found]
            case ScoresBody():
                texts = body.prompts, body.forced, body.replies
                return await asyncio.to_thread(engine.scores, *texts)
            case LabelsBody():
                return await asyncio.to_thread(engine.label_scores, body.prompt, body.labels)

    @serve.batch(batch_wait_timeout_s=_BATCH_WAIT)
    async def _draw(
        self, calls: list[CandidateCall]
    ) -> list[list[list[Candidate]] | GenerationStopped]:
        """Draw the candidates of several requests together."""
        return await asyncio.to_thread(draw_together, calls)


class LoadedVersion:
    """A version in memory."""

    def __init__(self, artifact: Artifact, threads: int) -> None:
        codec = load_codec(artifact.tokenizer)
        self.engine: Engine = load_engine(artifact, codec, threads=threads)
        self._tokens = codec.tokenizer.get_vocab_size()
        self._longest = artifact.card.max_prompt_tokens + _LONGER

    def accepts(self, body: CandidatesBody | ScoresBody | LabelsBody) -> bool:
        """Whether the texts of a request have tokens of the vocabulary, and not too many."""
        match body:
            case CandidatesBody():
                texts = [
                    text for one in body.requests for text in (one.prompt, one.forced, one.label)
                ]
            case ScoresBody():
                texts = [*body.prompts, *body.forced, *body.replies]
            case LabelsBody():
                texts = [body.prompt, *body.labels]
        return all(
            len(text) <= self._longest and all(token < self._tokens for token in text)
            for text in texts
        )


def app(options: ServeOptions) -> serve.Application:
    """Return the application, for `serve run` and `serve deploy`.

    Raises:
        ArtifactError: There are no versions.
    """
    models = open_models(options.models).root.resolve()  # workers start in folders of Ray's

    class CachingWorker(Worker):
        @serve.multiplexed(max_num_models_per_replica=options.versions)  # type: ignore[untyped-decorator]  # Ray's
        async def load(self, version: str) -> LoadedVersion:
            return await super().load(version)

    deployment = serve.deployment(
        name="understudy",
        autoscaling_config=AutoscalingConfig(
            min_replicas=options.min_workers,
            max_replicas=options.max_workers,
            target_ongoing_requests=options.batch,
        ),
        max_ongoing_requests=options.batch,
        max_queued_requests=options.queue,
        ray_actor_options={"num_cpus": options.cpus, "num_gpus": options.gpus},
    )
    return deployment(CachingWorker).bind(options.model_copy(update={"models": models}))


def open_models(folder: Path) -> Registry:
    """Return the versions in a folder of models, and in those of its groups.

    Raises:
        ArtifactError: There are none.
    """
    registry = Registry(folder)
    if not registry.names and not registry.group_folders():
        raise ArtifactError(explain_no_model(folder))
    return registry
