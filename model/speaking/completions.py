"""Generate on a completions server, such as vLLM or `model.serving`, instead of in this process.

Prompts and replies are sent as token ids, so the server renders nothing, and a reply's forced
beginning is the end of its prompt. Besides OpenAI's parameters this uses vLLM's `top_k`,
`repetition_penalty`, `stop_token_ids`, `return_tokens_as_token_ids` and `prompt_logprobs`
(https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html). OpenAI's `echo` would need
a tokenizer on the server. The field `understudy` is for `model.serving` only: see its `Extension`.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from model.artifacts.artifact import Decoding, Family
from model.artifacts.tokenizer import Codec
from model.speaking.client import SECONDS, GenerationClient, parse_score
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
    """Draws and scores replies on a server; see Engine."""

    def __init__(self, client: GenerationClient, model: str, codec: Codec, family: Family) -> None:
        self._client, self._codec, self._model, self._family = client, codec, model, family
        vocabulary = codec.tokenizer.get_vocab()
        self._bias = {str(vocabulary[piece]): _NEVER for [piece] in list_forbidden_tokens(codec)}

    def candidates(
        self,
        requests: Sequence[GenerationRequest],
        decoding: Decoding,
        should_stop: ShouldStop | None = None,
    ) -> list[list[Candidate]]:
        """See Engine. A reply that has ended is cut here: vLLM only knows its end token."""
        count, temperature = decoding.candidates, decoding.temperature
        if not self._client.is_cluster:
            temperature = min(temperature, _MAX_TEMPERATURE)
        body = self._make_body(
            [request.prompt for request in requests],
            [request.forced for request in requests],
            {"labels": [request.label for request in requests]},
            n=count,
            max_tokens=decoding.max_new_tokens,
            temperature=temperature,
            top_p=decoding.top_p,
            top_k=decoding.top_k or -1,
            repetition_penalty=decoding.repetition_penalty,
            stop_token_ids=[self._codec.end_id],
            logit_bias=self._bias,
        )

        def parse(answer: Any) -> list[list[Candidate]]:  # noqa: ANN401  JSON's border
            choices = _choices(answer)
            if len(choices) != count * len(requests):
                raise ValueError("the number of candidates is wrong")
            return [
                [self._parse_candidate(one, request.label) for one in choices[at : at + count]]
                for request, at in zip(requests, range(0, len(choices), count), strict=True)
            ]

        return self._client.post("completions", body, parse, should_stop)

    def scores(self, prompt: Ids, forced: Ids, replies: Sequence[Ids]) -> list[list[float]]:
        """See Engine. Each text is a prompt whose tokens the server scores.

        A server that caches prefixes reads their common prefix only once.
        """
        is_read_apart = self._family == "encoder-decoder"
        unscored = len(forced) + (0 if is_read_apart else len(prompt))
        body = self._make_body(
            [prompt] * len(replies),
            [[*forced, *reply] for reply in replies],
            {"unscored": unscored},
            max_tokens=1,
            temperature=0,
            prompt_logprobs=0,
        )

        def parse(answer: Any) -> list[list[float]]:  # noqa: ANN401  JSON's border
            rows = [choice["prompt_logprobs"][unscored:] for choice in _choices(answer)]
            return [
                [
                    parse_score(entry[str(token)]["logprob"])
                    for token, entry in zip(reply, row, strict=True)
                ]
                for reply, row in zip(replies, rows, strict=True)
            ]

        return self._client.post("completions", body, parse, waits=True)

    def _make_body(
        self,
        prompts: Sequence[Ids],
        beginnings: Sequence[Ids],
        extension: Mapping[str, Any],
        **parameters: Any,  # noqa: ANN401  JSON's border
    ) -> dict[str, Any]:
        """Return a request for texts with these beginnings, which are T5's decoder's."""
        extension = {"deadline": time.time() + SECONDS, **extension}  # when nobody waits any longer
        if self._family == "encoder-decoder":
            extension["decoder_prefixes"] = beginnings
        else:
            prompts = [[*p, *b] for p, b in zip(prompts, beginnings, strict=True)]
        return {
            "model": self._model, "prompt": prompts, "logprobs": 1,
            "return_tokens_as_token_ids": True, "understudy": extension, **parameters,
        }  # fmt: skip

    def _parse_candidate(self, choice: Mapping[str, Any], label: Ids) -> Candidate:
        drawn, after_line = DrawnTokens(0), [self._codec.newline_id, *label]
        logprobs = choice["logprobs"]
        for name, score in zip(logprobs["tokens"], logprobs["token_logprobs"], strict=True):
            token = int(str(name).removeprefix(_TOKEN))
            if drawn.add(token, parse_score(score), after_line, self._codec.end_id):
                return drawn.candidate()
        drawn.is_complete = choice["finish_reason"] == "stop"
        return drawn.candidate()


def _choices(answer: Any) -> list[dict[str, Any]]:  # noqa: ANN401  JSON's border
    """Return the choices of a completion, in order."""
    return sorted(answer["choices"], key=lambda choice: int(choice["index"]))
