"""Generate on an OpenAI-compatible completions server, such as vLLM, instead of in this process.

Prompts and replies are sent as token ids, so the server renders nothing, and a reply's forced
beginning is the end of its prompt. Besides OpenAI's parameters this uses vLLM's `top_k`,
`repetition_penalty`, `stop_token_ids`, `return_tokens_as_token_ids` and `prompt_logprobs`
(https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html). OpenAI's `echo` would need
a tokenizer on the server.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from model.artifacts.artifact import Decoding
from model.artifacts.tokenizer import Codec
from model.speaking.engine import (
    Candidate,
    DrawnTokens,
    Ids,
    Request,
    ShouldStop,
    list_forbidden_tokens,
    raise_if_stopped,
)
from model.speaking.server import GenerationServer, failure

_NEVER = -100  # the bias of a token that must not be drawn
_MAX_TEMPERATURE = 2.0  # the interface allows no higher one
_TOKEN = "token_id:"  # noqa: S105  the beginning of a token's name in an answer


class CompletionsEngine:
    """Draws and scores replies of a decoder-only model on a server; see Engine."""

    def __init__(self, server: GenerationServer, model: str, codec: Codec) -> None:
        self._server, self._codec, self._model = server, codec, model
        vocabulary = codec.tokenizer.get_vocab()
        self._bias = {str(vocabulary[piece]): _NEVER for [piece] in list_forbidden_tokens(codec)}

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
        answer = self._server.post("completions", body)
        try:
            choices: list[dict[str, Any]] = answer["choices"]
            return sorted(choices, key=lambda choice: int(choice["index"]))
        except (LookupError, TypeError, ValueError) as error:
            raise failure(error) from error


def _prompt_scores(choice: Mapping[str, Any], prompt: Ids) -> list[float]:
    """Return the log-probability of each token of a prompt; the first one has none, and gets 0."""
    entries = choice["prompt_logprobs"][1:]
    return [0.0] + [
        float(entry[str(token)]["logprob"])
        for token, entry in zip(prompt[1:], entries, strict=True)
    ]
