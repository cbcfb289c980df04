"""How a training run goes on and ends: time, checkpoints, held-out loss, Ctrl-C, who looks on."""

import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from model.stopping import HeldOut

_SAVE_EVERY = 600.0  # seconds between checkpoints: 1.6 GB for SmolLM2-135M, a few seconds to write


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run is: `share` of it is done, `seconds` have passed."""

    share: float
    seconds: float
    step: int
    loss: float | None
    examples_per_second: float


class Watcher(Protocol):
    """Whoever looks on while a model trains."""

    def __call__(self, progress: Progress) -> None:
        """Take notice of one finished step."""


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
            self._watch(Progress(share, clock.elapsed, step, self._loss, speed))
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
