"""A semaphore whose holders take turns by key."""

import asyncio
from collections import deque


class SemaphoreClosed(Exception):  # noqa: N818  a state, not a mistake
    """The semaphore was closed and grants nothing more."""


class FairSemaphore:
    """Admits up to `count` keys (chats) at once, each of them once; the others wait in turn.

    Waiters with the same key are admitted in order.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._holders: set[int] = set()
        self._waiting: dict[int, deque[asyncio.Future[None]]] = {}
        self._is_closed = False

    async def acquire(self, key: int) -> None:
        """Wait until the key is admitted.

        Raises:
            SemaphoreClosed: The semaphore was closed.
        """
        if self._is_closed:
            raise SemaphoreClosed
        if len(self._holders) < self._count and key not in self._holders:
            self._holders.add(key)
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.release(key)  # it was admitted at the same moment
            raise

    def release(self, key: int) -> None:
        """Admit the first key in line instead of this one, which goes to the end if it waits."""
        self._holders.discard(key)
        if key in self._waiting:
            self._waiting[key] = self._waiting.pop(key)  # behind all other keys
        for waiting in [waiting for waiting in self._waiting if waiting not in self._holders]:
            turns = self._waiting.pop(waiting)
            while turns and turns[0].done():  # that task no longer waits
                turns.popleft()
            if turns:
                self._holders.add(waiting)
                turns.popleft().set_result(None)
                if turns:
                    self._waiting[waiting] = turns
                return

    def close(self) -> None:
        """Raise SemaphoreClosed in all waiting and all later calls of `acquire`."""
        self._is_closed = True
        for turn in (turn for turns in self._waiting.values() for turn in turns):
            if not turn.done():
                turn.set_exception(SemaphoreClosed())
        self._waiting.clear()
