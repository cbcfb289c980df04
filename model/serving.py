"""Serve many versions on a Ray cluster, with the API of a completions server.

Run it with `serve run model.serving:app models=artifacts --route-prefix /v1`; needs the extra
`cluster`. Each worker loads a version at its first request and unloads the least recently used one.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import groupby
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
_LONGER = 256  # tokens by which a text may exceed a prompt: a label, a reply or its beginning

TokenIds = Annotated[list[Annotated[int, Field(ge=0)]], Field(max_length=_MAX_TOKENS)]
TokenLists = Annotated[list[TokenIds], Field(min_length=1, max_length=_MAX_TEXTS)]


class ServeOptions(BaseModel, extra="forbid"):
    """Options of `serve run`."""

    models: Path = Field(Path("artifacts"), description="Models folder")
    min_workers: int = Field(1, ge=1, description="Minimum number of workers")
    max_workers: int = Field(
        1, ge=1, description="Ray adds workers while each has more than `batch` requests"
    )
    versions: int = Field(4, ge=1, description="Versions that a worker keeps in memory")
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


class Extension(BaseModel, extra="forbid"):
    """What OpenAI's and vLLM's parameters lack, with an entry for each prompt.

    An encoder-decoder's replies begin with `decoder_prefixes`, and its encoder reads the prompts. A
    reply ends where a newline is followed by anything other than its label. The first `unscored`
    tokens of a text get no log-probability. The sender waits until `deadline`, in seconds since
    1970.
    """

    deadline: FiniteFloat = Field(default_factory=lambda: time.time() + SECONDS)
    decoder_prefixes: TokenLists | None = None
    labels: TokenLists | None = None
    unscored: Annotated[int, Field(ge=0)] = 1


class CompletionRequest(BaseModel):
    """A request for replies, or with `prompt_logprobs` for log-probabilities of the prompts.

    Other fields are ignored. Brackets and special tokens are never drawn.
    """

    model: str
    prompt: TokenLists
    n: int = 1
    max_tokens: int = 16
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = -1
    repetition_penalty: float = 1.0
    prompt_logprobs: int | None = None
    understudy: Extension = Field(default_factory=Extension)

    @model_validator(mode="after")
    def _check(self) -> Self:
        own, count = self.understudy, len(self.prompt)
        if not all(self.prompt) or {len(self.prefixes), len(self.labels)} != {count}:
            raise ValueError("there must be as many labels and decoder prefixes as prompts")
        if self.prompt_logprobs is None:
            _ = self.decoding
        elif any(len(text) <= own.unscored for text in self.scored) or (
            own.decoder_prefixes is None and not own.unscored
        ):
            raise ValueError("a text needs at least one scored token after the first one")
        return self

    @property
    def prefixes(self) -> Sequence[Sequence[int]]:
        """Return what each decoder reads before its reply."""
        own = self.understudy.decoder_prefixes
        return [()] * len(self.prompt) if own is None else own

    @property
    def labels(self) -> Sequence[Sequence[int]]:
        """Return each voice's label; without labels a reply ends at its first newline."""
        return self.understudy.labels or [()] * len(self.prompt)

    @property
    def scored(self) -> Sequence[Sequence[int]]:
        """Return the texts that are scored: an encoder-decoder's are what its decoder reads."""
        return self.prompt if self.understudy.decoder_prefixes is None else self.prefixes

    @property
    def seconds_left(self) -> float:
        """Return the seconds that are left, by this machine's clock."""
        return min(SECONDS, self.understudy.deadline - time.time())

    @property
    def decoding(self) -> Decoding:
        """Return how replies are sampled; temperature 0 chooses the likeliest tokens."""
        is_greedy = self.temperature == 0
        return Decoding(
            temperature=1.0 if is_greedy else self.temperature,
            top_k=1 if is_greedy else max(0, self.top_k),
            top_p=self.top_p,
            repetition_penalty=self.repetition_penalty,
            max_new_tokens=self.max_tokens,
            candidates=self.n,
        )


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
        """Answer a request; stop if the sender gives up."""
        is_given_up = Event()
        try:
            return JSONResponse(await self._handle(request, is_given_up))
        except RefusedError as error:
            return JSONResponse({"error": str(error)}, error.status)
        except ArtifactError:
            return JSONResponse({"error": "this version cannot be loaded"}, 404)
        except GenerationStopped:
            return JSONResponse({"error": "the generation took too long"}, 504)
        finally:
            is_given_up.set()

    async def _handle(self, request: HttpRequest, is_given_up: Event) -> Any:  # noqa: ANN401  JSON
        name = request.url.path.rpartition("/")[2]
        if name == "models":
            return {"object": "list", "data": await asyncio.to_thread(self._list_versions)}
        if name != "completions":
            raise RefusedError("not found", 404)
        try:
            body = CompletionRequest.model_validate_json(await request.body())
        except ValidationError as error:
            raise RefusedError("the request is malformed", 400) from error
        is_here = body.model in self._loaded
        if not is_here and not await asyncio.to_thread(self._find, body.model):
            raise RefusedError("this version is not available", 404)
        if body.seconds_left < 0:
            raise GenerationStopped("the request waited too long")
        loaded = await self.load(body.model)
        if not loaded.accepts(body):
            raise RefusedError("a text is too long, or a token is not in the vocabulary", 400)
        if body.prompt_logprobs is None:
            choices = await self._complete(loaded, body, is_given_up)
        else:
            choices = await asyncio.to_thread(score_prompts, loaded.engine, body)
        numbered = [{"index": number, **one} for number, one in enumerate(choices)]
        return {"object": "text_completion", "model": body.model, "choices": numbered}

    def _list_versions(self) -> list[dict[str, Any]]:
        """Return all versions, and whether this worker has loaded them."""
        names = [*self._registry.names]
        with suppress(ArtifactError):  # the folders cannot be listed
            for folder in self._registry.group_folders().values():
                with suppress(PermissionError):
                    names += folder.names
        return [
            {"id": name, "object": "model", "owned_by": OWNER, "loaded": name in self._loaded}
            for name in names
        ]

    def _find(self, version: str) -> Path | None:
        return self._registry.find_version_folder(version)

    def _load(self, version: str) -> "LoadedVersion":
        if (path := self._find(version)) is None:
            raise ArtifactError("this version was removed")
        return LoadedVersion(load_artifact(path), self._options.threads)

    async def _complete(
        self, loaded: "LoadedVersion", body: CompletionRequest, is_given_up: Event
    ) -> list[dict[str, Any]]:
        """Return a choice for each candidate."""
        requests = list(map(GenerationRequest, body.prompt, body.prefixes, body.labels))
        deadline = time.monotonic() + body.seconds_left
        found = await self._draw(
            CandidateCall(body.model, loaded.engine, requests, body.decoding, deadline, is_given_up)
        )
        if isinstance(found, GenerationStopped):
            raise found
        return [
            {
                "text": loaded.codec.text(one.ids),
                "finish_reason": "stop" if one.is_complete else "length",
                "logprobs": {
                    "tokens": [f"token_id:{token}" for token in one.ids],
                    "token_logprobs": one.scores,
                },
            }
            for own in found
            for one in own
        ]

    @serve.batch(batch_wait_timeout_s=_BATCH_WAIT)
    async def _draw(
        self, calls: list[CandidateCall]
    ) -> list[list[list[Candidate]] | GenerationStopped]:
        """Draw the candidates of several requests together."""
        return await asyncio.to_thread(draw_together, calls)


class LoadedVersion:
    """A version in memory."""

    def __init__(self, artifact: Artifact, threads: int) -> None:
        self.codec = load_codec(artifact.tokenizer)
        self.engine: Engine = load_engine(artifact, self.codec, threads=threads)
        self._tokens = self.codec.tokenizer.get_vocab_size()
        self._has_encoder = artifact.card.family == "encoder-decoder"
        self._longest = artifact.card.max_prompt_tokens + _LONGER

    def accepts(self, body: CompletionRequest) -> bool:
        """Whether the texts are for this family, not too long, and have known tokens."""
        texts = [*body.prompt, *body.prefixes, *body.labels]
        is_encoded = body.understudy.decoder_prefixes is not None
        return is_encoded == self._has_encoder and all(
            len(text) <= self._longest and all(token < self._tokens for token in text)
            for text in texts
        )


def score_prompts(engine: Engine, body: CompletionRequest) -> list[dict[str, Any]]:
    """Return a choice without text for each prompt, with the log-probabilities of its tokens."""
    unscored, texts = body.understudy.unscored, body.scored
    read = [()] * len(texts) if texts is body.prompt else body.prompt
    rows: list[list[float]] = []
    for (prompt, beginning), group in groupby(
        zip(read, texts, strict=True), key=lambda one: (one[0], one[1][:unscored])
    ):
        rows += engine.scores(prompt, beginning, [text[unscored:] for _, text in group])
    return [
        {
            "text": "",
            "finish_reason": "length",
            "prompt_logprobs": [None] * unscored
            + [
                {str(token): {"logprob": score}}
                for token, score in zip(text[unscored:], row, strict=True)
            ],
        }
        for text, row in zip(texts, rows, strict=True)
    ]


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
    """Return the versions in a models folder, and in those of its groups.

    Raises:
        ArtifactError: There are none.
    """
    registry = Registry(folder)
    if not registry.names and not registry.group_folders():
        raise ArtifactError(explain_no_model(folder))
    return registry
