"""What a voice says next: the open conversation from the store, put to the model."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import ParamSpec, Protocol, TypeVar

from bot.store.messages import Place, Store
from model.conversation import Window
from model.eligible import line_of
from model.prompt import context_at
from model.roster import Roster

P = ParamSpec("P")
T = TypeVar("T")


class Speaker(Protocol):
    """A trained model; its methods block."""

    def reply(self, context: Sequence[str], voice: str) -> tuple[str, ...]:
        """Return the messages of one turn of `voice`.

        Raises:
            VoiceError: Nothing came out that could be said.
        """

    def turn(self, context: Sequence[str], voices: Sequence[str]) -> tuple[str, tuple[str, ...]]:
        """Return which of `voices` speaks next, and the messages of that turn.

        Raises:
            VoiceError: Nothing came out that could be said, of none of them.
        """


async def context_for(
    store: Store, place: Place, at: datetime, roster: Roster, window: Window
) -> tuple[str, ...]:
    """Return the rendered lines that a reply given `at` may look at: the bot's prompt."""
    earlier = await store.earlier(
        place, window.reach, lambda message: line_of(message, roster) is not None
    )
    return context_at(earlier, at, roster, window)


class Replies:
    """Asks the model for replies, one at a time, in a thread of its own."""

    def __init__(self, speaker: Speaker, store: Store, roster: Roster, window: Window) -> None:
        self._speaker = speaker
        self._store = store
        self._roster = roster
        self._window = window
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="speaker")

    async def answer(self, place: Place, voice: str, at: datetime) -> tuple[str, ...]:
        """Return what `voice` says to what was said last.

        Raises:
            VoiceError: Nothing came out that could be said.
        """
        context = await context_for(self._store, place, at, self._roster, self._window)
        return await self._in_thread(self._speaker.reply, context, voice)

    async def turn(
        self, place: Place, voices: Sequence[str], at: datetime
    ) -> tuple[str, tuple[str, ...]]:
        """Return who of `voices` speaks next, and what they say.

        Raises:
            VoiceError: Nothing came out that could be said, of none of them.
        """
        context = await context_for(self._store, place, at, self._roster, self._window)
        return await self._in_thread(self._speaker.turn, context, voices)

    def close(self) -> None:
        """Wait for the reply in progress and end the thread."""
        self._thread.shutdown()

    async def _in_thread(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        call = self._thread.submit(function, *args, **kwargs)
        return await asyncio.wrap_future(call)
