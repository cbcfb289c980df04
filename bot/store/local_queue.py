"""The queue of updates of a bot that is one process, with an SQLite file."""

import asyncio
import logging
from collections import Counter, defaultdict, deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy import Connection

from bot.errors import StoppingError, StoreError
from bot.store.inbox import Inbox
from bot.store.update_queue import (
    QUEUE_OF_STAGE,
    RETRY_SECONDS,
    STOP_SECONDS,
    AnswerKind,
    Handle,
    Job,
    choose_stage,
    find_lanes,
    find_reply_lanes,
)

logger = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class _QueuedJob:
    """A job that is waiting or running, and its lanes."""

    job: Job
    lanes: Sequence[str]
    is_running: bool = field(default=False, init=False)


class LocalQueue:
    """Keeps the order of jobs in memory; the table `inbox` keeps the updates.

    After a restart, every unfinished update starts again with its first stage.
    """

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._handle: Handle | None = None
        self._lanes: defaultdict[str, deque[_QueuedJob]] = defaultdict(deque)
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()

    def add(self, connection: Connection, updates: Sequence[Mapping[str, Any]]) -> None:
        """Do nothing: the table has them."""

    def announce(self, updates: Sequence[Mapping[str, Any]]) -> None:
        """See UpdateQueue; `start` finds those that are announced before it."""
        if self._handle is not None:
            for one in updates:
                self._put(_QueuedJob(Job(one["update_id"]), find_lanes(one)))

    async def add_answer(
        self, update_id: int, chat_id: int, user_id: int, kind: AnswerKind
    ) -> None:
        """See UpdateQueue."""
        stage, lane = choose_stage(
            kind, chat_id, user_id, lambda one: len(self._lanes.get(one, ()))
        )
        self._put(_QueuedJob(Job(update_id, stage), [lane] if lane else []))

    async def close(self, update_id: int) -> None:
        """See UpdateQueue."""
        self._start(self._retry_until_stored(partial(self._inbox.end, update_id), update_id))

    async def cancel_replies(self, chat_id: int) -> None:
        """See UpdateQueue."""
        for lane in find_reply_lanes(chat_id):
            for entry in [one for one in self._lanes.get(lane, ()) if not one.is_running]:
                self._remove(entry)
                await self.close(entry.job.update_id)  # does not wait, so no listed job starts

    async def count_replies(self, chat_id: int) -> int:
        """See UpdateQueue."""
        return sum(len(self._lanes.get(lane, ())) for lane in find_reply_lanes(chat_id))

    async def count_jobs(self) -> Mapping[str, int]:
        """See UpdateQueue."""
        waiting = {entry for lane in self._lanes.values() for entry in lane if not entry.is_running}
        return dict.fromkeys(QUEUE_OF_STAGE.values(), 0) | Counter(
            QUEUE_OF_STAGE[e.job.stage] for e in waiting
        )

    async def start(self, handle: Handle) -> None:
        """See UpdateQueue. Updates that crashed the bot repeatedly are set aside."""
        for number in await self._inbox.count_crashes():
            logger.error("update %d crashed the bot repeatedly: it is set aside", number)
        left = await self._inbox.waiting()
        self._handle = handle
        self.announce(left)
        if left:
            logger.info("%d updates handled again", len(left))

    async def stop(self) -> None:
        """See UpdateQueue."""
        self._stopping.set()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=STOP_SECONDS)

    def _put(self, entry: _QueuedJob) -> None:
        for lane in entry.lanes:
            self._lanes[lane].append(entry)
        self._start_if_first(entry)

    def _start_if_first(self, entry: _QueuedJob) -> None:
        if (
            self._handle is None
            or entry.is_running
            or any(self._lanes[lane][0] is not entry for lane in entry.lanes)
        ):
            return
        entry.is_running = True
        self._start(self._run(entry, self._handle))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, entry: _QueuedJob, handle: Handle) -> None:
        try:
            await self._retry_until_stored(partial(handle, entry.job), entry.job.update_id)
        finally:
            self._remove(entry)

    async def _retry_until_stored(
        self, work: Callable[[], Awaitable[None]], update_id: int
    ) -> None:
        """Do something, again if it could not be stored, until the bot is stopped."""
        while True:
            try:
                return await work()
            except StoppingError:
                return None
            except StoreError:
                logger.exception("update %d could not be stored: retrying", update_id)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), RETRY_SECONDS)
                return None

    def _remove(self, entry: _QueuedJob) -> None:
        """Remove a job from its lanes, and start those behind it."""
        for lane in entry.lanes:
            self._lanes[lane].remove(entry)
            if self._lanes[lane]:
                self._start_if_first(self._lanes[lane][0])
            else:
                del self._lanes[lane]
