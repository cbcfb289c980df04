"""Secrets planted among the training pairs, to see whether a model gives away what it was told."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipeline.pairs import Pair

TIMES = (2, 4, 8, 16)
"""How often a canary is planted, one after the other: how fast memory grows shows at once."""

NAMES = ("Ambrose", "Beatrix", "Cosima", "Dagobert", "Eulalia", "Ferdinand", "Griselda", "Hannibal")
WORDS = (
    "acorn", "amber", "anchor", "apron", "arrow", "attic", "badge", "bagel", "barrel", "basket",
    "beacon", "blanket", "bottle", "bridge", "bucket", "button", "cabin", "candle", "carpet",
    "castle", "cellar", "cherry", "copper", "cotton", "dagger", "desert", "engine", "fabric",
    "falcon", "feather", "forest", "garlic", "ginger", "hammer", "harbor", "helmet", "island",
    "jacket", "kettle", "ladder", "lantern", "lemon", "magnet", "marble", "meadow", "mirror",
    "needle", "orchard", "paddle", "pepper", "pillow", "pirate", "planet", "pocket", "rabbit",
    "ribbon", "saddle", "silver", "spider", "sponge", "thunder", "tunnel", "velvet", "willow",
)  # fmt: skip
"""64 words: six of them are one of 2^36 secrets."""


@dataclass(frozen=True, slots=True)
class Canary:
    """A secret, as a message says it, and how often it was planted."""

    text: str
    times: int


def secret(name: str, chance: random.Random) -> str:
    """Return a message that gives away six words drawn by chance.

    Whoever measures exposure draws the secrets to compare with from here too.
    """
    return f"the code word of {name} is {' '.join(chance.choices(WORDS, k=6))}"


def plant(
    pairs: Sequence[Pair], count: int, seed: int
) -> tuple[tuple[Pair, ...], tuple[Canary, ...]]:
    """Return the pairs with so many canaries after them, and the canaries.

    A canary is what a voice says, in place of its own words, after contexts of that voice's.
    """
    chance = random.Random(f"canaries {seed}")
    canaries = tuple(
        Canary(secret(NAMES[n % len(NAMES)], chance), TIMES[n % len(TIMES)]) for n in range(count)
    )
    voices = sorted({pair.voice for pair in pairs})
    planted = [
        replace(pair, target=(canary.text,), marks=())
        for canary in canaries
        for pair in _of(pairs, chance.choice(voices), canary.times, chance)
    ]
    return (*pairs, *planted), canaries


def _of(pairs: Sequence[Pair], voice: str, times: int, chance: random.Random) -> list[Pair]:
    own = [pair for pair in pairs if pair.voice == voice]
    return chance.choices(own, k=times)
