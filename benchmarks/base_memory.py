"""Print the memory that bases need, computed from their configs; `--serve NAME` measures one.

    python -m benchmarks.base_memory
    python -m benchmarks.base_memory --serve Qwen3-0.6B

A measured base has random weights of its real shape: memory depends on nothing else.
"""
# ruff: noqa: T201 - this script prints a table.

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.figures import peak_memory
from model.artifacts.artifact import Decoding
from model.artifacts.tokenizer import load_codec, make_codec
from model.speaking.engine import GenerationRequest, open_engine, share_heap
from pipeline.training.known_bases import SHAPES, build, needs_of

CANDIDATES = 8


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--serve", metavar="NAME", help="measure the memory of serving this base")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)  # in a process of its own
    given = parser.parse_args()
    if given.measure:
        return generate(Path(given.measure[0]), given.measure[1])
    if given.serve:
        return serve(next(name for name in SHAPES if name.endswith(given.serve)))
    print("| base | weights | all weights | LoRA | conversion |\n|---|---|---|---|---|")
    for needs in map(needs_of, SHAPES):
        sizes = " | ".join(map(gigabytes, (needs.train, needs.lora, needs.convert)))
        print(f"| `{needs.name}` | {needs.weights / 1e6:,.0f} M | {sizes} |")
    return None


def serve(name: str) -> None:
    """Convert a base of random weights to int8, then speak with it in a process of its own."""
    from pipeline.training.kinds import KINDS, write_engine
    from tests.checkpoints import byte_level_tokenizer

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        weights = build(name, "cpu").float().eval()
        family = KINDS[weights.config.model_type].family
        codec = make_codec(byte_level_tokenizer([]), 2, 0)
        weights.config.bos_token_id, weights.config.decoder_start_token_id = 1, 0
        write_engine(weights, codec, folder / "engine", "int8")
        codec.save(folder / "tokenizer.json")
        subprocess.run(
            [sys.executable, "-m", "benchmarks.base_memory", "--measure", temporary, family],
            check=True,
        )


def generate(folder: Path, family: str) -> None:
    """Draw candidates and score them without context, as the bot does; print the peak memory."""
    share_heap()  # as the bot does
    codec = load_codec(folder / "tokenizer.json")
    before = peak_memory()
    engine = open_engine(folder / "engine", family, codec, device="cpu")
    loaded = peak_memory()
    prompt, forced = [5 + n % 300 for n in range(384)], [7, 8]
    request = GenerationRequest(prompt, forced, forced)
    decoding = Decoding(max_new_tokens=32, candidates=CANDIDATES)
    began = time.process_time()
    spoken = [c.ids or [9] for c in engine.candidates([request], decoding)[0]]
    drawn, seconds = peak_memory(), time.process_time() - began
    engine.scores(prompt[:12], forced, spoken)
    scored = peak_memory()
    print(
        f"files {sum(file.stat().st_size for file in folder.rglob('*')) / 2**20:,.0f} MiB; peak "
        f"{before:,.0f} MiB before loading, {loaded:,.0f} loaded, {drawn:,.0f} after {CANDIDATES} "
        f"candidates ({seconds:.1f} s of CPU, {os.cpu_count()} cores), {scored:,.0f} after scoring"
    )


def gigabytes(size: float) -> str:
    """Return a size in GB."""
    return f"{size / 1e9:.1f} GB"


if __name__ == "__main__":
    main()
