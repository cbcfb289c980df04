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
from model.speaking.engine import Engine, open_engine
from pipeline.training.bases import Base
from pipeline.training.encoding import Example
from pipeline.training.losses import reply_log_probabilities

_EXACT = 1e-3
"""Nats that a token may differ by in float32; 2e-5 was measured."""
_QUANTIZED = 0.5
"""Nats that tokens may differ by in int8, on average; single ones differed by up to 1.1."""


@dataclass(frozen=True, slots=True)
class Drift:
    """How far CTranslate2's log-probabilities are from the original's, nats a token.

    `exact` is the largest in float32, `quantized` the mean in int8.
    """

    exact: float
    quantized: float


def convert(base: Base, folder: Path, held_out: Sequence[Example]) -> Drift:
    """Write int8 files into `folder` and return how far they are from the original.

    Raises:
        ArtifactError: They differ by more than quantisation explains.
        TrainingError: The weights are no numbers any more.
    """
    base.weights.float().cpu()
    truth = reply_log_probabilities(base, held_out, bf16=False)
    if not all(math.isfinite(value) for row in truth for value in row):
        raise TrainingError("training has diverged: try again with a lower --learning-rate")
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        exact_folder = Path(temporary) / "float32"
        _convert(base, exact_folder, "float32")
        exact = max(_differences(_open(exact_folder, base), held_out, truth))
    if not exact <= _EXACT:
        raise ArtifactError(
            f"CTranslate2 computes {base.name} otherwise than transformers: log-probabilities "
            f"differ by {exact:.3f} nats a token in float32 ({_EXACT} allowed). Please report it"
        )
    _convert(base, folder, "int8")
    quantized = fmean(_differences(_open(folder, base), held_out, truth))
    if not quantized <= _QUANTIZED:
        raise ArtifactError(
            f"{base.name} loses too much in int8: {quantized:.3f} nats a token "
            f"({_QUANTIZED} allowed). Please report it"
        )
    return Drift(exact, quantized)


def _open(folder: Path, base: Base) -> Engine:
    return open_engine(folder, base.family, base.codec, device="cpu", threads=0)


def _differences(
    engine: Engine, examples: Sequence[Example], truth: Sequence[Sequence[float]]
) -> list[float]:
    scores = engine.scores(
        [e.prompt for e in examples],
        [e.forced for e in examples],
        [e.reply[:-1] for e in examples],
    )
    return [
        abs(ours - theirs)
        for row, true_row in zip(scores, truth, strict=True)
        for ours, theirs in zip(row, true_row, strict=True)
    ]


def _convert(base: Base, folder: Path, quantization: str) -> None:
    from ctranslate2.converters import TransformersConverter

    class InMemory(TransformersConverter):  # type: ignore[misc]  # an untyped base
        """Converts the weights at hand: reading them again would lose how T5 ties its layers."""

        def load_model(self, *_: Any, **__: Any) -> Any:
            return copy.deepcopy(base.weights)  # the converter takes layers off as it goes

        def load_tokenizer(self, *_: Any, **__: Any) -> Any:
            return _Pieces(base)

    with tempfile.TemporaryDirectory() as temporary:
        base.weights.config.save_pretrained(temporary)
        InMemory(temporary).convert(str(folder), quantization=quantization, force=True)


class _Pieces:
    """As much of a transformers tokenizer as the converter asks for."""

    def __init__(self, base: Base) -> None:
        tokenizer, codec = base.codec.tokenizer, base.codec
        rows = base.weights.config.vocab_size
        known = {number: piece for piece, number in tokenizer.get_vocab().items()}
        self._pieces = [known.get(row, f"<row_{row}>") for row in range(rows)]
        self.pad_token = known[codec.pad_id]
        self.eos_token = known[codec.end_id]
        begins = getattr(base.weights.config, "bos_token_id", None)
        self.bos_token = self.eos_token if begins is None else known[begins]
        self.unk_token = next(
            (p for p in ("<unk>", "<|endoftext|>") if p in self._pieces), self.eos_token
        )

    def convert_ids_to_tokens(self, number: int) -> str:
        """Return the piece of a row."""
        return self._pieces[number]

    def get_vocab(self) -> dict[str, int]:
        """Return a piece for every row of the weights."""
        return {piece: row for row, piece in enumerate(self._pieces)}
