"""Run database transactions in threads: writes one after another, reads in parallel."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, TypeAlias, TypeVar

from sqlalchemy import Connection, Engine, QueuePool
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

READERS = 4

T = TypeVar("T")
Work: TypeAlias = Callable[[Connection], T]


class Database(AsyncEngine):
    """An engine whose write transactions wait for each other here, not in SQLite.

    SQLite allows one writer and lets others poll for its lock, with pauses of up to 100 ms. Here
    writes wait in a queue, in order. A transaction is one call in a thread, because with an
    asynchronous driver each statement takes several thread switches.
    """

    def __init__(self, engine: AsyncEngine, reader: Engine, writer: Engine) -> None:
        """Use `engine` for `begin` and `connect`; a transaction of `writer` is immediate."""
        super().__init__(engine.sync_engine)
        self._reading, self._writing = reader, writer
        self._running = 0
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="reader")
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="writer")
        self._waiting: list[tuple[Work[Any], asyncio.Future[Any]]] = []
        self._turn = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    @property
    def is_busy(self) -> bool:
        """Whether a transaction runs or waits."""
        return bool(self._running or self._waiting) or (
            isinstance(self.pool, QueuePool) and self.pool.checkedout() > 0
        )

    async def read(self, work: Work[T]) -> T:
        """Run a function in a thread, in a transaction that reads."""

        def run() -> T:
            with self._reading.connect() as connection:
                return work(connection)

        self._running += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._readers, run)
        finally:
            self._running -= 1

    async def write(self, work: Work[T]) -> T:
        """Run a function in the writing thread; return its result after the commit.

        Functions that wait at the same time share one transaction. If one of them fails, all are
        rolled back and each runs again in its own transaction, so `work` must change nothing but
        the database.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append((work, future))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._write_waiting())
        return await future

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        """Begin an asynchronous transaction, which takes its turn with the other writes."""
        async with self._turn, super().begin() as connection:
            yield connection

    async def dispose(self, close: bool = True) -> None:  # noqa: FBT001, FBT002  SQLAlchemy's own
        """Finish the waiting writes and close all connections."""
        if self._task is not None:
            await asyncio.wait({self._task})
        for threads in (self._readers, self._writer):
            threads.shutdown(wait=False)
        for engine in (self._reading, self._writing):
            await asyncio.to_thread(engine.dispose, close)
        await super().dispose(close)

    async def _write_waiting(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            async with self._turn:
                batch = [(work, future) for work, future in self._waiting if not future.done()]
                self._waiting.clear()
                works = [work for work, _ in batch]
                self._running += 1
                outcomes = await loop.run_in_executor(self._writer, self._commit, works)
                self._running -= 1
            for (_, future), (result, error) in zip(batch, outcomes, strict=True):
                if future.done():  # its caller was cancelled
                    continue
                if error is None:
                    future.set_result(result)
                else:
                    future.set_exception(error)

    def _commit(self, works: Sequence[Work[Any]]) -> list[tuple[Any, Exception | None]]:
        """Run functions in one transaction; return the result or the error of each."""
        if not works:
            return []
        try:
            with self._writing.begin() as connection:
                return [(work(connection), None) for work in works]
        except Exception as error:  # noqa: BLE001  it is raised where its caller waits
            if len(works) == 1:
                return [(None, error)]
        return [outcome for work in works for outcome in self._commit([work])]
