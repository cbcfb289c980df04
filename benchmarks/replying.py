"""The time and memory of a reply with FLAN-T5-small's shape, beside `generate` in transformers."""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.figures import Figure, Processes, measure, peak_memory, seconds

BASE = "google/flan-t5-small"
PROMPT_TOKENS, REPLY_TOKENS = 144, 32
REPLIES = 5
_COPIED = 1 << 28  # bytes


def run() -> list[Figure]:
    """Measure one reply of 32 tokens, eight candidates, the time per token, and memory."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        _write_model(folder)
        sizes = json.loads((folder / "sizes.json").read_text("utf-8"))
        ours, theirs = (
            Processes("benchmarks.replying", which, folder) for which in ("ours", "transformers")
        )
        limit = 1_000 * sizes["decoder"] / _measure_bandwidth()
        return [
            measure(
                "one reply of 32 tokens, FLAN-T5-small's shape, one core", "s", ours.ask("one"),
                baseline=theirs.ask("one"),
                baseline_name="transformers in float32 on two cores",
                wanted="≥ 4×", is_met=lambda _, ratio: ratio >= 4,
            ),
            measure(
                "one token of it", "ms", ours.ask("token"), baseline=lambda: limit,
                baseline_name="the decoder's bytes / this memory's bandwidth",
            ),
            measure(
                "8 candidates", "s", ours.ask("eight"), baseline=ours.ask("one"),
                baseline_name="one candidate", wanted="≤ 2.5 times as long",
                is_met=lambda _, ratio: ratio >= 1 / 2.5,
            ),
            measure(
                "peak memory with the model, FLAN-T5-small's shape", "MiB", ours.ask("memory"),
                baseline=theirs.ask("memory"), baseline_name="transformers in float32",
                wanted="< 260 MB", is_met=lambda value, _: value < 260e6 / 2**20,
            ),
        ]  # fmt: skip


def main() -> None:
    """Measure one engine in this process, and print the results as JSON."""
    which, folder = sys.argv[1], Path(sys.argv[2])
    draw = _open_ours(folder) if which == "ours" else _open_transformers(folder)
    draw(1)  # warm up
    one = min(seconds(lambda: draw(1)) for _ in range(REPLIES))
    eight = min(seconds(lambda: draw(8)) for _ in range(REPLIES)) if which == "ours" else 0.0
    result = {
        "one": one,
        "eight": eight,
        "token": 1_000 * one / REPLY_TOKENS,
        "memory": peak_memory(),
    }
    sys.stdout.write(json.dumps(result) + "\n")


def _write_model(folder: Path) -> None:
    """Write random weights for both engines, and the bytes of the int8 decoder."""
    from model.artifacts.tokenizer import make_codec
    from pipeline.training.kinds import write_engine
    from pipeline.training.known_bases import build
    from tests.checkpoints import byte_level_tokenizer

    weights = build(BASE, "cpu").float().eval()
    weights.config.decoder_start_token_id = 0
    codec = make_codec(byte_level_tokenizer([]), 2, 0)
    write_engine(weights, codec, folder / "engine", "int8")
    codec.save(folder / "tokenizer.json")
    weights.save_pretrained(folder / "weights")
    inner = sum(value.numel() for value in weights.decoder.block.parameters())
    size = inner + weights.lm_head.weight.numel()
    (folder / "sizes.json").write_text(json.dumps({"decoder": size}), "utf-8")


def _open_ours(folder: Path) -> Callable[[int], object]:
    from model.artifacts.artifact import Decoding
    from model.artifacts.tokenizer import load_codec
    from model.speaking.engine import Request, open_engine

    codec = load_codec(folder / "tokenizer.json")
    engine = open_engine(folder / "engine", "encoder-decoder", codec, device="cpu")
    request = Request([5 + n % 300 for n in range(PROMPT_TOKENS)], [7, 8], [7, 8])

    def draw(candidates: int) -> object:
        decoding = Decoding(max_new_tokens=REPLY_TOKENS, candidates=candidates)
        return engine.candidates([request], decoding)

    return draw


def _open_transformers(folder: Path) -> Callable[[int], object]:
    import torch
    import transformers

    torch.set_num_threads(2)
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(folder / "weights").eval()
    prompt = torch.tensor([[5 + n % 300 for n in range(PROMPT_TOKENS)]])

    def draw(candidates: int) -> object:
        with torch.inference_mode():
            return model.generate(
                input_ids=prompt, do_sample=True, top_k=50, top_p=0.95, temperature=0.9,
                min_new_tokens=REPLY_TOKENS, max_new_tokens=REPLY_TOKENS,
                num_return_sequences=candidates,
            )  # fmt: skip

    return draw


def _measure_bandwidth() -> float:
    """Return the bytes per second that one core reads from memory."""
    block = np.ones(_COPIED // 8)
    block.sum()
    times = []
    for _ in range(REPLIES):
        started = time.perf_counter()
        block.sum()
        times.append(time.perf_counter() - started)
    return _COPIED / min(times)


if __name__ == "__main__":
    main()
