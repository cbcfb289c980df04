"""Hyperparameters of training."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from model.artifacts.artifact import Family
from model.errors import TrainingError

_PAIRS_PER_STEP = 8
_PIECES_PER_STEP = 4
_MIN_TOKENS = 16
_MAX_EPOCHS = 10_000
_SEEDS = 2**32
_RATES: Mapping[Family, float] = {"encoder-decoder": 5e-4, "decoder-only": 2e-4}
_LORA_RATE = 1e-3  # 4 minutes with SmolLM2-135M: the same loss as 1e-4 with all weights


def _option(help: str, default: Any) -> Any:  # noqa: A002, ANN401  dataclasses' words and type
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True, slots=True)
class Hyperparameters:
    """Settings of a training; `help` is shown on the command line."""

    epochs: float = _option("Maximum passes over the training data", 4.0)
    minutes: float = _option("Time limit for training; 0 = none", 0.0)
    examples: str = _option("Train on: auto, pairs or sessions (decoder-only)", "auto")
    batch_size: int = _option("Examples per step; 0 = 8 pairs or 4 pieces", 0)
    hidden: float = _option("Share of examples that hide one person's lines", 0.5)
    name_loss: float = _option("Weight of the loss on wrong names (sessions); 0 = off", 0.2)
    batches: str = _option("Batches: alike (similar lengths) or uniform (padded)", "alike")
    precision: str = _option("auto (bf16 if supported), float32 or bf16", "auto")
    learning_rate: float = _option("Peak learning rate; 0 = by model family", 0.0)
    schedule: str = _option("Learning rate decay: cosine or linear", "cosine")
    warmup: float = _option("Share of the steps used for warm-up", 0.03)
    weight_decay: float = _option("Weight decay of AdamW", 0.0)
    lora: bool = _option("Fine-tune with LoRA instead of all weights", False)  # noqa: FBT003
    lora_rank: int = _option("Rank of the LoRA matrices", 16)
    lora_alpha: int = _option("Scale of the LoRA update (alpha)", 32)
    evaluations: int = _option("Maximum validation runs; 0 = none", 10)
    patience: int = _option("Stop after N validations without improvement; 0 = off", 3)
    validation_pairs: int = _option("Pairs per validation run", 200)
    canaries: bool = _option("Plant secrets to test memorisation; never promoted", False)  # noqa: FBT003
    canary_count: int = _option("Number of planted secrets", 8)
    reserve_judge_sessions: bool = _option("Keep half of the sessions for evaluate's judges", False)  # noqa: FBT003
    max_prompt_tokens: int = _option("Prompt length; the oldest lines are dropped", 384)
    max_reply_tokens: int = _option("Reply length; longer replies are cut", 96)
    seed: int = _option("Random seed", 0)

    def __post_init__(self) -> None:
        """Refuse values that no training can use."""
        ranges = {
            "epochs": 0 < self.epochs <= _MAX_EPOCHS,
            "minutes": self.minutes >= 0,
            "examples": self.examples in ("auto", "pairs", "sessions"),
            "batch-size": self.batch_size >= 0,
            "hidden": 0 <= self.hidden <= 1,
            "name-loss": self.name_loss >= 0,
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
            "max-prompt-tokens": self.max_prompt_tokens >= _MIN_TOKENS,
            "max-reply-tokens": self.max_reply_tokens >= _MIN_TOKENS,
            "seed": 0 <= self.seed < _SEEDS,
        }
        if wrong := [name for name, is_valid in ranges.items() if not is_valid]:
            value = getattr(self, wrong[0].replace("-", "_"))
            raise TrainingError(f"--{wrong[0]} {value} is out of range; see --help")

    def resolve(self, family: Family) -> "Hyperparameters":
        """Return them with the choices that depend on a base's family.

        Raises:
            TrainingError: Encoder-decoder models cannot learn whole sessions.
        """
        if self.examples == "sessions" and family == "encoder-decoder":
            raise TrainingError(
                "an encoder-decoder base learns pairs: use --examples pairs, or a decoder-only base"
            )
        are_sessions = self.examples != "pairs" and family == "decoder-only"
        return replace(
            self,
            examples="sessions" if are_sessions else "pairs",
            name_loss=self.name_loss if are_sessions else 0.0,
            batch_size=self.batch_size or (_PIECES_PER_STEP if are_sessions else _PAIRS_PER_STEP),
            learning_rate=self.rate(family),
        )

    def rate(self, family: Family) -> float:
        """Return the peak learning rate for a model family."""
        return self.learning_rate or (_LORA_RATE if self.lora else _RATES[family])


RECIPES: Mapping[str, Mapping[str, Any]] = {
    "understudy": {},
    "notebook": {
        "epochs": 4.0,
        "examples": "pairs",
        "batch_size": 8,
        "hidden": 0.0,
        "name_loss": 0.0,
        "batches": "uniform",
        "precision": "float32",
        "learning_rate": 5e-5,
        "schedule": "linear",
        "warmup": 0.0,
        "weight_decay": 0.0,
        "evaluations": 0,
    },
}
"""Values of each recipe; `notebook` repeats the seed notebook, as the benchmarks' baseline."""


def by_recipe(recipe: str, given: Mapping[str, Any]) -> Hyperparameters:
    """Return a recipe's hyperparameters; the given values override it.

    Raises:
        TrainingError: There is no such recipe, or a value is out of range.
    """
    if recipe not in RECIPES:
        raise TrainingError(f"unknown --recipe {recipe}: choose {' or '.join(RECIPES)}")
    return Hyperparameters(**{**RECIPES[recipe], **given})
