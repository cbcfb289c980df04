"""Write and read summary.json, the counts of a dataset."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from model.artifacts.artifact import Chat
from model.chat.conversation import Window, window_from_json, window_to_json
from model.chat.names import escape_control_characters
from model.chat.roster import Imitate
from model.errors import DatasetError, describe_error
from model.files import write_text
from pipeline.dataset.split import SPLITS, SessionSpans, SplitName, WrittenPairs

KIND = "understudy dataset"
FORMAT = 2


@dataclass(frozen=True, slots=True)
class SplitFigures:
    """One split; `lines` are the messages that are part of a conversation.

    `seen` are the pairs whose target is, word for word, a training target too.
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
    """One friend: their lines, and the pairs in which they answer, by split."""

    name: str
    imitate: Imitate
    lines: int
    train: int
    validation: int
    test: int


@dataclass(frozen=True, slots=True)
class Leaks:
    """What the test must not share with training: both are counted in the files as written."""

    test_messages_in_training: int
    sessions_on_both_sides: int


@dataclass(frozen=True, slots=True)
class Summary:
    """All figures of a dataset.

    `quiet` wrote fewer than `min_messages` and are no voices. `redacted` counts placeholders by
    kind, `repeated` messages too often said to be targets, `struck` pairs that a person struck out,
    `gap` messages between the splits, `dropped` pairs that stand there or reach into another split.
    `repaired` and `skipped` count what was wrong with the export, by why; of the
    `export_bytes` of its files the `unread_bytes` could not be read.
    """

    chats: tuple[Chat, ...]
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
    struck: int = 0
    quiet: tuple[str, ...] = ()
    redacted: Mapping[str, int] = field(default_factory=dict)
    repaired: Mapping[str, int] = field(default_factory=dict)
    skipped: Mapping[str, int] = field(default_factory=dict)
    unread_bytes: int = 0
    export_bytes: int = 0

    @property
    def lines(self) -> int:
        """Return how many messages are part of a conversation."""
        return sum(part.lines for part in self.splits) + self.gap

    @property
    def sessions(self) -> int:
        """Return how many sessions the splits have."""
        return sum(part.sessions for part in self.splits)

    @property
    def pairs(self) -> int:
        """Return how many pairs there are."""
        return sum(part.pairs for part in self.splits)

    @property
    def silent(self) -> tuple[str, ...]:
        """Return the names of those who are learned from and not yet spoken as."""
        return tuple(voice.name for voice in self.voices if voice.imitate == "ask")


def split_figures(
    spans: SessionSpans, splits: Sequence[int], written: WrittenPairs
) -> tuple[SplitFigures, ...]:
    """Count each split."""
    return tuple(_split_figures(place, spans, splits, written) for place in range(len(SPLITS)))


def _split_figures(
    place: int, spans: SessionSpans, splits: Sequence[int], written: WrittenPairs
) -> SplitFigures:
    own = [number for number, where in enumerate(splits) if where == place]
    return SplitFigures(
        name=SPLITS[place],
        sessions=len(own),
        lines=sum(spans.lines[number] for number in own),
        pairs=sum(written.voices[place].values()),
        seen=written.seen[place],
        first=datetime.fromtimestamp(min(spans.starts[number] for number in own), UTC),
        last=datetime.fromtimestamp(max(spans.ends[number] for number in own), UTC),
    )


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
    """Read what `write_summary` wrote.

    Raises:
        DatasetError: There is none, or it is another program's or version's.
    """
    try:
        value = json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DatasetError(
            f"there is no dataset in {path.parent}: make one with `understudy build`"
        ) from error
    except (OSError, ValueError) as error:
        raise DatasetError(
            f"{path} cannot be read ({describe_error(error)}): build the dataset again"
        ) from error
    if not isinstance(value, dict) or value.get("kind") != KIND or value.get("format") != FORMAT:
        raise DatasetError(
            f"{path} is not of this version's datasets (format {FORMAT}): build it again"
        )
    try:
        return _summary(value)
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(
            f"{path} is damaged ({describe_error(error)}): build the dataset again"
        ) from error


def is_summary(path: Path) -> bool:
    """Whether this is a dataset's summary.json, of this version's format or another's."""
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(value, dict) and value.get("kind") == KIND


def _summary(value: Mapping[str, Any]) -> Summary:
    fields = (
        *("content_hash", "public", "min_messages", "messages", "gap", "dropped", "repeated"),
        *("struck", "redacted", "repaired", "skipped"),
    )
    return Summary(
        **{name: value[name] for name in fields},
        unread_bytes=value.get("unread_bytes", 0),  # older datasets lack both
        export_bytes=value.get("export_bytes", 0),
        chats=tuple(Chat(**chat) for chat in value["chats"]),
        export_sha256=tuple(value["export_sha256"]),
        quiet=tuple(value["quiet"]),
        window=window_from_json(value["window"]),
        leaks=Leaks(**value["leaks"]),
        splits=tuple(_times(part) for part in value["splits"]),
        voices=tuple(VoiceFigures(**voice) for voice in value["voices"]),
    )


def _times(part: Mapping[str, Any]) -> SplitFigures:
    times = {key: datetime.fromisoformat(part[key]) for key in ("first", "last")}
    return SplitFigures(**{**part, **times})
