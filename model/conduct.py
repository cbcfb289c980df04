"""How a training run goes on and ends: time, checkpoints, Ctrl-C, and whoever looks on."""

import math
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

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


def schedule(warmup: float, clock: "Clock") -> Callable[[float], float]:
    """Return warm-up and cosine over whichever ends first, the steps or the minutes."""

    def factor(steps_done: float) -> float:
        done = min(1.0, max(steps_done, clock.share))
        if done < warmup:
            return max(0.05, done / warmup)
        return max(0.02, 0.5 * (1 + math.cos(math.pi * (done - warmup) / (1 - warmup))))

    return factor


class Clock:
    """The seconds that a run has taken, over interruptions, and whether somebody stopped it."""

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

    def save(self) -> None:
        """Write the time beside a checkpoint."""
        self._path.write_text(f"{self.elapsed}\n", "utf-8")

    def restore(self) -> None:
        """Go on from the time that was written last."""
        if self._path.is_file():
            self._before = float(self._path.read_text("utf-8"))


def callbacks(clock: Clock, batch_size: int, work: Path, watch: Watcher | None) -> list[Any]:
    """Return TensorBoard's callback, and ours: time limit, checkpoints, Ctrl-C, the watcher."""
    import transformers
    from torch.utils.tensorboard import SummaryWriter
    from transformers.integrations.integration_utils import TensorBoardCallback

    class Conduct(transformers.TrainerCallback):  # type: ignore[misc, unused-ignore]  # an untyped base
        """Say when to save and to stop; tell the watcher of each step."""

        def __init__(self) -> None:
            self._saved_at = clock.elapsed
            self._first: tuple[int, float] | None = None
            self._loss: float | None = None
            self._previous: Any = None

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            def stop(*_: Any) -> None:
                clock.interrupted = True
                signal.signal(signal.SIGINT, self._previous)  # a second Ctrl-C ends at once

            self._previous = signal.signal(signal.SIGINT, stop)
            self._first = (state.global_step, clock.elapsed)

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            self._loss = (logs or {}).get("loss", self._loss)

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if watch and self._first:
                steps, seconds = state.global_step - self._first[0], clock.elapsed - self._first[1]
                speed = steps * batch_size / max(seconds, 1e-9)
                share = max(state.global_step / state.max_steps, clock.share)
                watch(
                    Progress(min(1.0, share), clock.elapsed, state.global_step, self._loss, speed)
                )
            over = bool(clock.limit) and clock.elapsed >= clock.limit
            control.should_training_stop |= over or clock.interrupted
            if clock.interrupted or clock.elapsed - self._saved_at > _SAVE_EVERY:
                self._saved_at = clock.elapsed
                control.should_save = True

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            clock.save()

        def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            signal.signal(signal.SIGINT, self._previous)

    records = SummaryWriter(str(work / "tensorboard"))  # type: ignore[no-untyped-call, unused-ignore]  # torch's
    return [Conduct(), TensorBoardCallback(records)]  # type: ignore[no-untyped-call]  # theirs
