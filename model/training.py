"""Pairs into tuned weights, by transformers' Trainer."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.base import Base
from model.batches import Plan
from model.conduct import Clock, Watcher, callbacks, schedule
from model.errors import TrainingError
from model.examples import Example
from model.hyperparameters import Hyperparameters
from model.lora import attach, merge
from model.memory import Budget, fitting_tokens
from model.packing import Row, header_of, pack
from model.precision import Precision, to_training_device, training_device
from model.stepping import Material, Packed, Single, trainer_class
from model.stopping import HeldOut, Point

PRECISION = "precision"
"""The file beside a run's checkpoints that says in which precision it goes on."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended; `curve` are its held-out losses, `kept` the one whose weights are used."""

    steps: int
    pairs: int
    seconds: float
    loss: float
    interrupted: bool
    curve: tuple[Point, ...] = ()
    kept: Point | None = None


def train(
    base: Base,
    examples: Sequence[Example],
    settings: Hyperparameters,
    work: Path,
    *,
    precision: Precision,
    held_out: Sequence[Example] = (),
    resume: bool = False,
    watch: Watcher | None = None,
) -> Outcome:
    """Tune a base's weights in place; `work` holds checkpoints and TensorBoard's records.

    Held-out examples decide when to stop and which weights are kept.

    Raises:
        TrainingError: Nothing to learn from, nothing to resume, or too little memory.
    """
    import transformers

    _check(examples, work, resume=resume)
    transformers.set_seed(settings.seed)
    work.mkdir(parents=True, exist_ok=True)
    precision.save(work / PRECISION)
    to_training_device(base)
    tuner = None
    if settings.lora:
        tuner = attach(base, settings.lora_rank, settings.lora_alpha, bf16=precision.bf16)
    watched = HeldOut(
        base, held_out, work,
        most=settings.evaluations, patience=settings.patience, bf16=precision.bf16,
    )  # fmt: skip
    outcome = _run(base, examples, settings, work, precision, watched, watch, resume=resume)
    if not outcome.interrupted:
        watched.use_best()
    if tuner:
        merge(base, tuner)
    return outcome


def _check(examples: Sequence[Example], work: Path, *, resume: bool) -> None:
    """Raise TrainingError where there is nothing to learn from, or to resume."""
    if not examples:
        raise TrainingError("the dataset has no training pairs: build it from a longer chat")
    if resume and not any(work.glob("checkpoint-*")):
        raise TrainingError(f"nothing to resume in {work}: train without --resume")


def _run(
    base: Base,
    examples: Sequence[Example],
    settings: Hyperparameters,
    work: Path,
    precision: Precision,
    held_out: HeldOut,
    watch: Watcher | None,
    *,
    resume: bool,
) -> Outcome:
    import transformers

    clock = Clock(settings.minutes * 60, work / "clock")
    steps = _material(base, examples, settings, precision, work / "token-budget")
    if resume:
        clock.restore()
        steps.budget.restore()
        held_out.restore(_last_step(work))
    steps.budget.save()
    plan = _plan(steps, settings)
    pairs_a_step = len(examples) / plan.steps_an_epoch
    trainer = trainer_class()(
        material=steps,
        schedule=schedule(settings.schedule, settings.warmup, clock),
        model=base.weights,
        args=_arguments(base, settings, work),
        train_dataset=plan,
        callbacks=callbacks(clock, held_out, pairs_a_step, work, watch),
    )
    trainer.remove_callback(transformers.trainer_callback.PrinterCallback)
    trainer.remove_callback(transformers.trainer_callback.ProgressCallback)
    result = trainer.train(resume_from_checkpoint=resume or None)
    pairs = sum(steps.pairs[row] for n in range(result.global_step) for row in plan[n])
    return Outcome(
        result.global_step, pairs, clock.elapsed, result.training_loss, clock.interrupted,
        tuple(held_out.curve), held_out.best,
    )  # fmt: skip


def _material(
    base: Base,
    examples: Sequence[Example],
    settings: Hyperparameters,
    precision: Precision,
    budget_file: Path,
) -> Material:
    """Return what steps are made of: pairs packed, or each in a row of its own."""
    rows = _rows(base, examples, settings)
    longest = max(row.length for row in rows or examples)
    budget = _budget(base, longest, settings, precision, budget_file)
    if rows:
        return Packed(base, rows, budget, bf16=precision.bf16)
    uniform = settings.batches == "uniform"
    return Single(base, examples, budget, bf16=precision.bf16, uniform=uniform)


def _rows(base: Base, examples: Sequence[Example], settings: Hyperparameters) -> list[Row]:
    """Return the pairs packed, none where each has a row of its own."""
    if base.family == "encoder-decoder" or settings.packing == 1:
        return []
    most = min(settings.packing, settings.batch_size)
    return pack(examples, most, header_of(base.codec))


def _plan(steps: Material, settings: Hyperparameters) -> Plan:
    a_row = sum(steps.pairs) / len(steps.pairs)
    rows = max(1, round(settings.batch_size / a_row))
    alike = settings.batches != "uniform"
    return Plan(steps.lengths, rows, settings.seed, settings.epochs, alike=alike)


def _budget(
    base: Base,
    longest: int,
    settings: Hyperparameters,
    precision: Precision,
    path: Path,
) -> Budget:
    return Budget(
        settings.token_budget or fitting_tokens(base.weights, longest, bf16=precision.bf16), path
    )


def _last_step(work: Path) -> int:
    return max(int(path.name.split("-")[1]) for path in work.glob("checkpoint-*"))


def _arguments(base: Base, settings: Hyperparameters, work: Path) -> Any:
    import transformers

    return transformers.TrainingArguments(
        use_cpu=training_device() == "cpu",
        output_dir=str(work),
        num_train_epochs=1,  # the plan has them all
        per_device_train_batch_size=settings.batch_size,
        learning_rate=settings.rate(base.family),
        weight_decay=settings.weight_decay,
        optim="adamw_torch_fused",
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
