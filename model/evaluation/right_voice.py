"""Measure how often the right name makes a real turn likeliest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from model.evaluation.bootstrap import Estimate, mean, ratio
from model.evaluation.likelihood import Cost
from model.evaluation.turns import Turn


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
