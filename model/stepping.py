"""One training step: its pairs through the weights, in as many passes as memory asks for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from model.base import Base
from model.batches import passes
from model.examples import COLLATORS, IGNORED, Example, features, on_device
from model.memory import Budget


@dataclass(frozen=True, slots=True)
class Material:
    """What the steps of a run are made of.

    `width` are the least input and label columns of a pass: 0 pads to the longest of the pass,
    more as the notebook did, to the longest of all.
    """

    base: Base
    rows: Sequence[dict[str, Any]]
    lengths: Sequence[int]
    budget: Budget
    bf16: bool
    width: tuple[int, int] = (0, 0)

    def batch(self, numbers: Sequence[int]) -> dict[str, Any]:
        """Return pairs as padded tensors where the weights are."""
        rows = [self.rows[number] for number in numbers]
        batch = COLLATORS[self.base.family](rows, self.base.codec.pad_id, self.width)
        return on_device(batch, self.base.weights.device)

    def labels(self, numbers: Sequence[int]) -> int:
        """Return how many positions of these pairs a loss is taken at."""
        return sum(label != IGNORED for n in numbers for label in self.rows[n]["labels"])


def material(
    base: Base, examples: Sequence[Example], budget: Budget, *, bf16: bool, uniform: bool
) -> Material:
    """Return the steps' material; with `uniform`, all is padded to the longest of all."""
    rows = features(examples, base.family)
    width = (0, 0)
    if uniform:
        width = max(len(r["input_ids"]) for r in rows), max(len(r["labels"]) for r in rows)
    whole = sum(width) if base.family == "encoder-decoder" else width[0]
    lengths = [whole or example.length for example in examples]
    return Material(base, rows, lengths, budget, bf16, width)


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
            return torch.utils.data.DataLoader(steps, collate_fn=lambda plan: {"pairs": plan[0]})

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
            pairs, steps = inputs["pairs"], self._material
            model.train()
            while (loss := step_loss(steps, pairs)) is None:
                model.zero_grad(set_to_none=True)
                if torch.cuda.is_available():
                    torch.cuda.empty_cache()
                steps.budget.halve([steps.lengths[number] for number in pairs])
            return loss

    return SteppingTrainer


def step_loss(material: Material, pairs: Sequence[int]) -> Any:
    """Run a step's passes, forward and back; return the loss, None where memory did not do."""
    import torch

    total = 0.0
    labels = material.labels(pairs)
    lengths = [material.lengths[number] for number in pairs]
    device = material.base.weights.device
    try:
        for places in passes(lengths, material.budget.tokens):
            numbers = [pairs[place] for place in places]
            with torch.autocast(device.type, torch.bfloat16, enabled=material.bf16):
                loss = _loss(material.base, material.batch(numbers))
            loss = loss * (material.labels(numbers) / labels)
            loss.backward()
            total = total + loss.detach()
    except torch.OutOfMemoryError:
        return None  # once out of here, nothing holds what filled the memory
    return total


def _loss(base: Base, batch: dict[str, Any]) -> Any:
    """Return the mean loss over a pass's labels.

    A decoder-only model's logits are computed at the labels' positions alone: 49,152 of them a
    position are a third of SmolLM2-135M's work, and of a batch's last columns half are padding.
    """
    import torch

    if base.family == "encoder-decoder":
        return base.weights(**batch).loss
    labels, kept = batch["labels"][:, 1:], batch["logits_to_keep"]
    inputs = {k: v for k, v in batch.items() if k not in ("labels", "logits_to_keep")}
    hidden = base.weights.base_model(**inputs, use_cache=False).last_hidden_state
    foreseeing = hidden[:, -kept:-1][labels != IGNORED]
    logits = base.weights.get_output_embeddings()(foreseeing)
    return torch.nn.functional.cross_entropy(logits.float(), labels[labels != IGNORED])
