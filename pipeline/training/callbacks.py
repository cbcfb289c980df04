"""Limit training time, schedule evaluations and checkpoints, and report progress."""

import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psutil  # type: ignore[import-untyped, unused-ignore]  # it ships no types
import transformers

from model.errors import TrainingError
from pipeline.terminal import TrainingProgress, Watcher
from pipeline.training.hyperparameters import Hyperparameters
from pipeline.training.machine import return_freed_memory
from pipeline.training.processes import SINGLE_PROCESS, Processes

METRIC = "eval_nats_per_character"
"""The name of the held-out loss in transformers' log history."""

_TRAINED_PER_HELD_OUT = 7
"""Minimum number of pairs trained between two evaluations, per held-out pair.

A held-out pair costs a third of a training pair, so evaluations add at most a twentieth to a run.
"""
_PAIRS_PER_PIECE = 2.4
"""The cost of a piece of a session in pairs: about 440 tokens against 185 in the demo chat."""

_MAX_GROWTH = 1.25
"""Growth of the process since its first step, which has the longest examples, before freed memory
is returned: tensors of many sizes leave gaps that nothing fits."""
_SAVE_EVERY = 600.0  # seconds between checkpoints: 1.6 GB for SmolLM2-135M, a few seconds to write


class RunCallback(transformers.TrainerCallback):
    """End a run at its time limit or at Ctrl-C, and decide when to evaluate and save.

    Only training counts towards the time limit, evaluations and checkpoints do not. The log history
    holds the seconds and the share of the run that is done, so a resumed run continues from them.

    All processes use the main one's clock. After each step they exchange it, and stop if one of
    them got Ctrl-C.
    """

    def __init__(
        self,
        settings: Hyperparameters,
        pairs: int,
        held_out_pairs: int,
        on_progress: Watcher | None,
        processes: Processes = SINGLE_PROCESS,
    ) -> None:
        self._settings, self._limit = settings, settings.minutes * 60
        self.steps_per_epoch = math.ceil(pairs / settings.batch_size)
        self._pairs_per_step, self._held_out_pairs = pairs / self.steps_per_epoch, held_out_pairs
        self._on_progress = on_progress
        self._processes = processes
        self.interrupted = self._is_asked_to_stop = False
        self._counted, self._running_since, self._main_seconds = 0.0, math.inf, 0.0
        self._first_step, self._first_second = 0, 0.0
        self._saved_at = 0.0
        self._loss: float | None = None
        self._process, self._first_bytes = psutil.Process(), 0

    @property
    def seconds(self) -> float:
        """Return the seconds of training so far, including those before it was resumed.

        With several processes, the main one's at its last step.
        """
        return self._own_seconds if self._processes.count == 1 else self._main_seconds

    @property
    def _own_seconds(self) -> float:
        return self._counted + max(0.0, time.monotonic() - self._running_since)

    def share_done(self, share_of_steps: float) -> float:
        """Return the share of the run that is done, by steps or by time, whichever is larger."""
        share_of_time = self.seconds / self._limit if self._limit else 0.0
        return min(1.0, max(share_of_steps, share_of_time))

    def interrupt(self) -> None:
        """End the run after the current step, with a checkpoint."""
        self._is_asked_to_stop = True
        self.interrupted |= self._processes.count == 1

    def exchange(self) -> None:
        """Learn the main process's time, and whether any process got Ctrl-C."""
        if self._processes.count > 1:
            found = self._processes.gather((self._own_seconds, self._is_asked_to_stop))
            self._main_seconds = found[0][0]
            self.interrupted = any(is_asked for _, is_asked in found)

    def pause(self) -> None:
        """Stop counting time until the next step begins."""
        self._counted, self._running_since = self._own_seconds, math.inf

    def rate_factor(self, share_of_steps: float) -> float:
        """Return the learning rate as a share of its peak: warm-up, then cosine or linear decay."""
        done, warmup = self.share_done(share_of_steps), self._settings.warmup
        if done >= 1:
            return 0.0  # a resumed run that was done makes one more step
        if done < warmup:
            return max(0.05, done / warmup)
        decayed = (done - warmup) / (1 - warmup)
        if self._settings.schedule == "linear":
            return 1 - decayed
        return max(0.02, 0.5 * (1 + math.cos(math.pi * decayed)))

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Continue the clock of a resumed run."""
        self._counted = state.log_history[-1]["seconds"] if state.log_history else 0.0
        self._main_seconds = self._counted
        self._running_since = time.monotonic()
        self._first_step, self._first_second = state.global_step, self._counted
        first_checkpoint_is_due = args.device.type != "cpu" and not state.global_step
        self._saved_at = -math.inf if first_checkpoint_is_due else self._counted

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Continue counting after an evaluation or a checkpoint."""
        self.pause()
        self._running_since = time.monotonic()

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Exchange clocks and Ctrl-C, before the learning rate of the next step is computed."""
        self.exchange()

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """Remember the training loss.

        Raises:
            TrainingError: The loss is not a finite number.
        """
        self._loss = (logs or {}).get("loss", self._loss)
        if self._loss is not None and not math.isfinite(self._loss):
            raise TrainingError(
                "training has diverged: try again with a lower learning rate "
                "(--set learning-rate=N)"
            )

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Report progress, then decide whether to evaluate, to save and to stop.

        The last weights are saved too: a program that is stopped during the conversion repeats
        only that. An evaluation that is due at an interruption takes place one step after the
        training is resumed.
        """
        seconds, share = self.seconds, self.share_done(state.global_step / state.max_steps)
        if self._on_progress:
            pairs = (state.global_step - self._first_step) * self._pairs_per_step
            speed = pairs / max(seconds - self._first_second, 1e-9)
            self._on_progress(
                TrainingProgress(share, seconds, state.global_step, self._loss, speed)
            )
        control.should_training_stop |= share >= 1 or self.interrupted
        control.should_evaluate = not self.interrupted and self._is_evaluation_due(state, share)
        if control.should_training_stop or seconds - self._saved_at > _SAVE_EVERY:
            control.should_save = control.should_log = True
        if control.should_evaluate or control.should_save:
            self.pause()
        used = self._process.memory_info().rss
        self._first_bytes = self._first_bytes or used
        if used > _MAX_GROWTH * self._first_bytes:
            return_freed_memory()

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Remember when the last checkpoint was written."""
        self._saved_at = self.seconds

    def _is_evaluation_due(self, state: Any, share: float) -> bool:
        """Return whether enough of the run and enough examples passed since the last evaluation.

        The last weights are always compared with earlier ones.
        """
        points = [entry for entry in state.log_history if METRIC in entry]
        if points and share >= 1:
            return True
        last_step, last_share = (points[-1]["step"], points[-1]["share"]) if points else (0, 0.0)
        cost = _PAIRS_PER_PIECE if self._settings.example_type == "sessions" else 1
        trained = (state.global_step - last_step) * self._pairs_per_step * cost
        return (
            self._settings.evaluations > 0
            and self._held_out_pairs > 0
            and share - last_share >= 1 / self._settings.evaluations - 1e-9
            and trained >= _TRAINED_PER_HELD_OUT * self._held_out_pairs
        )


@contextmanager
def first_interrupt(handler: Callable[[], None], *, by_launcher: bool = False) -> Iterator[None]:
    """Call `handler` at the first Ctrl-C; a second one raises KeyboardInterrupt as usual.

    torchrun passes one Ctrl-C on as several signals and kills its processes 30 s later, so
    `by_launcher` only the first signal counts.
    """
    numbers = [signal.SIGINT, signal.SIGTERM] if by_launcher else [signal.SIGINT]
    previous = {number: signal.getsignal(number) for number in numbers}

    def handle(*_: Any) -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN if by_launcher else previous[number])
        handler()

    for number in numbers:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, previous[number])
