"""Examples per second in training, beside the notebook's recipe in plain transformers."""

import json
import random
import sys
import tempfile
from pathlib import Path

import torch

from benchmarks.figures import ChildProcesses, Figure, measure, seconds
from pipeline.dataset.build import build
from pipeline.dataset.pairs import BuildOptions, Pair
from pipeline.dataset.sample import write_sample
from pipeline.dataset.storage import load_dataset
from pipeline.training.bases import Base, open_base
from pipeline.training.device import choose_precision
from pipeline.training.encoding import encode_pairs
from pipeline.training.hyperparameters import by_recipe
from pipeline.training.machine import reuse_freed_memory
from pipeline.training.trainer import train
from tests.checkpoints import save_t5

FLAN_T5_SMALL = {"d_model": 512, "d_kv": 64, "d_ff": 1024, "num_layers": 8, "num_heads": 6}
ROWS, PIECES = 32_128, 8_000
EXAMPLES, BASELINE_EXAMPLES = 240, 16
LIMITS = (384, 96)
T5_LIMITS = (512, 512)
"""T5's tokenizer truncates prompts and replies here, and so did the notebook."""


def run() -> list[Figure]:
    """Train on pairs of the demo chat with FLAN-T5-small's shape and random weights.

    Each recipe has a process of its own: how memory is freed is a setting of the process.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        texts = _list_texts(_sample_pairs(folder)[:EXAMPLES])
        save_t5(folder / "t5", texts=texts, shape=FLAN_T5_SMALL, pieces=PIECES, rows=ROWS)
        return [
            measure(
                "training, FLAN-T5-small's shape", "examples/s",
                ChildProcesses("benchmarks.training", "ours", folder).ask("speed"),
                baseline=ChildProcesses("benchmarks.training", "notebook", folder).ask("speed"),
                baseline_name="the notebook's recipe in transformers", is_rate=True,
                wanted="≥ 12×", is_met=lambda _, ratio: ratio >= 12,
            )
        ]  # fmt: skip


def main() -> None:
    """Print the examples per second of one recipe."""
    recipe, folder = sys.argv[1], Path(sys.argv[2])
    torch.set_num_threads(2)
    pairs = _load_pairs(folder)
    base = open_base(str(folder / "t5"), folder, _list_texts(pairs[:EXAMPLES]))
    if recipe == "ours":
        rows = encode_pairs(pairs[:EXAMPLES], base.codec, base.family, LIMITS)
        speed = _train(base, rows, folder)
    else:
        rows = encode_pairs(pairs, base.codec, base.family, T5_LIMITS)
        speed = _train_like_the_notebook(base.weights, rows.to_list(), base.codec.pad_id)
    sys.stdout.write(json.dumps({"speed": speed}) + "\n")


def _sample_pairs(folder: Path) -> list[Pair]:
    build([write_sample(folder / "export")], folder / "dataset", BuildOptions(public=True))
    return _load_pairs(folder)


def _load_pairs(folder: Path) -> list[Pair]:
    """Return the training pairs in random order."""
    pairs = list(load_dataset(folder / "dataset").train)
    random.Random(0).shuffle(pairs)
    return pairs


def _list_texts(pairs: list[Pair]) -> list[str]:
    return [text for pair in pairs for text in (*pair.context, *pair.target)]


def _train(base: Base, rows: object, folder: Path) -> float:
    settings = by_recipe("understudy", {"epochs": 1.0, "evaluations": 0})
    reuse_freed_memory()
    outcome = train(base, rows, settings, folder / "work", precision=choose_precision("auto"))
    return outcome.examples / outcome.seconds


def _train_like_the_notebook(
    model: torch.nn.Module, rows: list[dict[str, list[int]]], pad_id: int
) -> float:
    """Pad everything to the longest of all rows, 8 examples per step, float32, AdamW.

    Only the first rows are timed: with this padding all steps take equally long.
    """
    longest = {name: max(len(row[name]) for row in rows) for name in ("input_ids", "labels")}
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5)
    model.train()

    def step(chosen: list[dict[str, list[int]]]) -> None:
        inputs, labels = (
            torch.tensor([row[name] + [fill] * (longest[name] - len(row[name])) for row in chosen])
            for name, fill in (("input_ids", pad_id), ("labels", -100))
        )
        mask = (inputs != pad_id).long()
        model(input_ids=inputs, attention_mask=mask, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    def work() -> None:
        for start in range(0, BASELINE_EXAMPLES, 8):
            step([rows[index] for index in range(start, start + 8)])

    return BASELINE_EXAMPLES / seconds(work)


if __name__ == "__main__":
    main()
