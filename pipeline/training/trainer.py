"""Fine-tune a base model with transformers' Trainer."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from model.errors import TrainingError
from pipeline.terminal import (
    Point,
    Watcher,
)
from pipeline.training.bases import Base
from pipeline.training.callbacks import (
    Clock,
    HeldOut,
    callbacks,
    schedule,
)
from pipeline.training.encoding import (
    COLLATORS,
    IGNORED,
    Example,
    Plan,
    Row,
    collate,
    features,
    foreseeing,
    header_of,
    on_device,
    pack,
    passes,
)
from pipeline.training.hyperparameters import Hyperparameters
from pipeline.training.losses import label_logits


def attach(base: Base, rank: int, alpha: int, *, bf16: bool) -> Any:
    """Freeze a base's weights but for small matrices beside each linear layer; return peft's model.

    T5's embedding and output layer have new rows, so they train too, whole. With `bf16` the frozen
    matrices are kept in it: half the memory, and autocast would round them anyway.
    """
    import peft
    import torch

    config = peft.LoraConfig(
        r=rank, lora_alpha=alpha, lora_dropout=0.0, target_modules="all-linear"
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


def merge(base: Base, tuner: Any) -> None:
    """Add the small matrices into the weights, in float32, and take them away."""
    base.weights.float()
    tuner.merge_and_unload()
    base.weights.requires_grad_(True)  # noqa: FBT003  torch's own signature


_LEAST = 256
_MOST = {"cpu": 4096, "cuda": 16384, "mps": 4096}  # two cores gain nothing beyond 2,400 tokens
_ADAM = 12  # bytes a trained weight: its gradient and AdamW's two moments, in float32
_SHARE = 0.5  # of what is left; the rest is for other programs and the estimate's error


class Budget:
    """The padded tokens that go through the weights at a time; kept beside the checkpoint.

    A resumed run begins with the budget that the broken one ended with, so that sums are taken in
    the same order.
    """

    def __init__(self, tokens: int, path: Path) -> None:
        self.tokens, self._path = tokens, path

    def save(self) -> None:
        """Write it down."""
        self._path.write_text(f"{self.tokens}\n", "utf-8")

    def restore(self) -> None:
        """Go on with the one that was written last."""
        if self._path.is_file():
            self.tokens = int(self._path.read_text("utf-8"))

    def halve(self, lengths: Sequence[int]) -> None:
        """Halve it, after a step of pairs of such lengths did not fit.

        Raises:
            TrainingError: A pass was of one pair already.
        """
        if self.tokens < 2 * max(lengths):
            raise TrainingError(
                f"out of memory with one pair of {max(lengths)} tokens at a time: try --lora, a "
                "smaller --base or a lower --max-prompt-tokens"
            )
        self.tokens = min(self.tokens, len(lengths) * max(lengths)) // 2
        self.save()


def fitting_tokens(weights: Any, longest: int, *, bf16: bool) -> int:
    """Return a power of two of padded tokens whose training step fits in free memory.

    In powers of two a little more or less free memory changes nothing, and two runs on one machine
    take the same sums.
    """
    trained = sum(p.numel() for p in weights.parameters() if p.requires_grad)
    left = (_free_bytes(weights.device.type) - _ADAM * trained) * _SHARE
    fitting = max(_LEAST, int(left / _bytes_a_token(weights.config, longest, bf16=bf16)))
    return int(min(2 ** (fitting.bit_length() - 1), _MOST[weights.device.type]))


def _bytes_a_token(config: Any, longest: int, *, bf16: bool) -> float:
    """Return the activations that one token of a row of `longest` leaves for the way back.

    34 h + 5 a s bytes a layer in 16 bits (Korthikanti et al. 2022, equation 2), and the output
    layer's logits three times in float32.
    """
    layers = config.num_hidden_layers + (getattr(config, "num_decoder_layers", None) or 0)
    a_layer = 34 * config.hidden_size + 5 * config.num_attention_heads * longest
    return float(layers * a_layer * (1 if bf16 else 2) + 12 * config.vocab_size)


def _free_bytes(device: str) -> int:
    import psutil  # type: ignore[import-untyped, unused-ignore]  # it ships no types
    import torch

    if device == "cuda":
        return int(torch.cuda.mem_get_info()[0])
    return int(psutil.virtual_memory().available)


_SIDE = 384  # a product of 1 ms, which other programs seldom break into
_SECONDS = 0.2
_FEWEST = 3
_WORTH = 1.25


@dataclass(frozen=True, slots=True)
class Precision:
    """Whether to train in bf16, and why."""

    bf16: bool
    reason: str

    @property
    def name(self) -> str:
        """Return it as `--precision` has it."""
        return _name(bf16=self.bf16)

    def save(self, path: Path) -> None:
        """Write it beside a run's checkpoints."""
        path.write_text(f"{self.name}\n", "utf-8")


def choose_precision(wanted: str = "auto", begun: Path | None = None) -> Precision:
    """Choose bf16 only where the hardware has it: emulated, it is slower than float32.

    A resumed run goes on in the precision that it wrote to `begun`, whatever is measured now.
    """
    import torch

    if wanted != "auto":
        return Precision(bf16=wanted == "bf16", reason=f"{wanted}, as told")
    if begun and begun.is_file():
        name = begun.read_text("utf-8").strip()
        return Precision(bf16=name == "bf16", reason=f"{name}, as the run began")
    if torch.cuda.is_available():
        name = torch.cuda.get_device_name()
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return Precision(bf16=True, reason=f"bf16 on {name}")
        return Precision(bf16=False, reason=f"float32: {name} only emulates bf16")
    if torch.backends.mps.is_available():
        return Precision(bf16=False, reason="float32 on Apple's GPU")
    return _on_cpu()


def _on_cpu() -> Precision:
    import torch

    able = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    if not (able.get("amx_bf16") or able.get("avx512_bf16")):
        return Precision(bf16=False, reason="float32: this CPU has no bf16 instructions")
    gain = bf16_gain()
    name = _name(bf16=gain >= _WORTH)
    reason = f"{name}: bf16 is {gain:.1f} times as fast on this CPU"
    return Precision(bf16=gain >= _WORTH, reason=reason)


def bf16_gain() -> float:
    """Measure how many times faster this CPU multiplies matrices in bf16 than in float32.

    Having the instructions says little: of two kinds of machine that have avx512_bf16 one was
    slowed by it to 0.6 times float32's speed. What else the machine does must not count: the two
    take turns, and the fastest product of each is compared. Some 0.2 s in all.
    """
    import torch

    single = torch.ones(_SIDE, _SIDE)
    half = single.bfloat16()
    _seconds(single), _seconds(half)  # the first ones prepare
    until = time.perf_counter() + _SECONDS
    times: list[tuple[float, float]] = []
    while len(times) < _FEWEST or time.perf_counter() < until:
        times.append((_seconds(single), _seconds(half)))
    return min(one for one, _ in times) / min(other for _, other in times)


def _seconds(matrix: Any) -> float:
    """Return the time of a product of the matrix with itself."""
    start = time.perf_counter()
    matrix @ matrix
    return time.perf_counter() - start


def _name(*, bf16: bool) -> str:
    return "bf16" if bf16 else "float32"


def training_device() -> str:
    """Return where weights are trained on this machine."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def to_training_device(base: Base) -> None:
    """Move a base's weights to where they will be trained."""
    base.weights.to(training_device())


class Material(Protocol):
    """What the steps of a run are made of: rows of one pair or several."""

    base: Base
    budget: Budget
    bf16: bool
    lengths: Sequence[int]
    pairs: Sequence[int]

    def labels(self, numbers: Sequence[int]) -> int:
        """Return how many positions of these rows a loss is taken at."""

    def loss(self, numbers: Sequence[int]) -> Any:
        """Return the mean loss over these rows' labels."""


class Single:
    """Rows of one pair, padded to the longest of a pass.

    With `uniform` all are padded to the longest of all, as the notebook did.
    """

    def __init__(
        self, base: Base, examples: Sequence[Example], budget: Budget, *, bf16: bool, uniform: bool
    ) -> None:
        self.base, self.budget, self.bf16 = base, budget, bf16
        self._rows = features(examples, base.family)
        self._least = (0, 0)
        if uniform:
            rows = self._rows
            self._least = (
                max(len(row["input_ids"]) for row in rows),
                max(len(row["labels"]) for row in rows),
            )
        whole = sum(self._least) if base.family == "encoder-decoder" else self._least[0]
        self.lengths: Sequence[int] = [whole or example.length for example in examples]
        self.pairs: Sequence[int] = [1] * len(examples)

    def labels(self, numbers: Sequence[int]) -> int:
        """See Material."""
        return sum(label != IGNORED for n in numbers for label in self._rows[n]["labels"])

    def loss(self, numbers: Sequence[int]) -> Any:
        """See Material."""
        rows = [self._rows[number] for number in numbers]
        batch = COLLATORS[self.base.family](rows, self.base.codec.pad_id, self._least)
        batch = on_device(batch, self.base.weights.device)
        if self.base.family == "encoder-decoder":
            return self.base.weights(**batch).loss
        logits, labels, _ = label_logits(self.base, batch)
        return _cross_entropy(logits, labels)


class Packed:
    """Rows of several pairs of one conversation, see `pipeline/training/encoding.py`."""

    def __init__(self, base: Base, rows: Sequence[Row], budget: Budget, *, bf16: bool) -> None:
        self.base, self.budget, self.bf16 = base, budget, bf16
        self._rows = rows
        self.lengths: Sequence[int] = [row.length for row in rows]
        self.pairs: Sequence[int] = [len(row.branches) for row in rows]

    def labels(self, numbers: Sequence[int]) -> int:
        """See Material."""
        return sum(self._rows[number].labels for number in numbers)

    def loss(self, numbers: Sequence[int]) -> Any:
        """See Material."""
        import torch

        rows = [self._rows[number] for number in numbers]
        batch = on_device(collate(rows, self.base.codec.pad_id), self.base.weights.device)
        labels = batch.pop("labels")
        hidden = self.base.weights.base_model(**batch, use_cache=False).last_hidden_state
        before = torch.cat(
            [hidden[number, places] for number, places in enumerate(foreseeing(rows))]
        )
        logits = self.base.weights.get_output_embeddings()(before)
        return _cross_entropy(logits, labels[labels != IGNORED])


def _cross_entropy(logits: Any, labels: Any) -> Any:
    """Return the mean loss of logits [labels, vocabulary] and labels [labels]."""
    import torch

    return torch.nn.functional.cross_entropy(logits.float(), labels)


def trainer_class() -> Any:
    """Return transformers' Trainer with steps and a learning rate of our own."""
    import torch
    import transformers

    class SteppingTrainer(transformers.Trainer):  # type: ignore[misc, unused-ignore]  # an untyped base
        """A Trainer whose dataset is a plan of steps, each cut into passes that fit in memory.

        `schedule` gives the learning rate's factor by the share of the run that is done.
        """

        def __init__(
            self, material: Material, schedule: Callable[[float], float], **options: Any
        ) -> None:
            super().__init__(**options)
            self._material, self._schedule = material, schedule

        def get_train_dataloader(self) -> Any:
            """Return the steps of a `batches.Plan` in order."""
            steps: Any = self.train_dataset
            return torch.utils.data.DataLoader(steps, collate_fn=lambda plan: {"rows": plan[0]})

        def floating_point_ops(self, inputs: Any) -> int:
            """Return 0: nobody asks."""
            return 0

        def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
            """Return the rate's factor by share of the run that is done."""
            if self.lr_scheduler is None:
                self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(
                    optimizer or self.optimizer,  # type: ignore[arg-type, unused-ignore]  # made just before
                    lambda step: self._schedule(step / num_training_steps),
                )
            return self.lr_scheduler

        def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Any:
            """Leave a step's gradients in the weights and return its loss, a mean over tokens.

            Out of memory, it is done anew in passes half as large: its gradients are the same.
            """
            rows, steps = inputs["rows"], self._material
            model.train()
            while (loss := step_loss(steps, rows)) is None:
                model.zero_grad(set_to_none=True)
                if torch.cuda.is_available():
                    torch.cuda.empty_cache()
                steps.budget.halve([steps.lengths[number] for number in rows])
            return loss

    return SteppingTrainer


def step_loss(material: Material, numbers: Sequence[int]) -> Any:
    """Run a step's passes, forward and back; return the loss, None where memory did not do."""
    import torch

    total = 0.0
    labels = material.labels(numbers)
    lengths = [material.lengths[number] for number in numbers]
    device = material.base.weights.device
    try:
        for places in passes(lengths, material.budget.tokens):
            part = [numbers[place] for place in places]
            with torch.autocast(device.type, torch.bfloat16, enabled=material.bf16):
                loss = material.loss(part)
            loss = loss * (material.labels(part) / labels)
            loss.backward()
            total = total + loss.detach()
    except torch.OutOfMemoryError:
        return None  # once out of here, nothing holds what filled the memory
    return total


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
