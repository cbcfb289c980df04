"""Merge a chat's stored history with new exports and dumps, even if it becomes a supergroup."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, tzinfo
from pathlib import Path

from model.artifacts.artifact import LearnedChat
from model.chat.eligibility import (
    WITHHELD,
    make_line,
    parse_voice_header,
    withhold_words,
)
from model.chat.names import make_printable_name
from model.chat.roster import Roster
from model.chat.telegram_ids import CHANNEL_OFFSET, MIGRATION_OFFSET, is_copy_id
from model.errors import ExportError
from pipeline.export.archive import Archive, ExportedChat, read_exports
from pipeline.export.entries import EntryKind, Row, list_offset_changes
from pipeline.export.files import ExportFile
from pipeline.export.merging import Spool
from pipeline.retrain.history import ExportRange, History, HistoryHeader, list_chats, open_history
from pipeline.terminal import SILENT, Progress
from pipeline.versions.ledger import BOT_ID_OFFSET, DumpNotes, Ledger, has_bot_id

_BASIC_GROUP = "private_group"
_SAME_CHAT_SHARE = 0.9
"""Minimum share of the stored messages that the supergroup's export must contain.

It is below 1 because some messages may have been deleted since.
"""
_LISTED_CHATS = 5
_OTHER_CHAT = (
    "use exports of that chat, or another folder with --models-dir, such as artifacts/groups/NAME"
)
_MIGRATION_ADVICE = "if that group became this supergroup, pass the supergroup's export once"


@dataclass(frozen=True, slots=True)
class MergedFile:
    """A merged export or dump; `stored` of its messages were in the history before.

    Only a dump has `written_at`.
    """

    file: Path
    sha256: str
    messages: int
    stored: int
    first: datetime | None
    last: datetime | None
    written_at: datetime | None = None


@dataclass(slots=True)
class MergedChat:
    """A chat that is being merged in a spool.

    `ranges` are the exports' id ranges. `edits` maps each id to the time of its last edit.
    `stored` counts the messages in the history before merging, `deleted` those that are gone since.
    Exports in `damaged` delete nothing. `unidentified` counts forgotten messages of a basic group
    that match no exported message. `bots` are authors whose messages in a dump are all in a voice.
    `is_migrated` is true if the history was a basic group's until now.
    """

    spool: Spool
    history: History
    chat: ExportedChat
    ledger: Ledger
    ranges: list[ExportRange]
    edits: dict[int, int]
    stored: int = 0
    deleted: int = 0
    unidentified: int = 0
    is_migrated: bool = False
    files: list[MergedFile] = field(default_factory=list)
    damaged: list[Path] = field(default_factory=list)
    bots: set[int] = field(default_factory=set)

    @property
    def header(self) -> HistoryHeader:
        """Return the header for the merged history."""
        chat, stored = self.chat, self.history.header
        hashes = (file.sha256 for file in self.files if file.written_at is None)
        return HistoryHeader(
            chat.chat_id,
            chat.number or 0,
            chat.name,
            chat.kind,
            tuple(dict.fromkeys(self.ranges)),
            tuple(dict.fromkeys([*(stored.exports if stored else ()), *hashes])),
            stored.former if stored else None,
            list_offset_changes(chat.tally.utc_offsets),
        )

    def entries(self) -> Iterator[Row]:
        """Yield all entries of the chat, ordered by id."""
        return self.spool.rows(self.chat.chat_id)

    def count_newer(self, moment: datetime, roster: Roster) -> int:
        """Count people's messages sent after a moment; bots' messages do not count."""
        bots, at = roster.understudies | roster.bots, int(moment.timestamp())
        return sum(
            entry.is_message and entry.at > at and entry.author not in bots
            for entry in self.entries()
        )

    def delete(self, numbers: Iterable[int]) -> int:
        """Delete messages by id and return the number of deleted messages."""
        found = [number for number in numbers if self.edits.pop(number, None) is not None]
        self.spool.delete_rows(self.chat.chat_id, found)
        return len(found)

    def add(self, entries: Iterable[Row], names: Iterable[str | None] | None = None) -> None:
        """Add or replace entries; `names` are their spool's names, this spool's by default."""
        own = self.spool.names
        numbers = [own.setdefault(name, len(own)) for name in list(own if names is None else names)]

        def renamed(entry: Row) -> Row:
            self.edits[entry.number] = max(entry.edited, self.edits.get(entry.number, 0))
            return entry._replace(name=numbers[entry.name])

        self.spool.add_rows(map(renamed, entries))


@dataclass(frozen=True, slots=True)
class Migration:
    """A basic group's history with the ids of the supergroup that it became."""

    chat: ExportedChat
    history: History
    renumber: Callable[[int], int]

    def rows(self, names: dict[str | None, int]) -> Iterator[Row]:
        """Yield the history's rows with the supergroup's ids; see `History.rows`."""
        for entry in self.history.rows(names):
            reply = None if entry.reply is None else self.renumber(entry.reply)
            yield entry._replace(number=self.renumber(entry.number), reply=reply)


@contextmanager
def merge_chat(
    root: Path,
    exports: Sequence[ExportFile],
    dumps: Sequence[DumpNotes],
    expected: LearnedChat | None,
    wanted: str | None = None,
    zone: tzinfo | None = None,
    progress: Progress = SILENT,
) -> Iterator[MergedChat]:
    """Merge files with a chat's stored history, without changing the stored history.

    `exports` are ordered from oldest to newest. `expected` is the chat that the model was trained
    on. Without it, the chat is the first export's, or the one named `wanted` if there are several.
    The history of a basic group continues in an export of the supergroup that it became.

    Raises:
        ExportError: A file is from another chat, or is not an export.
        ArtifactError: The stored history is damaged.
    """
    with closing(Spool()) as spool:
        merged: MergedChat | None = None
        for file in exports:
            with read_exports([file], _name_chat(expected, wanted), zone, progress) as found:
                migration = None
                if expected and not merged:
                    migration = find_migration(root, found, expected)
                chat = migration.chat if migration else _choose_chat(found, file, expected, wanted)
                merged = merged or _load_history(root, spool, chat, migration)
                expected = LearnedChat(chat.chat_id, chat.name)
                _add_export(merged, found, chat, file)
        if merged:
            _match_bot_ids(merged)
        for notes in sorted(dumps, key=lambda one: one.written_at):
            with read_exports([notes.file], _name_chat(expected, None), zone, progress) as found:
                may_migrate = expected and _may_be_migrated(root, found, expected)
                advice = _MIGRATION_ADVICE if may_migrate else _OTHER_CHAT
                chat = _choose_chat(found, notes.file, expected, None, advice)
                expected = LearnedChat(chat.chat_id, chat.name)
                merged = merged or _load_history(root, spool, chat)
                _add_dump(merged, found, chat, notes)
        if merged is None:
            raise ExportError("there is no export: pass the result.json that Telegram wrote")
        _match_bot_ids(merged)
        merged.ledger = merged.ledger.add_dumps(dumps)
        _delete_forgotten(merged)
        spool.assign_topics(merged.chat.chat_id)
        yield merged


def withhold_text(merged: MergedChat, roster: Roster) -> None:
    """Replace the messages of people who withdrew with placeholders.

    With this roster, the result leads to exactly the same prompts as the original messages. Copies
    of their words in other people's messages are removed too. Once anyone has withdrawn, all
    forwards are replaced, because they may contain anyone's words.
    """
    withdrawn = roster.excluded_ids | {
        user_id for user_id in merged.ledger.opted_out if roster.find_by_id(user_id) is None
    }
    hides_words = withdrawn or any(person.learn == "no" for person in roster.people)
    texts = {}
    for message in merged.spool.messages(merged.chat.chat_id):
        if message.author_id in withdrawn:
            texts[message.message_id] = WITHHELD if make_line(message, roster) else ""
        elif message.is_forward and withdrawn:
            texts[message.message_id] = WITHHELD
        elif hides_words and (own := withhold_words(message, roster)) != message.text:
            texts[message.message_id] = own
    merged.spool.replace_texts(merged.chat.chat_id, texts)


def find_successor(root: Path, chat: LearnedChat) -> LearnedChat:
    """Return the supergroup that a chat became in an earlier retraining, or the chat itself."""
    if not _is_supergroup(chat.chat_id):
        for stored in list_chats(root):
            if stored.former == chat.chat_id:
                return LearnedChat(stored.chat_id, stored.name)
    return chat


def find_migration(root: Path, found: Archive, expected: LearnedChat) -> Migration | None:
    """Return how a basic group's history continues in an export of its supergroup, if it does."""
    history = open_history(root, expected.chat_id)
    if history.header is None or not _may_be_migrated(root, found, expected):
        return None
    for chat in found.chats.values():
        if not _is_supergroup(chat.chat_id) or open_history(root, chat.chat_id).header:
            continue
        exported = {
            entry.number: (entry.author, entry.at)
            for entry in found.spool.rows(chat.chat_id)
            if entry.is_message and entry.number < 0  # from when it was a basic group
        }
        if offset := _find_id_offset(history, exported):
            return _migrate(history, history.header, chat, offset)
    return None


def current_id(merged: MergedChat, chat_id: int, number: int) -> int:
    """Return the current id of a message of this chat, or of the basic group that it was."""
    aliases, was_group = merged.ledger.aliases, chat_id != merged.chat.chat_id
    shifted = number - MIGRATION_OFFSET if was_group else number
    if has_bot_id(number):
        return aliases.get(shifted - BOT_ID_OFFSET, shifted)
    # The basic group's history may have another account's message ids.
    return aliases.get(shifted + BOT_ID_OFFSET, shifted) if was_group else shifted


def current_forgotten_ids(merged: MergedChat) -> frozenset[int]:
    """Return the current ids of the forgotten messages."""
    kind, ledger = merged.chat.kind, merged.ledger
    return frozenset(
        ledger.aliases.get(one, BOT_ID_OFFSET + one) if _is_bot_numbered(kind, one) else one
        for one in ledger.forgotten
    )


def _name_chat(expected: LearnedChat | None, wanted: str | None) -> str | None:
    """Return which chat to read from a file that may have several; None for all of them."""
    return str(expected.chat_id) if expected else wanted


def _choose_chat(
    found: Archive,
    file: ExportFile,
    expected: LearnedChat | None,
    wanted: str | None,
    advice: str = _OTHER_CHAT,
) -> ExportedChat:
    """Return the chat to merge from a file.

    Raises:
        ExportError: The file does not contain it. The text names both chats.
    """
    if expected is None:
        return found.only(wanted)
    if expected.chat_id in found.chats:
        return found.chats[expected.chat_id]
    names = ", ".join(
        make_printable_name(one.name) + (f" ({one.chat_id})" if one.name == expected.title else "")
        for one in list(found.chats.values())[:_LISTED_CHATS]
    )
    raise ExportError(
        f"{file} contains {names}, not {make_printable_name(expected.title)} ({expected.chat_id}): "
        f"{advice}"
    )


def _load_history(
    root: Path, spool: Spool, chat: ExportedChat, migration: Migration | None = None
) -> MergedChat:
    """Load a chat's history into a spool, to merge files into it."""
    history = migration.history if migration else open_history(root, chat.chat_id)
    spool.add_rows((migration or history).rows(spool.names))
    ranges = list(history.header.ranges) if history.header else []
    own = ExportedChat(chat.chat_id, chat.number, chat.name, chat.kind)
    if history.header:
        own.tally.utc_offsets.update(history.header.utc_offsets)
    is_migrated = migration is not None
    merged = MergedChat(spool, history, own, history.ledger, ranges, {}, is_migrated=is_migrated)
    for entry in merged.entries():
        merged.edits[entry.number] = entry.edited
        merged.stored += entry.is_message
    return merged


def _add_export(merged: MergedChat, found: Archive, chat: ExportedChat, file: ExportFile) -> None:
    """Merge an export; in its range it decides which messages exist, unless a newer export does."""
    merged.chat.name = chat.name
    merged.chat.tally.add(chat.tally)
    # the newer export's offsets win
    merged.chat.tally.utc_offsets.update(chat.tally.utc_offsets)
    merged.chat.unread.update(chat.unread)
    merged.chat.sizes |= chat.sizes
    merged.files.append(_describe_file(merged, found, chat, file))
    counts = found.spool.counts(chat.chat_id)
    if counts.first is None or counts.last is None:
        return
    numbers = (
        entry.number
        for entry in found.spool.rows(chat.chat_id)
        if entry.is_message and not is_copy_id(entry.number)
    )
    first = last = next(numbers)
    for number in numbers:
        last = number
    newest = min(counts.last.timestamp(), time.time())  # a date in the future is wrong
    covered = ExportRange(first, last, int(counts.first.timestamp()), int(newest))
    newer = [other for other in merged.ranges if other.newest > covered.newest]

    def is_decided(number: int) -> bool:
        return any(other.contains(number) for other in newer)

    merged.add(
        (
            entry
            for entry in found.spool.rows(chat.chat_id)
            if entry.number in merged.edits or not is_decided(entry.number)
        ),
        found.spool.names,
    )
    merged.ranges.append(covered)
    if chat.tally.skipped:
        merged.damaged.append(file.path)
        return
    present = {entry.number for entry in found.spool.rows(chat.chat_id)}
    missing = [one for one in merged.edits if covered.contains(one) and one not in present]
    merged.deleted += merged.delete(one for one in missing if not is_decided(one))


def _add_dump(merged: MergedChat, found: Archive, chat: ExportedChat, notes: DumpNotes) -> None:
    """Merge a dump: it adds messages that no export covers, and newer edits.

    Raises:
        ExportError: Its decisions and its messages are from different chats.
    """
    if notes.chat_id != chat.chat_id:
        raise ExportError(
            f"{notes.file} contains messages of chat {chat.chat_id} and decisions of chat "
            f"{notes.chat_id}: write it again with `understudy-bot dump`"
        )
    description = _describe_file(merged, found, chat, notes.file)
    merged.files.append(replace(description, written_at=notes.written_at))
    entries = list(found.spool.rows(chat.chat_id))
    are_all_spoken: dict[int, bool] = {}
    for entry in entries:
        if entry.is_message:
            is_spoken = parse_voice_header(entry.text) is not None
            are_all_spoken[entry.author] = are_all_spoken.get(entry.author, True) and is_spoken
    merged.bots |= {author for author, is_bot in are_all_spoken.items() if is_bot}
    fresh = []
    for one in entries:
        number, reply = one.number, one.reply
        if _is_bot_numbered(merged.chat.kind, number):
            number += BOT_ID_OFFSET
        if reply is not None and _is_bot_numbered(merged.chat.kind, reply):
            reply += BOT_ID_OFFSET
        edited = merged.edits.get(number)
        if edited is None:
            is_fresh = not any(covered.contains(number) for covered in merged.ranges)
        else:
            is_fresh = one.edited > edited
        if is_fresh:
            fresh.append(one._replace(number=number, reply=reply))
    merged.add(fresh, found.spool.names)


def _describe_file(
    merged: MergedChat, found: Archive, chat: ExportedChat, file: ExportFile
) -> MergedFile:
    counts = found.spool.counts(chat.chat_id)
    stored = sum(
        entry.is_message and entry.number in merged.edits
        for entry in found.spool.rows(chat.chat_id)
    )
    return MergedFile(file.path, file.sha256, counts.messages, stored, counts.first, counts.last)


def _is_bot_numbered(kind: str, number: int) -> bool:
    """Whether only the bot uses this id, in a dump of a chat of this kind."""
    return kind == _BASIC_GROUP or number < 0


def _match_bot_ids(merged: MergedChat) -> None:
    """Replace messages that have the bot's ids with the exported messages that match them.

    Two messages match if they have the same author and second.
    """
    with_bot_id = [one for one in merged.entries() if has_bot_id(one.number)]
    if not with_bot_id:
        return
    exported: dict[tuple[int, int], list[Row]] = defaultdict(list)
    earliest = min(one.at for one in with_bot_id)
    for entry in merged.entries():
        if entry.is_message and entry.at >= earliest and not has_bot_id(entry.number):
            exported[entry.author, entry.at].append(entry)
    aliases, obsolete, edited = dict(merged.ledger.aliases), [], []
    for one in with_bot_id:
        if matches := exported.get((one.author, one.at)):
            match = next((other for other in matches if other.text == one.text), matches[0])
            matches.remove(match)
            aliases[one.number - BOT_ID_OFFSET] = match.number
            obsolete.append(one.number)
            if one.edited > match.edited:
                edited.append(match._replace(text=one.text, edited=one.edited))
        elif any(covered.has_under_other_id(one.number, one.at) for covered in merged.ranges):
            obsolete.append(one.number)
            merged.deleted += any(covered.contains(one.number) for covered in merged.ranges)
    merged.delete(obsolete)
    merged.add(edited)
    updated = {bots: aliases.get(one - BOT_ID_OFFSET, one) for bots, one in aliases.items()}
    merged.ledger = replace(merged.ledger, aliases=updated)
    merged.add(
        [
            one._replace(reply=updated[one.reply - BOT_ID_OFFSET])
            for one in merged.entries()
            if one.reply is not None and one.reply - BOT_ID_OFFSET in updated
        ]
    )


def _delete_forgotten(merged: MergedChat) -> None:
    """Delete the forgotten messages under all their ids.

    A message that no export has shown yet keeps its author and second, so that the next export
    does not bring it back.
    """
    ledger, kind = merged.ledger, merged.chat.kind
    if not ledger.forgotten:
        return
    bots = merged.bots | ledger.understudies
    written_by_people = {
        entry.number
        for entry in merged.entries()
        if entry.is_message and entry.author not in bots and parse_voice_header(entry.text) is None
    }
    aliases, emptied = dict(ledger.aliases), set()
    words = set(ledger.forgotten_words)
    for number in ledger.forgotten:
        stored = aliases.get(number, BOT_ID_OFFSET + number)
        if (stored if _is_bot_numbered(kind, number) else number) in written_by_people:
            words.add(number)
        if not _is_bot_numbered(kind, number):
            merged.delete([number])
        elif number not in aliases and BOT_ID_OFFSET + number not in merged.edits:
            merged.unidentified += 1
        elif has_bot_id(stored):
            aliases[number] = stored
            emptied.add(stored)
        else:
            merged.delete([stored])
    merged.add(
        [
            entry._replace(kind=EntryKind.SERVICE, name=0, text="")
            for entry in merged.entries()
            if entry.number in emptied
        ]
    )
    merged.ledger = replace(ledger, aliases=aliases, forgotten_words=frozenset(words))


def _is_supergroup(chat_id: int) -> bool:
    """Whether an id in the Bot API's form is a supergroup's or a channel's."""
    return chat_id < -CHANNEL_OFFSET


def _may_be_migrated(root: Path, found: Archive, expected: LearnedChat) -> bool:
    """Whether a file contains a supergroup but not the basic group whose history is stored."""
    if expected.chat_id in found.chats or not any(map(_is_supergroup, found.chats)):
        return False
    header = open_history(root, expected.chat_id).header
    return header is not None and header.kind == _BASIC_GROUP


def _find_id_offset(history: History, exported: Mapping[int, tuple[int, int]]) -> int | None:
    """Return the difference between a supergroup's ids and a basic group's, or None.

    `exported` maps the ids of the basic group's messages in the supergroup's export to author and
    second. None means that the export is from another chat. If another account exported the basic
    group, the messages match but the ids do not. They are then moved above `BOT_ID_OFFSET`, where
    `_match_bot_ids` replaces them with the exported messages, as it does with the bot's.
    """
    times = [at for _, at in exported.values()]
    stored = {
        entry.number: (entry.author, entry.at)
        for entry in history.rows({})
        if times and entry.is_message and min(times) <= entry.at <= max(times)
    }

    def are_most(hits: list[bool]) -> bool:
        return bool(hits) and sum(hits) >= _SAME_CHAT_SHARE * len(hits)

    own = {number: one for number, one in stored.items() if not has_bot_id(number)}
    if are_most([exported.get(number - MIGRATION_OFFSET) == one for number, one in own.items()]):
        return -MIGRATION_OFFSET
    present = set(exported.values())
    if are_most([one in present for one in stored.values()]):
        return 2 * BOT_ID_OFFSET - MIGRATION_OFFSET
    return None


def _migrate(history: History, header: HistoryHeader, chat: ExportedChat, offset: int) -> Migration:
    def renumber(number: int) -> int:
        return number - MIGRATION_OFFSET if has_bot_id(number) else number + offset

    def shift(numbers: frozenset[int]) -> frozenset[int]:
        return frozenset(number - MIGRATION_OFFSET for number in numbers)

    ledger = replace(  # dumps shift the bot's own ids by MIGRATION_OFFSET
        history.ledger,
        forgotten=shift(history.ledger.forgotten),
        forgotten_words=shift(history.ledger.forgotten_words),
        aliases={
            bots - MIGRATION_OFFSET: renumber(one) for bots, one in history.ledger.aliases.items()
        },
    )
    moved = HistoryHeader(
        chat.chat_id,
        chat.number or 0,
        chat.name,
        chat.kind,
        tuple(
            replace(span, first=span.first + offset, last=span.last + offset)
            for span in header.ranges
        ),
        header.exports,
        former=header.chat_id,
        utc_offsets=header.utc_offsets,
    )
    return Migration(chat, replace(history, ledger=ledger, header=moved), renumber)
