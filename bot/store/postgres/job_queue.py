"""Share the updates among all processes of a bot: procrastinate's job queue.

Each update is a job that is stored in the same transaction as the update itself. Jobs of a chat
have the same lock, so they run one after another; those of different chats run in parallel, in any
process. A job that stores a message and changes the bot's state ends quickly. If an answer is
wanted, it defers a second job for that, so that nobody's messages wait while the model generates:

- `receive`: the update is stored and its blocking handlers run; lock: the chat
- `answer`: commands that need no model, such as /help and /stop; no lock
- `reply` and `simulation`: the model generates; lock: one for each of the two in each chat
- `refuse`: one of these, if too many of them wait in the chat already; no lock

A process that dies leaves jobs behind that are marked as running. Its heartbeat ends, and the
leading process makes these jobs available again (`recover`).
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeAlias

import procrastinate
from procrastinate.jobs import Job, Status
from sqlalchemy import Connection, bindparam, text

from bot.errors import StoppingError, StoreError
from bot.store.database import Database
from bot.store.inbox import WAITING, Lane
from bot.store.updates import find_chat_id

Stage: TypeAlias = Literal["receive", "refuse"] | Lane

QUICK_JOBS = 16  # of a process at once
MORE_REPLIES = 4  # jobs of a process that pause between messages while the model generates others
MAX_REPLIES_IN_CHAT = 3  # that wait or are generated, in all processes together
HEARTBEAT_SECONDS = 2.0
STALLED_SECONDS = 15.0
"""Seconds without a heartbeat after which the jobs of a process are given to others."""
POLL_SECONDS = 0.1
"""Seconds between looks at the queue. New jobs are announced, but not the end of a job that the
next one of its chat waits for."""
RETRY_SECONDS = 5
RESTART_SECONDS = 1.0  # after a lost connection
MAX_FAILURES = 5
MISSING_SECONDS = 60.0  # after which an update without a job gets one
_TASK = "handle_update"
_IMPORTANT, _NORMAL = 1, 0
_QUEUES: Mapping[Stage, str] = {
    "receive": "receive", "answer": "answer", "refuse": "answer",
    "reply": "reply", "simulation": "reply",
}  # fmt: skip
_MISSING = text(
    "SELECT body FROM inbox WHERE state = :state AND received_at < :before AND body IS NOT NULL "
    "AND NOT EXISTS (SELECT 1 FROM procrastinate_jobs AS job WHERE job.status IN ('todo', 'doing') "
    "AND (job.args->>'update_id')::bigint = inbox.update_id) ORDER BY update_id LIMIT 1000"
)
_WAITING_JOBS = text(
    "SELECT queue_name, count(*) FROM procrastinate_jobs WHERE status = 'todo' GROUP BY 1"
)
_LOCKED = text(
    "SELECT count(*) FROM procrastinate_jobs WHERE status IN ('todo', 'doing') AND lock IN :locks"
).bindparams(bindparam("locks", expanding=True))

logger = logging.getLogger(__name__)

Handle: TypeAlias = Callable[[int, Stage], Awaitable[None]]
"""Handles a stage of an update.

Raises StoppingError or StoreError if it must be tried again.
"""


class RetryStrategy(procrastinate.BaseRetryStrategy):
    """Try a job again: at once if its process is stopped, else in some seconds."""

    def get_retry_decision(
        self, *, exception: BaseException, job: Job
    ) -> procrastinate.RetryDecision | None:
        """Return when to try again; None if the job has failed too often."""
        if isinstance(exception, StoppingError | asyncio.CancelledError):
            return procrastinate.RetryDecision()
        if not isinstance(exception, StoreError) and job.attempts >= MAX_FAILURES:
            return None
        return procrastinate.RetryDecision(retry_in={"seconds": RETRY_SECONDS})


class JobQueue:
    """The jobs of one bot. Use as a context manager; `run` handles them."""

    def __init__(self, conninfo: str, database: Database, replies: int = 1) -> None:
        """Run up to `replies` replies at once, and some more that pause between messages."""
        self._database = database
        self._connector = procrastinate.PsycopgConnector(conninfo=conninfo, min_size=1, max_size=6)
        self._app = procrastinate.App(connector=self._connector)
        # Within the store's own transactions, jobs are deferred on its own connection.
        self._deferrer = procrastinate.App(connector=procrastinate.SyncPsycopgConnector())
        self._replies = replies
        self._workers: list[asyncio.Task[None]] = []
        self._is_stopping = False

    def open(self) -> AbstractAsyncContextManager[object]:
        """Open the connections while the block runs."""
        return self._app.open_async()

    def defer(self, connection: Connection, updates: Sequence[Mapping[str, Any]]) -> None:
        """Defer a job for each new update, in the transaction that stores it."""
        for update in updates:
            self._defer(connection, update["update_id"], "receive", _chat_lock(update))

    async def defer_answer(self, update_id: int, chat_id: int, lane: Lane) -> None:
        """Defer the job that answers an update whose blocking handlers have ended."""

        def write(connection: Connection) -> None:
            if lane == "answer":
                self._defer(connection, update_id, lane, priority=_IMPORTANT)
            elif _count_locked(connection, lock := f"{lane} {chat_id}") < MAX_REPLIES_IN_CHAT:
                self._defer(connection, update_id, lane, lock)
            else:
                self._defer(connection, update_id, "refuse")

        await self._database.write(write)

    def start(self, handle: Handle, grace_seconds: float) -> None:
        """Start to handle jobs in the background.

        When stopped, running jobs have `grace_seconds` to end; the others are left for later.
        """

        async def handle_update(update_id: int, stage: Stage) -> None:
            await handle(update_id, stage)

        self._app.task(name=_TASK, retry=RetryStrategy())(handle_update)
        for queues, concurrency in (
            (("receive", "answer"), QUICK_JOBS),
            (("reply",), self._replies + MORE_REPLIES),
        ):
            work = self._work(queues, concurrency, grace_seconds)
            self._workers.append(asyncio.create_task(work, name=f"jobs {queues[0]}"))

    async def _work(self, queues: Sequence[str], concurrency: int, grace_seconds: float) -> None:
        """Handle the jobs of some queues; start again if the connection is lost."""
        while not self._is_stopping:
            try:
                await self._app.run_worker_async(
                    queues=list(queues),
                    name="-".join(queues),
                    concurrency=concurrency,
                    install_signal_handlers=False,
                    fetch_job_polling_interval=POLL_SECONDS,
                    update_heartbeat_interval=HEARTBEAT_SECONDS,
                    stalled_worker_timeout=STALLED_SECONDS,
                    shutdown_graceful_timeout=grace_seconds,
                    delete_jobs="always",
                )
            except Exception as error:  # noqa: BLE001  procrastinate's, which wraps the driver's
                logger.warning("jobs cannot be handled (%s): retrying", type(error).__name__)
            await asyncio.sleep(RESTART_SECONDS)

    @property
    def workers(self) -> Sequence[asyncio.Task[None]]:
        """Return the tasks that handle jobs; none of them ends while the bot runs."""
        return self._workers

    async def stop(self) -> None:
        """Stop handling jobs."""
        self._is_stopping = True  # a cancelled worker may end with another exception
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)

    async def recover(self, record_crash: Callable[[int], Awaitable[bool]]) -> int:
        """Make the jobs of dead processes available again; return their number.

        Only the leading process may do this. `record_crash` returns whether an update is set aside
        because the bot has crashed on it too often.
        """
        manager = self._app.job_manager
        stalled = await manager.get_stalled_jobs(seconds_since_heartbeat=STALLED_SECONDS)
        count = 0
        for job in stalled:
            update_id = job.task_kwargs["update_id"]
            if isinstance(update_id, int) and await record_crash(update_id):
                await manager.finish_job(job, Status.FAILED, delete_job=True)
            else:
                await manager.retry_job(job)
                count += 1
        await manager.prune_stalled_workers(STALLED_SECONDS)
        return count

    async def defer_missing(self, older_than: float = MISSING_SECONDS) -> int:
        """Defer jobs for waiting updates that have none; return their number.

        Such updates were copied from another database, or their job failed.
        """
        before = (datetime.now(UTC) - timedelta(seconds=older_than)).replace(tzinfo=None)
        query = _MISSING.bindparams(state=WAITING, before=before)

        def write(connection: Connection) -> int:
            updates = [json.loads(body) for body in connection.execute(query).scalars()]
            self.defer(connection, updates)
            return len(updates)

        return await self._database.write(write)

    async def count_replies(self, chat_id: int) -> int:
        """Return how many replies to a chat wait or are generated, in all processes."""

        def read(connection: Connection) -> int:
            return _count_locked(connection, f"reply {chat_id}", f"simulation {chat_id}")

        return await self._database.read(read)

    async def count_jobs(self) -> Mapping[str, int]:
        """Return how many jobs wait, by queue."""
        waiting = dict.fromkeys(_QUEUES.values(), 0)

        def read(connection: Connection) -> Mapping[str, int]:
            return waiting | {row[0]: row[1] for row in connection.execute(_WAITING_JOBS)}

        return await self._database.read(read)

    def _defer(
        self,
        connection: Connection,
        update_id: int,
        stage: Stage,
        lock: str | None = None,
        priority: int = _NORMAL,
    ) -> None:
        self._deferrer.configure_task(
            _TASK,
            queue=_QUEUES[stage],
            lock=lock,
            priority=priority,
            connection=connection.connection.driver_connection,
        ).defer(update_id=update_id, stage=stage)


def _count_locked(connection: Connection, *locks: str) -> int:
    return int(connection.execute(_LOCKED.bindparams(locks=locks)).scalar_one())


def _chat_lock(update: Mapping[str, Any]) -> str:
    """Return the lock of a chat, or of the person who answered a poll."""
    answer = update.get("poll_answer")
    user = answer.get("user") if isinstance(answer, dict) else None
    number = find_chat_id(dict(update))
    if number is None and isinstance(user, dict):
        number = user.get("id")
    return f"chat {number}"
