"""Convert fine-tuned weights to CTranslate2 and check the result."""

import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from model.errors import ArtifactError, BaseError, TrainingError
from model.speaking.engine import open_engine
from pipeline.training.bases import Base
from pipeline.training.encoding import Example
from pipeline.training.kinds import write_engine
from pipeline.training.scorer import log_probabilities

_MAX_EXACT = 1e-3  # nats for each token in float32; 2e-5 was measured
_MAX_QUANTIZED = 0.5  # mean nats per token in int8; individual tokens differed by up to 1.1
_SETTINGS_ERRORS = (
    AttributeError, LookupError, NotImplementedError, RuntimeError, TypeError, ValueError,
)  # fmt: skip
"""What CTranslate2 and its converter raise for settings that they do not know."""


@dataclass(frozen=True, slots=True)
class Drift:
    """Difference between CTranslate2's log-probabilities and the original's, in nats per token.

    `exact` is the maximum in float32, `quantized` the mean in int8.
    """

    exact: float
    quantized: float


def check_conversion(base: Base, examples: Sequence[Example], parent: Path) -> None:
    """Convert a base before training, in float32 and into a temporary folder inside `parent`.

    It shows what a kind's name does not: scaled rotary embeddings, soft-capping, activations and
    more.

    Raises:
        BaseError: With its settings, CTranslate2 and transformers compute different results.
    """
    truth = log_probabilities(base, examples)
    with tempfile.TemporaryDirectory(dir=parent) as temporary:
        try:
            differences = _convert(base, Path(temporary), "float32", examples, truth)
        except _SETTINGS_ERRORS:
            differences = [math.inf]
    if not max(differences, default=0.0) <= _MAX_EXACT:
        raise BaseError(
            f"{base.name} has settings that CTranslate2 does not support: choose another base"
        )


def convert(
    base: Base,
    folder: Path,
    held_out: Sequence[Example],
    on_share: Callable[[float], None] = lambda _: None,
) -> Drift:
    """Write int8 files into `folder` and return their difference from the original.

    `on_share` gets the share that is done.

    Raises:
        ArtifactError: The difference is larger than quantisation explains.
        TrainingError: The weights are no longer finite numbers.
    """
    base.weights.float().cpu()
    on_share(0)
    truth = log_probabilities(base, held_out)
    if not all(math.isfinite(value) for row in truth for value in row):
        raise TrainingError(
            "training has diverged: try again with a lower learning rate (--set learning-rate=N)"
        )
    on_share(1 / 3)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        exact = max(_convert(base, Path(temporary) / "float32", "float32", held_out, truth))
    on_share(2 / 3)
    if not exact <= _MAX_EXACT:
        raise ArtifactError(
            f"CTranslate2 and transformers disagree on {base.name}: log-probabilities differ by "
            f"{exact:.3f} nats a token in float32 ({_MAX_EXACT} allowed). Please report it"
        )
    quantized = fmean(_convert(base, folder, "int8", held_out, truth))
    if not quantized <= _MAX_QUANTIZED:
        raise ArtifactError(
            f"{base.name} loses too much accuracy in int8: {quantized:.3f} nats a token "
            f"({_MAX_QUANTIZED} allowed). Please report it"
        )
    return Drift(exact, quantized)


def _convert(
    base: Base,
    folder: Path,
    quantization: str,
    examples: Sequence[Example],
    truth: Sequence[Sequence[float]],
) -> list[float]:
    """Convert and return how far each token's log-probability is from the true one, in nats."""
    write_engine(base.weights, base.codec, folder, quantization)
    engine = open_engine(folder, base.family, base.codec, device="cpu", threads=0)
    return [
        abs(ours - theirs)
        for example, true_row in zip(examples, truth, strict=True)
        for row in engine.scores(example.prompt, example.forced, [example.reply])
        for ours, theirs in zip(row, true_row, strict=True)
    ]
