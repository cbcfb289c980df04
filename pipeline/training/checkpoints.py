"""Find the checkpoints of a training run."""

from pathlib import Path

STATE = "trainer_state.json"
"""The file that transformers writes last into a checkpoint."""


def find_checkpoint(work: Path) -> Path | None:
    """Return the last checkpoint in a folder that was written completely; None if there is none."""
    complete = (state.parent for state in work.glob(f"checkpoint-*/{STATE}"))
    return max(complete, key=lambda folder: int(folder.name.split("-")[1]), default=None)
