"""Pairs into tuned weights, by transformers' Trainer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from model.artifact import Family
from model.base import Base
from model.conduct import Clock, Watcher, callbacks, schedule
from model.errors import TrainingError
from model.examples import COLLATORS, Example, features

_LEAST_TOKENS = 16
_MOST_EPOCHS = 10_000
_SEEDS = 2**32


@dataclass(frozen=True, slots=True)
class Hyperparameters:
    """All that decides a training run, besides base and pairs; `help` is the command line's.

    A learning rate of 0 stands for the family's own.
    """

    epochs: float = field(default=4.0, metadata={"help": "passes over the pairs, at most"})
    minutes: float = field(
        default=0.0, metadata={"help": "stop training after this long; 0: never"}
    )
    batch_size: int = field(default=8, metadata={"help": "pairs a step"})
    learning_rate: float = field(default=0.0, metadata={"help": "peak; 0: the family's own"})
    warmup: float = field(default=0.03, metadata={"help": "share of the run that warms up"})
    weight_decay: float = field(default=0.0, metadata={"help": "AdamW's"})
    max_prompt_tokens: int = field(default=384, metadata={"help": "longer prompts lose old lines"})
    max_reply_tokens: int = field(default=96, metadata={"help": "longer replies are cut"})
    seed: int = field(default=0, metadata={"help": "of order and dropout"})

    def __post_init__(self) -> None:
        """Refuse what no run can use."""
        ranges = {
            "epochs": 0 < self.epochs <= _MOST_EPOCHS,
            "minutes": self.minutes >= 0,
            "batch-size": self.batch_size >= 1,
            "learning-rate": 0 <= self.learning_rate <= 1,
            "warmup": 0 <= self.warmup < 1,
            "weight-decay": self.weight_decay >= 0,
            "max-prompt-tokens": self.max_prompt_tokens >= _LEAST_TOKENS,
            "seed": 0 <= self.seed < _SEEDS,
            "max-reply-tokens": self.max_reply_tokens >= _LEAST_TOKENS,
        }
        if wrong := [name for name, right in ranges.items() if not right]:
            value = getattr(self, wrong[0].replace("-", "_"))
            raise TrainingError(f"--{wrong[0]} {value} is out of range; see --help")

    def rate(self, family: Family) -> float:
        """Return the peak learning rate for a family."""
        return self.learning_rate or {"encoder-decoder": 5e-4, "decoder-only": 2e-4}[family]


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


def to_training_device(base: Base) -> None:
    """Move a base's weights to where they will be trained."""
    import torch

    gpu = "cuda" if torch.cuda.is_available() else "mps"
    base.weights.to(
        gpu if torch.cuda.is_available() or torch.backends.mps.is_available() else "cpu"
    )


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
    clock = Clock(settings.minutes * 60, work / "clock")
    if resume:
        clock.restore()
    trainer = _trainer_class()(
        schedule=schedule(settings.warmup, clock),
        model=base.weights,
        args=_arguments(base, settings, work, precision),
        train_dataset=features(examples, base.family),
        data_collator=lambda rows: COLLATORS[base.family](rows, base.codec.pad_id),
        callbacks=callbacks(clock, settings.batch_size, work, watch),
    )
    trainer.remove_callback(transformers.trainer_callback.PrinterCallback)
    trainer.remove_callback(transformers.trainer_callback.ProgressCallback)
    result = trainer.train(resume_from_checkpoint=resume or None)
    trainer.accelerator.unwrap_model(base.weights, keep_fp32_wrapper=False)  # no more autocast
    return Outcome(result.global_step, clock.elapsed, result.training_loss, clock.interrupted)


def _arguments(base: Base, settings: Hyperparameters, work: Path, precision: Precision) -> Any:
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


def _trainer_class() -> Any:
    import torch
    import transformers

    class ScheduledTrainer(transformers.Trainer):  # type: ignore[misc, unused-ignore]  # an untyped base
        """transformers' Trainer, its learning rate following the clock as well as the steps."""

        def __init__(self, schedule: Callable[[float], float], **options: Any) -> None:
            super().__init__(**options)
            self._schedule = schedule

        def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
            """Return the rate's factor by share of the run that is done."""
            if self.lr_scheduler is None:
                self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(
                    optimizer or self.optimizer,  # type: ignore[arg-type]  # made just before
                    lambda step: self._schedule(step / num_training_steps),
                )
            return self.lr_scheduler

    return ScheduledTrainer
