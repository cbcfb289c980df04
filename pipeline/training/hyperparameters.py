"""Hyperparameters of training."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

from model.artifacts.artifact import Family
from model.errors import TrainingError
from model.options import Given, check_options, format_value, option
from pipeline.training.wheels import WHEELS

_PAIRS_PER_STEP = 8
_PIECES_PER_STEP = 4
_MIN_TOKENS = 16
_RATES: Mapping[Family, float] = {"encoder-decoder": 5e-4, "decoder-only": 2e-4}
_LORA_RATE = 1e-3  # 4 minutes with SmolLM2-135M: the same loss as 1e-4 with all weights


def _option(default: Any, help: str, notebook: Any = None, **declared: Any) -> Any:  # noqa: A002, ANN401
    """Return a field that is an option; `notebook` is its value in the recipe of this name."""
    declared.setdefault("panel", "Advanced training")
    if notebook not in (None, default):
        declared["default_text"] = f"{format_value(default)} (notebook: {format_value(notebook)})"
    found = option(default, help, **declared)
    return field(default=default, metadata={**found.metadata, "notebook": notebook})


@dataclass(frozen=True, slots=True)
class Hyperparameters:
    """Settings of a training run."""

    epochs: float = _option(
        4.0, "Maximum passes over the training data", 4.0, above=0, most=10_000,
        panel="",
    )  # fmt: skip
    minutes: float = _option(
        0.0, "Time limit for training; 0 = none", metavar="MINUTES", least=0, panel=""
    )
    lora: bool = _option(
        default=False,
        help="Fine-tune with LoRA instead of all weights",
        can_switch_off=True,
        panel="",
    )
    example_type: Literal["auto", "pairs", "sessions"] = _option(
        "auto", "Train on pairs of context and reply, or on whole sessions", "pairs"
    )
    batch_size: int = _option(0, "Examples per step; 0 = 8 pairs or 4 session segments", 8, least=0)
    speaker_dropout: float = _option(
        0.5, "Share of examples without one speaker's earlier lines", 0.0, least=0, most=1
    )
    speaker_loss: float = _option(
        0.2, "Weight of the speaker loss (sessions only); 0 = off", 0.0, least=0
    )
    batching: Literal["alike", "uniform"] = _option(
        "alike", "Batches of similar length, or padded to one length (uniform)", "uniform"
    )
    precision: Literal["auto", "float32", "bf16"] = _option(
        "auto", "Precision of training; auto = bf16 if supported", "float32"
    )
    learning_rate: float = _option(
        0.0, "Peak learning rate; 0 = the default for the base", 5e-5, least=0, most=1
    )
    schedule: Literal["cosine", "linear"] = _option("cosine", "Learning rate decay", "linear")
    warmup: float = _option(0.03, "Share of the steps used for warm-up", 0.0, least=0, most=0.99)
    weight_decay: float = _option(0.0, "Weight decay of AdamW", 0.0, least=0)
    lora_rank: int = _option(16, "Rank of the LoRA matrices", least=1)
    lora_alpha: int = _option(32, "Scale of the LoRA update (alpha)", least=1)
    evaluations: int = _option(10, "Maximum validation runs; 0 = none", 0, least=0)
    patience: int = _option(3, "Stop after N validations without improvement; 0 = off", least=0)
    validation_pairs: int = _option(200, "Pairs per validation run", least=1)
    canaries: bool = _option(
        default=False, help="Plant secrets to test memorisation; never promoted"
    )
    canary_count: int = _option(8, "Number of planted secrets", least=1)
    reserve_judge_sessions: bool = _option(
        default=False,
        help="Withhold half of the sessions for evaluate's judge",
        name="reserve-half",
    )
    max_prompt_tokens: int = _option(
        384, "Maximum prompt length in tokens; older lines are dropped", least=_MIN_TOKENS
    )
    max_reply_tokens: int = _option(
        96, "Maximum reply length in tokens; longer replies are cut", least=_MIN_TOKENS
    )
    seed: int = _option(0, "Random seed", least=0, most=2**32 - 1)

    def __post_init__(self) -> None:
        """Refuse values that no training can use."""
        try:
            check_options(self)
        except ValueError as error:
            raise TrainingError(str(error)) from error

    def resolve(self, family: Family, base: str) -> "Hyperparameters":
        """Return them with the choices that depend on a base, and on its family.

        Raises:
            TrainingError: Encoder-decoder models cannot learn whole sessions.
        """
        if self.example_type == "sessions" and family == "encoder-decoder":
            raise TrainingError(
                "an encoder-decoder base can only learn pairs: use --set example-type=pairs, or "
                "another base"
            )
        are_sessions = self.example_type != "pairs" and family == "decoder-only"
        return replace(
            self,
            example_type="sessions" if are_sessions else "pairs",
            speaker_loss=self.speaker_loss if are_sessions else 0.0,
            batch_size=self.batch_size or (_PIECES_PER_STEP if are_sessions else _PAIRS_PER_STEP),
            learning_rate=self.rate(family, base),
        )

    def rate(self, family: Family, base: str) -> float:
        """Return the peak learning rate for a base of this family."""
        own = WHEELS[base].learning_rate if base in WHEELS else None
        return self.learning_rate or (_LORA_RATE if self.lora else own or _RATES[family])


def by_recipe(recipe: Literal["understudy", "notebook"], given: Given) -> Hyperparameters:
    """Return a recipe's hyperparameters; the given values override it.

    The recipe `notebook` repeats the original notebook, as a baseline for the benchmarks.

    Raises:
        TrainingError: A value is out of range.
    """
    own: dict[str, Any] = {}
    if recipe == "notebook":
        values = ((one.name, one.metadata["notebook"]) for one in fields(Hyperparameters))
        own = {name: value for name, value in values if value is not None}
    return Hyperparameters(**{**own, **given})
