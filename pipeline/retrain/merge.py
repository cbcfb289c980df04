"""A chat's history, exports and dumps as one.

A message is in it once, its last edit counts, and what a newer export no longer shows in its range
was deleted, and is gone.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import tzinfo
from pathlib import Path

from model import artifact
from model.errors import ExportError
from model.naming import visible_name
from pipeline.build import sha256_of
from pipeline.export.archive import Archive, Chat, opened
from pipeline.export.ids import is_copy_id
from pipeline.export.spool import Spool
from pipeline.retrain.foreign import add_dumped, forget, settle
from pipeline.retrain.history import Cover, open_history
from pipeline.retrain.ledger import Notes
from pipeline.retrain.moved import Move, may_be_moved, move_of
from pipeline.retrain.whole import Entry, Given, Merged

_NAMED = 5  # chats that a refusal names
_OTHER = "give exports of that chat, or another folder with --models"
_PROOF = "if that group became this supergroup, give the supergroup's export once"


@contextmanager
def merged(
    root: Path,
    exports: Sequence[Path],
    dumps: Sequence[Notes],
    expected: artifact.Chat | None,
    wanted: str | None = None,
    zone: tzinfo | None = None,
    step: Callable[[str], None] = lambda _: None,
) -> Iterator[Merged]:
    """Merge into what a folder of models keeps of a chat; that is not changed yet.

    `exports` come oldest first. `expected` is the chat that the model learned; without one it is
    the first export's, the `wanted` one where there are several. A basic group's history goes on
    in the export of the supergroup that it became.

    Raises:
        ExportError: A file is of another chat, or no export.
        DatasetError: The history is damaged.
    """
    with closing(Spool()) as spool:
        whole: Merged | None = None
        for file in exports:
            with opened([file], None if expected else wanted, zone, step) as found:
                move = None if whole or not expected else move_of(root, found, expected)
                chat = move.chat if move else _chosen(found, file, expected, wanted)
                expected = artifact.Chat(chat.chat_id, chat.name)
                whole = whole or _begun(root, spool, chat, move)
                _add_export(whole, found, chat, file)
        if whole:
            settle(whole)
        for notes in sorted(dumps, key=lambda one: one.written_at):
            with opened([notes.file], None, zone, step) as found:
                chat = _chosen(found, notes.file, expected, None, _advice(root, found, expected))
                expected = artifact.Chat(chat.chat_id, chat.name)
                whole = whole or _begun(root, spool, chat)
                _add_dump(whole, found, chat, notes)
        if whole is None:
            raise ExportError("no export is given: name the result.json that Telegram wrote")
        _make_whole(whole, dumps)
        yield whole


def _chosen(
    found: Archive,
    file: Path,
    expected: artifact.Chat | None,
    wanted: str | None,
    advice: str = _OTHER,
) -> Chat:
    """Return the chat to merge.

    Raises:
        ExportError: It is not in the file; the text names both chats.
    """
    if expected is None:
        return found.only(wanted)
    if expected.chat_id in found.chats:
        return found.chats[expected.chat_id]
    some = list(found.chats.values())[:_NAMED]
    holds = ", ".join(
        visible_name(one.name) + (f" ({one.chat_id})" if one.name == expected.title else "")
        for one in some
    )
    raise ExportError(
        f"{file} is of {holds}, not of {visible_name(expected.title)} ({expected.chat_id}): "
        f"{advice}"
    )


def _advice(root: Path, found: Archive, expected: artifact.Chat | None) -> str:
    """Return what to do about a dump where it is of another chat."""
    return _PROOF if expected and may_be_moved(root, found, expected) else _OTHER


def _begun(root: Path, spool: Spool, chat: Chat, move: Move | None = None) -> Merged:
    """Return the chat's history as what all else is merged into."""
    history = move.history if move else open_history(root, chat.chat_id)
    spool.keep((move or history).rows(spool.names))
    covers = list(history.head.covers) if history.head else []
    own = Chat(chat.chat_id, chat.number, chat.name, chat.kind)
    whole = Merged(spool, history, own, history.ledger, covers, {}, is_moved=move is not None)
    for one in whole.entries():
        whole.known[one.number] = one.edited
        whole.before += one.is_message
    return whole


def _make_whole(whole: Merged, dumps: Sequence[Notes]) -> None:
    """Bring together what all files say."""
    settle(whole)
    whole.ledger = whole.ledger.with_notes(dumps)
    forget(whole)
    whole.spool.find_topics(whole.chat.chat_id)


def _add_export(whole: Merged, found: Archive, chat: Chat, file: Path) -> None:
    """Take in an export: it says what there is in its range, except where a newer one says it."""
    whole.chat.name = chat.name
    whole.chat.tally.repaired.update(chat.tally.repaired)
    whole.chat.tally.skipped.update(chat.tally.skipped)
    whole.chat.unread.update(chat.unread)
    whole.chat.sizes |= chat.sizes
    whole.given.append(_given(whole, found, chat, file))
    cover = _cover(found.spool, chat.chat_id)
    if cover is None:
        return
    newer = [other for other in whole.covers if other.newest > cover.newest]

    def is_decided(number: int) -> bool:
        return any(other.holds(number) for other in newer)

    whole.keep(
        (
            one
            for one in _entries(found, chat)
            if one.number in whole.known or not is_decided(one.number)
        ),
        list(found.spool.names),
    )
    whole.covers.append(cover)
    if chat.tally.skipped:
        whole.damaged.append(file)
        return
    there = {one.number for one in _entries(found, chat)}
    known = [number for number in whole.known if cover.holds(number) and number not in there]
    whole.deleted += whole.drop(number for number in known if not is_decided(number))


def _add_dump(whole: Merged, found: Archive, chat: Chat, notes: Notes) -> None:
    """Take in a dump.

    Raises:
        ExportError: Its notes are of another chat than its messages.
    """
    if notes.chat_id != chat.chat_id:
        raise ExportError(
            f"{notes.file} holds messages of chat {chat.chat_id} and what was told in chat "
            f"{notes.chat_id}: write it again with `understudy-bot dump`"
        )
    given = _given(whole, found, chat, notes.file)
    whole.given.append(replace(given, written_at=notes.written_at))
    add_dumped(whole, list(_entries(found, chat)), list(found.spool.names))


def _entries(found: Archive, chat: Chat) -> Iterator[Entry]:
    return map(Entry._make, found.spool.rows(chat.chat_id))


def _cover(spool: Spool, chat_id: int) -> Cover | None:
    counts = spool.counts(chat_id)
    if counts.first is None or counts.last is None:
        return None
    messages = (
        one
        for one in map(Entry._make, spool.rows(chat_id))
        if one.is_message and not is_copy_id(one.number)
    )
    first = last = next(messages).number
    for one in messages:
        last = one.number  # they come in order of id
    newest = min(counts.last.timestamp(), time.time())  # no later export outdates the future
    return Cover(first, last, int(counts.first.timestamp()), int(newest))


def _given(whole: Merged, found: Archive, chat: Chat, file: Path) -> Given:
    counts = found.spool.counts(chat.chat_id)
    known = sum(one.is_message and one.number in whole.known for one in _entries(found, chat))
    return Given(file, sha256_of(file), counts.messages, known, counts.first, counts.last)
