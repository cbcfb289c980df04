"""Write the copy index and the voice table of a version from its training messages."""

from collections.abc import Iterator
from pathlib import Path

from model.artifacts.artifact import COPY_INDEX, VOICE_TABLE
from model.chat.prompt import LINE_BREAK, split_line
from model.speaking.copy_index import SALT_BYTES, write_index
from model.speaking.voice_classifier import write_table
from pipeline.dataset.storage import Dataset


def training_messages(dataset: Dataset) -> Iterator[tuple[str, str]]:
    """Yield the voice and text of the messages in the training pairs: targets, then other context.

    A target is yielded each time it was said, a context line only once.
    """
    targets = {(pair.voice, text) for pair in dataset.train for text in pair.target}
    for pair in dataset.train:
        for text in pair.target:
            yield pair.voice, text
    for line in sorted({line for pair in dataset.train for line in pair.context}):
        name, text = split_line(line)
        message = (name, text.replace(LINE_BREAK, "\n")) if name is not None else None
        if message and message not in targets:
            yield message


def save_copy_index(dataset: Dataset, folder: Path) -> int:
    """Write the index of a dataset's training messages into an artifact's folder.

    Its salt is the dataset's hash, so that the same run produces the same artifact.
    """
    salt = bytes.fromhex(dataset.content_hash)[:SALT_BYTES]
    return write_index(folder / COPY_INDEX, training_messages(dataset), salt)


def save_voice_table(dataset: Dataset, folder: Path) -> None:
    """Write the classifier of a dataset's training turns by voice into an artifact's folder.

    Its salt is the dataset's hash, as for the index of messages.
    """
    from pipeline.training.voice_classifier import fit_table

    salt = bytes.fromhex(dataset.content_hash)[:SALT_BYTES]
    table = fit_table(((pair.voice, pair.target) for pair in dataset.train), salt)
    write_table(table, folder / VOICE_TABLE)
