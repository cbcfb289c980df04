"""The queue of updates that all processes of a bot share: procrastinate's jobs.

The first stage of an update is a job that is stored in the same transaction as the update itself. A
lane is procrastinate's lock: jobs with the same lock run one after another; others run in parallel,
in any process. An update with several lanes has a job in each; the first one that runs handles it.

A process that dies leaves jobs behind that are marked as running. Its heartbeat stops, and the
leading process makes these jobs available again (`recover`).
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import procrastinate
import psycopg
from procrastinate.exceptions import ConnectorException, UniqueViolation
from procrastinate.jobs import Status
from psycopg_pool import PoolTimeout
from sqlalchemy import Connection, bindparam, text, update

from bot.errors import StoppingError
from bot.store.database import Database
from bot.store.inbox import HANDLED, WAITING, Inbox
from bot.store.tables import inbox
from bot.store.update_queue import (
    QUEUE_OF_STAGE,
    RETRY_SECONDS,
    STOP_SECONDS,
    AnswerKind,
    Handle,
    Job,
    Stage,
    choose_stage,
    find_lanes,
    find_reply_lanes,
)

T = TypeVar("T")

MORE_REPLIES = 4  # jobs of a process that pause between messages while the model generates others
HEARTBEAT_SECONDS = 2.0
STALLED_SECONDS = 15.0
"""Seconds without a heartbeat after which a process's jobs are given to others."""
RECEIVE_POLL_SECONDS, POLL_SECONDS = 0.1, 0.3
"""Polling intervals of the queue `receive` and of the others, in seconds. New jobs are announced,
but not the end of a job that the next one of its chat waits for."""
CONNECT_SECONDS = 5.0
LOST_SECONDS = 20.0
"""How long a query is retried if the connection is lost: a job whose end is not recorded would
block its chat."""
DEAD_SECONDS = 5  # without a heartbeat, after which /stop also ends the jobs of a process
PAUSE_SECONDS = 0.5  # before a stopping process returns a job to the queue
GRACE_SECONDS = 6.0  # for running jobs at a stop: the application ends them in 3 s
RESTART_SECONDS = 1.0  # after a lost connection
MISSING_SECONDS = 60.0  # after which an update without a job gets one
_TASK = "handle_update"
_CONCURRENCY = {"receive": 16, "answer": 16, "stop": 4, "simulation": 16}
"""The jobs of each queue that a process handles at once, except replies."""
_FIND_WITHOUT_JOB = text(
    "SELECT body FROM inbox WHERE state = :state AND received_at < :before AND body IS NOT NULL "
    "AND NOT EXISTS (SELECT 1 FROM procrastinate_jobs AS job WHERE job.status IN ('todo', 'doing') "
    "AND (job.args->>'update_id')::bigint = inbox.update_id) ORDER BY update_id LIMIT 1000"
)
_COUNT_WAITING_JOBS = text(
    "SELECT queue_name, count(*) FROM procrastinate_jobs WHERE status = 'todo' GROUP BY 1"
)
_COUNT_LOCKED = text(
    "SELECT count(*) FROM procrastinate_jobs WHERE status IN ('todo', 'doing') AND lock IN :locks"
).bindparams(bindparam("locks", expanding=True))

_DELETE_WAITING_REPLIES = text(
    "DELETE FROM procrastinate_jobs AS job WHERE lock IN :locks AND (status = 'todo' OR "
    "(status = 'doing' AND NOT EXISTS (SELECT 1 FROM procrastinate_workers AS worker WHERE "
    "worker.id = job.worker_id AND last_heartbeat > now() - make_interval(secs => :seconds)))) "
    "RETURNING (args->>'update_id')::bigint"
).bindparams(bindparam("locks", expanding=True))

logger = logging.getLogger(__name__)


class RetryingConnector(procrastinate.PsycopgConnector):
    """Repeats a query if the connection is lost, and a fetch if another process was faster."""

    async def execute_query_async(self, query: Any, **arguments: Any) -> None:  # noqa: ANN401  the library's
        """Execute a query."""
        await _retry_query(
            lambda: super(RetryingConnector, self).execute_query_async(query, **arguments)
        )

    async def execute_query_one_async(self, query: Any, **arguments: Any) -> dict[str, Any]:  # noqa: ANN401  the library's
        """Execute a query and return its row."""
        return await _retry_query(
            lambda: super(RetryingConnector, self).execute_query_one_async(query, **arguments)
        )


async def _retry_query(execute: Callable[[], Awaitable[T]]) -> T:
    """Execute a query, again after a lost connection or a conflict.

    A conflict means that another process has fetched a job of the same chat.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + LOST_SECONDS
    while True:
        try:
            return await execute()
        except ConnectorException as error:
            is_conflict = isinstance(error, UniqueViolation)
            is_lost = isinstance(error.__cause__, psycopg.OperationalError | PoolTimeout)
            if not (is_conflict or is_lost) or loop.time() > end:
                raise
        await asyncio.sleep(0.01 if is_conflict else RESTART_SECONDS)


class RetryAlways(procrastinate.BaseRetryStrategy):
    """Retry a job: at once if its process is stopping, otherwise after some seconds."""

    def get_retry_decision(
        self, *, exception: BaseException, job: procrastinate.jobs.Job
    ) -> procrastinate.RetryDecision | None:
        """Return when to try again."""
        del job
        if isinstance(exception, StoppingError | asyncio.CancelledError):
            return procrastinate.RetryDecision()
        return procrastinate.RetryDecision(retry_in={"seconds": int(RETRY_SECONDS)})


class JobQueue:
    """The jobs of one bot: `open` connects, `start` begins to handle them."""

    def __init__(self, conninfo: str, database: Database, replies: int = 1) -> None:
        """Run up to `replies` replies at once, and a few more that pause between messages."""
        self._database, self._inbox = database, Inbox(database)
        connector = RetryingConnector(
            conninfo=conninfo, min_size=1, max_size=4, timeout=CONNECT_SECONDS
        )
        self._app = procrastinate.App(connector=connector)
        # Within the store's own transactions, jobs are deferred on its own connection.
        self._deferrer = procrastinate.App(connector=procrastinate.SyncPsycopgConnector())
        self._replies = replies
        self._workers: list[asyncio.Task[None]] = []
        self._is_stopping = False

    def open(self) -> AbstractAsyncContextManager[object]:
        """Open the connections while the block runs."""
        return self._app.open_async()

    def add(self, connection: Connection, updates: Sequence[Mapping[str, Any]]) -> None:
        """See UpdateQueue."""
        for one in updates:
            for lane in find_lanes(one):
                self._defer(connection, one["update_id"], "receive", lane)

    def announce(self, updates: Sequence[Mapping[str, Any]]) -> None:
        """Do nothing: the server announces new jobs."""

    async def add_answer(
        self, update_id: int, chat_id: int, user_id: int, kind: AnswerKind
    ) -> None:
        """See UpdateQueue."""

        def write(connection: Connection) -> None:
            count = partial(_count_locked, connection)
            stage, lane = choose_stage(kind, chat_id, user_id, count)
            self._defer(connection, update_id, stage, lane)

        await self._database.write(write)

    async def close(self, update_id: int) -> None:
        """See UpdateQueue; here the stage is recorded before the job ends, so that none is lost."""
        await self._inbox.end(update_id)

    async def cancel_replies(self, chat_id: int) -> None:
        """See UpdateQueue."""
        query = _DELETE_WAITING_REPLIES.bindparams(
            locks=find_reply_lanes(chat_id), seconds=DEAD_SECONDS
        )

        def write(connection: Connection) -> None:
            ids = list(connection.execute(query).scalars())
            ended = update(inbox).where(inbox.c.update_id.in_(ids))
            connection.execute(ended.values(state=HANDLED, body=None, working=False))

        await self._database.write(write)

    async def start(self, handle: Handle) -> None:
        """See UpdateQueue; jobs that run at a stop and do not end soon are left for later."""

        async def handle_update(update_id: int, stage: Stage) -> None:
            try:
                await handle(Job(update_id, stage))
            except StoppingError:
                await asyncio.sleep(PAUSE_SECONDS)  # the job is available again at once
                raise

        self._app.task(name=_TASK, retry=RetryAlways())(handle_update)
        for queue in (*_CONCURRENCY, "reply"):
            self._workers.append(asyncio.create_task(self._work(queue), name=f"jobs {queue}"))

    async def _work(self, queue: str) -> None:
        """Handle the jobs of a queue; start again if the connection is lost."""
        poll_seconds = RECEIVE_POLL_SECONDS if queue == "receive" else POLL_SECONDS
        while not self._is_stopping:
            try:
                await self._app.run_worker_async(
                    queues=[queue],
                    name=queue,
                    concurrency=_CONCURRENCY.get(queue, self._replies + MORE_REPLIES),
                    install_signal_handlers=False,
                    fetch_job_polling_interval=poll_seconds,
                    update_heartbeat_interval=HEARTBEAT_SECONDS,
                    stalled_worker_timeout=STALLED_SECONDS,
                    shutdown_graceful_timeout=GRACE_SECONDS,
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
        """See UpdateQueue."""
        self._is_stopping = True  # a cancelled worker may end with another exception
        for worker in self._workers:
            worker.cancel()
        if self._workers:
            await asyncio.wait(self._workers, timeout=STOP_SECONDS)

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

        Such updates were copied from another database, or stored by a version without jobs.
        """
        before = (datetime.now(UTC) - timedelta(seconds=older_than)).replace(tzinfo=None)
        query = _FIND_WITHOUT_JOB.bindparams(state=WAITING, before=before)

        def write(connection: Connection) -> int:
            updates = [json.loads(body) for body in connection.execute(query).scalars()]
            self.add(connection, updates)
            return len(updates)

        return await self._database.write(write)

    async def count_replies(self, chat_id: int) -> int:
        """See UpdateQueue."""

        def read(connection: Connection) -> int:
            return _count_locked(connection, *find_reply_lanes(chat_id))

        return await self._database.read(read)

    async def count_jobs(self) -> Mapping[str, int]:
        """See UpdateQueue."""
        waiting = dict.fromkeys(QUEUE_OF_STAGE.values(), 0)

        def read(connection: Connection) -> Mapping[str, int]:
            return waiting | {row[0]: row[1] for row in connection.execute(_COUNT_WAITING_JOBS)}

        return await self._database.read(read)

    def _defer(
        self, connection: Connection, update_id: int, stage: Stage, lock: str | None
    ) -> None:
        self._deferrer.configure_task(
            _TASK,
            queue=QUEUE_OF_STAGE[stage],
            lock=lock,
            connection=connection.connection.driver_connection,
        ).defer(update_id=update_id, stage=stage)


def _count_locked(connection: Connection, *locks: str) -> int:
    return int(connection.execute(_COUNT_LOCKED.bindparams(locks=locks)).scalar_one())
