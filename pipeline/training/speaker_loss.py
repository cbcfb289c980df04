"""A second loss, on names: a turn should be likelier under its own name than under another."""

import random
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from pipeline.dataset.pairs import Pair
from pipeline.training.bases import Base
from pipeline.training.encoding import Example, encode
from pipeline.training.hyperparameters import Hyperparameters
from pipeline.training.scorer import compute_log_probabilities

TURNS, NAMES = 12, 4
"""Turns per step, and the names that compete for each: its own and three others."""

_MAX_REPLY_TOKENS = 32
_DRAWN = 3 * TURNS
"""Turns drawn for a step; of these, `TURNS` neighbours in length are used."""


class SpeakerLoss:
    """Cross-entropy of the right name, given a turn without context.

    With equal priors, p(name | turn) is p(turn | name) divided by its sum over the names, where
    p(turn | name) is the model's probability of the turn's words after the label. All voices are
    drawn equally often. The draws depend on seed and step only, so a resumed run repeats them.

    `weight` multiplies the loss. A run of fewer than `min_passes` passes over its examples does
    better without it.
    """

    def __init__(
        self,
        base: Base,
        pairs: Iterable[Pair],
        settings: Hyperparameters,
        min_passes: float,
        *,
        shards: bool = False,
    ) -> None:
        """With `shards`, processes share the model, so each part of a step must call it."""
        self.weight, self.min_passes = settings.speaker_loss, min_passes
        self._base, self._seed, self._shards = base, settings.seed, shards
        self._limits = (settings.max_prompt_tokens, _MAX_REPLY_TOKENS)
        self._turns: dict[str, list[tuple[str, ...]]] = defaultdict(list)
        for pair in pairs:
            self._turns[pair.voice].append(pair.target)
        self._voices = sorted(self._turns)

    @property
    def is_used(self) -> bool:
        """Whether it has a weight, and at least two voices."""
        return self.weight > 0 and len(self._voices) > 1

    def compute(self, step: int, part: int = 0, parts: int = 1) -> Any:  # noqa: ANN401  a tensor
        """Return a part of the mean over the turns of a step, in nats, as a scalar tensor.

        The `parts` of a step add up to the mean.
        """
        import torch

        drawn = self._draw(step)
        groups = drawn[part::parts]
        if not groups and not self._shards:
            return torch.zeros(())
        counts_for_step = len(groups) > 0
        groups = groups or drawn[:1]
        examples = [example for group in groups for example in group]
        rows = compute_log_probabilities(self._base, examples)
        scores = [
            (row * torch.tensor(example.is_word, device=row.device)).sum()
            for example, row in zip(examples, rows, strict=True)
        ]
        by_turn = torch.stack(scores).view(len(groups), -1)
        return -by_turn.log_softmax(1)[:, 0].sum() * counts_for_step / TURNS

    def _draw(self, step: int) -> list[list[Example]]:
        """Return for each turn its examples under each name, its own name first."""
        rng = random.Random(f"{self._seed} {step}")
        voices = rng.choices(self._voices, k=_DRAWN)
        drawn = [(voice, rng.choice(self._turns[voice])) for voice in voices]
        drawn.sort(key=lambda turn: sum(map(len, turn[1])))
        start = TURNS * rng.randrange(_DRAWN // TURNS)
        groups = []
        for voice, target in drawn[start : start + TURNS]:
            others = [name for name in self._voices if name != voice]
            names = [voice, *rng.sample(others, min(NAMES - 1, len(others)))]
            groups.append(
                [encode(self._base.codec, name, (), target, self._limits) for name in names]
            )
        return groups
