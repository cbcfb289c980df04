"""Run the bot as one of several processes on a PostgreSQL server.

Each process receives updates by webhook, or the leading one polls. The updates are jobs in the
database, which any process can handle (`bot.store.postgres.job_queue`). Processes notify each other
of changed groups, decisions and forgotten messages. The leading one also does what must be done
once: it polls, gives the jobs of dead processes to others, and cleans up.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TypeAlias

from telegram.error import TelegramError

from bot.application import DurableApplication
from bot.errors import BotNotRunning, StoreError
from bot.services.state import BotState
from bot.store.postgres.job_queue import JobQueue
from bot.store.postgres.leadership import Leadership
from bot.store.postgres.limits import delete_old_actions
from bot.store.postgres.listener import ChangeListener
from bot.store.postgres.server import PostgresDatabase
from bot.transport.polling import Client, find_polling_task

RECOVER_SECONDS = 3.0  # between searches for the jobs of dead processes
DEFER_SECONDS = 60.0  # between searches for updates without a job

StartPolling: TypeAlias = Callable[[], Awaitable[object]]

logger = logging.getLogger(__name__)


class Replica:
    """One of a bot's processes: it handles jobs, is notified of changes, and may lead."""

    def __init__(
        self,
        app: DurableApplication,
        client: Client,
        state: BotState,
        backend: PostgresDatabase,
        start_polling: StartPolling | None,
    ) -> None:
        """Poll with `start_polling` while this process leads; None if there is a webhook."""
        self._app, self._client, self._state = app, client, state
        self._start_polling = start_polling
        self.queue = JobQueue(
            backend.conninfo, state.store.database, state.settings.parallel_replies
        )
        self.leadership = Leadership(backend.conninfo)
        self._listener = ChangeListener(
            backend, client.id, state.apply_change, state.reload, state.is_current
        )

    @asynccontextmanager
    async def prepared(self) -> AsyncIterator[None]:
        """Open the job queue, and listen for changes, while the block runs."""
        state = self._state
        async with self.queue.open():
            state.queue = state.store.inbox.queue = self.queue
            state.is_current.clear()
            listening = asyncio.create_task(self._listener.run(), name="changes")
            self._app.needed_tasks.append(listening)
            try:
                waiting = asyncio.create_task(state.is_current.wait())
                await asyncio.wait({listening, waiting}, return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
                if listening.done():
                    await listening  # raises why
                yield
            finally:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Lead if no other process does, while the block runs."""
        leading = asyncio.create_task(self.leadership.run(self._lead), name="leadership")
        self._app.needed_tasks += [*self.queue.workers, leading]
        try:
            yield
        finally:
            leading.cancel()
            await asyncio.gather(leading, return_exceptions=True)

    async def _lead(self) -> None:
        """Do what only one process must do.

        Raises: BotNotRunning: Polling has stopped.
        """
        store = self._state.store
        try:
            if self._start_polling:
                await self._start_polling()
            await asyncio.gather(
                self._run_every(self._recover, RECOVER_SECONDS),
                self._run_every(self.queue.defer_missing, DEFER_SECONDS),
                self._run_every(partial(store.database.write, delete_old_actions), DEFER_SECONDS),
                self._watch_polling(),
            )
        finally:
            if self._app.updater and self._app.updater.running:
                with suppress(TelegramError):
                    await self._app.updater.stop()

    async def _watch_polling(self) -> None:
        """Wait until polling ends.

        Raises:
            TelegramError: Telegram refuses the token.
            BotNotRunning: It ended for another reason.
        """
        if not self._start_polling:
            return
        if polling := find_polling_task():
            await asyncio.wait({polling})  # it is not cancelled with this task
            if not polling.cancelled() and (error := polling.exception()):
                raise error
        raise BotNotRunning("polling has stopped (see the log): restart the bot")

    async def _recover(self) -> None:
        count = await self.queue.recover(self._record_crash)
        if count:
            logger.warning("%d updates of a process that died will be handled again", count)

    async def _record_crash(self, update_id: int) -> bool:
        """Record that a process died while it handled an update; return whether it is set aside."""
        is_aside = bool(await self._state.store.inbox.count_crashes(update_id))
        if is_aside:
            logger.error("update %d crashed the bot repeatedly: it is set aside", update_id)
        return is_aside

    async def _run_every(self, step: Callable[[], Awaitable[object]], seconds: float) -> None:
        while True:
            try:
                await step()
            except StoreError:
                logger.exception("a step of the leading process failed and will be retried")
            except Exception as error:  # noqa: BLE001  procrastinate's, which wraps the driver's
                logger.warning("the job queue cannot be read (%s)", type(error).__name__)
            await asyncio.sleep(seconds)
