"""Injected faults and recorded calls."""

import asyncio
from collections import defaultdict, deque
from dataclasses import dataclass

from bot.playground.objects import ApiError, Call


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with one call: refused without effect, or in effect but late or lost."""

    error: ApiError | None = None
    delay: float = 0
    drop: bool = False


class Faults:
    """The faults that wait for a call, in order, by the method's name."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, deque[Fault]] = defaultdict(deque)

    def plan(self, method: str, fault: Fault, times: int) -> None:
        """Let the next calls of a method meet a fault."""
        self._waiting[method].extend([fault] * times)

    def take(self, method: str) -> Fault:
        """Return the fault that a call meets: one of no effect where none is planned."""
        waiting = self._waiting[method]
        return waiting.popleft() if waiting else Fault()


class CallLog:
    """The bot's calls in order, all but getUpdates, and a way to wait for one."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._grown = asyncio.Condition()

    async def add(self, call: Call) -> None:
        """Keep a call and wake who waits for it."""
        async with self._grown:
            self.calls.append(call)
            self._grown.notify_all()

    def select(
        self, method: str, match: dict[str, object], *, since: int = 0, refused: bool = False
    ) -> list[Call]:
        """Return the calls from place `since` on whose parameters include `match`."""
        return [
            call
            for call in self.calls[since:]
            if call.method == method
            and (call.error is not None) == refused
            and all(call.params.get(name) == wanted for name, wanted in match.items())
        ]

    async def wait_for(
        self, method: str, match: dict[str, object], *, since: int, refused: bool, seconds: float
    ) -> Call:
        """Return the first such call, as soon as there is one.

        Raises:
            TimeoutError: none came in time; names the methods that were called instead.
        """

        def found() -> list[Call]:
            return self.select(method, match, since=since, refused=refused)

        try:
            async with asyncio.timeout(seconds), self._grown:
                await self._grown.wait_for(found)
        except TimeoutError as error:
            others = [call.method for call in self.calls[since:]]
            raise TimeoutError(
                f"no {method} with {match} in {seconds:g} s; since call {since} came {others}"
            ) from error
        return found()[0]
