"""Fine-tune a base model with transformers' Trainer."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Thread
from typing import Any

import datasets
import peft
import torch
import transformers
from accelerate.utils.memory import (  # type: ignore[import-untyped]  # it ships no types
    find_executable_batch_size,
    should_reduce_batch_size,
)
from torch.utils.tensorboard import SummaryWriter
from transformers.integrations.integration_utils import TensorBoardCallback
from transformers.trainer_pt_utils import LengthGroupedSampler

from model.errors import TrainingError
from pipeline.terminal import Point, Watcher
from pipeline.training import sharding
from pipeline.training.bases import Base
from pipeline.training.callbacks import METRIC, RunCallback, first_interrupt
from pipeline.training.checkpoints import STATE, find_checkpoint
from pipeline.training.device import (
    Precision,
    estimate_batch_size,
    move_to_device,
    training_device,
)
from pipeline.training.encoding import IGNORED, Collator, Example
from pipeline.training.hyperparameters import Hyperparameters
from pipeline.training.losses import label_logits
from pipeline.training.plan import Speed, TrainingPlan, make_plan, measure_speed
from pipeline.training.processes import SINGLE_PROCESS, Processes
from pipeline.training.scorer import Score, score_examples
from pipeline.training.speaker_loss import SpeakerLoss

PRECISION = "precision"
"""The file next to a run's checkpoints that records its precision, for a resumed run."""

_BATCH_SIZE = "batch_size"  # the same for the examples in a step
_SPEAKER_LOSS = "speaker_loss"  # exists if the run has a speaker loss, for a resumed run


@dataclass(frozen=True, slots=True)
class TrainingData:
    """What a run learns from: rows for the Trainer, held-out examples, and a speaker loss."""

    rows: datasets.Dataset
    held_out: Sequence[Example] = ()
    speaker_loss: SpeakerLoss | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended; `curve` holds its held-out losses, `kept` the one whose weights are used.

    `speaker_loss` is the weight of the speaker loss, 0 if the run went without.
    """

    steps: int
    examples: int
    batch_size: int
    seconds: float
    loss: float
    interrupted: bool
    speaker_loss: float = 0.0
    curve: tuple[Point, ...] = ()
    kept: Point | None = None


def train(  # noqa: PLR0913  what to train, where, and three ways to follow it
    base: Base,
    rows: datasets.Dataset,
    settings: Hyperparameters,
    work: Path,
    *,
    precision: Precision,
    held_out: Sequence[Example] = (),
    speaker_loss: SpeakerLoss | None = None,
    resume: bool = False,
    on_progress: Watcher | None = None,
    on_plan: Callable[[TrainingPlan], None] = lambda _: None,
    on_interrupt: Callable[[], None] = lambda: None,
    processes: Processes = SINGLE_PROCESS,
) -> Outcome:
    """Fine-tune a base's weights in place; `work` holds checkpoints and TensorBoard's records.

    `rows` are training examples as `encode_pairs` or `encode_sessions` returns them. The loss on
    the held-out examples decides when to stop and which weights are used. `speaker_loss` is added,
    unless there are too few passes for it. Ctrl-C calls `on_interrupt` at once, and ends the run
    after the current step.

    Several processes divide the examples of each step, so it covers the same ones as in one
    process.

    Raises:
        TrainingError: There is nothing to train on or to resume, memory is too small for one
            example, the loss is not a finite number, or a step cannot be divided among the
            processes.
    """
    may_enlarge = not settings.batch_size and not resume
    restored = _restore_batch_size(settings, work) if resume else settings
    settings = restored.resolve(base.family, base.name)
    settings = _round_batch_size(settings, processes, may_enlarge=may_enlarge)
    _check_start(rows, work, resume=resume)
    transformers.set_seed(settings.seed)
    move_to_device(base.weights)
    tuner = add_lora(base, settings, bf16=precision.bf16) if settings.lora else None
    longest = max(rows["length"])
    if not resume and settings.minutes:
        plan, speaker_loss = _plan_run(
            base, rows, settings, speaker_loss,
            bf16=precision.bf16, may_enlarge=may_enlarge, processes=processes,
        )  # fmt: skip
        settings = replace(settings, batch_size=plan.batch_size)
        on_plan(plan)
    elif not _keeps_speaker_loss(speaker_loss, settings, work if resume else None):
        speaker_loss = None
    processes.wait()  # all have read what the interrupted run chose
    if processes.is_main:
        _save_choices(work, precision, settings, speaker_loss)
    sizes = _batch_sizes(
        base, settings, longest, work if resume else None, bf16=precision.bf16, processes=processes
    )
    run = RunCallback(settings, len(rows), len(held_out), on_progress, processes)
    data = TrainingData(rows, held_out, speaker_loss)
    retried = False

    def fit(batch_size: int) -> tuple[Any, float]:
        checkpoint = _open_checkpoint(work, processes) if resume or retried else None
        trainer = FineTuner(
            base, data, settings, run, work,
            batch_size=batch_size, bf16=precision.bf16, processes=processes, checkpoint=checkpoint,
        )  # fmt: skip
        try:
            loss = trainer.train(
                resume_from_checkpoint=str(checkpoint) if checkpoint else None
            ).training_loss
        except RuntimeError as error:
            is_lost = trainer.state.global_step and find_checkpoint(work) is None
            if is_lost and should_reduce_batch_size(error):
                raise TrainingError(
                    f"out of memory after {trainer.state.global_step} steps: train again with a "
                    "smaller batch (--set batch-size=N)"
                ) from error
            raise
        return trainer.state, loss

    def next_batch_size() -> int:
        nonlocal retried
        retried = True
        return _next_batch_size(sizes, longest, processes)

    def interrupt() -> None:
        run.interrupt()
        Thread(target=on_interrupt).start()  # a signal handler may interrupt a print, and not print

    with first_interrupt(interrupt, by_launcher=processes.count > 1):
        state, loss = find_executable_batch_size(
            fit, starting_batch_size=next(sizes), reduce_batch_size_fn=next_batch_size
        )()
        run.exchange()  # a Ctrl-C during the last evaluation
    if tuner:
        merge_lora(base, tuner)
    curve = tuple(
        Point(entry["step"], entry["share"], entry[METRIC])
        for entry in state.log_history
        if METRIC in entry
    )
    kept = next((point for point in curve if point.step == state.best_global_step), None)
    epochs, steps = divmod(state.global_step, run.steps_per_epoch)
    examples = epochs * len(rows) + min(len(rows), steps * settings.batch_size)
    return Outcome(
        state.global_step, examples, settings.batch_size, run.seconds, loss, run.interrupted,
        speaker_loss.weight if speaker_loss else 0.0, curve, kept,
    )  # fmt: skip


def _open_checkpoint(work: Path, processes: Processes) -> Path | None:
    """Return the last checkpoint, as this training can load it; None if there is none."""
    checkpoint = find_checkpoint(work)
    if checkpoint:
        sharding.prepare_checkpoint(checkpoint, processes)
    return checkpoint


def _round_batch_size(
    settings: Hyperparameters, processes: Processes, *, may_enlarge: bool
) -> Hyperparameters:
    """Return settings with a batch size that is a multiple of the number of processes."""
    size, count = settings.batch_size, processes.count
    if size % count == 0:
        return settings
    if not may_enlarge:
        raise TrainingError(
            f"steps of {size} examples cannot be divided among {count} processes: choose another "
            "number of processes, or another batch size (--set batch-size=N) for a new training run"
        )
    return replace(settings, batch_size=math.ceil(size / count) * count)


def _next_batch_size(sizes: Iterator[int], longest: int, processes: Processes) -> int:
    """Return the next size to try after running out of memory, or raise TrainingError.

    With several processes it always raises: they must all use the same batch size.
    """
    if processes.count > 1:
        raise TrainingError(
            f"out of memory in one of {processes.count} processes: try --lora, a smaller --base, "
            "or a smaller batch (--set batch-size=N) or shorter prompts (--set max-prompt-tokens=N)"
        )
    for size in sizes:
        return size
    raise TrainingError(
        f"out of memory with one pair of {longest} tokens at a time: try --lora, a smaller "
        "--base or shorter prompts (--set max-prompt-tokens=N)"
    )


def _check_start(rows: datasets.Dataset, work: Path, *, resume: bool) -> None:
    """Create the folder of a run; check that there is something to train on, or to resume."""
    work.mkdir(parents=True, exist_ok=True)
    if not len(rows):
        raise TrainingError("the dataset has no training pairs: build it from a longer chat")
    if resume and find_checkpoint(work) is None:
        raise TrainingError(f"nothing to resume in {work}: train without --resume")


def _save_choices(
    work: Path, precision: Precision, settings: Hyperparameters, speaker_loss: SpeakerLoss | None
) -> None:
    """Write down what a resumed run must not choose again."""
    (work / PRECISION).write_text(f"{precision.name}\n", "utf-8")
    (work / _BATCH_SIZE).write_text(f"{settings.batch_size}\n", "utf-8")
    if speaker_loss:
        (work / _SPEAKER_LOSS).touch()


def _restore_batch_size(settings: Hyperparameters, work: Path) -> Hyperparameters:
    """Return the settings with the batch size of the interrupted run, unless one is set."""
    file = work / _BATCH_SIZE
    if settings.batch_size or not file.is_file():
        return settings
    return replace(settings, batch_size=int(file.read_text("utf-8")))


def _keeps_speaker_loss(
    speaker_loss: SpeakerLoss | None, settings: Hyperparameters, resumed: Path | None
) -> bool:
    """Whether a run without a plan has a speaker loss: a resumed one if it had one before."""
    if resumed:
        return (resumed / _SPEAKER_LOSS).is_file()
    return speaker_loss is not None and settings.epochs >= speaker_loss.min_passes


def _plan_run(
    base: Base,
    rows: datasets.Dataset,
    settings: Hyperparameters,
    speaker_loss: SpeakerLoss | None,
    *,
    bf16: bool,
    may_enlarge: bool,
    processes: Processes,
) -> tuple[TrainingPlan, SpeakerLoss | None]:
    """Return a plan, and the speaker loss if the time limit leaves enough passes for it.

    The speed is measured with as many examples at a time as fit in memory. With several processes,
    it is the slowest one's speed times their number.
    """
    longest = max(rows["length"])
    fitting = min(processes.gather(estimate_batch_size(base.weights, longest, bf16=bf16)))
    start = max(1, min(settings.batch_size // processes.count, fitting))

    def make(names: SpeakerLoss | None) -> TrainingPlan:
        def measure(batch_size: int) -> TrainingPlan:
            speeds = processes.gather(
                measure_speed(
                    base,
                    rows,
                    batch_size,
                    settings.minutes,
                    bf16=bf16,
                    speaker_loss=names,
                    processes=processes,
                )
            )
            speed = Speed(
                processes.count * min(one.tokens for one in speeds),
                max(one.update for one in speeds),
            )
            return make_plan(rows["length"], speed, settings, may_enlarge=may_enlarge)

        smaller = iter(range(start - 1, 0, -1))
        plan: TrainingPlan = find_executable_batch_size(
            measure,
            starting_batch_size=start,
            reduce_batch_size_fn=lambda: _next_batch_size(smaller, longest, processes),
        )()
        return plan

    plan = make(None)
    if speaker_loss and plan.passes >= speaker_loss.min_passes:
        return make(speaker_loss), speaker_loss
    return plan, None


class FineTuner(transformers.Trainer):  # type: ignore[misc, unused-ignore]  # an untyped base
    """A Trainer whose losses cover the labels and whose learning rate can follow the time.

    `batch_size` examples go through the model of a process at a time; a step is
    `settings.batch_size` examples in all processes. `checkpoint` is the one that `train` will
    continue from.
    """

    def __init__(  # noqa: PLR0913  what to train, how, and where
        self,
        base: Base,
        data: TrainingData,
        settings: Hyperparameters,
        run: RunCallback,
        work: Path,
        *,
        batch_size: int,
        bf16: bool,
        processes: Processes = SINGLE_PROCESS,
        checkpoint: Path | None = None,
    ) -> None:
        self._base, self._run, self._bf16, self._processes = base, run, bf16, processes
        self._speaker_loss, rows, held_out = data.speaker_loss, data.rows, data.held_out
        self._part_of, self._part = (
            -1,
            0,
        )  # the step whose speaker losses are being computed, and the current part of it
        self._held_out = held_out
        evaluates = settings.evaluations > 0 and len(held_out) > 0
        is_alike = settings.batching == "alike"
        arguments = _Arguments(
            use_cpu=training_device() == "cpu",
            output_dir=str(work),
            num_train_epochs=settings.epochs,
            per_device_train_batch_size=batch_size,
            gradient_accumulation_steps=settings.batch_size // (batch_size * processes.count),
            learning_rate=settings.learning_rate,
            weight_decay=settings.weight_decay,
            optim="adamw_torch_fused",
            remove_unused_columns=False,
            ddp_find_unused_parameters=False,
            eval_strategy="steps" if evaluates else "no",
            eval_delay=math.inf,  # RunCallback decides when
            save_strategy="best" if evaluates else "no",
            save_total_limit=2,  # the best and the last
            save_only_model=processes.shards,  # `save_model` saves the rest
            # otherwise a shared model keeps whole gradients until the end of a step
            accelerator_config={"gradient_accumulation_kwargs": {"sync_each_batch": True}}
            if processes.shards
            else None,
            load_best_model_at_end=evaluates,
            metric_for_best_model=METRIC,
            greater_is_better=False,
            restore_callback_states_from_checkpoint=True,  # early stopping's count
            logging_steps=5,
            logging_nan_inf_filter=False,
            log_level_replica="error",
            report_to=[],
            disable_tqdm=True,
            seed=settings.seed,
        )
        uniform = () if is_alike else (_longest(rows["input_ids"]), _longest(rows["labels"]))
        collator = Collator(base.family, base.codec.pad_id, *uniform)
        lengths = list(rows["length"]) if is_alike else None
        self._order = EpochSampler(len(rows), settings.batch_size, settings.seed, lengths)
        super().__init__(
            model=base.weights,
            args=arguments,
            train_dataset=rows,
            eval_dataset=held_out,
            data_collator=collator,
            callbacks=[run],
        )
        if processes.is_main:
            records = SummaryWriter(str(work / "tensorboard"))  # type: ignore[no-untyped-call, unused-ignore]  # torch's
            self.add_callback(TensorBoardCallback(records))  # type: ignore[no-untyped-call]  # transformers'
        if evaluates and settings.patience:
            self.add_callback(transformers.EarlyStoppingCallback(settings.patience))
        if checkpoint and processes.shards:
            self.add_callback(sharding.OptimizerLoader(checkpoint))
        self.remove_callback(transformers.PrinterCallback)
        # `compute_loss` returns a share of the mean over all labels of a step
        self.model_accepts_loss_kwargs = self.loss_is_scaled_for_ga = True

    def get_train_dataloader(self) -> Any:
        """Return batches in the order of `EpochSampler`, of which each process gets its share."""
        rows: Any = self.train_dataset
        loader: Any = torch.utils.data.DataLoader(
            rows,
            batch_size=self.args.per_device_train_batch_size,
            sampler=self._order,
            collate_fn=self.data_collator,
        )
        return self.accelerator.prepare(loader)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:  # noqa: FBT001, FBT002  transformers' signature
        """Write the weights and, if processes share them, the optimizer."""
        super().save_model(output_dir, _internal_call)
        if self._processes.shards:
            folder = Path(output_dir or str(self.args.output_dir))
            sharding.save_optimizer(self.optimizer, self.lr_scheduler, folder, self._processes)

    def get_batch_samples(
        self, epoch_iterator: Any, num_batches: int, device: Any
    ) -> tuple[list[Any], Any]:
        """Return the batches of a step in this process, and the number of labels in all processes.

        accelerate fills up the last step of a pass with examples from its start. Their labels are
        removed, so that each example counts once.
        """
        if self._processes.count > 1:
            size = self._order.last_step_size(self.state.global_step)
            epoch_iterator = self._without_repeats(epoch_iterator, size) if size else epoch_iterator
        found: tuple[list[Any], Any] = super().get_batch_samples(
            epoch_iterator, num_batches, device
        )
        return found

    def _without_repeats(self, batches: Iterator[Any], size: int) -> Iterator[Any]:
        """Yield this process's batches of a step of `size` examples; repeats get no labels."""
        per_batch = self.args.per_device_train_batch_size
        for number, batch in enumerate(batches):
            first = (number * self._processes.count + self._processes.rank) * per_batch
            batch["labels"][max(0, size - first) :] = IGNORED
            yield batch

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """Follow steps or `--minutes`, whichever ends first."""
        if self.lr_scheduler is None:
            self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(
                optimizer or self.optimizer,  # type: ignore[arg-type, unused-ignore]  # made just before
                lambda step: self._run.rate_factor(step / num_training_steps),
            )
        return self.lr_scheduler

    def compute_loss(
        self,
        model: Any,
        inputs: Any,
        return_outputs: bool = False,  # noqa: FBT001, FBT002  transformers' signature
        num_items_in_batch: Any = None,
    ) -> Any:
        """Return the sum over these labels, divided by the number of labels in the step.

        The gradient of the speaker loss is added before, so that memory holds one of the two at a
        time. In a step of several parts, each adds its share of the turns. Gradients of several
        processes are averaged, hence the factor.
        """
        if self._speaker_loss:
            self._add_speaker_loss(self._speaker_loss)  # averaged with the gradients that follow
        with torch.autocast(self.args.device.type, torch.bfloat16, enabled=self._bf16):
            logits, labels = label_logits(self._base, inputs, model)
        loss = torch.nn.functional.cross_entropy(logits.float(), labels, reduction="sum")
        return self._processes.count * loss / num_items_in_batch

    def _add_speaker_loss(self, speaker_loss: SpeakerLoss) -> None:
        step, parts = self.state.global_step, self.current_gradient_accumulation_steps
        self._part = self._part + 1 if step == self._part_of else 0
        self._part_of = step
        count, index = self._processes.count, self._processes.rank
        with torch.autocast(self.args.device.type, torch.bfloat16, enabled=self._bf16):
            names = speaker_loss.compute(step, self._part * count + index, parts * count)
        if names.requires_grad:
            self.accelerator.backward(count * speaker_loss.weight * names)

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Return the held-out loss in nats per character; several processes divide the examples."""
        found = self._processes.map(
            self._held_out,
            lambda own: score_examples(self._base, own, bf16=self._bf16, processes=self._processes),
        )
        metrics = {METRIC: sum(found, start=Score()).loss}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the seconds and the share of the run to each entry of the log history."""
        share = self._run.share_done(self.state.global_step / self.state.max_steps)
        super().log({**logs, "seconds": self._run.seconds, "share": share}, start_time)


class EpochSampler(torch.utils.data.Sampler[int]):
    """The order of the examples in each pass, which depends on the seed and the pass only.

    A resumed run repeats it, even with another number of processes. With `lengths`, examples of
    similar length are neighbours.
    """

    def __init__(
        self, count: int, step: int, seed: int, lengths: Sequence[int] | None = None
    ) -> None:
        self._count, self._step, self._seed, self._lengths = count, step, seed, lengths
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the pass; the Trainer calls this."""
        self._epoch = epoch

    def last_step_size(self, step: int) -> int:
        """Return the number of examples in a step that is the last of a pass; 0 for other steps."""
        steps = math.ceil(self._count / self._step)
        return self._count - (steps - 1) * self._step if step % steps == steps - 1 else 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self._seed + self._epoch)
        if self._lengths is None:
            yield from torch.randperm(self._count, generator=generator).tolist()
        else:
            yield from LengthGroupedSampler(
                self._step, lengths=list(self._lengths), generator=generator
            )


class _Arguments(transformers.TrainingArguments):  # type: ignore[misc, unused-ignore]  # an untyped base
    """Arguments that use one GPU: with several, the Trainer would enlarge each step."""

    @property
    def n_gpu(self) -> int:
        """See transformers.TrainingArguments."""
        return 1


def _batch_sizes(
    base: Base,
    settings: Hyperparameters,
    longest: int,
    resumed: Path | None,
    *,
    bf16: bool,
    processes: Processes,
) -> Iterator[int]:
    """Yield how many examples go through the model at a time; the first is likely to fit in memory.

    Each divides a process's examples per step, so only gradient accumulation changes. A resumed run
    starts with its last checkpoint's size, so that the same number of processes adds its sums in
    the same order.
    """
    if resumed and (checkpoint := find_checkpoint(resumed)):
        state = transformers.TrainerState.load_from_json(str(checkpoint / STATE))
        fitting = state.train_batch_size
    else:
        fitting = estimate_batch_size(base.weights, longest, bf16=bf16)
    fitting, own = min(processes.gather(fitting)), settings.batch_size // processes.count
    for size in range(own, 0, -1):
        if own % size == 0 and (size <= fitting or size == 1):
            yield size


def _longest(sequences: Iterable[Sequence[int]]) -> int:
    return max(len(sequence) for sequence in sequences)


def add_lora(base: Base, settings: Hyperparameters, *, bf16: bool) -> Any:
    """Freeze a base's weights and add LoRA matrices to each linear layer; return peft's model.

    T5's embedding and output layer have new rows, so they are trained in full. With `bf16` the
    frozen matrices are converted to bf16. This halves their memory, and autocast would round them
    anyway.
    """
    has_conv1d = any(isinstance(m, transformers.Conv1D) for m in base.weights.modules())
    config = peft.LoraConfig(
        r=settings.lora_rank,
        lora_alpha=settings.lora_alpha,
        lora_dropout=0.0,
        target_modules="all-linear",
        fan_in_fan_out=has_conv1d,  # GPT-2 has all its matrices the other way round
    )
    tuner = peft.LoraModel(base.weights, config, "default")
    if bf16:
        for module in base.weights.modules():
            if isinstance(module, peft.tuners.lora.LoraLayer):
                module.get_base_layer().to(torch.bfloat16)
    if base.family == "encoder-decoder":
        for layer in (base.weights.get_input_embeddings(), base.weights.get_output_embeddings()):
            layer.weight.requires_grad_(True)  # noqa: FBT003  torch's own signature
    return tuner


def merge_lora(base: Base, tuner: Any) -> None:
    """Add the LoRA matrices to the weights, in float32, and remove them."""
    base.weights.float()
    tuner.merge_and_unload()
    base.weights.requires_grad_(True)  # noqa: FBT003  torch's own signature
