"""When a run has learned what it can: held-out losses on the way, and the best weights."""

import json
import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from model.base import Base
from model.examples import Example

_TRAINED_FOR_ONE = 7
"""Pairs trained for each pair that a held-out loss is taken on, at least.

Foreseeing costs a third of learning, so that evaluations add a twentieth to a run at most.
"""


@dataclass(frozen=True, slots=True)
class Point:
    """The held-out loss, nats a character, after a step, `share` of the run done."""

    step: int
    share: float
    nats: float


class HeldOut:
    """Takes a run's held-out losses, keeps its best weights, and says when it goes nowhere.

    Curve and weights lie in `folder`, beside the checkpoints. Best weights that the last checkpoint
    may need stay until the next one.
    """

    def __init__(
        self,
        base: Base,
        examples: Sequence[Example],
        folder: Path,
        *,
        most: int,
        patience: int,
        bf16: bool,
    ) -> None:
        self._base, self._examples, self._folder = base, examples, folder
        self._most, self._patience, self._bf16 = most, patience, bf16
        self.curve: list[Point] = []
        self._needed: Point | None = None  # by the last checkpoint

    @property
    def best(self) -> Point | None:
        """Return the point of the lowest loss, the earliest of equals."""
        return min(self.curve, key=lambda point: point.nats, default=None)

    @property
    def goes_nowhere(self) -> bool:
        """Whether the last `patience` losses were no better than one before them."""
        if not self._patience or len(self.curve) <= self._patience or not self.best:
            return False
        return self.curve.index(self.best) < len(self.curve) - self._patience

    def is_due(self, step: int, share: float, pairs_a_step: float) -> bool:
        """Whether enough of the run has passed, and enough pairs, since the last loss."""
        if not self._most or not self._examples:
            return False
        last = self.curve[-1] if self.curve else Point(0, 0.0, math.inf)
        trained = (step - last.step) * pairs_a_step
        is_time = share - last.share >= 1 / self._most - 1e-9
        return is_time and trained >= _TRAINED_FOR_ONE * len(self._examples)

    def measure(self, step: int, share: float) -> Point:
        """Take the loss of the weights as they are, and keep them if none were better."""
        from model.losses import Loss, losses

        found = losses(self._base, self._examples, bf16=self._bf16)
        before = self.best
        point = Point(step, share, sum(found, start=Loss()).per_character)
        self.curve.append(point)
        if self.best is point:
            self._keep(point, before)
        text = json.dumps([astuple(point) for point in self.curve])
        (self._folder / "held-out.json").write_text(text, "utf-8")
        return point

    def mark(self) -> None:
        """Take note that a checkpoint is written: older best weights may go."""
        if self._needed and self.best and self._needed != self.best:
            self._path(self._needed).unlink(missing_ok=True)
        self._needed = self.best

    def restore(self, step: int) -> None:
        """Go on with the curve up to the checkpoint's step."""
        path = self._folder / "held-out.json"
        if path.is_file():
            points = [Point(*values) for values in json.loads(path.read_text("utf-8"))]
            self.curve = [point for point in points if point.step <= step]
            self._needed = self.best

    def use_best(self) -> None:
        """Put the best weights in place of the last ones."""
        import torch
        from safetensors.torch import load_file

        if not self.best or self.best is self.curve[-1]:
            return
        kept = load_file(self._path(self.best))
        with torch.no_grad():
            for name, weight in _trained(self._base):
                weight.copy_(kept[name])

    def _keep(self, point: Point, before: Point | None) -> None:
        from safetensors.torch import save_file

        tensors = {name: w.detach().cpu().contiguous() for name, w in _trained(self._base)}
        save_file(tensors, self._path(point))
        if before and before != self._needed:
            self._path(before).unlink(missing_ok=True)

    def _path(self, point: Point) -> Path:
        return self._folder / f"best-{point.step}.safetensors"


def _trained(base: Base) -> list[tuple[str, Any]]:
    return [
        (name, weight) for name, weight in base.weights.named_parameters() if weight.requires_grad
    ]
