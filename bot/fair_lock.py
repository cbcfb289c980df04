"""A lock that is granted to one key after another, however often each asks."""

import asyncio
from collections import deque


class LockClosed(Exception):  # noqa: N818  a state, not a mistake
    """The lock was closed and is no longer granted."""


class FairLock:
    """A lock whose waiting keys take turns; those who wait under one key are served in order."""

    def __init__(self) -> None:
        self._is_held = False
        self._holder = 0
        self._waiting: dict[int, deque[asyncio.Future[None]]] = {}
        self._is_closed = False

    async def acquire(self, key: int) -> None:
        """Wait until the lock is granted.

        Raises:
            LockClosed: The lock was closed.
        """
        if self._is_closed:
            raise LockClosed
        if not self._is_held:
            self._is_held, self._holder = True, key
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.release()  # it was granted at the same moment
            raise

    def release(self) -> None:
        """Grant the lock to the waiting key whose last turn was longest ago."""
        while self._waiting:
            others = (key for key in self._waiting if key != self._holder)
            key = next(others, self._holder)
            turns = self._waiting.pop(key)
            while turns and turns[0].done():  # that task no longer waits
                turns.popleft()
            if turns:
                self._holder = key
                turns.popleft().set_result(None)
                if turns:
                    self._waiting[key] = turns  # behind all other keys
                return
        self._is_held = False

    def close(self) -> None:
        """Raise LockClosed in all waiting and all later calls of `acquire`."""
        self._is_closed = True
        for turn in (turn for turns in self._waiting.values() for turn in turns):
            if not turn.done():
                turn.set_exception(LockClosed())
        self._waiting.clear()
