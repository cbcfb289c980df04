"""Write the hashed index of training messages: `python -m pipeline.lines ARTIFACT DATASET`."""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from model.artifact import LINES
from model.copying import SALT, write_index
from model.errors import UnderstudyError
from model.files import make_folder
from model.prompt import LINE_BREAK, split_line
from model.registry import Registry
from pipeline.dataset import Dataset, load_dataset


def said_in(dataset: Dataset) -> Iterator[tuple[str, str]]:
    """Yield who said what in the training pairs: their turns, and what else their contexts show.

    A line that is in many contexts counts once, one that somebody said again as a turn again.
    """
    turns = {(pair.voice, text) for pair in dataset.train for text in pair.target}
    for pair in dataset.train:
        for text in pair.target:
            yield pair.voice, text
    seen = {line for pair in dataset.train for line in pair.context}
    for line in sorted(seen):
        name, text = split_line(line)
        if name is not None and (said := (name, text.replace(LINE_BREAK, "\n"))) not in turns:
            yield said


def save_lines(dataset: Dataset, folder: Path) -> int:
    """Write the index of a dataset's training messages into an artifact's folder.

    Its salt is the dataset's own hash, so that the same training makes the same artifact.
    """
    salt = bytes.fromhex(dataset.content_hash)[:SALT]
    return write_index(folder / LINES, said_in(dataset), salt)


def add_lines(registry: Registry, wanted: str, dataset: Dataset) -> str:
    """Add a version that is another with the index beside it; return its name.

    A version's files never change, its name tells their hash: hence a new one.

    Raises:
        UnderstudyError: It was trained on another dataset.
    """
    artifact = registry.open(wanted)
    trained_on = artifact.card.provenance.get("dataset", {}).get("sha256")
    if trained_on != dataset.content_hash:
        raise UnderstudyError(
            f"{artifact.path} was trained on another dataset than {dataset.folder}: name that one"
        )
    with tempfile.TemporaryDirectory(dir=make_folder(registry.root), prefix=".new-") as temporary:
        folder = Path(temporary) / "artifact"
        shutil.copytree(artifact.path, folder)
        save_lines(dataset, folder)
        return registry.add(folder)


def main() -> None:
    """Add the index to a version of a registry."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.lines", description=__doc__)
    parser.add_argument("artifact", help="a version, or current")
    parser.add_argument("dataset", type=Path, help="the dataset it was trained on")
    parser.add_argument("--models", type=Path, default=Path("artifacts"))
    asked = parser.parse_args()
    try:
        name = add_lines(Registry(asked.models), asked.artifact, load_dataset(asked.dataset))
    except UnderstudyError as error:
        sys.exit(f"lines: {error}")
    sys.stdout.write(f"{name}\n")


if __name__ == "__main__":
    main()
