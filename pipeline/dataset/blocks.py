"""Pair a chat in blocks of whole sessions, in one process or in several.

Each block is paired as if it were the whole chat, given the messages before it that its contexts
can reach. Its sessions are numbered from 0; `build` adds the number of the sessions before it.
"""

import multiprocessing
import os
import signal
import threading
from collections import Counter, deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from itertools import groupby
from multiprocessing.connection import wait

import pyarrow as pa

from model.chat.conversation import Message
from model.chat.eligibility import make_line
from model.errors import DatasetError
from model.joining import MentionFinder, split_conversations
from model.machine import count_cores, signals_blocked
from pipeline.dataset.pairs import (
    Pair,
    PairingRules,
    SessionLine,
    count_placeholders,
    pair_sessions,
    session_lines,
)
from pipeline.dataset.review import Review
from pipeline.dataset.split import SessionSpans
from pipeline.dataset.storage import (
    EncodedPairs,
    encode_conversation,
    encode_lines,
    encode_pairs,
)

_MESSAGES = 4_000
"""Minimum number of messages in a block, which ends where a session ends."""
_MESSAGES_PER_PROCESS = 50_000  # starting a process takes a second
_AHEAD = 3  # blocks for each process that are read before they are needed


@dataclass(frozen=True, slots=True)
class Task:
    """Messages of one topic in order, and those before them that their contexts can reach."""

    messages: Sequence[Message]
    before: Sequence[Message]


@dataclass(slots=True)
class ChatCounts:
    """The sessions and counts of a block, or of the blocks of a chat together.

    `repeated` counts the messages that their authors repeat too often, and `authors` are the people
    who talk.
    """

    spans: SessionSpans = field(default_factory=SessionSpans)
    messages: int = 0
    repeated: int = 0
    authors: set[int] = field(default_factory=set)
    redacted: Counter[str] = field(default_factory=Counter)

    def add(self, others: "ChatCounts") -> None:
        """Add those of the next block."""
        self.spans.extend(others.spans)
        self.messages += others.messages
        self.repeated += others.repeated
        self.authors |= others.authors
        self.redacted.update(others.redacted)


@dataclass(frozen=True, slots=True)
class Block:
    """What came of a task; `pairs` and `lines` are rows of the dataset's files.

    `rows` and `removed` are those of the review.
    """

    pairs: EncodedPairs
    lines: pa.RecordBatch
    conversations: list[tuple[int, bytes]]
    counts: ChatCounts
    rows: list[tuple[str, ...]]
    removed: int


@dataclass(frozen=True, slots=True)
class Pairing:
    """How to pair blocks; `review` is an empty one."""

    rules: PairingRules
    review: Review
    mentions: MentionFinder = field(repr=False)

    def pair(self, task: Task) -> Block:
        """Pair a block."""
        rules, gap = self.rules, self.rules.window.gap
        review = Review(self.review.removed, is_wanted=self.review.is_wanted)
        counts = ChatCounts(messages=len(task.messages))
        pairs: list[Pair] = []
        lines: list[SessionLine] = []
        conversations: list[tuple[int, bytes]] = []

        def is_surplus(message: Message) -> bool:
            found = rules.is_surplus(message)
            counts.repeated += found
            return found

        for session in pair_sessions(
            task.messages, rules.roster, rules.window, is_surplus, task.before, rules.quiet_hour
        ):
            first, last = session.lines[0].sent_at, session.lines[-1].sent_at
            counts.spans.add(int(first.timestamp()), int(last.timestamp()), len(session.lines))
            for line in session.lines:
                counts.authors.add(line.author_id)
            counts.redacted.update(count_placeholders(session.lines))
            found = split_conversations(session.lines, rules.roster, gap, self.mentions)
            conversations += ((session.number, encode_conversation(one)) for one in found)
            removed = set(session.surplus)
            for pair in session.pairs:
                if review.passes(pair):
                    pairs.append(pair)
                else:
                    removed.update(pair.message_ids)
            lines += session_lines(session, removed)
        return Block(
            pairs=encode_pairs(pairs),
            lines=encode_lines(lines),
            conversations=conversations,
            counts=counts,
            rows=review.rows,
            removed=review.removed_count,
        )


def pair_blocks(
    messages: Iterable[Message], rules: PairingRules, review: Review, processes: int
) -> Generator[Block]:
    """Yield a chat's blocks in order. `messages` are ordered by topic, then time."""
    pairing = Pairing(rules, review, MentionFinder(rules.roster))
    tasks = cut_blocks(messages, rules)
    if processes == 1:
        yield from map(pairing.pair, tasks)
    else:
        yield from _map_in_processes(pairing, tasks, processes)


def choose_processes(messages: int) -> int:
    """Return the number of processes worth starting for a chat with this many messages."""
    return max(1, min(count_cores(), messages // _MESSAGES_PER_PROCESS))


def cut_blocks(
    messages: Iterable[Message], rules: PairingRules, size: int = _MESSAGES
) -> Iterator[Task]:
    """Cut a chat into blocks of at least `size` messages, at pauses that separate sessions."""
    for _, topic in groupby(messages, key=lambda message: (message.chat_id, message.topic_id)):
        own: list[Message] = []
        before: Sequence[Message] = ()
        for message in topic:
            if len(own) >= size and message.sent_at - own[-1].sent_at >= rules.window.gap:
                yield Task(own, before)
                before = _find_reached([*before, *own], rules)
                own = []
            own.append(message)
        yield Task(own, before)


def _find_reached(messages: Sequence[Message], rules: PairingRules) -> Sequence[Message]:
    """Return the last messages: as many as have the lines that a context can reach."""
    wanted, start = rules.window.lookback, len(messages)
    while wanted and start:
        start -= 1
        wanted -= make_line(messages[start], rules.roster) is not None
    return messages[start:]


_pairing: Pairing | None = None  # of a process of the pool


def _map_in_processes(pairing: Pairing, tasks: Iterable[Task], processes: int) -> Generator[Block]:
    """Pair blocks in processes, and yield them in order; few are in memory at a time.

    Raises:
        DatasetError: A process was killed.
    """
    pool = ProcessPoolExecutor(
        processes,
        multiprocessing.get_context("spawn"),  # a fork would copy the open database
        initializer=_start_process,
        initargs=(pairing,),
    )
    pending: deque[Future[Block]] = deque()
    try:
        for task in tasks:
            with signals_blocked(signal.SIGINT):  # the first calls start the processes
                pending.append(pool.submit(_pair, task))
            if len(pending) >= _AHEAD * processes:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    except BrokenProcessPool as error:
        raise DatasetError(
            "a process that paired messages was ended, perhaps for lack of memory: give "
            "--set processes=1"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _start_process(pairing: Pairing) -> None:
    """Prepare a process of the pool, which ends with its parent."""
    global _pairing  # noqa: PLW0603  a pool has no other place for it
    _pairing = pairing
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        wait([parent.sentinel])
        os._exit(1)


def _pair(task: Task) -> Block:
    if _pairing is None:
        raise RuntimeError("the process was not started by a pool")
    return _pairing.pair(task)
