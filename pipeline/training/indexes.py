"""Write the copy index and the voice table of a version from its training messages."""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from model.artifacts.artifact import COPY_INDEX, VOICE_TABLE
from model.artifacts.registry import NEW_PREFIX, Registry
from model.chat.prompt import LINE_BREAK, split_line
from model.errors import UnderstudyError
from model.files import make_folder
from model.speaking.copy_index import SALT_BYTES, write_index
from model.speaking.voice_classifier import write_table
from pipeline.dataset.pairs import select_half
from pipeline.dataset.storage import Dataset, load_dataset


def training_messages(dataset: Dataset) -> Iterator[tuple[str, str]]:
    """Yield voice and text of the messages in the training pairs: targets, then other context.

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

    Its salt is the dataset's hash, so that the same training makes the same artifact.
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


def add_indexes(registry: Registry, version_name: str, dataset: Dataset) -> str:
    """Add a copy of a version with the index of messages and the table of voices; return its name.

    A version's name contains the hash of its files, so the files of a version never change.

    Raises:
        UnderstudyError: It was trained on another dataset.
    """
    artifact = registry.open(version_name)
    trained_on = artifact.card.provenance.get("dataset", {}).get("sha256")
    if trained_on != dataset.content_hash:
        raise UnderstudyError(
            f"{artifact.path} was trained on another dataset than {dataset.folder}: name that one"
        )
    if artifact.card.provenance.get("hyperparameters", {}).get("reserve_judge_sessions"):
        dataset = replace(dataset, train=select_half(dataset.train, judges=False))
    with tempfile.TemporaryDirectory(
        dir=make_folder(registry.root), prefix=NEW_PREFIX
    ) as temporary:
        folder = Path(temporary) / "artifact"
        shutil.copytree(artifact.path, folder)
        save_copy_index(dataset, folder)
        save_voice_table(dataset, folder)
        return registry.add(folder)


def main() -> None:
    """Add the index of messages and the table of voices to a version made without them."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.training.indexes", description=main.__doc__
    )
    parser.add_argument("artifact", help="a version, or current")
    parser.add_argument("dataset", type=Path, help="the dataset it was trained on")
    parser.add_argument("--models", type=Path, default=Path("artifacts"))
    given = parser.parse_args()
    try:
        name = add_indexes(Registry(given.models), given.artifact, load_dataset(given.dataset))
    except UnderstudyError as error:
        sys.exit(f"indexes: {error}")
    sys.stdout.write(f"{name}\n")


if __name__ == "__main__":
    main()
