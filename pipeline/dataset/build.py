"""Build a dataset from exports and check it for leaks between the splits."""

import hashlib
import os
import signal
import tempfile
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from model.artifacts.artifact import LearnedChat
from model.chat.conversation import window_to_json
from model.chat.names import make_printable_name
from model.chat.roster import Roster
from model.errors import DatasetError, ExportError, RosterError
from model.files import give_name, make_folder, open_unnamed, place_in_errors
from model.machine import signals_blocked
from pipeline.dataset.blocks import ChatCounts, choose_processes, make_blocks
from pipeline.dataset.pairs import BuildOptions, ChatMessages, Pair, Session, make_pairs
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
    LINES,
    REMOVED,
    SUMMARY,
    LineWriter,
    check_output,
    new_dataset,
    read_sessions,
    recover_dataset,
)
from pipeline.dataset.summary import (
    Leaks,
    Summary,
    VoiceFigures,
    split_figures,
    write_summary,
)
from pipeline.export.archive import ExportedChat, open_exports
from pipeline.export.entries import FUTURE, list_offset_changes
from pipeline.export.merging import Author, count_messages
from pipeline.terminal import SILENT, Progress

MAX_UNREAD = 0.01
"""Share of a file that may be unreadable without --skip-damaged."""


def build(
    exports: Sequence[Path],
    out: Path,
    choices: BuildOptions,
    progress: Progress = SILENT,
) -> Summary:
    """Build a dataset from one chat of one or more exports.

    The roster is the given one, or the roster.toml next to an export, or a new one of the chat's
    authors, whose messages are used but who are silent until they agree. A new roster takes over
    the people of an earlier dataset in `out`. Pairs that were removed from that dataset stay out.

    Raises:
        ExportError: The exports cannot be used, or only one person talks in the chat.
        RosterError: The roster cannot be used.
        DatasetError: There are too few messages, or `out` contains something else.
    """
    recover_dataset(out)
    check_output(out)
    if choices.review:  # fail now rather than after minutes of work
        check_writable(choices.review)
    review = Review(
        read_removed(choices.review, out / REMOVED), is_wanted=choices.review is not None
    )
    with open_exports(exports, choices.chat, choices.zone, progress) as archive:
        chat = archive.only(choices.chat)
        check_chat(chat, archive.spool.count_author_clashes(chat.chat_id))
        check_damage(chat, skip_damaged=choices.skip_damaged)
        authors = archive.spool.authors(chat.chat_id)
        roster = _choose_roster(choices, [file.path for file in archive.files], authors, out)
        messages = ChatMessages(archive.spool, chat, roster, choices)
        summary = build_chat(
            messages, authors, out, review, (file.sha256 for file in archive.files), progress
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
    progress: Progress,
) -> Summary:
    """Build a dataset from a chat that has been read; `hashes` are those of its exports.

    Raises:
        ExportError: Fewer than two people talk in the chat.
        DatasetError: There are too few messages, or `out` contains something else.
    """
    with signals_blocked(signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        import_module("pandas")  # pyarrow would import it, and swallow what a signal raises
    roster, choices = messages.rules.roster, messages.choices
    _check_voices(roster, authors, choices.min_messages)
    totals, found = ChatCounts(), PairCounts()
    with place_in_errors(Path(tempfile.gettempdir())), closing(LineWriter()) as writer:
        count = messages.count()
        processes = choices.processes or choose_processes(count)
        with (
            progress.count("Replacing private data", count) as advance,
            closing(make_blocks(messages, messages.rules, review.removed, processes)) as blocks,
        ):
            for block in blocks:
                writer.add(block.rows, len(totals.spans))
                totals.add(block.counts)
                advance(block.counts.messages)
        _check_authors(messages, totals)
        splits = split(
            totals.spans, choices.window.lookback, choices.test_share, choices.validation_share
        )
        parent = make_folder(Path(os.path.realpath(out)).parent)
        with place_in_errors(out), open_unnamed(parent) as table:  # a kill leaves nothing
            with progress.step("Writing the dataset"):
                writer.write(table, splits)
            chat_id, window = messages.chat.chat_id, choices.window
            content = hashlib.sha256(orjson.dumps([chat_id, window_to_json(window)]))
            with progress.step("Pairing contexts and replies"):
                sessions = _hash_sessions(read_sessions(table), content)
                for pair in make_pairs(sessions, chat_id, window):
                    if review.passes(pair):
                        found.add(pair)
            if not all(found.voices.values()):
                raise _too_few_pairs(found)
            summary = _summarize(messages, totals, splits, found, content.hexdigest())
            summary = replace(summary, removed=review.removed_count, export_sha256=tuple(hashes))
            with new_dataset(out) as folder:
                give_name(table, folder / LINES)
                write_roster(roster, folder / ROSTER_FILE, authors)
                write_removed(folder / REMOVED, review.removed)
                write_summary(summary, folder / SUMMARY)
    return summary


class PairCounts:
    """Counts a dataset's pairs and what its splits share.

    Memory holds a few numbers for each pair and message, but no pair.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self.voices = {name: Counter[str]() for name in SPLITS}
        self._targets, self._ids, self._sessions, self._times = (
            {name: array("q") for name in SPLITS} for _ in range(4)
        )
        self._last: dict[SplitName, frozenset[int]] = dict.fromkeys(SPLITS, frozenset())

    def add(self, pair: Pair) -> None:
        """Count a pair."""
        if pair.split is None:
            self.dropped += 1
            return
        self._targets[pair.split].append(hash(pair.folded_target))
        if pair.is_learned:
            self.voices[pair.split][pair.voice] += 1
            ids = frozenset((*pair.context_ids, *pair.message_ids))
            self._ids[pair.split].extend(ids - self._last[pair.split])
            self._last[pair.split] = ids
            self._sessions[pair.split].append(pair.session)
            self._times[pair.split].append(int(pair.sent_at.timestamp()))

    def count_seen(self) -> dict[SplitName, int]:
        """Count the pairs of each held-out split whose target also occurs in training."""
        trained = _sort(self._targets["train"])
        held_out = {name: np.array(self._targets[name]) for name in SPLITS if name != "train"}
        return {"train": 0, **{name: _count(trained, own) for name, own in held_out.items()}}

    def find_leaks(self) -> Leaks:
        """Compare the training split with the held-out ones.

        Messages are identified by their ids, in contexts and in targets.
        """
        sessions = [np.unique(self._sessions[name]) for name in SPLITS]
        train, validation, test = sessions
        both = len(np.intersect1d(train, np.union1d(validation, test)))
        times = [np.array(self._times[name]) for name in SPLITS]
        test_ids = np.unique(np.array(self._ids["test"]))
        return Leaks(
            test_messages_in_training=_count(_sort(self._ids["train"]), test_ids),
            sessions_on_both_sides=both + len(np.intersect1d(validation, test)),
            pairs_out_of_order=sum(
                int((earlier >= later.min()).sum())
                for earlier, later in pairwise(times)
                if len(later)
            ),
        )


def _sort(numbers: "array[int]") -> Any:  # noqa: ANN401  numpy array
    """Sort numbers in place; np.unique and np.isin would hold several copies of them."""
    values = np.frombuffer(numbers, np.int64)
    values.sort()
    return values


def _count(ordered: Any, wanted: Any) -> int:  # noqa: ANN401  numpy arrays
    """Count the wanted numbers that are among the ordered ones."""
    if not len(ordered):
        return 0
    places = np.minimum(np.searchsorted(ordered, wanted), len(ordered) - 1)
    return int((ordered[places] == wanted).sum())


def _hash_sessions(sessions: Iterable[Session], content: "hashlib._Hash") -> Iterator[Session]:
    """Yield sessions and add them to a hash."""
    for session in sessions:
        content.update(orjson.dumps(session, default=sorted))
        yield session


def check_chat(chat: ExportedChat, clashes: int) -> None:
    """Check that a chat comes from one account and has an id.

    Raises:
        ExportError: It comes from several accounts, or has no id.
    """
    name = make_printable_name(chat.name)
    if clashes:
        raise ExportError(
            f"the exports attribute {clashes:,} messages of {name} to different people: use only "
            "exports from one account"
        )
    if chat.number is None:
        raise ExportError(
            f"the export does not say which chat {name} is; its id is missing or damaged: export "
            "the chat again"
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
                "cannot be read: export the chat again, or use --skip-damaged to ignore them"
            )
    skipped = chat.tally.skipped_messages.total()
    share = skipped / max(1, skipped + chat.tally.messages)
    if not skip_damaged and share > MAX_UNREAD:
        raise ExportError(f"{_describe_skipped(chat)}, or use --skip-damaged to ignore them")


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
            "nobody in the roster wrote in this chat: use the chat's own roster (create it with "
            "`understudy inspect EXPORT --roster FILE`)"
        )
    most = max(sum(counts[number] for number in person.ids) for person in willing)
    raise DatasetError(
        f"nobody who may be imitated wrote the {min_messages:,} messages that a voice needs (the "
        f"most by one person is {most:,}): export more of the chat, or use a smaller --min-messages"
    )


def _check_authors(messages: ChatMessages, totals: ChatCounts) -> None:
    """Check that at least two people talk in the chat.

    Raises:
        ExportError: Fewer than two people talk.
    """
    chat, since = make_printable_name(messages.chat.name), messages.choices.since
    if not totals.messages and since:
        raise ExportError(
            f"there are no messages in {chat} since {since:%Y-%m-%d}: choose an earlier day for "
            "--since"
        )
    if not totals.authors and messages.chat.tally.skipped_messages:
        raise ExportError(_describe_skipped(messages.chat))
    if not totals.authors:
        raise ExportError(
            f"nobody talks in {chat}: it contains only commands, forwards and messages of bots"
        )
    if len(totals.authors) == 1:
        person = messages.rules.roster.find_by_id(min(totals.authors))
        raise ExportError(
            f"only {person.name if person else 'one person'} speaks in {chat}: "
            "training needs at least two people who talk"
        )


def _summarize(
    messages: ChatMessages,
    totals: ChatCounts,
    splits: "array[int]",
    pairs: PairCounts,
    content_hash: str,
) -> Summary:
    choices, chat, roster = messages.choices, messages.chat, messages.rules.roster
    counts = messages.count_by_author()
    return Summary(
        chats=(LearnedChat(chat.chat_id, chat.name),),
        content_hash=content_hash,
        public=choices.public,
        window=choices.window,
        min_messages=choices.min_messages,
        messages=totals.messages,
        gap=sum(n for n, split in zip(totals.spans.lines, splits, strict=True) if split == GAP),
        dropped=pairs.dropped,
        repeated=totals.repeated,
        leaks=pairs.find_leaks(),
        splits=split_figures(totals.spans, splits, pairs.voices, pairs.count_seen()),
        voices=tuple(
            VoiceFigures(
                person.name,
                person.imitate,
                total_messages(person, counts),
                *(voices[person.name] for voices in pairs.voices.values()),
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


def _too_few_pairs(pairs: PairCounts) -> DatasetError:
    found = ", ".join(f"{voices.total()} to {name}" for name, voices in pairs.voices.items())
    return DatasetError(
        f"too few replies for training and testing ({found}): export more of the chat, "
        'or set learn = "yes" for more people in the roster'
    )
