"""Build the context from the store and ask the model for a turn."""

import asyncio
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, Protocol, TypeAlias, TypeVar

from bot.errors import StoppingError
from bot.store.inbox import generating, waits
from bot.store.messages import MessageStore, Place
from bot.store.outbox import Generation
from model.artifacts.artifact import Card
from model.chat.conversation import Message, Window, context_before
from model.chat.eligibility import Line, make_line
from model.chat.prompt import render_context
from model.chat.roster import Roster
from model.errors import GenerationStopped, VoiceError
from model.speaking.candidates import clean_opening


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


MOST_SECONDS = 20.0
"""Seconds for which one reply may be generated."""
LONGEST_WAIT = 60.0
"""Seconds for which a reply may wait while the model generates others."""
MOST_IN_A_CHAT = 3
MOST_IN_ALL = 30

_STOPPING = "the bot is being stopped: this is answered after the restart"

ShouldStop: TypeAlias = Callable[[], bool]
"""Called after each token; generation stops if it returns True."""

T = TypeVar("T")


class Speaker(Protocol):
    """A trained model; its methods block."""

    @property
    def rejected(self) -> Mapping[str, int]:
        """How many candidates of the last turn were rejected, by reason."""

    def reply(
        self,
        context: Sequence[str],
        voice: str,
        begins: str = "",
        should_stop: ShouldStop | None = None,
    ) -> tuple[str, ...]:
        """Return the messages of one turn of `voice`, which begins with these words.

        Raises:
            GenerationStopped: `should_stop` returned True.
            VoiceError: No candidate was acceptable.
        """

    def turn(
        self,
        context: Sequence[str],
        voices: Sequence[str],
        begins: str = "",
        should_stop: ShouldStop | None = None,
    ) -> tuple[str, tuple[str, ...]]:
        """Return which of `voices` speaks next, and the messages of that turn.

        Raises:
            GenerationStopped: `should_stop` returned True.
            VoiceError: No candidate was acceptable, for any of them.
        """


class Model(Protocol):
    """A version of the model that serves: `bot.services.model_holder.Serving`."""

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
class Reply:
    """A turn: whose, its messages, the version that made it, the messages it was made from."""

    voice: str
    messages: tuple[str, ...]
    version: str
    sources: tuple[int, ...]
    generation: Generation | None = None


@dataclass(frozen=True, slots=True)
class ReplyRequest:
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


NOTHING_MORE = ReplyRequest()


class BusyError(VoiceError):
    """Too much was asked of the model before this."""


class SlowError(VoiceError):
    """The model took too long."""


class QueueError(VoiceError):
    """The model was busy with other replies for too long."""


async def lines_for(
    store: MessageStore,
    place: Place,
    at: datetime,
    roster: Roster,
    window: Window,
    request: ReplyRequest = NOTHING_MORE,
    before: Message | None = None,
) -> Sequence[Line]:
    """Return the lines that a reply given `at`, in place of `before`, may look at, oldest first."""
    lines: dict[int, Line] = {}

    def counts(message: Message) -> bool:
        line = make_line(request.reading(message), roster)
        if line is not None:
            lines[message.message_id] = line
        return line is not None

    await store.earlier(place, window.lookback, counts, before)
    return context_before(list(lines.values())[::-1], at, window)


class Replies:
    """Generates replies in a thread, one at a time; chats take turns."""

    def __init__(
        self,
        model: Callable[[], Model],
        store: MessageStore,
        seconds: float = MOST_SECONDS,
        longest_wait: float = LONGEST_WAIT,
    ) -> None:
        self._model = model
        self._store = store
        self._seconds, self._longest_wait = seconds, longest_wait
        self._asked: Counter[int] = Counter()
        self._lock = FairLock()
        self._closed = threading.Event()
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
        self,
        place: Place,
        voice: str,
        at: datetime,
        request: ReplyRequest = NOTHING_MORE,
        on_start: Callable[[], object] | None = None,
    ) -> Reply:
        """Return what `voice` says to what was said last.

        `on_start` is called when the model starts on it.

        Raises:
            OpeningError: The requested opening words are not allowed.
            QueueError: The model worked for others for too long.
            SlowError: It took too long.
            StoppingError: The bot is being stopped.
            VoiceError: No candidate was acceptable.
        """
        model = self._model()
        begins = await _opening(model, request)
        lines = await self._lines(model, place, at, request)
        reply = partial(model.speaker.reply, render_context(lines), voice, begins)
        counted = partial(_counted, model.speaker, reply)
        messages, rejected = await self._generate(place.chat_id, counted, on_start)
        generation = Generation(len(lines), rejected)
        return Reply(voice, messages, model.version, _sources(lines, request), generation)

    async def turn(
        self,
        place: Place,
        voices: Sequence[str],
        at: datetime,
        request: ReplyRequest = NOTHING_MORE,
        on_start: Callable[[], object] | None = None,
    ) -> Reply:
        """Return who of `voices` speaks next, and what they say; see `answer`.

        Raises:
            OpeningError: The requested opening words are not allowed.
            QueueError: The model worked for others for too long.
            SlowError: It took too long.
            StoppingError: The bot is being stopped.
            VoiceError: No candidate was acceptable, for any of them.
        """
        model = self._model()
        begins = await _opening(model, request)
        lines = await self._lines(model, place, at, request)
        turn = partial(model.speaker.turn, render_context(lines), voices, begins)
        counted = partial(_counted, model.speaker, turn)
        (voice, messages), rejected = await self._generate(place.chat_id, counted, on_start)
        generation = Generation(len(lines), rejected)
        return Reply(voice, messages, model.version, _sources(lines, request), generation)

    async def imagined(self, kept: Message, voice: str) -> Reply:
        """Return what `voice` might have said in place of a message that is kept.

        Raises:
            QueueError: The model worked for others for too long.
            SlowError: It took too long.
            StoppingError: The bot is being stopped.
            VoiceError: No candidate was acceptable.
        """
        model = self._model()
        place = Place(kept.chat_id, kept.topic_id)
        roster, window = model.roster, model.card.window
        lines = await lines_for(self._store, place, kept.sent_at, roster, window, before=kept)
        reply = partial(model.speaker.reply, render_context(lines), voice, "")
        messages = await self._generate(kept.chat_id, reply)
        return Reply(voice, messages, model.version, _sources(lines))

    def close(self) -> None:
        """Stop the current generation, and start no other."""
        self._closed.set()
        self._lock.close()
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _lines(
        self, model: Model, place: Place, at: datetime, request: ReplyRequest
    ) -> Sequence[Line]:
        return await lines_for(self._store, place, at, model.roster, model.card.window, request)

    async def _generate(
        self,
        chat_id: int,
        function: Callable[[ShouldStop], T],
        on_start: Callable[[], object] | None = None,
    ) -> T:
        """Call the model when it is free; the time limit starts then.

        The model is told to stop after `seconds`, or when the caller no longer waits. It counts
        as busy until it has stopped.
        """
        await waits()
        await self._acquire(chat_id)
        with ExitStack() as unused:  # frees the model if the call is never submitted
            unused.callback(self._lock.release)
            async with generating():
                if on_start:
                    on_start()
                unused.pop_all()
                return await self._call(function)

    async def _call(self, function: Callable[[ShouldStop], T]) -> T:
        stop, end = threading.Event(), time.monotonic() + self._seconds

        def should_stop() -> bool:
            return stop.is_set() or self._closed.is_set() or time.monotonic() > end

        call = asyncio.wrap_future(self._thread.submit(function, should_stop))
        call.add_done_callback(self._ended)
        try:
            async with asyncio.timeout(self._seconds):
                return await asyncio.shield(call)
        except (GenerationStopped, TimeoutError) as error:
            if self._closed.is_set():
                raise StoppingError(_STOPPING) from error
            raise SlowError(f"no reply within {self._seconds:g} s") from error
        finally:
            stop.set()

    async def _acquire(self, chat_id: int) -> None:
        """Wait until the model is free and it is the chat's turn."""
        try:
            async with asyncio.timeout(self._longest_wait):
                await self._lock.acquire(chat_id)
        except TimeoutError as error:
            raise QueueError(f"the model was busy for {self._longest_wait:g} s") from error
        except LockClosed as error:
            raise StoppingError(_STOPPING) from error

    def _ended(self, call: "asyncio.Future[Any]") -> None:
        """Release the model; an outcome that no caller waits for is not logged."""
        self._lock.release()
        if not call.cancelled():
            call.exception()


def _counted(
    speaker: Speaker, generate: Callable[[ShouldStop], T], should_stop: ShouldStop
) -> tuple[T, Mapping[str, int]]:
    """Return the reply and the rejection counts, read before the next call starts."""
    generated = generate(should_stop)
    return generated, dict(speaker.rejected)


async def _opening(model: Model, request: ReplyRequest) -> str:
    """Return the words that a reply begins with, checked against the name of every friend."""
    names = [person.name for person in model.roster.people]
    return await asyncio.to_thread(clean_opening, request.begins, names) if request.begins else ""


def _sources(lines: Sequence[Line], request: ReplyRequest = NOTHING_MORE) -> tuple[int, ...]:
    """Return what a reply comes of: what it looked at, and whose words it begins with."""
    begun = (request.command,) if request.begins and request.command is not None else ()
    return (*(line.message_id for line in lines), *begun)
