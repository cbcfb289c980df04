"""What a voice says next: the open conversation from the store, put to the model."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, ParamSpec, Protocol, TypeVar

from bot.attempts import generating, waits
from bot.store.messages import Place, Store
from model.artifact import Card
from model.conversation import Message, Window, context_before
from model.eligible import Line, line_of, lines_of
from model.errors import VoiceError
from model.opening import opening
from model.prompt import render_context
from model.roster import Roster

MOST_SECONDS = 20.0
MOST_IN_A_CHAT = 3
MOST_IN_ALL = 30

P = ParamSpec("P")
T = TypeVar("T")


class Speaker(Protocol):
    """A trained model; its methods block."""

    def reply(self, context: Sequence[str], voice: str, begins: str = "") -> tuple[str, ...]:
        """Return the messages of one turn of `voice`, which begins with these words.

        Raises:
            VoiceError: Nothing came out that could be said.
        """

    def turn(
        self, context: Sequence[str], voices: Sequence[str], begins: str = ""
    ) -> tuple[str, tuple[str, ...]]:
        """Return which of `voices` speaks next, and the messages of that turn.

        Raises:
            VoiceError: Nothing came out that could be said, of none of them.
        """


class Model(Protocol):
    """A version of the model that serves: `bot.serving.Serving`."""

    @property
    def speaker(self) -> Speaker:
        """Its weights."""

    @property
    def roster(self) -> Roster:
        """Who is who; the bot's own id is known."""

    @property
    def card(self) -> Card:
        """What it was made of."""

    @property
    def version(self) -> str:
        """Its name."""


@dataclass(frozen=True, slots=True)
class Said:
    """A turn: whose, its messages, the version that made it, the messages it was made from."""

    voice: str
    messages: tuple[str, ...]
    version: str
    sources: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked of a reply beside who gives it.

    It begins with the words `begins`. In its own prompt the message `command` stands as if its
    author had said `says`, and not at all where that is empty.
    """

    begins: str = ""
    command: int | None = None
    says: str = ""

    def reading(self, message: Message) -> Message:
        """Return a message as it stands in the reply's own prompt."""
        return replace(message, text=self.says) if message.message_id == self.command else message


NOTHING_MORE = Wish()


class BusyError(VoiceError):
    """Too much was asked of the model before this."""


class SlowError(VoiceError):
    """The model took too long."""


async def lines_for(
    store: Store,
    place: Place,
    at: datetime,
    roster: Roster,
    window: Window,
    wish: Wish = NOTHING_MORE,
    before: Message | None = None,
) -> Sequence[Line]:
    """Return the lines that a reply given `at`, in place of `before`, may look at, oldest first."""
    earlier = await store.earlier(
        place,
        window.reach,
        lambda message: line_of(wish.reading(message), roster) is not None,
        before,
    )
    return context_before(lines_of(map(wish.reading, earlier), roster), at, window)


class Replies:
    """Asks the model for replies, one at a time, in a thread of its own."""

    def __init__(
        self, model: Callable[[], Model], store: Store, seconds: float = MOST_SECONDS
    ) -> None:
        self._model = model
        self._store = store
        self._seconds = seconds
        self._asked: Counter[int] = Counter()
        self._turn = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="speaker")

    @property
    def waiting(self) -> int:
        """Return how many replies are being made or wait for it."""
        return self._asked.total()

    def waiting_in(self, chat_id: int) -> int:
        """Return how many of them are a chat's."""
        return self._asked[chat_id]

    @contextmanager
    def admitted(self, chat_id: int) -> Iterator[None]:
        """Count what the block asks for a chat.

        Raises:
            BusyError: Too much was asked before.
        """
        if self._asked[chat_id] >= MOST_IN_A_CHAT or self._asked.total() >= MOST_IN_ALL:
            raise BusyError("too much was asked before this: wait for an answer, then ask again")
        self._asked[chat_id] += 1
        try:
            yield
        finally:
            self._asked[chat_id] -= 1

    async def answer(
        self, place: Place, voice: str, at: datetime, wish: Wish = NOTHING_MORE
    ) -> Said:
        """Return what `voice` says to what was said last.

        Raises:
            OpeningError: It may not begin with the words that are wished for.
            SlowError: It took too long.
            VoiceError: Nothing came out that could be said.
        """
        model = self._model()
        begins = _opening(model, wish)
        lines = await self._lines(model, place, at, wish)
        context = render_context(lines)
        messages = await self._in_thread(model.speaker.reply, context, voice, begins)
        return Said(voice, messages, model.version, _sources(lines, wish))

    async def turn(
        self, place: Place, voices: Sequence[str], at: datetime, wish: Wish = NOTHING_MORE
    ) -> Said:
        """Return who of `voices` speaks next, and what they say.

        Raises:
            OpeningError: It may not begin with the words that are wished for.
            SlowError: It took too long.
            VoiceError: Nothing came out that could be said, of none of them.
        """
        model = self._model()
        begins = _opening(model, wish)
        lines = await self._lines(model, place, at, wish)
        context = render_context(lines)
        voice, messages = await self._in_thread(model.speaker.turn, context, voices, begins)
        return Said(voice, messages, model.version, _sources(lines, wish))

    async def imagined(self, kept: Message, voice: str) -> Said:
        """Return what `voice` might have said in place of a message that is kept.

        Raises:
            SlowError: It took too long.
            VoiceError: Nothing came out that could be said.
        """
        model = self._model()
        place = Place(kept.chat_id, kept.topic_id)
        roster, window = model.roster, model.card.window
        lines = await lines_for(self._store, place, kept.sent_at, roster, window, before=kept)
        messages = await self._in_thread(model.speaker.reply, render_context(lines), voice)
        return Said(voice, messages, model.version, _sources(lines))

    def close(self) -> None:
        """Wait for the reply in progress and end the thread."""
        self._thread.shutdown()

    async def _lines(self, model: Model, place: Place, at: datetime, wish: Wish) -> Sequence[Line]:
        return await lines_for(self._store, place, at, model.roster, model.card.window, wish)

    async def _in_thread(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the model when its thread is free; what takes too long is left to itself."""
        await waits()
        async with self._turn, generating():
            call = asyncio.wrap_future(self._thread.submit(function, *args, **kwargs))
            try:
                async with asyncio.timeout(self._seconds):
                    return await asyncio.shield(call)
            except TimeoutError as error:
                call.add_done_callback(_look_away)
                raise SlowError(f"no reply within {self._seconds:g} s") from error


def _opening(model: Model, wish: Wish) -> str:
    """Return the words that a reply begins with, checked against the name of every friend."""
    names = [person.name for person in model.roster.people]
    return opening(wish.begins, names) if wish.begins else ""


def _sources(lines: Sequence[Line], wish: Wish = NOTHING_MORE) -> tuple[int, ...]:
    """Return what a reply comes of: what it looked at, and whose words it begins with."""
    begun = (wish.command,) if wish.begins and wish.command is not None else ()
    return (*(line.message_id for line in lines), *begun)


def _look_away(call: "asyncio.Future[Any]") -> None:
    """Take the outcome of a call that nobody waits for any more, so that none is logged."""
    if not call.cancelled():
        call.exception()
