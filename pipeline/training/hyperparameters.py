"""Hyperparameters of training."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from model.artifacts.artifact import Family
from model.errors import TrainingError

_LEAST_TOKENS = 16
_MOST_EPOCHS = 10_000
_SEEDS = 2**32
_RATES: Mapping[Family, float] = {"encoder-decoder": 5e-4, "decoder-only": 2e-4}
_LORA_RATE = 1e-3  # as far in 4 minutes of SmolLM2-135M as 1e-4 with full weights


def _is(help: str, default: Any) -> Any:  # noqa: A002, ANN401  dataclasses' own words and type
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True, slots=True)
class Hyperparameters:
    """What a run is told; `help` is the command line's. The defaults are our own recipe."""

    epochs: float = _is("Maximum passes over the pairs", 4.0)
    minutes: float = _is("Time limit for training; 0 = none", 0.0)
    batch_size: int = _is("Pairs per optimiser step", 8)
    batches: str = _is("Batching: alike (similar lengths) or uniform", "alike")
    precision: str = _is("auto (bf16 if supported), float32 or bf16", "auto")
    learning_rate: float = _is("Peak learning rate; 0 = by model family", 0.0)
    schedule: str = _is("Learning rate decay: cosine or linear", "cosine")
    warmup: float = _is("Share of the steps used for warm-up", 0.03)
    weight_decay: float = _is("Weight decay of AdamW", 0.0)
    lora: bool = _is("Fine-tune with LoRA instead of all weights", False)  # noqa: FBT003
    lora_rank: int = _is("Rank of the LoRA matrices", 16)
    lora_alpha: int = _is("Scale of the LoRA update (alpha)", 32)
    evaluations: int = _is("Maximum validation runs; 0 = none", 10)
    patience: int = _is("Validation runs without gain before stopping; 0 = off", 3)
    validation_pairs: int = _is("Pairs per validation run", 200)
    canaries: bool = _is("Plant secrets to test memorisation; never promoted", False)  # noqa: FBT003
    canary_count: int = _is("Number of planted secrets", 8)
    max_prompt_tokens: int = _is("Prompt length; the oldest lines are dropped", 384)
    max_reply_tokens: int = _is("Reply length; longer replies are cut", 96)
    seed: int = _is("Random seed", 0)

    def __post_init__(self) -> None:
        """Refuse what no run can use."""
        ranges = {
            "epochs": 0 < self.epochs <= _MOST_EPOCHS,
            "minutes": self.minutes >= 0,
            "batch-size": self.batch_size >= 1,
            "batches": self.batches in ("alike", "uniform"),
            "precision": self.precision in ("auto", "float32", "bf16"),
            "learning-rate": 0 <= self.learning_rate <= 1,
            "schedule": self.schedule in ("cosine", "linear"),
            "warmup": 0 <= self.warmup < 1,
            "weight-decay": self.weight_decay >= 0,
            "lora-rank": self.lora_rank >= 1,
            "lora-alpha": self.lora_alpha >= 1,
            "evaluations": self.evaluations >= 0,
            "patience": self.patience >= 0,
            "validation-pairs": self.validation_pairs >= 1,
            "canary-count": self.canary_count >= 1,
            "max-prompt-tokens": self.max_prompt_tokens >= _LEAST_TOKENS,
            "max-reply-tokens": self.max_reply_tokens >= _LEAST_TOKENS,
            "seed": 0 <= self.seed < _SEEDS,
        }
        if wrong := [name for name, right in ranges.items() if not right]:
            value = getattr(self, wrong[0].replace("-", "_"))
            raise TrainingError(f"--{wrong[0]} {value} is out of range; see --help")

    def rate(self, family: Family) -> float:
        """Return the peak learning rate for a family."""
        return self.learning_rate or (_LORA_RATE if self.lora else _RATES[family])


RECIPES: Mapping[str, Mapping[str, Any]] = {
    "understudy": {},
    "notebook": {
        "epochs": 4.0,
        "batch_size": 8,
        "batches": "uniform",
        "precision": "float32",
        "learning_rate": 5e-5,
        "schedule": "linear",
        "warmup": 0.0,
        "weight_decay": 0.0,
        "evaluations": 0,
    },
}
"""What each recipe sets; `notebook` is the seed notebook's, the benchmarks' baseline."""


def by_recipe(recipe: str, given: Mapping[str, Any]) -> Hyperparameters:
    """Return a recipe's hyperparameters with the given ones in place of its own.

    Raises:
        TrainingError: There is no such recipe, or a value is out of range.
    """
    if recipe not in RECIPES:
        raise TrainingError(f"--recipe {recipe}: there is {' and '.join(RECIPES)}")
    return Hyperparameters(**{**RECIPES[recipe], **given})
