"""Generate on an OpenAI-compatible completions server, such as vLLM, instead of in this process.

Prompts and replies are sent as token ids, so the server renders nothing, and a reply's forced
beginning is the end of its prompt. Besides OpenAI's parameters this uses vLLM's `top_k`,
`repetition_penalty`, `stop_token_ids`, `return_tokens_as_token_ids` and `prompt_logprobs`
(https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html). OpenAI's `echo` would need
a tokenizer on the server.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from model.artifacts.artifact import Decoding
from model.artifacts.tokenizer import Codec
from model.speaking.client import GenerationClient, parse_score
from model.speaking.engine import (
    Candidate,
    DrawnTokens,
    GenerationRequest,
    Ids,
    ShouldStop,
    list_forbidden_tokens,
)

_NEVER = -100  # the bias of a token that must not be drawn
_MAX_TEMPERATURE = 2.0  # OpenAI's limit
_TOKEN = "token_id:"  # noqa: S105  the beginning of a token's name in an answer


class CompletionsEngine:
    """Draws and scores replies of a decoder-only model on a server; see Engine."""

    def __init__(self, client: GenerationClient, model: str, codec: Codec) -> None:
        self._client, self._codec, self._model = client, codec, model
        vocabulary = codec.tokenizer.get_vocab()
        self._bias = {str(vocabulary[piece]): _NEVER for [piece] in list_forbidden_tokens(codec)}

    def candidates(
        self,
        requests: Sequence[GenerationRequest],
        decoding: Decoding,
        should_stop: ShouldStop | None = None,
    ) -> list[list[Candidate]]:
        """See Engine. A reply that has ended is cut here: the server only knows its end token."""
        found = []
        for request in requests:
            body = self._make_body(
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
            parse = partial(self._parse_candidates, request, decoding.candidates)
            found.append(self._client.post("completions", body, parse, should_stop))
        return found

    def scores(
        self, prompts: Sequence[Ids], forced: Sequence[Ids], replies: Sequence[Ids]
    ) -> list[list[float]]:
        """See Engine. Each text is a prompt whose tokens the server scores."""
        texts = [[*p, *f, *r] for p, f, r in zip(prompts, forced, replies, strict=True)]
        body = self._make_body(prompt=texts, max_tokens=1, temperature=0, prompt_logprobs=0)

        def parse(answer: Any) -> list[list[float]]:  # noqa: ANN401  JSON's border
            return [
                _prompt_scores(choice, text)[len(text) - len(reply) :]
                for choice, text, reply in zip(_choices(answer), texts, replies, strict=True)
            ]

        return self._client.post("completions", body, parse, waits=True)

    def label_scores(self, prompt: Ids, labels: Sequence[Ids]) -> list[float]:
        """See Engine. A server that caches prefixes reads the prompt once."""
        count = len(labels)
        return [sum(row) for row in self.scores([prompt] * count, [()] * count, labels)]

    def _make_body(self, **parameters: Any) -> dict[str, Any]:  # noqa: ANN401  JSON's border
        return {
            "model": self._model, "logprobs": 1, "return_tokens_as_token_ids": True, **parameters,
        }  # fmt: skip

    def _parse_candidates(
        self,
        request: GenerationRequest,
        count: int,
        answer: Any,  # noqa: ANN401  JSON's border
    ) -> list[Candidate]:
        label = [self._codec.newline_id, *request.label]
        found = [self._parse_candidate(choice, label) for choice in _choices(answer)]
        if len(found) != count:
            raise ValueError("the number of candidates is wrong")
        return found

    def _parse_candidate(self, choice: Mapping[str, Any], label: list[int]) -> Candidate:
        drawn = DrawnTokens(0)
        logprobs = choice["logprobs"]
        for name, score in zip(logprobs["tokens"], logprobs["token_logprobs"], strict=True):
            token = int(str(name).removeprefix(_TOKEN))
            if drawn.add(token, parse_score(score), label, self._codec.end_id):
                return drawn.candidate()
        drawn.is_complete = choice["finish_reason"] == "stop"
        return drawn.candidate()


def _choices(answer: Any) -> list[dict[str, Any]]:  # noqa: ANN401  JSON's border
    """Return the choices of a completion, in order."""
    return sorted(answer["choices"], key=lambda choice: int(choice["index"]))


def _prompt_scores(choice: Mapping[str, Any], prompt: Ids) -> list[float]:
    """Return the log-probability of each token of a prompt; the first one has none, and gets 0."""
    entries = choice["prompt_logprobs"][1:]
    return [0.0] + [
        parse_score(entry[str(token)]["logprob"])
        for token, entry in zip(prompt[1:], entries, strict=True)
    ]
