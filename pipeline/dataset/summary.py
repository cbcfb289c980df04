"""Write and read summary.json, the figures of a dataset."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from model.artifacts.artifact import LearnedChat
from model.chat.conversation import Window, window_from_json, window_to_json
from model.chat.names import escape_control_characters
from model.chat.person import Imitate
from model.errors import DatasetError, describe_error
from model.files import write_text
from pipeline.dataset.split import SPLITS, SessionSpans, SplitName

KIND = "understudy dataset"
FORMAT = 5


@dataclass(frozen=True, slots=True)
class SplitFigures:
    """One split; `lines` are the messages that are part of a conversation.

    `seen` counts the pairs whose target also occurs in training, word for word.
    """

    name: SplitName
    sessions: int
    lines: int
    pairs: int
    seen: int
    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True)
class VoiceFigures:
    """One voice: its messages in its own words, and the pairs in which it answers, by split."""

    name: str
    imitate: Imitate
    messages: int
    train: int
    validation: int
    test: int


@dataclass(frozen=True, slots=True)
class Leaks:
    """Overlaps between the splits, which should be 0, counted in the pairs of the table as written.

    Pairs are out of order if they are not older than all pairs of the next split.
    """

    test_messages_in_training: int
    sessions_on_both_sides: int
    pairs_out_of_order: int


@dataclass(frozen=True, slots=True)
class Summary:
    """All figures of a dataset.

    The `quiet` people wrote fewer than `min_messages` and are not voices. `redacted` counts
    placeholders by kind, `repeated` messages that training leaves out because they occur too often,
    `removed` pairs that the user removed, `gap` messages between the splits, `dropped` pairs in
    these gaps or with a context in another split. `repaired` and `skipped` count damaged entries by
    reason. `unread_bytes` of the `export_bytes` could not be read. `utc_offsets` are the days on
    which the exporting computer's offset from UTC changed, with the new offset in minutes.
    """

    chats: tuple[LearnedChat, ...]
    content_hash: str
    public: bool
    window: Window
    min_messages: int
    messages: int
    gap: int
    dropped: int
    repeated: int
    leaks: Leaks
    splits: tuple[SplitFigures, ...]
    voices: tuple[VoiceFigures, ...]
    export_sha256: tuple[str, ...] = ()
    removed: int = 0
    quiet: tuple[str, ...] = ()
    redacted: Mapping[str, int] = field(default_factory=dict)
    repaired: Mapping[str, int] = field(default_factory=dict)
    skipped: Mapping[str, int] = field(default_factory=dict)
    unread_bytes: int = 0
    export_bytes: int = 0
    utc_offsets: tuple[tuple[str, int], ...] = ()

    @property
    def lines(self) -> int:
        """Return the number of messages that are part of a conversation."""
        return sum(part.lines for part in self.splits) + self.gap

    @property
    def sessions(self) -> int:
        """Return the number of sessions in the splits."""
        return sum(part.sessions for part in self.splits)

    @property
    def pairs(self) -> int:
        """Return the number of pairs in the splits."""
        return sum(part.pairs for part in self.splits)

    @property
    def silent(self) -> tuple[str, ...]:
        """Return the names of the voices that still need their person's consent."""
        return tuple(voice.name for voice in self.voices if voice.imitate == "ask")


def split_figures(
    spans: SessionSpans,
    splits: Sequence[int],
    voices: Mapping[SplitName, Mapping[str, int]],
    seen: Mapping[SplitName, int],
) -> tuple[SplitFigures, ...]:
    """Count the sessions, lines and pairs of each split, and find its first and last time.

    `voices` counts the pairs of each voice, `seen` those whose target also occurs in training.
    """
    figures = []
    for index, name in enumerate(SPLITS):
        own = [number for number, split in enumerate(splits) if split == index]
        figures.append(
            SplitFigures(
                name=name,
                sessions=len(own),
                lines=sum(spans.lines[number] for number in own),
                pairs=sum(voices[name].values()),
                seen=seen[name],
                first=datetime.fromtimestamp(min(spans.starts[number] for number in own), UTC),
                last=datetime.fromtimestamp(max(spans.ends[number] for number in own), UTC),
            )
        )
    return tuple(figures)


def write_summary(summary: Summary, path: Path) -> None:
    """Write summary.json."""
    value = {
        "kind": KIND,
        "format": FORMAT,
        **asdict(summary),
        "window": window_to_json(summary.window),
        "lines": summary.lines,
        "sessions": summary.sessions,
        "pairs": summary.pairs,
        "silent_until_they_agree": summary.silent,
    }
    text = json.dumps(value, ensure_ascii=False, indent=1, default=datetime.isoformat)
    write_text(path, escape_control_characters(text) + "\n")


def read_summary(path: Path) -> Summary:
    """Read a summary.json.

    Raises:
        DatasetError: There is none, or another program or version wrote it.
    """
    try:
        value = json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DatasetError(
            f"there is no dataset in {path.parent}: create one with `understudy build`"
        ) from error
    except (OSError, ValueError) as error:
        raise DatasetError(
            f"{path} cannot be read ({describe_error(error)}): build the dataset again"
        ) from error
    if not isinstance(value, dict) or value.get("kind") != KIND or value.get("format") != FORMAT:
        raise DatasetError(
            f"{path} was written by another version, in a format other than {FORMAT}: "
            "build the dataset again"
        )
    from pydantic import TypeAdapter  # a tenth of a second, which most commands do not need

    try:
        return TypeAdapter(Summary).validate_python(
            {**value, "window": window_from_json(value["window"])}
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(
            f"{path} is damaged ({describe_error(error)}): build the dataset again"
        ) from error


def is_summary(path: Path) -> bool:
    """Whether this is a dataset's summary.json, in any version's format."""
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(value, dict) and value.get("kind") == KIND
