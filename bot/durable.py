"""The application whose updates are kept before they are acknowledged, until they are handled."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from telegram import Update
from telegram.ext import Application

from bot.context import Bot, Context, Facts
from bot.errors import StoreError
from bot.store.inbox import Inbox

logger = logging.getLogger(__name__)


class Durable(Application[Bot, Context, Facts, Facts, Facts, Any]):
    """Handles each update, and tells the inbox when all its handlers have ended.

    An update that a kill or a full disk interrupts is handled anew when the bot starts again.
    """

    def __init__(self, **parts: Any) -> None:  # noqa: ANN401  the library's builder fills them in
        super().__init__(**parts)
        self.inbox: Inbox | None = None
        self._tasks: defaultdict[int, list[asyncio.Task[Any]]] = defaultdict(list)
        self._held: set[int] = set()

    async def process_update(self, update: object) -> None:
        """Handle an update of the inbox; one without content was handled in an earlier life."""
        if not isinstance(update, Update) or is_empty(update) or self.inbox is None:
            return
        if not await self.inbox.begin(update.update_id):
            logger.error("update %d was begun too often without an end", update.update_id)
            return
        await super().process_update(update)
        if update.update_id in self._tasks:
            super().create_task(self._end(self.inbox, update.update_id))
        else:
            await self._end(self.inbox, update.update_id)

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
        """Report an error; what could not be stored is not handled."""
        if isinstance(update, Update) and isinstance(error, StoreError):
            self._held.add(update.update_id)
        return await super().process_error(update, error, job, coroutine)

    async def replay(self, parse: Callable[[dict[str, Any]], Update | None]) -> int:
        """Queue what was not handled when the bot last ended; return how many updates."""
        kept = await self.inbox.waiting() if self.inbox else []
        for body in kept:
            if update := parse(body):
                await self.update_queue.put(update)
            elif self.inbox:
                await self.inbox.set_aside(body["update_id"])
        return len(kept)

    async def _end(self, inbox: Inbox, number: int) -> None:
        await asyncio.gather(*self._tasks.pop(number, ()), return_exceptions=True)
        if number in self._held:
            self._held.discard(number)
            return
        try:
            await inbox.end(number)
        except StoreError:
            logger.exception(
                "update %d cannot be closed: it is handled anew at the next start", number
            )


def is_empty(update: Update) -> bool:
    """Whether an update is only the place of one, see `bot.polling`."""
    return not set(update.to_dict()) - {"update_id"}
