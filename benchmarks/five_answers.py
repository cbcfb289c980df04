"""Let every voice answer one turn of the test conversations, as shown in the README.

    python -m benchmarks.five_answers DATASET --models-dir FOLDER

The turn is the first of the test split after at least four lines by at least two people, and each
answer is the first with seed 0: nothing is chosen by hand.
"""
# ruff: noqa: T201 - a program that prints an exchange

import argparse
from pathlib import Path

from model.artifacts.registry import Registry
from model.chat.prompt import split_line
from model.speaking.speaker import open_speaker
from pipeline.dataset.pairs import Pair
from pipeline.dataset.storage import load_dataset

_MIN_LINES = 4


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--version", default="current")
    parser.add_argument("--models-dir", type=Path, default=Path("artifacts"))
    given = parser.parse_args()
    turn = choose_turn(load_dataset(given.dataset).test)
    artifact = Registry(given.models_dir).open(given.version)
    print(*turn.context, "", f"really {turn.voice}: {' / '.join(turn.target)}", sep="\n")
    for voice in artifact.card.learned:
        speaker = open_speaker(artifact, seed=0)
        print(f"{voice}: {' / '.join(speaker.reply(turn.context, voice))}", flush=True)


def choose_turn(pairs: tuple[Pair, ...]) -> Pair:
    """Return the turn that the rule in this module's docstring chooses."""
    return next(
        pair
        for pair in pairs
        if len(pair.context) >= _MIN_LINES
        and len({split_line(line)[0] for line in pair.context}) > 1
    )


if __name__ == "__main__":
    main()
