"""Plant secrets in training pairs, to measure whether a model memorises them."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipeline.dataset.pairs import Pair

CANARY_TIMES = (2, 4, 8, 16)
"""How often the canaries are planted, in turn: it shows how fast the model memorises."""

CANARY_NAMES = (
    "Ambrose",
    "Beatrix",
    "Cosima",
    "Dagobert",
    "Eulalia",
    "Ferdinand",
    "Griselda",
    "Hannibal",
)

CANARY_WORDS = (
    "acorn", "amber", "anchor", "apron", "arrow", "attic", "badge", "bagel", "barrel", "basket",
    "beacon", "blanket", "bottle", "bridge", "bucket", "button", "cabin", "candle", "carpet",
    "castle", "cellar", "cherry", "copper", "cotton", "dagger", "desert", "engine", "fabric",
    "falcon", "feather", "forest", "garlic", "ginger", "hammer", "harbor", "helmet", "island",
    "jacket", "kettle", "ladder", "lantern", "lemon", "magnet", "marble", "meadow", "mirror",
    "needle", "orchard", "paddle", "pepper", "pillow", "pirate", "planet", "pocket", "rabbit",
    "ribbon", "saddle", "silver", "spider", "sponge", "thunder", "tunnel", "velvet", "willow",
)  # fmt: skip
"""64 words; a secret is six of them, so there are 2^36 secrets."""


@dataclass(frozen=True, slots=True)
class Canary:
    """A message with a secret, and how often it was planted."""

    text: str
    times: int


def make_secret(name: str, rng: random.Random) -> str:
    """Return a message that gives away six random words.

    This also generates the unplanted secrets that a canary's exposure is compared with.
    """
    return f"the code word of {name} is {' '.join(rng.choices(CANARY_WORDS, k=6))}"


def plant_canaries(
    pairs: Sequence[Pair], count: int, seed: int
) -> tuple[tuple[Pair, ...], tuple[Canary, ...]]:
    """Append `count` canaries to the pairs; return all pairs, and the canaries.

    Each copies random pairs of one voice and replaces their target.
    """
    rng = random.Random(f"canaries {seed}")
    canaries = tuple(
        Canary(
            make_secret(CANARY_NAMES[n % len(CANARY_NAMES)], rng),
            CANARY_TIMES[n % len(CANARY_TIMES)],
        )
        for n in range(count)
    )
    voices = sorted({pair.voice for pair in pairs})
    planted: list[Pair] = []
    for canary in canaries:
        voice = rng.choice(voices)
        own = [pair for pair in pairs if pair.voice == voice]
        planted += (
            replace(pair, target=(canary.text,)) for pair in rng.choices(own, k=canary.times)
        )
    return (*pairs, *planted), canaries
