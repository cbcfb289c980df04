"""From an export to a dataset."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from model.artifact import Chat
from model.conversation import Message, Window
from model.eligible import lines_of
from model.errors import DatasetError, ExportError
from model.roster import Roster
from pipeline.dataset import ROSTER, check_place, content_hash, write_dataset
from pipeline.export import Export, export_file, read_chat
from pipeline.pairs import sessions_of
from pipeline.roster_file import read_roster, roster_of
from pipeline.split import Splits, split
from pipeline.summary import Summary, split_figures, voice_figures

Step = Callable[[str], None]
"""Is told what begins now, in a few words."""


def build(
    export_path: Path,
    out: Path,
    *,
    window: Window,
    roster_path: Path | None = None,
    last: int | None = None,
    public: bool = False,
    step: Step = lambda _: None,
) -> Summary:
    """Build a dataset from one chat's export, of its `last` messages if that is given.

    The roster is the one given, else the roster.toml beside the export, else made of those who
    wrote: learned from, and silent until they agree. What a person wrote into the roster.toml of
    an earlier dataset in `out` still holds then.

    Raises:
        ExportError: The export cannot be used, or a single person speaks in it.
        RosterError: The roster cannot be used.
        DatasetError: Too little is said, or `out` holds something else.
    """
    check_place(out)
    if last is not None and last < 1:
        raise DatasetError(f"--last {last} leaves no message: give 1 or more")
    file = export_file(export_path)
    step("reading the export")
    export = read_chat(file)
    messages = export.messages[-last:] if last else export.messages
    beside = file.with_name(ROSTER)
    given = roster_path or (beside if beside.is_file() else None)
    roster = read_roster(given) if given else _roster(export, messages, out)
    _check_authors(messages, roster, file)
    step("pairing contexts and replies")
    splits = split(sessions_of(messages, roster, window))
    _check_pairs(splits)
    summary = Summary(
        chats=(Chat(export.chat_id, export.title),),
        export_sha256=_sha256(file),
        content_hash=content_hash(splits),
        public=public,
        window=window,
        messages=len(messages),
        dropped=splits.dropped,
        splits=split_figures(splits),
        voices=voice_figures(splits, roster),
    )
    step("writing the dataset")
    write_dataset(out, splits, roster, summary)
    return summary


def _roster(export: Export, messages: Sequence[Message], out: Path) -> Roster:
    """Make a roster of who wrote; whom the earlier dataset's knows of them stays as they are."""
    if not (out / ROSTER).is_file():
        return roster_of(messages)
    earlier = read_roster(out / ROSTER)
    wrote = {message.author_id for message in export.messages}
    known = tuple(person for person in earlier.people if wrote.intersection(person.ids))
    return roster_of(messages, replace(earlier, people=known))


def _check_authors(messages: Sequence[Message], roster: Roster, file: Path) -> None:
    lines = lines_of(messages, roster)
    if not lines:
        raise ExportError(f"nobody talks in {file}: it holds only commands, forwards or bots")
    if len({line.author_id for line in lines}) == 1:
        raise ExportError(
            f"only {lines[0].speaker or 'somebody who may not be learned from'} speaks in {file}: "
            "a model learns from two or more who talk"
        )


def _check_pairs(splits: Splits) -> None:
    if all(part.pairs for part in splits):
        return
    found = ", ".join(f"{len(part.pairs)} to {part.name}" for part in splits)
    raise DatasetError(
        f"too few replies to learn from ({found}): export more of the chat, "
        'or let more people in the roster say learn = "yes"'
    )


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
