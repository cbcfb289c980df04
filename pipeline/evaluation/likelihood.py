"""Measure the loss of real replies, and whether the right name makes them likeliest."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from model.artifacts.tokenizer import Codec
from model.chat.prompt import parse_reply
from model.speaking.engine import Engine
from pipeline.evaluation.heldout import Turn
from pipeline.evaluation.intervals import Estimate, mean, ratio

MAX_REPLY_TOKENS = 96
_BATCH = 4  # 8 and 16 were no faster per turn, and need twice the memory for logits


@dataclass(frozen=True, slots=True)
class Cost:
    """The loss of the words of one reply in nats, their tokens and their characters."""

    nats: float
    tokens: int
    characters: int


@dataclass(frozen=True, slots=True)
class Likelihood:
    """Nats per character of held-out turns (lower is better).

    `unseen` are the turns that are not in the training set.
    """

    tuned: Estimate
    base: Estimate
    no_context: Estimate
    unseen: Mapping[str, Estimate]
    voices: Mapping[str, Mapping[str, Estimate]]


@dataclass(frozen=True, slots=True)
class RightVoice:
    """Share of turns that are likeliest under the right name; nats per character under both kinds.

    `other_names` is the mean over the wrong names; `unseen` is the share among turns that are not
    in the training set.
    """

    share: Estimate
    unseen: Estimate
    chance: float
    own_name: Estimate
    other_names: Estimate
    voices: Mapping[str, Estimate]


def compute_costs(
    engine: Engine, codec: Codec, turns: Sequence[Turn], limit: int
) -> Iterator[Cost]:
    """Yield the loss of each turn under its voice's name; prompts have at most `limit` tokens."""
    for start in range(0, len(turns), _BATCH):
        batch = turns[start : start + _BATCH]
        replies = [codec.reply_ids(turn.voice, turn.messages) for turn in batch]
        prompts = [codec.prompt_ids(turn.context, limit) for turn in batch]
        ids = [reply.ids[:MAX_REPLY_TOKENS] for reply in replies]
        rows = engine.scores(prompts, [reply.forced for reply in replies], ids)
        for turn, reply, row in zip(batch, replies, rows, strict=True):
            texts = turn.messages
            if len(row) < len(reply.ids):
                texts = parse_reply(turn.voice, codec.reply_text(turn.voice, reply.ids[: len(row)]))
            words = [value for value, is_word in zip(row, reply.is_word, strict=False) if is_word]
            yield Cost(-sum(words), len(words), max(1, sum(map(len, texts))))


def measure_likelihood(
    turns: Sequence[Turn], costs: Mapping[str, Sequence[Cost]], seed: int
) -> Likelihood:
    """Compare the losses `tuned`, `base` and `no_context`, each in the order of the turns."""
    table = pd.DataFrame(
        {
            "voice": [turn.voice for turn in turns],
            "seen": [turn.seen for turn in turns],
            **{f"nats {arm}": [cost.nats for cost in own] for arm, own in costs.items()},
            **{
                f"characters {arm}": [cost.characters for cost in own] for arm, own in costs.items()
            },
        }
    )

    def per_character(rows: pd.DataFrame) -> dict[str, Estimate]:
        return {arm: ratio(rows[f"nats {arm}"], rows[f"characters {arm}"], seed) for arm in costs}

    return Likelihood(
        **per_character(table),
        unseen=per_character(table[~table["seen"]]),
        voices={
            str(voice): per_character(rows) for voice, rows in table.groupby("voice", sort=False)
        },
    )


def compute_perplexity(costs: Sequence[Cost]) -> float:
    """Return the perplexity per token; comparable only between models with the same tokenizer."""
    return math.exp(sum(cost.nats for cost in costs) / max(1, sum(cost.tokens for cost in costs)))


def repeat_under_names(turns: Sequence[Turn], names: Sequence[str]) -> list[Turn]:
    """Return each turn once under each name, in the order of turns, then names."""
    return [replace(turn, voice=name) for turn in turns for name in names]


def measure_right_voice(
    turns: Sequence[Turn], names: Sequence[str], costs: Sequence[Cost], seed: int
) -> RightVoice:
    """Compare the losses of the turns that `repeat_under_names` returned."""
    nats = np.asarray([cost.nats for cost in costs]).reshape(len(turns), len(names))
    own = np.asarray([names.index(turn.voice) for turn in turns])
    own_nats = nats[np.arange(len(turns)), own]
    table = pd.DataFrame(
        {
            "voice": [turn.voice for turn in turns],
            "seen": [turn.seen for turn in turns],
            "is_right": (nats.argmin(1) == own).astype(float),
        }
    )
    lengths = [float(cost.characters) for cost in costs[:: len(names)]]
    others = (nats.sum(1) - own_nats) / max(1, len(names) - 1)
    return RightVoice(
        share=mean(table["is_right"], seed),
        unseen=mean(table.loc[~table["seen"], "is_right"], seed),
        chance=1 / len(names),
        own_name=ratio(own_nats, lengths, seed),
        other_names=ratio(others, lengths, seed),
        voices={name: mean(table.loc[table["voice"] == name, "is_right"], seed) for name in names},
    )
