"""Plan a run with a time limit: measure the speed, choose the batch size, count the steps."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from pipeline.terminal import clock
from pipeline.training.bases import Base
from pipeline.training.encoding import Collator
from pipeline.training.hyperparameters import Hyperparameters
from pipeline.training.losses import label_logits
from pipeline.training.processes import SINGLE_PROCESS, Processes

if TYPE_CHECKING:
    import datasets

    from pipeline.training.speaker_loss import SpeakerLoss

_MULTIPLES = (8, 4, 2, 1)
_MIN_STEPS = 1_000
_LONG_ENOUGH = 3.0  # seconds of measurement
_SHARE = 0.01  # of the time limit, if that is shorter
_MIN_BATCHES = 3
_MAX_SHARE = 0.1  # of the time limit: a very busy machine measures one batch only
_TRAINING_COST = 3.0  # of a token, if reading it costs 1: forward, and twice that backward
_VALIDATION_SHARE = 0.05  # of the training, at most; see `RunCallback`
_CONVERSIONS = 2.0  # seconds of a conversion and its check, if loading takes 1
_CPU_ROWS = 2  # the speed of a CPU in tokens hardly depends on the batch size


@dataclass(frozen=True, slots=True)
class Speed:
    """Tokens per second, forward and backward, and seconds per step for everything else.

    These seconds cover the optimizer step and the speaker loss.
    """

    tokens: float
    update: float


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """A run's time limit, speed, rows per step, number of steps and passes over the rows."""

    minutes: float
    tokens_per_second: float
    batch_size: int
    steps: int
    passes: float

    def describe(self, rows: str) -> str:
        """Return the plan in one line; `rows` is what a row is called, in the plural."""
        share = f"{self.passes:.2g} " + ("of one pass" if self.passes < 1 else "passes")
        return (
            f"Plan: {self.minutes:g} min at about {_round(self.tokens_per_second):,} "
            f"tokens/s: about {_round(self.steps):,} steps of {self.batch_size} {rows} ({share})"
        )


@dataclass(frozen=True, slots=True)
class Pace:
    """Measured seconds: to load a base, and to test it on `tokens` tokens."""

    load: float
    test: float
    tokens: int

    def expect(
        self, settings: Hyperparameters, lengths: Sequence[int], draws: int, evaluation: float
    ) -> float:
        """Return the seconds that are still to come, as busy as the machine is now.

        A time limit counts in full: how long the passes take is measured only in training.
        `lengths` are the tokens of the rows, which hold the data `draws` times; `evaluation` is
        the cost of the evaluation in tokens that the model reads.
        """
        token = self.test / max(1, self.tokens)
        trained = _TRAINING_COST * token
        if settings.minutes:
            limit, batch = settings.minutes * 60, _CPU_ROWS * fmean(lengths) * trained
            seconds = limit + batch + min(_MIN_BATCHES * batch, max(batch, _MAX_SHARE * limit))
        else:
            seconds = settings.epochs * sum(lengths) / draws * trained
        validated = _VALIDATION_SHARE * seconds if settings.evaluations else 0.0
        return seconds + validated + self.test + _CONVERSIONS * self.load + evaluation * token


def describe_time(seconds: float, minutes: float) -> str:
    """Return what a training run will take in all, besides its time limit."""
    about = "up to" if minutes else "about"
    whole = f"This will take {about} {clock(seconds)} in total on this machine at its current load"
    share = f"at most {clock(minutes * 60)} of training, and the rest for loading, testing and "
    return f"{whole}: {share}converting." if minutes else f"{whole}."


def make_plan(
    lengths: Sequence[int], speed: Speed, settings: Hyperparameters, *, may_enlarge: bool
) -> TrainingPlan:
    """Plan a training run on rows of these lengths in tokens.

    If the batch size may be enlarged, it is the largest of 8, 4, 2 and 1 times the given one that
    leaves at least 1,000 steps: few large steps learn less than many small ones. Memory does not
    limit it, because a step is split into parts that fit.
    """
    mean = fmean(lengths)

    def count_steps(size: int) -> int:
        in_time = settings.minutes * 60 / (size * mean / speed.tokens + speed.update)
        in_passes = math.ceil(settings.epochs * math.ceil(len(lengths) / size))
        return max(1, round(min(in_time, in_passes)))

    sizes = [settings.batch_size * multiple for multiple in _MULTIPLES] if may_enlarge else ()
    enough = (size for size in sizes if count_steps(size) >= _MIN_STEPS)
    size = next(enough, settings.batch_size)
    steps = count_steps(size)
    passes = min(settings.epochs, steps * size / len(lengths))
    return TrainingPlan(settings.minutes, speed.tokens, size, steps, passes)


def measure_speed(
    base: Base,
    rows: "datasets.Dataset",
    batch_size: int,
    minutes: float,
    *,
    bf16: bool,
    speaker_loss: "SpeakerLoss | None" = None,
    processes: Processes = SINGLE_PROCESS,
) -> Speed:
    """Measure the speed of training on batches of similar length; the weights do not change.

    Takes 3 s or 1 % of the time limit, and at least three batches unless they take a tenth of it,
    after the longest batch, which warms up. The fastest counts: the process may still be growing,
    or another program may be running. On a CPU a batch has at most 2 rows. One of several
    `processes` has a share of the speaker loss; if they share the model, each takes three batches.
    """
    import torch

    weights, device = base.weights, base.weights.device.type
    size = min(len(rows), batch_size, batch_size if device == "cuda" else _CPU_ROWS)
    lengths = list(rows["length"])
    by_length = sorted(range(len(rows)), key=lengths.__getitem__)
    long_enough = 0.0 if processes.shards else min(_LONG_ENOUGH, _SHARE * minutes * 60)
    too_long = math.inf if processes.shards else _MAX_SHARE * minutes * 60
    collate = Collator(base.family, base.codec.pad_id)
    trained = [value for value in weights.parameters() if value.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=0.0, weight_decay=0.0, fused=True)

    def time_names(speaker_loss: "SpeakerLoss", step: int) -> float:
        began = _read_clock(device)
        with torch.autocast(device, torch.bfloat16, enabled=bf16):
            loss = speaker_loss.compute(step, processes.rank, processes.count)
        loss.backward()
        return _read_clock(device) - began

    def time_batch(start: int) -> tuple[int, float]:
        batch = collate([rows[index] for index in by_length[start : start + size]])
        batch = {name: tensor.to(weights.device) for name, tensor in batch.items()}
        began = _read_clock(device)
        with torch.autocast(device, torch.bfloat16, enabled=bf16):
            logits, labels = label_logits(base, batch, weights)
        loss = torch.nn.functional.cross_entropy(logits.float(), labels)
        loss.backward()  # type: ignore[no-untyped-call, unused-ignore]  # torch's
        return int(batch["attention_mask"].sum()), _read_clock(device) - began

    with torch.random.fork_rng():  # dropout draws random numbers
        was_training = weights.training
        weights.train()
        time_batch(len(rows) - size)  # the longest first: the process grows only once
        optimizer.step()  # makes its state
        speeds: list[float] = []
        seconds = 0.0
        while not speeds or (
            seconds < too_long and (len(speeds) < _MIN_BATCHES or seconds < long_enough)
        ):
            tokens, elapsed = time_batch((len(rows) - size) * (len(speeds) * 3 % 8 + 1) // 8)
            seconds += elapsed
            speeds.append(tokens / elapsed)
        names = min(time_names(speaker_loss, step) for step in range(3)) if speaker_loss else 0.0
        weights.train(was_training)
    began = _read_clock(device)
    optimizer.step()
    update = _read_clock(device) - began
    optimizer.zero_grad()
    return Speed(max(speeds), update + names)


def _read_clock(device: str) -> float:
    """Return seconds; on a GPU, after all its work is done."""
    import torch

    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def _round(value: float) -> int:
    """Round to two digits: a short measurement is not more precise."""
    return int(float(f"{value:.2g}"))
