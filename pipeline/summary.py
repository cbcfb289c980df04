"""What a dataset holds, in figures: summary.json, which people read and `load_dataset` trusts."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from model.artifact import Chat, window_from_json, window_to_json
from model.conversation import Window
from model.errors import DatasetError
from model.files import write_text
from model.roster import Imitate, Roster
from pipeline.pairs import Session
from pipeline.split import SplitName, Splits

KIND = "understudy dataset"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class SplitFigures:
    """One split; `lines` are the messages that are part of a conversation."""

    name: SplitName
    sessions: int
    lines: int
    pairs: int
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

    @property
    def pairs(self) -> int:
        """Return in how many pairs they answer."""
        return self.train + self.validation + self.test


@dataclass(frozen=True, slots=True)
class Summary:
    """All figures of a dataset; `silent` are the voices that wait for their person's word."""

    chats: tuple[Chat, ...]
    export_sha256: str
    content_hash: str
    public: bool
    window: Window
    messages: int
    dropped: int
    splits: tuple[SplitFigures, ...]
    voices: tuple[VoiceFigures, ...]

    @property
    def lines(self) -> int:
        """Return how many messages are part of a conversation."""
        return sum(part.lines for part in self.splits)

    @property
    def sessions(self) -> int:
        """Return how many sessions there are."""
        return sum(part.sessions for part in self.splits)

    @property
    def pairs(self) -> int:
        """Return how many pairs there are."""
        return sum(part.pairs for part in self.splits)

    @property
    def silent(self) -> tuple[str, ...]:
        """Return the names of those who are learned from and not yet spoken as."""
        return tuple(voice.name for voice in self.voices if voice.imitate == "ask")


def split_figures(splits: Splits) -> tuple[SplitFigures, ...]:
    """Count each split."""
    return tuple(
        SplitFigures(
            name=part.name,
            sessions=len(part.sessions),
            lines=sum(len(session.lines) for session in part.sessions),
            pairs=len(part.pairs),
            first=part.sessions[0].start,
            last=max(session.lines[-1].sent_at for session in part.sessions),
        )
        for part in splits
    )


def voice_figures(splits: Splits, roster: Roster) -> tuple[VoiceFigures, ...]:
    """Count the lines and pairs of each friend that may be a voice, in the roster's order."""
    lines = _speakers(session for part in splits for session in part.sessions)
    by_split = [Counter(pair.voice for pair in part.pairs) for part in splits]
    return tuple(
        VoiceFigures(
            person.name, person.imitate, lines[person.name], *(c[person.name] for c in by_split)
        )
        for person in roster.voices
    )


def _speakers(sessions: Iterable[Session]) -> Counter[str]:
    """Count lines by friend; what our bot said in their name is not theirs."""
    return Counter(
        line.speaker
        for session in sessions
        for line in session.lines
        if line.is_target and line.speaker is not None
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
    write_text(path, text + "\n")


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
        raise DatasetError(f"{path} cannot be read ({error}): build the dataset again") from error
    if not isinstance(value, dict) or value.get("kind") != KIND or value.get("format") != FORMAT:
        raise DatasetError(
            f"{path} is not of this version's datasets (format {FORMAT}): build it again"
        )
    try:
        return _summary(value)
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(f"{path} is damaged ({error}): build the dataset again") from error


def is_summary(path: Path) -> bool:
    """Whether this is a dataset's summary.json, of this version's format or another's."""
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(value, dict) and value.get("kind") == KIND


def _summary(value: Mapping[str, Any]) -> Summary:
    fields = ("export_sha256", "content_hash", "public", "messages", "dropped")
    return Summary(
        **{field: value[field] for field in fields},
        chats=tuple(Chat(**chat) for chat in value["chats"]),
        window=window_from_json(value["window"]),
        splits=tuple(_times(part) for part in value["splits"]),
        voices=tuple(VoiceFigures(**voice) for voice in value["voices"]),
    )


def _times(part: Mapping[str, Any]) -> SplitFigures:
    times = {key: datetime.fromisoformat(part[key]) for key in ("first", "last")}
    return SplitFigures(**{**part, **times})
