"""Convert fine-tuned weights to CTranslate2 and check the result."""

import copy
import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from model.errors import ArtifactError, TrainingError
from model.speaking.engine import open_engine
from pipeline.training.bases import Base
from pipeline.training.encoding import Example
from pipeline.training.losses import reply_log_probabilities

_MAX_EXACT = 1e-3  # nats for each token in float32; 2e-5 was measured
_MAX_QUANTIZED = 0.5  # mean nats per token in int8; single tokens differed by up to 1.1


@dataclass(frozen=True, slots=True)
class Drift:
    """Difference between CTranslate2's log-probabilities and the original's, in nats per token.

    `exact` is the maximum in float32, `quantized` the mean in int8.
    """

    exact: float
    quantized: float


def convert(base: Base, folder: Path, held_out: Sequence[Example]) -> Drift:
    """Write int8 files into `folder` and return their difference from the original.

    Raises:
        ArtifactError: The difference is larger than quantisation explains.
        TrainingError: The weights are no longer finite numbers.
    """
    base.weights.float().cpu()
    truth = reply_log_probabilities(base, held_out, bf16=False)
    if not all(math.isfinite(value) for row in truth for value in row):
        raise TrainingError("training has diverged: try again with a lower --learning-rate")
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        exact = max(_convert(base, Path(temporary) / "float32", "float32", held_out, truth))
    if not exact <= _MAX_EXACT:
        raise ArtifactError(
            f"CTranslate2 and transformers disagree on {base.name}: log-probabilities differ by "
            f"{exact:.3f} nats a token in float32 ({_MAX_EXACT} allowed). Please report it"
        )
    quantized = fmean(_convert(base, folder, "int8", held_out, truth))
    if not quantized <= _MAX_QUANTIZED:
        raise ArtifactError(
            f"{base.name} loses too much in int8: {quantized:.3f} nats a token "
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
    from ctranslate2.converters import TransformersConverter

    class InMemory(TransformersConverter):  # type: ignore[misc]  # an untyped base
        """Converts weights in memory: loading them again would lose how T5 ties its layers."""

        def load_model(self, *_: Any, **__: Any) -> Any:
            return copy.deepcopy(base.weights)  # the converter removes layers

        def load_tokenizer(self, *_: Any, **__: Any) -> Any:
            return _Pieces(base)

    with tempfile.TemporaryDirectory() as temporary:
        base.weights.config.save_pretrained(temporary)
        InMemory(temporary).convert(str(folder), quantization=quantization, force=True)
    scores = open_engine(folder, base.family, base.codec, device="cpu", threads=0).scores(
        [e.prompt for e in examples],
        [e.forced for e in examples],
        [e.reply[:-1] for e in examples],
    )
    return [
        abs(ours - theirs)
        for row, true_row in zip(scores, truth, strict=True)
        for ours, theirs in zip(row, true_row, strict=True)
    ]


class _Pieces:
    """The part of a transformers tokenizer that the converter uses."""

    def __init__(self, base: Base) -> None:
        tokenizer, codec = base.codec.tokenizer, base.codec
        rows = base.weights.config.vocab_size
        pieces = {number: piece for piece, number in tokenizer.get_vocab().items()}
        self._pieces = [pieces.get(row, f"<row_{row}>") for row in range(rows)]
        self.pad_token = pieces[codec.pad_id]
        self.eos_token = pieces[codec.end_id]
        bos_id = getattr(base.weights.config, "bos_token_id", None)
        self.bos_token = self.eos_token if bos_id is None else pieces[bos_id]
        self.unk_token = next(
            (p for p in ("<unk>", "<|endoftext|>") if p in self._pieces), self.eos_token
        )

    def convert_ids_to_tokens(self, number: int) -> str:
        """Return the piece of a row."""
        return self._pieces[number]

    def get_vocab(self) -> dict[str, int]:
        """Return a piece for every row of the weights."""
        return {piece: row for row, piece in enumerate(self._pieces)}
