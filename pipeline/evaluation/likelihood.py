"""Loss of real replies, and whether the right name makes them likeliest."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from model.artifacts.tokenizer import Codec
from model.chat.prompt import render_reply
from model.speaking.engine import Engine
from pipeline.evaluation.heldout import Turn
from pipeline.evaluation.intervals import Estimate, mean, ratio

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


@dataclass(frozen=True, slots=True)
class RightVoice:
    """Share of turns that are likeliest under the right name; nats per character under both kinds.

    `other_names` is the mean over the wrong names; `unseen` is the share among turns that are not
    in training.
    """

    share: Estimate
    unseen: Estimate
    chance: float
    own_name: Estimate
    other_names: Estimate
    voices: Mapping[str, Estimate]


def under_every_name(turns: Sequence[Turn], names: Sequence[str]) -> list[Turn]:
    """Return each turn once under each name, in the order of turns, then names."""
    return [replace(turn, voice=name) for turn in turns for name in names]


def right_voice(
    turns: Sequence[Turn], names: Sequence[str], costs: Sequence[Cost], seed: int
) -> RightVoice:
    """Compare the losses of the turns that `under_every_name` returned."""
    nats = np.asarray([cost.nats for cost in costs]).reshape(len(turns), len(names))
    own = np.asarray([names.index(turn.voice) for turn in turns])
    rows = np.arange(len(turns))
    wins = [float(win) for win in nats.argmin(1) == own]
    lengths = [float(cost.characters) for cost in costs[:: len(names)]]
    others = (nats.sum(1) - nats[rows, own]) / max(1, len(names) - 1)
    return RightVoice(
        share=mean(wins, seed),
        unseen=mean([win for win, turn in zip(wins, turns, strict=True) if not turn.seen], seed),
        chance=1 / len(names),
        own_name=ratio(list(nats[rows, own]), lengths, seed),
        other_names=ratio(list(others), lengths, seed),
        voices={
            name: mean([w for w, turn in zip(wins, turns, strict=True) if turn.voice == name], seed)
            for name in names
        },
    )
