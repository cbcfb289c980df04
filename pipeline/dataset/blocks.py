"""Create the lines of a chat in blocks of whole sessions, in one process or in several.

The sessions of each block are numbered from 0; `build` adds the number of those before it.
"""

import multiprocessing
import os
import signal
import threading
from collections import Counter, deque
from collections.abc import Collection, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from itertools import groupby
from multiprocessing.connection import wait

import pyarrow as pa

from model.chat.conversation import Message
from model.errors import DatasetError
from model.machine import count_cores, signals_blocked
from pipeline.dataset.pairs import SessionRules, count_placeholders, make_sessions
from pipeline.dataset.split import SessionSpans
from pipeline.dataset.storage import encode_sessions

_MESSAGES = 4_000
"""Minimum number of messages in a block, which ends where a session ends."""
_MESSAGES_PER_PROCESS = 50_000  # starting a process takes a second
_AHEAD = 3  # blocks for each process that are read before they are needed


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
    """The lines of a block, as rows of the dataset's table, and its counts."""

    rows: pa.RecordBatch
    counts: ChatCounts


@dataclass(frozen=True, slots=True)
class BlockMaker:
    """Creates blocks; `removed` are the ids of the pairs that the user removed."""

    rules: SessionRules
    removed: Collection[str]

    def make(self, messages: Sequence[Message]) -> Block:
        """Create the block of these messages."""
        counts = ChatCounts(messages=len(messages))
        sessions = list(make_sessions(messages, self.rules, self.removed))
        for session in sessions:
            first, last = session.lines[0].sent_at, session.lines[-1].sent_at
            counts.spans.add(int(first.timestamp()), int(last.timestamp()), len(session.lines))
            counts.authors.update(line.author_id for line in session.lines)
            counts.redacted.update(count_placeholders(session.lines))
            counts.repeated += len(session.surplus)
        return Block(encode_sessions(sessions), counts)


def make_blocks(
    messages: Iterable[Message], rules: SessionRules, removed: Collection[str], processes: int
) -> Generator[Block]:
    """Yield a chat's blocks in order. `messages` are ordered by topic, then time."""
    maker = BlockMaker(rules, removed)
    blocks = cut_blocks(messages, rules)
    if processes == 1:
        yield from map(maker.make, blocks)
    else:
        yield from _map_in_processes(maker, blocks, processes)


def choose_processes(messages: int) -> int:
    """Return the number of processes worth starting for a chat with this many messages."""
    return max(1, min(count_cores(), messages // _MESSAGES_PER_PROCESS))


def cut_blocks(
    messages: Iterable[Message], rules: SessionRules, size: int = _MESSAGES
) -> Iterator[list[Message]]:
    """Cut a chat into blocks of at least `size` messages, at pauses that separate sessions."""
    for _, topic in groupby(messages, key=lambda message: (message.chat_id, message.topic_id)):
        own: list[Message] = []
        for message in topic:
            if len(own) >= size and message.sent_at - own[-1].sent_at >= rules.window.gap:
                yield own
                own = []
            own.append(message)
        yield own


_maker: BlockMaker | None = None  # of a process of the pool


def _map_in_processes(
    maker: BlockMaker, blocks: Iterable[Sequence[Message]], processes: int
) -> Generator[Block]:
    """Create blocks in processes, and yield them in order; few are in memory at a time.

    Raises:
        DatasetError: A process was killed.
    """
    pool = ProcessPoolExecutor(
        processes,
        multiprocessing.get_context("spawn"),  # a fork would copy the open database
        initializer=_start_process,
        initargs=(maker,),
    )
    pending: deque[Future[Block]] = deque()
    try:
        for messages in blocks:
            with signals_blocked(signal.SIGINT):  # the first calls start the processes
                pending.append(pool.submit(_make, messages))
            if len(pending) >= _AHEAD * processes:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    except BrokenProcessPool as error:
        raise DatasetError(
            "a worker process was killed, perhaps for lack of memory: use --set processes=1"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _start_process(maker: BlockMaker) -> None:
    """Prepare a process of the pool, which ends with its parent."""
    global _maker  # noqa: PLW0603  a pool has no other place for it
    _maker = maker
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        wait([parent.sentinel])
        os._exit(1)


def _make(messages: Sequence[Message]) -> Block:
    if _maker is None:
        raise RuntimeError("the process was not started by a pool")
    return _maker.make(messages)
