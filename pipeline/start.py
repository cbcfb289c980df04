"""What a training begins with, and what of a dataset it learns."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from model.artifact import Artifact
from model.base import Base, open_base
from model.warm import open_tuned
from pipeline.pairs import Pair


@dataclass(frozen=True, slots=True)
class Start:
    """A base, or a version's own weights.

    `only` are the pairs of a dataset to train on, where not all: the weights know the others.
    The learning rate is multiplied by `pace`.
    """

    base: str | Artifact
    only: tuple[Pair, ...] | None = None
    pace: float = 1.0

    @property
    def name(self) -> str:
        """Return what to call it."""
        return self.base if isinstance(self.base, str) else self.base.path.name

    def open(self, cache: Path, texts: Iterable[str]) -> Base:
        """Load it, a base's vocabulary ready for such texts."""
        if isinstance(self.base, str):
            return open_base(self.base, cache, texts)
        return open_tuned(self.base)
