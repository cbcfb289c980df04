"""Which pairs a step learns from, and in how many passes: plain numbers, no torch."""

import math
import random
from collections.abc import Iterator, Sequence

_POOL = 50  # batches' worth of pairs that are put in order of length together


def epoch_of(
    lengths: Sequence[int], size: int, seed: int, epoch: int, *, alike: bool
) -> list[list[int]]:
    """Return an epoch's batches of pairs' numbers, in an order that seed and epoch decide alone.

    `alike` puts pairs of like length together: pools of 50 batches, drawn by chance, are put in
    order of length and cut up; then the batches are shuffled.
    """
    chance = random.Random(f"{seed} {epoch}")
    order = list(range(len(lengths)))
    chance.shuffle(order)
    if alike:
        pools = [order[n : n + size * _POOL] for n in range(0, len(order), size * _POOL)]
        order = [n for pool in pools for n in sorted(pool, key=lengths.__getitem__)]
    batches = [order[n : n + size] for n in range(0, len(order), size)]
    if alike:
        chance.shuffle(batches)
    return batches


class Plan:
    """The steps of a whole run, each the numbers of its pairs; a torch Dataset by its methods.

    A run that is resumed at a step has the rest of the same steps, whatever its passes were.
    """

    def __init__(
        self, lengths: Sequence[int], size: int, seed: int, epochs: float, *, alike: bool
    ) -> None:
        self._lengths, self._size, self._seed, self._alike = lengths, size, seed, alike
        self._epochs = epochs
        self._epoch: tuple[int, list[list[int]]] = (-1, [])  # the one at hand

    @property
    def steps_an_epoch(self) -> int:
        """Return how many steps pass over all pairs once."""
        return math.ceil(len(self._lengths) / self._size)

    def __len__(self) -> int:
        return max(1, math.ceil(self._epochs * self.steps_an_epoch))

    def __getitem__(self, step: int) -> list[int]:
        if not 0 <= step < len(self):
            raise IndexError(step)
        epoch, within = divmod(step, self.steps_an_epoch)
        if self._epoch[0] != epoch:
            made = epoch_of(self._lengths, self._size, self._seed, epoch, alike=self._alike)
            self._epoch = (epoch, made)
        return self._epoch[1][within]


def passes(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Cut a step into passes of at most `budget` padded tokens, of at least one pair each.

    Yields places in `lengths`, the longest first: what does not fit fails at once.
    """
    order = sorted(range(len(lengths)), key=lambda place: -lengths[place])
    while order:
        fitting = max(1, budget // lengths[order[0]])
        yield order[:fitting]
        order = order[fitting:]
