"""One training step: its rows through the weights, in as many passes as memory asks for."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from model.base import Base
from model.batches import passes
from model.examples import COLLATORS, IGNORED, Example, features, on_device
from model.losses import label_logits
from model.memory import Budget
from model.packing import Row, collate, foreseeing


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
    """Rows of several pairs of one conversation, see `model/packing.py`."""

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
