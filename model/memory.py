"""How many tokens fit in memory at a time, and what happens when fewer do."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from model.errors import TrainingError

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
