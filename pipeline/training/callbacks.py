"""Stop training at a time limit or when held-out loss no longer falls; report progress."""

import json
import math
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple
from pathlib import Path
from typing import Any

from pipeline.terminal import Point, TrainingProgress, Watcher
from pipeline.training.bases import Base
from pipeline.training.encoding import Example

_TRAINED_FOR_ONE = 7
"""Pairs trained for each pair that a held-out loss is taken on, at least.

Foreseeing costs a third of learning, so that evaluations add a twentieth to a run at most.
"""


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
        from pipeline.training.losses import Loss, losses

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


_SAVE_EVERY = 600.0  # seconds between checkpoints: 1.6 GB for SmolLM2-135M, a few seconds to write


def schedule(shape: str, warmup: float, clock: "Clock") -> Callable[[float], float]:
    """Return warm-up and a fall, cosine or linear, over whichever ends first, steps or minutes."""

    def factor(steps_done: float) -> float:
        done = min(1.0, max(steps_done, clock.share))
        if done < warmup:
            return max(0.05, done / warmup)
        fallen = (done - warmup) / (1 - warmup)
        if shape == "linear":
            return 1 - fallen
        return max(0.02, 0.5 * (1 + math.cos(math.pi * fallen)))

    return factor


class Clock:
    """The seconds of training so far, over interruptions, and whether somebody stopped it.

    It stands still while held-out losses are taken: `--minutes` are minutes of training, and the
    learning rate falls with them alone.
    """

    def __init__(self, limit: float, path: Path) -> None:
        self.limit, self._path = limit, path
        self.interrupted = False
        self._before, self._start = 0.0, time.monotonic()

    @property
    def elapsed(self) -> float:
        """Return the seconds of training so far."""
        return self._before + time.monotonic() - self._start

    @property
    def share(self) -> float:
        """Return how much of the time limit is used up, 0 where there is none."""
        return self.elapsed / self.limit if self.limit else 0.0

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stand still meanwhile."""
        start = time.monotonic()
        try:
            yield
        finally:
            self._before -= time.monotonic() - start

    def save(self) -> None:
        """Write the time beside a checkpoint."""
        self._path.write_text(f"{self.elapsed}\n", "utf-8")

    def restore(self) -> None:
        """Go on from the time that was written last."""
        if self._path.is_file():
            self._before = float(self._path.read_text("utf-8"))


class _Conduct:
    """Says when to save, to evaluate and to stop, and tells the watcher of each step.

    Its methods are those of transformers.TrainerCallback.
    """

    def __init__(
        self,
        clock: Clock,
        held_out: HeldOut,
        pairs_a_step: float,
        records: Any,
        watch: Watcher | None,
    ) -> None:
        self._clock, self._held_out, self._records = clock, held_out, records
        self._pairs_a_step, self._watch = pairs_a_step, watch
        self._saved_at = clock.elapsed
        self._first: tuple[int, float] | None = None
        self._loss: float | None = None
        self._previous: Any = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Let Ctrl-C end the run after a step; a second one ends it at once."""

        def stop(*_: Any) -> None:
            self._clock.interrupted = True
            signal.signal(signal.SIGINT, self._previous)

        self._previous = signal.signal(signal.SIGINT, stop)
        self._first = (state.global_step, self._clock.elapsed)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """Remember the loss."""
        self._loss = (logs or {}).get("loss", self._loss)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Tell the watcher; where it is time, take a held-out loss, save, end."""
        clock, step = self._clock, state.global_step
        share = min(1.0, max(step / state.max_steps, clock.share))
        if self._watch and self._first:
            steps, seconds = step - self._first[0], clock.elapsed - self._first[1]
            speed = steps * self._pairs_a_step / max(seconds, 1e-9)
            self._watch(TrainingProgress(share, clock.elapsed, step, self._loss, speed))
        if self._held_out.is_due(step, share, self._pairs_a_step):
            self.evaluate(step, share)
            control.should_training_stop |= self._held_out.goes_nowhere
        over = bool(clock.limit) and clock.elapsed >= clock.limit
        control.should_training_stop |= over or clock.interrupted
        if clock.interrupted or clock.elapsed - self._saved_at > _SAVE_EVERY:
            self._saved_at = clock.elapsed
            control.should_save = True

    def evaluate(self, step: int, share: float) -> None:
        """Take a held-out loss, off the clock."""
        with self._clock.paused():
            point = self._held_out.measure(step, share)
        self._records.add_scalar("held_out/nats_per_character", point.nats, step)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Write the time beside the checkpoint."""
        self._clock.save()
        self._held_out.mark()

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Give Ctrl-C back, and judge the last weights beside the earlier ones."""
        curve, step = self._held_out.curve, state.global_step
        if curve and curve[-1].step != step and not self._clock.interrupted:
            self.evaluate(step, min(1.0, max(step / state.max_steps, self._clock.share)))
        signal.signal(signal.SIGINT, self._previous)


def callbacks(
    clock: Clock, held_out: HeldOut, pairs_a_step: float, work: Path, watch: Watcher | None
) -> list[Any]:
    """Return ours, for time, checkpoints, held-out loss, Ctrl-C and the watcher; TensorBoard's."""
    import transformers
    from torch.utils.tensorboard import SummaryWriter
    from transformers.integrations.integration_utils import TensorBoardCallback

    class Conduct(_Conduct, transformers.TrainerCallback):
        """A TrainerCallback, which only exists once transformers is imported."""

    records = SummaryWriter(str(work / "tensorboard"))  # type: ignore[no-untyped-call, unused-ignore]  # torch's
    ours = TensorBoardCallback(records)  # type: ignore[no-untyped-call]  # transformers'
    return [Conduct(clock, held_out, pairs_a_step, records, watch), ours]
