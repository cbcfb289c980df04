"""The application whose updates are kept before they are acknowledged, until they are handled."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from telegram import Update
from telegram.ext import Application

from bot.context import Bot, Context, Facts
from bot.errors import StoppingError, StoreError
from bot.store.inbox import Inbox
from bot.supervisor import Supervisor

ALONE = 30.0
"""Seconds for which no other update is begun beside one on its last try: so that what was only
near, when the bot was killed again and again, is not taken for what killed it."""

logger = logging.getLogger(__name__)


class Durable(Application[Bot, Context, Facts, Facts, Facts, Any]):
    """Handles each update, and tells the inbox when all its handlers have ended.

    An update that a kill interrupts is handled anew when the bot starts again; one that could not
    be stored is held, and handled anew when there is room again.
    """

    def __init__(self, **parts: Any) -> None:  # noqa: ANN401  the library's builder fills them in
        super().__init__(**parts)
        self.inbox: Inbox | None = None
        self.jobs = Supervisor()
        self._tasks: defaultdict[int, list[asyncio.Task[Any]]] = defaultdict(list)
        self._held: set[int] = set()
        self._turn = asyncio.Lock()
        self._stops = False

    async def process_update(self, update: object) -> None:
        """Handle an update of the inbox; one without content was handled in an earlier life.

        Once the bot is being stopped none is begun: it waits for the next life.
        """
        if not isinstance(update, Update) or is_empty(update) or self.inbox is None:
            return
        async with self._turn:
            if self._stops or not await self._begin(self.inbox, update.update_id):
                return
            await super().process_update(update)
            if update.update_id not in self._tasks:
                await self._end(self.inbox, update.update_id)
                return
            end = super().create_task(self._end(self.inbox, update.update_id))
            if self.inbox.is_last_try(update.update_id):
                await asyncio.wait({end}, timeout=ALONE)

    async def stop(self) -> None:
        """Begin no further update, end the background jobs, and wait for what was begun."""
        self._stops = True
        async with self._turn:  # tasks that begin later than this the library would not wait for
            pass
        await asyncio.gather(super().stop(), self.jobs.close())

    def create_task(
        self,
        coroutine: Any,  # noqa: ANN401  of a type that the library keeps to itself
        update: object | None = None,
        *,
        name: str | None = None,
    ) -> asyncio.Task[Any]:
        """Start a task; the update that it is for is not handled before it has ended."""
        task = super().create_task(coroutine, update, name=name)
        if isinstance(update, Update):
            self._tasks[update.update_id].append(task)
        return task

    async def process_error(
        self,
        update: object | None,
        error: Exception,
        job: Any = None,  # noqa: ANN401  we have none
        coroutine: Any = None,  # noqa: ANN401  of a type that the library keeps to itself
    ) -> bool:
        """Report an error; what could not be stored, or must wait for a new start, is held.

        Where other updates wait for the handler that failed, they do not wait for the report, and
        no further handler begins: what could not be kept is not answered.
        """
        if not isinstance(update, Update):
            return await super().process_error(update, error, job, coroutine)
        if isinstance(error, StoreError | StoppingError):
            self._held.add(update.update_id)
        if isinstance(error, StoppingError):
            return True
        if coroutine is not None:
            return await super().process_error(update, error, job, coroutine)
        self.create_task(self._reported(update, error), update)
        return True

    async def replay(self, parse: Callable[[dict[str, Any]], Update | None]) -> int:
        """Queue what was not handled when the bot last ended; return how many updates."""
        return await self._requeue(parse, lambda _: True)

    async def release(self, parse: Callable[[dict[str, Any]], Update | None]) -> int:
        """Queue what was held, now that there may be room to store it; return how many updates."""
        if not self._held or self._stops:
            return 0
        held = frozenset(self._held)
        try:
            count = await self._requeue(parse, held.__contains__)
        except StoreError:
            return 0
        self._held -= held
        return count

    async def _requeue(
        self, parse: Callable[[dict[str, Any]], Update | None], wanted: Callable[[int], bool]
    ) -> int:
        kept = await self.inbox.waiting() if self.inbox else []
        chosen = [body for body in kept if wanted(body["update_id"])]
        for body in chosen:
            if update := parse(body):
                await self.update_queue.put(update)
            elif self.inbox:
                await self.inbox.set_aside(body["update_id"])
        return len(chosen)

    async def _begin(self, inbox: Inbox, number: int) -> bool:
        try:
            may_begin = await inbox.begin(number)
        except StoreError:
            logger.exception("update %d cannot be begun: it is held", number)
            self._held.add(number)
            return False
        if not may_begin:
            logger.error("update %d was begun too often without an end: set aside", number)
        return may_begin

    async def _reported(self, update: Update, error: Exception) -> None:
        await super().process_error(update, error)

    async def _end(self, inbox: Inbox, number: int) -> None:
        while tasks := self._tasks.pop(number, None):
            await asyncio.gather(*tasks, return_exceptions=True)
        if number in self._held:
            return
        try:
            await inbox.end(number)
        except StoreError:
            logger.exception("update %d cannot be closed: it is held", number)
            self._held.add(number)


def is_empty(update: Update) -> bool:
    """Whether an update is only the place of one, see `bot.polling`."""
    return not set(update.to_dict()) - {"update_id"}
