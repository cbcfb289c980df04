"""Hold out the same conversations for the new and the current version."""

import random
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from model.artifacts.artifact import Artifact
from model.errors import DatasetError
from pipeline.dataset.pairs import Pair
from pipeline.dataset.roster_file import MIN_MESSAGES
from pipeline.dataset.split import TEST, VALIDATION
from pipeline.dataset.storage import SUMMARY
from pipeline.dataset.summary import read_summary
from pipeline.versions import receipt
from pipeline.versions.lineage import dataset_of

_TEST_OF_NEW = 0.25
_VALIDATION_OF_NEW = 0.1
_MOST = 0.5


@dataclass(frozen=True, slots=True)
class Seen:
    """The times up to which a version was trained on the chat and from which it was only tested.

    People with fewer than `min_messages` are not voices. `deleted` counts the messages that were
    deleted from the chat before the version was made.
    """

    through: datetime
    held_out_since: datetime
    min_messages: int = MIN_MESSAGES
    deleted: int = 0


@dataclass(frozen=True, slots=True)
class Shares:
    """The test's and the validation's part of all messages."""

    test: float = TEST
    validation: float = VALIDATION


def seen_by(root: Path, artifact: Artifact) -> Seen:
    """Return what a version has seen: by its receipt, its dataset, or the day of its training."""
    if told := receipt.read(root, artifact.path.name):
        return Seen(told.through, told.held_out_since, told.min_messages, told.deleted)
    try:
        summary = read_summary(Path(dataset_of(artifact) or "") / SUMMARY)
    except DatasetError:
        day = artifact.card.provenance.get("trained_at")
        trained_at = datetime.fromisoformat(day) if day else datetime.now(UTC)
        return Seen(trained_at, trained_at)
    splits = {split.name: split for split in summary.splits}
    newest = max(split.last for split in summary.splits)
    return Seen(min(newest, datetime.now(UTC)), splits["test"].first, summary.min_messages)


def shares(total: int, new: int, untrained: int, min_new_messages: int) -> Shares:
    """Return what to hold out of `total` messages.

    A quarter of the new ones tests and a tenth validates: the end of the whole chat would swallow
    all that is new. Where too little is new, all that the current version was never trained on
    (`untrained`) tests again.
    """
    if new >= min_new_messages:
        return Shares(_TEST_OF_NEW * new / total, _VALIDATION_OF_NEW * new / total)
    test = untrained / total if untrained else TEST
    return Shares(min(test, _MOST), VALIDATION)


def with_replay(
    pairs: Sequence[Pair], since: datetime, known: Collection[str], replay: float, seed: int
) -> tuple[tuple[Pair, ...], int]:
    """Return the pairs since a moment with whole older sessions among them, and how many old pairs.

    `replay` times as many old pairs as new ones come back, drawn by the seed: what a version
    learned before fades where it sees nothing but new talk. Where nothing is new all are old. To
    a version that had not learned them all pairs of a voice are new.
    """

    def is_new(pair: Pair) -> bool:
        return pair.sent_at >= since or pair.voice not in known

    new = [pair for pair in pairs if is_new(pair)]
    old = Counter(pair.session for pair in pairs if not is_new(pair))
    sessions, wanted = list(old), replay * len(new) if new else sum(old.values())
    random.Random(seed).shuffle(sessions)
    drawn: set[int] = set()
    count = 0
    for session in sessions:
        if count >= wanted:
            break
        drawn.add(session)
        count += old[session]
    kept = tuple(pair for pair in pairs if is_new(pair) or pair.session in drawn)
    return kept, len(kept) - len(new)
