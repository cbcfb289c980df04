"""Build the context from the store and ask the model for a turn."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from bot.errors import StoppingError
from bot.services.fair_semaphore import FairSemaphore, SemaphoreClosed
from bot.services.measurements import Measurements
from bot.services.model_holder import CurrentModel, SpeakerCache
from bot.store.inbox import generating, record_wait
from bot.store.messages import MessageStore, Place
from bot.store.outbox import Generation, Turn
from model.chat.conversation import Message, Window, context_before
from model.chat.eligibility import Line, make_line
from model.chat.prompt import render_context
from model.chat.roster import Roster
from model.errors import GenerationStopped, ServerBusyError, ServerError, VoiceError
from model.speaking.candidates import clean_opening
from model.speaking.engine import ShouldStop
from model.speaking.speaker import Speaker

MAX_REPLY_SECONDS = 20.0
"""Seconds for which one reply may be generated."""
MAX_STOP_SECONDS = 60.0
"""Seconds that the model has to stop; after that it counts as hung."""
MAX_QUEUE_SECONDS = 60.0
"""Seconds for which a reply may wait while the model generates others."""
MAX_PENDING = 64
MAX_REPLACEMENTS = 3
"""How many times a reply is restarted because its model was replaced."""

_STOPPING = "the bot is stopping: this will be answered after the restart"

T = TypeVar("T")

TOO_MANY: ContextVar[bool] = ContextVar("too_many", default=False)
"""True while handling an update of a chat that already has too many pending replies."""


@dataclass(frozen=True, slots=True)
class ReplyRequest:
    """A request for a reply in a place and a voice, as of the time `at`.

    Of several voices the model chooses one. The reply begins with the words `opening`. In the
    prompt, `question` replaces the text of the message `command_id`; if `question` is empty, that
    message is left out. With `before`, the prompt has only messages that precede that one.
    """

    place: Place
    voice: str | Sequence[str]
    at: datetime
    opening: str = ""
    command_id: int | None = None
    question: str = ""
    before: Message | None = None

    def in_prompt(self, message: Message) -> Message:
        """Return a message as the reply's prompt shows it."""
        if message.message_id != self.command_id:
            return message
        return replace(message, text=self.question)


class BusyError(VoiceError):
    """Too many replies are pending, here or on the generation server."""


class SlowError(VoiceError):
    """Generation took too long, or the generation server failed."""


class QueueError(VoiceError):
    """The model was busy with other replies for too long."""


class _ModelReplaced(Exception):  # noqa: N818  a state, not a mistake
    """The chat's model was replaced while a reply waited for it."""


async def load_lines(
    store: MessageStore, request: ReplyRequest, roster: Roster, window: Window
) -> Sequence[Line]:
    """Return the lines of the prompt for a reply, oldest first."""
    lines: dict[int, Line] = {}

    def is_counted(message: Message) -> bool:
        line = make_line(request.in_prompt(message), roster)
        if line is not None:
            lines[message.message_id] = line
        return line is not None

    await store.find_newest(request.place, window.lookback, is_counted, request.before)
    return context_before(list(lines.values())[::-1], request.at, window)


class Replies:
    """Generates replies in threads, one for each chat, `max_parallel` at once; chats take turns."""

    def __init__(
        self,
        find_model: Callable[[int], CurrentModel],
        speakers: SpeakerCache,
        store: MessageStore,
        max_parallel: int = 1,
        seconds: float = MAX_REPLY_SECONDS,
        queue_seconds: float = MAX_QUEUE_SECONDS,
    ) -> None:
        self._find_model, self._speakers = find_model, speakers
        self._store = store
        self.measurements = Measurements()
        self._seconds, self._queue_seconds = seconds, queue_seconds
        self._pending: Counter[int] = Counter()
        self._semaphore = FairSemaphore(max_parallel)
        self._closed = threading.Event()
        self._started_at: dict[int, float] = {}  # by chat
        self._threads = ThreadPoolExecutor(max_parallel, thread_name_prefix="speaker")

    @property
    def pending(self) -> int:
        """Return the number of pending replies."""
        return self._pending.total()

    @property
    def is_stuck(self) -> bool:
        """Whether the model is still running long after it was told to stop."""
        limit = self._seconds + MAX_STOP_SECONDS
        return any(time.monotonic() - started > limit for started in self._started_at.values())

    def pending_in(self, chat_id: int) -> int:
        """Return the number of a chat's pending replies."""
        return self._pending[chat_id]

    @contextmanager
    def admitted(self, chat_id: int) -> Iterator[None]:
        """Count a pending reply of a chat while the block runs.

        Raises:
            BusyError: Too many replies are pending.
        """
        if TOO_MANY.get() or self._pending.total() >= MAX_PENDING:
            self.measurements.unanswered["busy"] += 1
            raise BusyError("too many replies are pending: wait for an answer, then ask again")
        self._pending[chat_id] += 1
        try:
            yield
        finally:
            self._pending[chat_id] -= 1

    async def generate(
        self, request: ReplyRequest, on_start: Callable[[], object] | None = None
    ) -> Turn:
        """Return a turn; start again if the chat's model is replaced while the request waits.

        `on_start` is called when the model starts to generate it.

        Raises:
            BusyError: The generation server has too many requests.
            OpeningError: The requested opening words are not allowed.
            QueueError: The model was busy with other replies for too long.
            SlowError: Generation took too long.
            StoppingError: The bot is being stopped.
            VoiceError: No candidate was acceptable, or the model does not know the voice.
        """
        chat_id = request.place.chat_id
        for _ in range(MAX_REPLACEMENTS):
            model = self._find_model(chat_id)
            opening = await _clean_opening(request, model)
            lines = await load_lines(self._store, request, model.roster, model.card.window)
            speak = partial(self._speak, request.voice, render_context(lines), opening)
            with suppress(_ModelReplaced):
                voice, messages, rejected = await self._run(chat_id, model, speak, on_start)
                generation = Generation(len(lines), rejected)
                return _make_turn(request, model, voice, messages, lines, generation)
        raise SlowError("the model was replaced several times")

    def close(self) -> None:
        """Stop the current generation, and start no other."""
        self._closed.set()
        self._semaphore.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _speak(
        self,
        voice: str | Sequence[str],
        context: Sequence[str],
        opening: str,
        loaded: Speaker,
        should_stop: ShouldStop,
    ) -> tuple[str, tuple[str, ...], dict[str, int]]:
        """Return the voice and messages of a turn, and the rejected candidates by reason."""
        speaker = loaded.fork()
        try:
            if isinstance(voice, str):
                messages = speaker.reply(context, voice, opening, should_stop)
            else:
                voice, messages = speaker.turn(context, voice, opening, should_stop)
        finally:
            self.measurements.tokens += speaker.tokens
            self.measurements.rejected.update(speaker.rejected)
        return voice, messages, dict(speaker.rejected)

    async def _run(
        self,
        chat_id: int,
        model: CurrentModel,
        function: Callable[[Speaker, ShouldStop], T],
        on_start: Callable[[], object] | None = None,
    ) -> T:
        """Wait for the chat's turn, load the model if necessary, and call `function` with it.

        The time limit does not include loading.
        `should_stop` tells the model to stop after `seconds`, or when the caller no longer waits.
        The next chat is admitted when the model has stopped.
        """
        await record_wait()
        try:
            async with asyncio.timeout(self._queue_seconds):
                await self._semaphore.acquire(chat_id)
        except TimeoutError as error:
            self.measurements.unanswered["queue"] += 1
            raise QueueError(f"the model was busy for {self._queue_seconds:g} s") from error
        except SemaphoreClosed as error:
            raise StoppingError(_STOPPING) from error
        is_submitted, stop = False, threading.Event()
        try:
            async with generating():
                if self._find_model(chat_id) is not model:
                    raise _ModelReplaced
                self._started_at[chat_id] = time.monotonic()
                speaker = await asyncio.to_thread(self._speakers.get, model.artifact)
                if on_start:
                    on_start()
                if self._closed.is_set():
                    raise StoppingError(_STOPPING)
                end = time.monotonic() + self._seconds

                def should_stop() -> bool:
                    return stop.is_set() or self._closed.is_set() or time.monotonic() > end

                call = asyncio.wrap_future(self._threads.submit(function, speaker, should_stop))
                self._started_at[chat_id] = time.monotonic()
                call.add_done_callback(partial(self._release, chat_id))
                is_submitted = True
                async with asyncio.timeout(self._seconds):
                    return await asyncio.shield(call)
        except (GenerationStopped, TimeoutError) as error:
            raise self._count_and_translate(error) from error
        except VoiceError:
            self.measurements.unanswered["no acceptable candidate"] += 1
            raise
        finally:
            stop.set()
            if not is_submitted:
                self._started_at.pop(chat_id, None)
                self._semaphore.release(chat_id)

    def _count_and_translate(self, error: Exception) -> Exception:
        """Count a generation that was stopped, and return the exception for it."""
        if self._closed.is_set():
            return StoppingError(_STOPPING)
        if isinstance(error, ServerBusyError):
            self.measurements.unanswered["server busy"] += 1
            return BusyError("the generation server is busy: ask again later")
        if isinstance(error, ServerError):
            self.measurements.unanswered["server failed"] += 1
            return SlowError(str(error))
        self.measurements.unanswered["slow"] += 1
        return SlowError(f"no reply within {self._seconds:g} s")

    def _release(self, chat_id: int, call: "asyncio.Future[Any]") -> None:
        """Admit the next chat after a call; retrieve its exception so that asyncio logs none."""
        self.measurements.generation.observe(time.monotonic() - self._started_at.pop(chat_id))
        self._semaphore.release(chat_id)
        if not call.cancelled():
            call.exception()


async def _clean_opening(request: ReplyRequest, model: CurrentModel) -> str:
    if not request.opening:
        return ""
    names = [person.name for person in model.roster.people]
    return await asyncio.to_thread(clean_opening, request.opening, names)


def _make_turn(
    request: ReplyRequest,
    model: CurrentModel,
    voice: str,
    messages: tuple[str, ...],
    lines: Sequence[Line],
    generation: Generation,
) -> Turn:
    sources = [line.message_id for line in lines]
    if request.opening and request.command_id is not None:
        sources.append(request.command_id)  # the reply begins with words of this message
    person = model.roster.find_by_name(voice)
    if person is None:
        raise VoiceError(f"the chat's new model does not know {voice}")
    return Turn(voice, person.ids[0], model.version, tuple(sources), messages, generation)
