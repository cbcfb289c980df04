"""Compute the log-probability of replies; the context of several replies is read once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from model.artifacts.tokenizer import Codec
from pipeline.training.bases import Base
from pipeline.training.encoding import split_by_tokens

MAX_REPLY_TOKENS = 96
_TOKENS = 768
"""Tokens per forward pass; attention is masked between requests, and its cost grows with these."""

OnStep = Callable[[], None]
Named = tuple[str, tuple[str, ...]]
"""A name and the messages of a turn under this name."""


@dataclass(frozen=True, slots=True)
class ScoringRequest:
    """A context of rendered lines, and replies that could follow it."""

    context: tuple[str, ...]
    replies: tuple[Named, ...]


@dataclass(frozen=True, slots=True)
class ReplyScore:
    """The log-probability of a reply's words in nats, and their tokens and characters.

    Labels, line breaks and the end are conditions, and do not count.
    """

    nats: float
    tokens: int
    characters: int


@dataclass(frozen=True, slots=True)
class _EncodedReply:
    """A reply's ids, the indices of those that are words, and the characters of the words."""

    ids: list[int]
    words: list[int]
    characters: int


def score_replies(
    base: Base, requests: Sequence[ScoringRequest], limit: int, on_step: OnStep = lambda: None
) -> list[list[ReplyScore]]:
    """Return a score for each reply of each request; prompts have at most `limit` tokens.

    `on_step` is called for each request.
    """
    import torch

    weights, codec = base.weights, base.codec
    weights.eval()
    prompts = [codec.prompt_ids(request.context, limit) for request in requests]
    replies = [[_encode(codec, *reply) for reply in request.replies] for request in requests]
    if base.family == "decoder-only":
        for prompt, own in zip(prompts, replies, strict=True):
            _move_common_beginning(prompt, own)
    asked = [index for index, own in enumerate(replies) if own]
    lengths = [len(prompts[n]) + sum(len(reply.ids) for reply in replies[n]) for n in asked]
    score = _score_packed if base.family == "decoder-only" else _score_decoder
    scores: dict[int, list[ReplyScore]] = {}
    with torch.inference_mode():
        for chosen in split_by_tokens(lengths, _TOKENS):
            indices = [asked[number] for number in chosen]
            rows = [(prompts[index], replies[index]) for index in indices]
            found = iter(score(weights, rows))
            for index in indices:
                scores[index] = [
                    ReplyScore(next(found), len(reply.words), reply.characters)
                    for reply in replies[index]
                ]
                on_step()
    return [scores.get(index, []) for index in range(len(requests))]


def _encode(codec: Codec, name: str, messages: Sequence[str]) -> _EncodedReply:
    """Encode a turn with its label, and find the tokens of its words."""
    reply = codec.reply_ids(name, messages)
    ids = [*reply.forced, *reply.ids[:MAX_REPLY_TOKENS]]
    is_word = [*(False for _ in reply.forced), *reply.is_word[:MAX_REPLY_TOKENS]]
    words = [index for index, one in enumerate(is_word) if one]
    characters = sum(len(text) + 1 for text in messages)
    if len(reply.ids) > MAX_REPLY_TOKENS:
        characters = len(codec.text(ids[index] for index in words))
    return _EncodedReply(ids, words, characters)


def _move_common_beginning(prompt: list[int], replies: list[_EncodedReply]) -> None:
    """Append the label that all replies begin with to the prompt, so that it is read once."""
    common = min((reply.words[0] for reply in replies if reply.words), default=0)
    beginnings = {tuple(reply.ids[:common]) for reply in replies}
    if len(beginnings) == 1 and all(reply.words for reply in replies):
        prompt += beginnings.pop()
        for index, reply in enumerate(replies):
            words = [word - common for word in reply.words]
            replies[index] = _EncodedReply(reply.ids[common:], words, reply.characters)


def _score_packed(
    weights: Any,  # noqa: ANN401  transformers' models have no common type
    rows: Sequence[tuple[list[int], list[_EncodedReply]]],
) -> list[float]:
    """Score one sequence of prompts and replies; a reply sees its prompt and itself only."""
    import torch

    ids: list[int] = []
    positions: list[int] = []
    owners: list[tuple[int, int]] = []  # of each token: request, and reply or -1
    indices: list[int] = []
    labels: list[int] = []
    counts: list[int] = []
    for number, (prompt, replies) in enumerate(rows):
        ids += prompt
        positions += range(len(prompt))
        owners += [(number, -1)] * len(prompt)
        last = len(ids) - 1
        for reply_number, reply in enumerate(replies):
            start = len(ids)
            indices += [start + index - 1 if index else last for index in reply.words]
            labels += [reply.ids[index] for index in reply.words]
            counts.append(len(reply.words))
            ids += reply.ids
            positions += range(len(prompt), len(prompt) + len(reply.ids))
            owners += [(number, reply_number)] * len(reply.ids)
    device = weights.device
    request, reply_of = torch.tensor(owners, device=device).T
    is_seen = (request[:, None] == request) & ((reply_of == -1) | (reply_of[:, None] == reply_of))
    is_seen = is_seen.tril()
    mask = torch.zeros(is_seen.shape, device=device, dtype=weights.dtype)
    mask = mask.masked_fill(~is_seen, torch.finfo(mask.dtype).min)
    hidden = weights.base_model(
        input_ids=torch.tensor([ids], device=device),
        attention_mask=mask[None, None],
        position_ids=torch.tensor([positions], device=device),
        use_cache=False,
    ).last_hidden_state[0]
    logits = weights.get_output_embeddings()(hidden[torch.tensor(indices, device=device)])
    return _sum_by_reply(logits, labels, counts)


def _score_decoder(
    weights: Any,  # noqa: ANN401  transformers' models have no common type
    rows: Sequence[tuple[list[int], list[_EncodedReply]]],
) -> list[float]:
    """Score the replies of each request with one pass of the encoder."""
    import torch

    found: list[float] = []
    start = weights.config.decoder_start_token_id
    for prompt, replies in rows:
        encoded = weights.get_encoder()(input_ids=torch.tensor([prompt], device=weights.device))
        width = max((len(reply.ids) for reply in replies), default=0)
        inputs = [
            [start, *reply.ids[:-1], *([start] * (width - len(reply.ids)))] for reply in replies
        ]
        encoded.last_hidden_state = encoded.last_hidden_state.expand(len(replies), -1, -1)
        logits = weights(
            encoder_outputs=encoded,
            decoder_input_ids=torch.tensor(inputs, device=weights.device),
            use_cache=False,
        ).logits
        kept = [(row, index) for row, reply in enumerate(replies) for index in reply.words]
        labels = [replies[row].ids[index] for row, index in kept]
        rows_kept, indices = (list(one) for one in zip(*kept, strict=True)) if kept else ([], [])
        found += _sum_by_reply(logits[rows_kept, indices], labels, [len(r.words) for r in replies])
    return found


def _sum_by_reply(logits: Any, labels: Sequence[int], counts: Sequence[int]) -> list[float]:  # noqa: ANN401
    """Return the sum of the log-probabilities of each reply's labels; logits [labels, ids]."""
    import torch

    wanted = torch.tensor(labels, device=logits.device, dtype=torch.long)
    values = logits.float().log_softmax(-1).gather(-1, wanted[:, None])[:, 0]
    return [float(part.sum()) for part in values.split(list(counts))]
