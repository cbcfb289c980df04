"""Build a dataset from exports and check it for leaks between the splits."""

import signal
import tempfile
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from model.artifacts.artifact import LearnedChat
from model.chat.names import make_printable_name
from model.chat.roster import Roster
from model.errors import DatasetError, ExportError, RosterError
from model.files import place_in_errors
from model.machine import signals_blocked
from pipeline.dataset.blocks import ChatCounts, choose_processes, pair_blocks
from pipeline.dataset.pairs import BuildOptions, ChatMessages
from pipeline.dataset.review import (
    Review,
    check_writable,
    read_removed,
    write_removed,
    write_review,
)
from pipeline.dataset.roster_file import (
    ROSTER_FILE,
    make_roster,
    mark_quiet,
    match_authors,
    read_roster,
    total_messages,
    write_roster,
)
from pipeline.dataset.split import GAP, SPLITS, SplitName, split
from pipeline.dataset.storage import (
    CONVERSATIONS,
    LINES,
    PAIRS,
    REMOVED,
    SUMMARY,
    ConversationWriter,
    LineWriter,
    PairWriter,
    UnnamedFiles,
    check_output,
    new_dataset,
    recover_dataset,
)
from pipeline.dataset.summary import (
    Leaks,
    Summary,
    VoiceFigures,
    WrittenPairs,
    split_figures,
    write_summary,
)
from pipeline.export.archive import ExportedChat, ShowProgress, open_exports
from pipeline.export.entries import FUTURE, list_offset_changes
from pipeline.export.merging import Author, count_messages

MAX_UNREAD = 0.01
"""Share of a file that may be unreadable without --skip-damaged."""

Step = Callable[[str], None]
"""Receives a short description of the step that begins."""

_BATCH = 8_192  # pairs
_ID_COLUMNS = ("message_ids", "context_ids")


def build(
    exports: Sequence[Path],
    out: Path,
    choices: BuildOptions,
    step: Step = lambda _: None,
    show: ShowProgress = lambda _: nullcontext(lambda _: None),
) -> Summary:
    """Build a dataset from one chat of one or more exports.

    The roster is the given one, or the roster.toml next to an export, or a new one of the chat's
    authors, who are learned from but silent until they agree. A new roster takes over the people
    of an earlier dataset in `out`. Pairs that were removed from that dataset stay out.

    Raises:
        ExportError: The exports cannot be used, or only one person talks in the chat.
        RosterError: The roster cannot be used.
        DatasetError: There are too few messages, or `out` holds something else.
    """
    recover_dataset(out)
    check_output(out)
    if choices.review:  # fail now rather than after minutes of work
        check_writable(choices.review)
    review = Review(
        read_removed(choices.review, out / REMOVED), is_wanted=choices.review is not None
    )
    with open_exports(exports, choices.chat, choices.zone, step, show) as archive:
        chat = archive.only(choices.chat)
        check_chat(chat, archive.spool.count_author_clashes(chat.chat_id))
        check_damage(chat, skip_damaged=choices.skip_damaged)
        authors = archive.spool.authors(chat.chat_id)
        roster = _choose_roster(choices, [file.path for file in archive.files], authors, out)
        messages = ChatMessages(archive.spool, chat, roster, choices)
        summary = build_chat(
            messages, authors, out, review, (file.sha256 for file in archive.files), step
        )
    if choices.review:
        write_review(choices.review, review)
    return summary


def build_chat(
    messages: ChatMessages,
    authors: Sequence[Author],
    out: Path,
    review: Review,
    hashes: Iterable[str],
    step: Step,
) -> Summary:
    """Build a dataset from a chat that has been read; `hashes` are those of its exports.

    Raises:
        ExportError: Fewer than two people talk in the chat.
        DatasetError: There are too few messages, or `out` holds something else.
    """
    with signals_blocked(signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        import_module("pandas")  # pyarrow would import it, and swallow what a signal raises
    roster, choices = messages.rules.roster, messages.choices
    _check_voices(roster, authors, choices.min_messages)
    with (
        place_in_errors(Path(tempfile.gettempdir())),
        closing(PairWriter()) as pair_writer,
        closing(ConversationWriter()) as conversation_writer,
        closing(LineWriter()) as line_writer,
    ):
        step("pairing contexts and replies")
        totals = ChatCounts()
        processes = choices.processes or choose_processes(messages.count())
        with closing(pair_blocks(messages, messages.rules, review, processes)) as blocks:
            for block in blocks:
                first = len(totals.spans)
                pair_writer.add(block.pairs, first)
                conversation_writer.add(block.conversations, first)
                line_writer.add(block.lines, block.counts.spans.lines, first)
                review.rows += block.rows
                review.removed_count += block.removed
                totals.add(block.counts)
        _check_authors(messages, totals)
        splits = split(
            totals.spans, choices.window.lookback, choices.test_share, choices.validation_share
        )
        step("writing the dataset")
        with place_in_errors(out), UnnamedFiles(out) as files:
            written = pair_writer.write(lambda name: files.open(f"{PAIRS}/{name}"), splits)
            conversation_writer.write(files.open(CONVERSATIONS), splits)
            line_writer.write(files.open(LINES), splits)
            counts = [sum(voices.values()) for voices in written.voices]
            if not all(counts):
                raise _too_few_pairs(counts)
            found_leaks = find_leaks(lambda name: files.open(f"{PAIRS}/{name}"))
            summary = _summarize(messages, totals, splits, written, found_leaks)
            summary = replace(summary, removed=review.removed_count, export_sha256=tuple(hashes))
            with new_dataset(out) as folder:
                files.name_in(folder)
                write_roster(roster, folder / ROSTER_FILE, authors)
                write_removed(folder / REMOVED, review.removed)
                write_summary(summary, folder / SUMMARY)
    return summary


def check_chat(chat: ExportedChat, clashes: int) -> None:
    """Check that a chat comes from one account and has an id.

    Raises:
        ExportError: It comes from several accounts, or has no id.
    """
    name = make_printable_name(chat.name)
    if clashes:
        raise ExportError(
            f"the exports attribute {clashes:,} messages of {name} to different "
            "people: give only exports from one account"
        )
    if chat.number is None:
        raise ExportError(
            f"the export does not say which chat {name} is, its id is missing or "
            "damaged: export the chat again"
        )


def check_damage(chat: ExportedChat, *, skip_damaged: bool) -> None:
    """Check that at most 1 % of each file and of the messages is lost, unless `skip_damaged`.

    Raises:
        ExportError: More than 1 % is lost.
    """
    for file, unread in chat.unread.items():
        if not skip_damaged and chat.unread_share(file) > MAX_UNREAD:
            raise ExportError(
                f"{file} is damaged, and {unread:,} bytes ({chat.unread_share(file):.1%} of it) "
                "cannot be read: export the chat again, or give --skip-damaged to ignore them"
            )
    skipped = chat.tally.skipped_messages.total()
    share = skipped / max(1, skipped + chat.tally.messages)
    if not skip_damaged and share > MAX_UNREAD:
        raise ExportError(f"{_describe_skipped(chat)}, or give --skip-damaged to ignore them")


def _describe_skipped(chat: ExportedChat) -> str:
    """Return how many messages of a chat cannot be used, why, and what to do."""
    skipped = chat.tally.skipped_messages
    total = skipped.total() + chat.tally.messages
    reasons = ", ".join(f"{reason}: {count:,}" for reason, count in skipped.most_common())
    if FUTURE in skipped:
        reasons += f"; this computer's clock says {datetime.now(UTC):%Y-%m-%d}"
    return (
        f"{skipped.total():,} of {total:,} messages of {make_printable_name(chat.name)} "
        f"({skipped.total() / total:.1%}) are damaged and cannot be used ({reasons}): "
        "export the chat again"
    )


def find_leaks(source: Callable[[str], Any]) -> Leaks:
    """Compare a dataset's training file with the held-out ones; `source` opens a file by name.

    Messages are identified by chat and id, in contexts and in targets. Memory holds only the ids
    of the test split; the training file is read as a stream.
    """
    test: dict[int, Any] = {}
    for chat, ids in _read_message_ids(source, "test"):
        test[chat] = np.union1d(test.get(chat, ids[:0]), ids)
    found = {chat: np.zeros(len(ids), bool) for chat, ids in test.items()}
    for chat, ids in _read_message_ids(source, "train"):
        if chat in test:
            positions = np.searchsorted(test[chat], ids)
            positions[positions == len(test[chat])] = 0
            found[chat][positions[test[chat][positions] == ids]] = True
    train, validation, test_sessions = (
        np.unique(_read_column(source, name, "session")) for name in SPLITS
    )
    on_both_sides = len(np.intersect1d(train, np.union1d(validation, test_sessions)))
    on_both_sides += len(np.intersect1d(validation, test_sessions))
    times = [_read_column(source, name, "sent_at") for name in SPLITS]
    return Leaks(
        test_messages_in_training=sum(int(each.sum()) for each in found.values()),
        sessions_on_both_sides=on_both_sides,
        pairs_out_of_order=sum(
            int((earlier >= later.min()).sum()) for earlier, later in pairwise(times) if len(later)
        ),
    )


def _choose_roster(
    choices: BuildOptions, files: Sequence[Path], authors: Sequence[Author], out: Path
) -> Roster:
    """Return the roster to build with, in which people with too few messages are quiet."""
    beside = {
        file.with_name(ROSTER_FILE) for file in files if file.with_name(ROSTER_FILE).is_file()
    }
    if not choices.roster and len(beside) > 1:
        raise RosterError(
            "several exports have a roster.toml next to them: choose one with --roster"
        )
    if given := choices.roster or next(iter(beside), None):
        roster = match_authors(read_roster(given), authors)
        return mark_quiet(roster, authors, choices.min_messages)
    if not (out / ROSTER_FILE).is_file():
        return make_roster(authors, min_messages=choices.min_messages)
    earlier = match_authors(read_roster(out / ROSTER_FILE), authors)
    wrote = {author.author_id for author in authors}
    people = [person for person in earlier.people if wrote.intersection(person.ids)]
    if people:  # same group: keep exclusions, even of people without messages
        people += [
            person for person in earlier.people if person.learn == "no" and person not in people
        ]
    earlier = replace(earlier, people=tuple(people))
    return make_roster(authors, earlier, choices.min_messages)


def _check_voices(roster: Roster, authors: Sequence[Author], min_messages: int) -> None:
    """Check that at least one person can be a voice.

    Raises:
        DatasetError: The roster or the threshold excludes everyone.
    """
    bots = roster.bots | roster.understudies
    counts = count_messages(author for author in authors if author.author_id not in bots)
    if roster.voices or not any(counts.values()):
        return  # _check_authors reports an empty chat
    willing = [person for person in roster.people if person.is_only_quiet]
    if not willing:
        raise DatasetError(
            f"nobody in the roster{'' if roster.people else ' (it is empty)'} may be imitated: "
            'set learn = "yes", and imitate = "ask" or "yes", for people who agree'
        )
    if not any(counts[number] for person in roster.people for number in person.ids):
        raise DatasetError(
            "nobody in the roster wrote in this chat: give the chat's own roster (create it with "
            "`understudy inspect EXPORT --roster FILE`)"
        )
    most = max(sum(counts[number] for number in person.ids) for person in willing)
    raise DatasetError(
        f"nobody who may be imitated wrote the {min_messages:,} messages that a voice needs (the "
        f"maximum is {most:,}): export more of the chat, or give a smaller --min-messages"
    )


def _check_authors(messages: ChatMessages, totals: ChatCounts) -> None:
    """Check that at least two people talk in the chat.

    Raises:
        ExportError: Fewer than two people talk.
    """
    chat, since = make_printable_name(messages.chat.name), messages.choices.since
    if not totals.messages and since:
        raise ExportError(
            f"there are no messages in {chat} since {since:%Y-%m-%d}: give --since an earlier day"
        )
    if not totals.authors and messages.chat.tally.skipped_messages:
        raise ExportError(_describe_skipped(messages.chat))
    if not totals.authors:
        raise ExportError(
            f"nobody talks in {chat}: it holds only commands, forwards and messages of bots"
        )
    if len(totals.authors) == 1:
        person = messages.rules.roster.find_by_id(min(totals.authors))
        raise ExportError(
            f"only {person.name if person else 'one person'} speaks in {chat}: "
            "training needs two or more people who talk"
        )


def _summarize(
    messages: ChatMessages,
    totals: ChatCounts,
    splits: "array[int]",
    written: WrittenPairs,
    leaks: Leaks,
) -> Summary:
    choices, chat, roster = messages.choices, messages.chat, messages.rules.roster
    counts = messages.count_by_author()
    return Summary(
        chats=(LearnedChat(chat.chat_id, chat.name),),
        content_hash=written.content_hash,
        public=choices.public,
        window=choices.window,
        min_messages=choices.min_messages,
        messages=totals.messages,
        gap=sum(n for n, split in zip(totals.spans.lines, splits, strict=True) if split == GAP),
        dropped=written.dropped,
        repeated=totals.repeated,
        leaks=leaks,
        splits=split_figures(totals.spans, splits, written),
        voices=tuple(
            VoiceFigures(
                person.name,
                person.imitate,
                total_messages(person, counts),
                *(voices.get(person.name, 0) for voices in written.voices),
            )
            for person in roster.voices
        ),
        quiet=tuple(person.name for person in roster.people if person.quiet),
        redacted=dict(totals.redacted.most_common()),
        repaired=dict(chat.tally.repaired.most_common()),
        skipped=dict(chat.tally.skipped.most_common()),
        unread_bytes=chat.unread.total(),
        export_bytes=sum(chat.sizes.values()),
        utc_offsets=list_offset_changes(chat.tally.utc_offsets),
    )


def _too_few_pairs(counts: Sequence[int]) -> DatasetError:
    found = ", ".join(f"{n} to {name}" for n, name in zip(counts, SPLITS, strict=True))
    return DatasetError(
        f"too few replies for training and testing ({found}): export more of the chat, "
        'or set learn = "yes" for more people in the roster'
    )


def _read_message_ids(source: Callable[[str], Any], name: SplitName) -> Iterator[tuple[int, Any]]:
    """Yield the message ids of a split's pairs by chat, batch by batch."""
    for batch in _read_batches(source, name, ["chat_id", *_ID_COLUMNS]):
        chats = batch.column("chat_id").to_numpy()
        for chat in np.unique(chats).tolist():
            own = batch.filter(chats == chat)
            ids = [own.column(column).flatten().to_numpy() for column in _ID_COLUMNS]
            yield chat, np.unique(np.concatenate(ids))


def _read_column(source: Callable[[str], Any], name: SplitName, column: str) -> Any:  # noqa: ANN401  numpy array
    """Return a column of a split's pairs, as numbers."""
    parts = [
        batch.column(column).cast(pa.int64()) for batch in _read_batches(source, name, [column])
    ]
    return np.concatenate(parts) if parts else np.empty(0, np.int64)


def _read_batches(
    source: Callable[[str], Any], name: SplitName, columns: list[str]
) -> Iterator[Any]:
    with pq.ParquetFile(source(f"{name}.parquet")) as file:
        yield from file.iter_batches(_BATCH, columns=columns)
