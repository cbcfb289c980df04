"""Generate on an OpenAI-compatible completions server, such as vLLM, instead of in this process.

Prompts and replies are sent as token ids, so the server renders nothing, and a reply's forced
beginning is the end of its prompt. Besides OpenAI's parameters this uses vLLM's `top_k`,
`repetition_penalty`, `stop_token_ids`, `return_tokens_as_token_ids` and `prompt_logprobs`
(https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html). OpenAI's `echo` would need
a tokenizer on the server.
"""

import logging
import time
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from model.artifacts.artifact import Decoding
from model.artifacts.tokenizer import Codec
from model.chat.names import make_printable
from model.errors import ArtifactError, GenerationStopped
from model.speaking.engine import (
    Candidate,
    DrawnTokens,
    Ids,
    Request,
    ShouldStop,
    list_forbidden_tokens,
    raise_if_stopped,
)

SECONDS = 20.0  # for the answer to a request: the bot waits no longer for a reply
RETRY_SECONDS = 0.5  # before a request that the server did not take is repeated, once
_NEVER = -100  # the bias of a token that must not be drawn
_MAX_TEMPERATURE = 2.0  # the interface allows no higher one
_TOKEN = "token_id:"  # noqa: S105  the beginning of a token's name in an answer

logger = logging.getLogger(__name__)


class CompletionsEngine:
    """Draws and scores replies of a decoder-only model on a server; see Engine."""

    def __init__(self, url: str, model: str, codec: Codec) -> None:
        """Use the server at `url`, which ends in /v1, if it serves the version `model`.

        Raises:
            ArtifactError: It does not answer, or does not serve this version.
        """
        self._codec, self._model = codec, model
        vocabulary = codec.tokenizer.get_vocab()
        self._bias = {str(vocabulary[piece]): _NEVER for [piece] in list_forbidden_tokens(codec)}
        self._client = httpx.Client(base_url=f"{url.rstrip('/')}/", timeout=SECONDS)
        weakref.finalize(self, self._client.close)
        try:
            answer = self._client.get("models")
            answer.raise_for_status()
            served = [str(one["id"]) for one in answer.json()["data"]]
        except (httpx.HTTPError, ValueError, LookupError, TypeError) as error:
            raise ArtifactError(
                f"the server at GENERATION_URL does not answer ({type(error).__name__}): start it, "
                "or leave GENERATION_URL empty to generate in this process"
            ) from error
        if model not in served:
            names = ", ".join(map(make_printable, served)) or "nothing"
            raise ArtifactError(
                f"the server at GENERATION_URL serves {names}, not {model}: start it with "
                f"--served-model-name {model}"
            )

    def candidates(
        self,
        requests: Sequence[Request],
        decoding: Decoding,
        should_stop: ShouldStop | None = None,
    ) -> list[list[Candidate]]:
        """See Engine. A reply that has ended is cut here: the server only knows its end token."""
        found = []
        for request in requests:
            raise_if_stopped(should_stop)
            answer = self._complete(
                prompt=[*request.prompt, *request.forced],
                n=decoding.candidates,
                max_tokens=decoding.max_new_tokens,
                temperature=min(decoding.temperature, _MAX_TEMPERATURE),
                top_p=decoding.top_p,
                top_k=decoding.top_k or -1,
                repetition_penalty=decoding.repetition_penalty,
                stop_token_ids=[self._codec.end_id],
                logit_bias=self._bias,
            )
            label = [self._codec.newline_id, *request.label]
            found.append([self._read_candidate(choice, label) for choice in answer])
        raise_if_stopped(should_stop)
        return found

    def scores(
        self, prompts: Sequence[Ids], forced: Sequence[Ids], replies: Sequence[Ids]
    ) -> list[list[float]]:
        """See Engine. Each text is a prompt whose tokens the server scores."""
        texts = [[*p, *f, *r] for p, f, r in zip(prompts, forced, replies, strict=True)]
        answer = self._complete(prompt=texts, max_tokens=1, temperature=0, prompt_logprobs=0)
        return [
            _prompt_scores(choice, text)[len(text) - len(reply) :]
            for choice, text, reply in zip(answer, texts, replies, strict=True)
        ]

    def label_scores(self, prompt: Ids, labels: Sequence[Ids]) -> list[float]:
        """See Engine. A server that caches prefixes reads the prompt once."""
        count = len(labels)
        return [sum(row) for row in self.scores([prompt] * count, [()] * count, labels)]

    def _read_candidate(self, choice: Mapping[str, Any], label: list[int]) -> Candidate:
        drawn = DrawnTokens(0)
        logprobs = choice["logprobs"]
        for name, score in zip(logprobs["tokens"], logprobs["token_logprobs"], strict=True):
            token = int(str(name).removeprefix(_TOKEN))
            if drawn.add(token, float(score), label, self._codec.end_id):
                return drawn.candidate()
        drawn.is_complete = choice["finish_reason"] == "stop"
        return drawn.candidate()

    def _complete(self, **parameters: Any) -> list[dict[str, Any]]:  # noqa: ANN401  JSON's border
        """Return the choices of a completion, in order.

        Raises:
            GenerationStopped: The server is busy, cannot be reached or answers something else.
        """
        body = {
            "model": self._model, "logprobs": 1, "return_tokens_as_token_ids": True, **parameters,
        }  # fmt: skip
        try:
            answer = self._post(body)
            answer.raise_for_status()
            choices: list[dict[str, Any]] = answer.json()["choices"]
            return sorted(choices, key=lambda choice: int(choice["index"]))
        except (httpx.HTTPError, ValueError, LookupError, TypeError) as error:
            status = (
                f" {error.response.status_code}" if isinstance(error, httpx.HTTPStatusError) else ""
            )
            logger.warning(
                "the server at GENERATION_URL failed: %s%s", type(error).__name__, status
            )
            raise GenerationStopped("the server that generates did not answer") from error

    def _post(self, body: Mapping[str, Any]) -> httpx.Response:
        """Post a request; repeat it once after a lost connection, a 502 or a 503."""
        try:
            answer = self._client.post("completions", json=body)
            if answer.status_code not in {httpx.codes.BAD_GATEWAY, httpx.codes.SERVICE_UNAVAILABLE}:
                return answer
        except (httpx.ConnectError, httpx.RemoteProtocolError, httpx.ReadError):
            pass
        time.sleep(RETRY_SECONDS)
        return self._client.post("completions", json=body)


def _prompt_scores(choice: Mapping[str, Any], prompt: Ids) -> list[float]:
    """Return the log-probability of each token of a prompt; the first one has none, and gets 0."""
    entries = choice["prompt_logprobs"][1:]
    return [0.0] + [
        float(entry[str(token)]["logprob"])
        for token, entry in zip(prompt[1:], entries, strict=True)
    ]
