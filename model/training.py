"""Pairs into tuned weights, by transformers' Trainer."""

import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from model.artifact import Family
from model.base import Base
from model.errors import TrainingError
from model.examples import COLLATORS, Example, features

_SAVE_EVERY = 600.0  # seconds between checkpoints: 1.6 GB for SmolLM2-135M, a few seconds to write


@dataclass(frozen=True, slots=True)
class Hyperparameters:
    """All that decides a training run, besides base and pairs; `help` is the command line's.

    A learning rate of 0 stands for the family's own.
    """

    epochs: float = field(default=4.0, metadata={"help": "passes over the pairs, at most"})
    minutes: float = field(default=0.0, metadata={"help": "stop training after this long; 0: never"})
    batch_size: int = field(default=8, metadata={"help": "pairs a step"})
    learning_rate: float = field(default=0.0, metadata={"help": "peak; 0: the family's own"})
    warmup: float = field(default=0.03, metadata={"help": "share of the run that warms up"})
    weight_decay: float = field(default=0.0, metadata={"help": "AdamW's"})
    max_prompt_tokens: int = field(default=384, metadata={"help": "longer prompts lose old lines"})
    max_reply_tokens: int = field(default=96, metadata={"help": "longer replies are cut"})
    seed: int = field(default=0, metadata={"help": "of order and dropout"})

    def rate(self, family: Family) -> float:
        """Return the peak learning rate for a family."""
        return self.learning_rate or {"encoder-decoder": 5e-4, "decoder-only": 2e-4}[family]


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


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended."""

    steps: int
    seconds: float
    loss: float
    interrupted: bool


@dataclass(frozen=True, slots=True)
class Precision:
    """Whether to train in bf16, and why."""

    bf16: bool
    reason: str


def choose_precision() -> Precision:
    """Choose bf16 only where the hardware has it: emulated, it is slower than float32."""
    import torch

    if torch.cuda.is_available():
        name = torch.cuda.get_device_name()
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return Precision(bf16=True, reason=f"bf16 on {name}")
        return Precision(bf16=False, reason=f"float32: {name} only emulates bf16")
    if torch.backends.mps.is_available():
        return Precision(bf16=False, reason="float32 on Apple's GPU")
    able = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    if able.get("amx_bf16") or able.get("avx512_bf16"):
        return Precision(bf16=True, reason="bf16 on this CPU, which has instructions for it")
    return Precision(bf16=False, reason="float32: this CPU has no bf16 instructions")


def train(
    base: Base,
    examples: Sequence[Example],
    settings: Hyperparameters,
    work: Path,
    *,
    precision: Precision,
    resume: bool = False,
    watch: Watcher | None = None,
) -> Outcome:
    """Tune a base's weights in place; `work` holds checkpoints and TensorBoard's records.

    Raises:
        TrainingError: Nothing to learn from, or nothing to resume.
    """
    import transformers

    if not examples:
        raise TrainingError("the dataset has no training pairs: build it from a longer chat")
    if resume and not any(work.glob("checkpoint-*")):
        raise TrainingError(f"nothing to resume in {work}: train without --resume")
    transformers.set_seed(settings.seed)
    clock = _Clock(settings.minutes * 60, work / "clock")
    if resume:
        clock.restore()
    trainer = _trainer_class()(
        schedule=_schedule(settings.warmup, clock),
        model=base.weights,
        args=_arguments(base, settings, work, precision),
        train_dataset=features(examples, base.family),
        data_collator=lambda rows: COLLATORS[base.family](rows, base.codec.pad_id),
        callbacks=_callbacks(clock, settings, work, watch),
    )
    trainer.remove_callback(transformers.trainer_callback.PrinterCallback)
    trainer.remove_callback(transformers.trainer_callback.ProgressCallback)
    result = trainer.train(resume_from_checkpoint=resume or None)
    trainer.accelerator.unwrap_model(base.weights, keep_fp32_wrapper=False)  # no more autocast
    return Outcome(result.global_step, clock.elapsed, result.training_loss, clock.interrupted)


def _arguments(base: Base, settings: Hyperparameters, work: Path, precision: Precision) -> Any:  # noqa: ANN401
    import torch
    import transformers

    return transformers.TrainingArguments(
        use_cpu=not (torch.cuda.is_available() or torch.backends.mps.is_available()),
        output_dir=str(work),
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch_size,
        learning_rate=settings.rate(base.family),
        weight_decay=settings.weight_decay,
        bf16=precision.bf16,
        optim="adamw_torch_fused",
        train_sampling_strategy="group_by_length",
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        save_strategy="no",
        save_total_limit=1,
        logging_steps=5,
        logging_nan_inf_filter=False,
        report_to=[],
        disable_tqdm=True,
        seed=settings.seed,
    )


def _trainer_class() -> Any:  # noqa: ANN401  a class of transformers, imported when it is needed
    import torch
    import transformers

    class ScheduledTrainer(transformers.Trainer):  # type: ignore[misc, unused-ignore]  # an untyped base
        """transformers' Trainer with a learning rate that follows the clock as well as the steps."""

        def __init__(self, schedule: Callable[[float], float], **options: Any) -> None:
            super().__init__(**options)
            self._schedule = schedule

        def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
            """Return the rate's factor by share of the run that is done."""
            if self.lr_scheduler is None:
                self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(
                    optimizer or self.optimizer,
                    lambda step: self._schedule(step / num_training_steps),
                )
            return self.lr_scheduler

    return ScheduledTrainer


def _schedule(warmup: float, clock: "_Clock") -> Callable[[float], float]:
    """Return warm-up and cosine over whichever ends first, the steps or the minutes."""
    import math

    def factor(steps_done: float) -> float:
        done = min(1.0, max(steps_done, clock.share))
        if done < warmup:
            return max(0.05, done / warmup)
        return max(0.02, 0.5 * (1 + math.cos(math.pi * (done - warmup) / (1 - warmup))))

    return factor


class _Clock:
    """The seconds that a run has taken, over interruptions, and whether somebody stopped it."""

    def __init__(self, limit: float, path: Path) -> None:
        self.limit, self._path = limit, path
        self.interrupted = False
        self._before, self._start = 0.0, time.monotonic()

    @property
    def elapsed(self) -> float:
        return self._before + time.monotonic() - self._start

    @property
    def share(self) -> float:
        return self.elapsed / self.limit if self.limit else 0.0

    def save(self) -> None:
        self._path.write_text(f"{self.elapsed}\n", "utf-8")

    def restore(self) -> None:
        if self._path.is_file():
            self._before = float(self._path.read_text("utf-8"))


def _callbacks(
    clock: _Clock, settings: Hyperparameters, work: Path, watch: Watcher | None
) -> list[Any]:
    """Return TensorBoard's callback, and ours: time limit, checkpoints, Ctrl-C, the watcher."""
    import transformers
    from torch.utils.tensorboard import SummaryWriter
    from transformers.integrations import TensorBoardCallback

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
            over = bool(clock.limit) and clock.elapsed >= clock.limit
            control.should_training_stop |= over or clock.interrupted
            if clock.interrupted or clock.elapsed - self._saved_at > _SAVE_EVERY:
                self._saved_at = clock.elapsed
                control.should_save = True
            if watch and self._first:
                steps, seconds = state.global_step - self._first[0], clock.elapsed - self._first[1]
                speed = steps * settings.batch_size / max(seconds, 1e-9)
                share = max(state.global_step / state.max_steps, clock.share)
                watch(Progress(min(1.0, share), clock.elapsed, state.global_step, self._loss, speed))

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            clock.save()

        def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            signal.signal(signal.SIGINT, self._previous)

    return [Conduct(), TensorBoardCallback(SummaryWriter(str(work / "tensorboard")))]
