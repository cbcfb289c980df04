"""Measure a reply's time and memory with random weights, beside `generate` in transformers."""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.figures import ChildProcesses, Figure, measure, peak_memory, seconds

FLAN_T5_SMALL = "google/flan-t5-small"
MEMORY = {FLAN_T5_SMALL: 260, "google/flan-t5-base": 650, "smollm2": 450}
"""The most megabytes that a process may use that loads a base in int8 and replies."""
PROMPT_TOKENS, REPLY_TOKENS = 144, 32
REPLIES = 5
_COPIED = 1 << 28  # bytes


def run() -> list[Figure]:
    """Measure one reply of 32 tokens, eight candidates, the time per token, and memory."""
    return [*_measure_time(), *(_measure_memory(base, limit) for base, limit in MEMORY.items())]


def _measure_time() -> list[Figure]:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        _write_model(folder, FLAN_T5_SMALL)
        ours, theirs = _start_both(folder)
        limit = 1_000 * _describe(folder)["decoder_bytes"] / _measure_bandwidth()
        return [
            measure(
                "one reply of 32 tokens, FLAN-T5-small's shape, one core", "s", ours.ask("one"),
                baseline=theirs.ask("one"),
                baseline_name="transformers in float32 on two cores",
                wanted="≥ 4×", is_met=lambda _, ratio: ratio >= 4,
            ),
            measure(
                "one token of this reply", "ms", ours.ask("token"), baseline=lambda: limit,
                baseline_name="the decoder's bytes / this memory's bandwidth",
            ),
            measure(
                "8 candidates", "s", ours.ask("eight"), baseline=ours.ask("one"),
                baseline_name="one candidate", wanted="≤ 2.5 times as long",
                is_met=lambda _, ratio: ratio >= 1 / 2.5,
            ),
        ]  # fmt: skip


def _measure_memory(base: str, limit: int) -> Figure:
    """Measure the peak memory of a process that draws one candidate, then eight."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        _write_model(folder, base)
        ours, theirs = _start_both(folder)
        return measure(
            f"peak memory of a reply, the shape of {base.rpartition('/')[2]}", "MB",
            ours.ask("memory"), baseline=theirs.ask("memory"),
            baseline_name="transformers in float32, one candidate",
            wanted=f"< {limit} MB", is_met=lambda value, _: value < limit, runs=3,
        )  # fmt: skip


def _start_both(folder: Path) -> tuple[ChildProcesses, ChildProcesses]:
    ours, theirs = (
        ChildProcesses("benchmarks.replying", which, folder) for which in ("ours", "transformers")
    )
    return ours, theirs


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
        "memory": peak_memory() * 2**20 / 1e6,
    }
    sys.stdout.write(json.dumps(result) + "\n")


def _write_model(folder: Path, base: str) -> None:
    """Write random weights of a base's shape for both engines, and describe them."""
    from model.artifacts.tokenizer import make_codec
    from pipeline.training.kinds import KINDS, write_engine
    from pipeline.training.known_bases import build
    from tests.checkpoints import byte_level_tokenizer

    weights = build(base, "cpu").float().eval()
    weights.config.bos_token_id, weights.config.decoder_start_token_id = 1, 0
    codec = make_codec(byte_level_tokenizer([]), 2, 0)
    write_engine(weights, codec, folder / "engine", "int8")
    codec.save(folder / "tokenizer.json")
    weights.save_pretrained(folder / "weights")
    decoder = weights.decoder.block if weights.config.is_encoder_decoder else weights.model.layers
    inner = sum(value.numel() for value in decoder.parameters())
    size = inner + weights.get_output_embeddings().weight.numel()
    family = KINDS[weights.config.model_type].family
    described = {"decoder_bytes": size, "family": family}
    (folder / "description.json").write_text(json.dumps(described), "utf-8")


def _describe(folder: Path) -> dict[str, Any]:
    described: dict[str, Any] = json.loads((folder / "description.json").read_text("utf-8"))
    return described


def _open_ours(folder: Path) -> Callable[[int], object]:
    from model.artifacts.artifact import Decoding
    from model.artifacts.tokenizer import load_codec
    from model.speaking.engine import GenerationRequest, open_engine, share_heap

    share_heap()  # as the bot does
    codec = load_codec(folder / "tokenizer.json")
    engine = open_engine(folder / "engine", _describe(folder)["family"], codec, device="cpu")
    request = GenerationRequest([5 + n % 300 for n in range(PROMPT_TOKENS)], [7, 8], [7, 8])

    def draw(candidates: int) -> object:
        decoding = Decoding(max_new_tokens=REPLY_TOKENS, candidates=candidates)
        return engine.candidates([request], decoding)

    return draw


def _open_transformers(folder: Path) -> Callable[[int], object]:
    import torch
    import transformers

    torch.set_num_threads(2)
    is_t5 = _describe(folder)["family"] == "encoder-decoder"
    kind = transformers.AutoModelForSeq2SeqLM if is_t5 else transformers.AutoModelForCausalLM
    model = kind.from_pretrained(folder / "weights").eval()
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
