"""Run something once at a time; callers that wait meanwhile share the next run."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class SharedRun(Generic[T]):
    """Runs work of one kind. A caller gets the result of a run that began after its call.

    If that run fails or is cancelled, the next caller that waits runs the work itself.
    """

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._begun = 0
        self._last: tuple[int, T] | None = None  # the number and the result of the last good run

    async def __call__(self, work: Callable[[], Awaitable[T]]) -> T:
        """Run `work` after the run in progress, or wait for another caller that does so first."""
        before = self._begun
        async with self._lock:
            if self._last is not None and self._last[0] > before:
                return self._last[1]
            self._begun += 1
            self._last = self._begun, await work()
            return self._last[1]
