"""Losses of real replies in nats: by voice, with and without context, tuned and untuned."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from model.engine import Engine
from model.evaluation.bootstrap import Estimate, ratio
from model.evaluation.turns import Turn
from model.prompt import render_reply
from model.tokenizer import Codec

MAX_REPLY_TOKENS = 96
_BATCH = 4  # 8 and 16 were no faster a turn, and hold twice the logits


@dataclass(frozen=True, slots=True)
class Cost:
    """The loss of one reply with its end token in nats, its tokens and its characters."""

    nats: float
    tokens: int
    characters: int


@dataclass(frozen=True, slots=True)
class Likelihood:
    """Nats per character of held-out turns (lower is better); `unseen` are not in training."""

    tuned: Estimate
    base: Estimate
    no_context: Estimate
    unseen: Mapping[str, Estimate]
    voices: Mapping[str, Mapping[str, Estimate]]


def costs(engine: Engine, codec: Codec, turns: Sequence[Turn], limit: int) -> Iterator[Cost]:
    """Yield the loss of each turn under its voice's name; prompts have at most `limit` tokens."""
    for start in range(0, len(turns), _BATCH):
        yield from _batch_costs(engine, codec, turns[start : start + _BATCH], limit)


def _batch_costs(engine: Engine, codec: Codec, turns: Sequence[Turn], limit: int) -> Iterator[Cost]:
    texts = [render_reply(turn.messages) for turn in turns]
    pairs = [codec.reply_ids(turn.voice, text) for turn, text in zip(turns, texts, strict=True)]
    cut = [reply[:MAX_REPLY_TOKENS] for _, reply in pairs]
    prompts = [codec.prompt_ids(turn.context, limit) for turn in turns]
    rows = engine.scores(prompts, [forced for forced, _ in pairs], cut)
    for turn, text, (_, whole), ids, row in zip(turns, texts, pairs, cut, rows, strict=True):
        kept = text if len(ids) == len(whole) else codec.reply_text(turn.voice, ids)
        yield Cost(-sum(row), len(row), max(1, len(kept.strip())))


def without_context(turns: Sequence[Turn]) -> list[Turn]:
    """Return the turns with empty contexts."""
    return [replace(turn, context=()) for turn in turns]


def likelihood(
    turns: Sequence[Turn], measured: Mapping[str, Sequence[Cost]], seed: int
) -> Likelihood:
    """Compare the losses `tuned`, `base` and `no_context`, each in the order of the turns."""
    fresh = [number for number, turn in enumerate(turns) if not turn.seen]

    def of(numbers: Sequence[int]) -> dict[str, Estimate]:
        chosen = {arm: [found[n] for n in numbers] for arm, found in measured.items()}
        return {arm: per_character(each, seed) for arm, each in chosen.items()}

    voices = {
        voice: of([n for n, turn in enumerate(turns) if turn.voice == voice])
        for voice in dict.fromkeys(turn.voice for turn in turns)
    }
    return Likelihood(**of(range(len(turns))), unseen=of(fresh), voices=voices)


def per_character(found: Sequence[Cost], seed: int) -> Estimate:
    """Return nats per character over all replies."""
    return ratio([cost.nats for cost in found], [cost.characters for cost in found], seed)


def perplexity(found: Sequence[Cost]) -> float:
    """Return the perplexity per token; comparable only between models with the same tokenizer."""
    return math.exp(sum(cost.nats for cost in found) / max(1, sum(cost.tokens for cost in found)))
