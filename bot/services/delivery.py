"""Send each part of a reply once, even if the process is killed (see `bot.store.outbox`)."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal, TypeAlias

from telegram import Message
from telegram.error import (
    BadRequest,
    ChatMigrated,
    Forbidden,
    NetworkError,
    RetryAfter,
    TelegramError,
)
from telegram.ext import ExtBot

from bot.errors import StoppingError, StoreError
from bot.services.forgetting import delete_withdrawn
from bot.services.state import BotState
from bot.store.messages import Place, Ref
from bot.store.outbox import APOLOGY, NOTICE, State, Turn
from bot.store.send_log import Part, SendLog
from bot.transport.incoming import message_of
from bot.transport.outgoing import (
    QuizQuestion,
    calling_before_sending,
    retry_seconds,
    send,
    send_photo,
    send_quiz,
    send_sticker,
)
from model.chat.conversation import Message as StoredMessage
from model.chat.eligibility import add_voice_header
from model.chat.person import Person

FIRST_WAIT, MAX_WAIT = 1.0, 30.0
RETRY_SECONDS = 15 * 60.0
"""Seconds for which a message that certainly did not arrive is retried."""
STOP_CHECK_SECONDS = 0.5
MAX_MIGRATIONS = 3  # to another chat id while one message is sent

Ready: TypeAlias = Callable[[str], Awaitable[bool]]
"""Waits until a message may be sent; returns False if it and all later ones must not be sent."""

TurnResult: TypeAlias = Literal["sent", "not sent", "withdrawn"]

UNSENT: State = "generating"
"""The state of a message that must no longer be sent; Telegram did not refuse it."""

_NOT_ARRIVED = (BadRequest, Forbidden, RetryAfter, ChatMigrated)
"""Errors after which a message certainly did not arrive."""

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _SendAttempt:
    """One attempt to send a message, recorded in the send log.

    The record is written just before the request, so a kill while the message waits for the rate
    limiter or a connection leaves it unsent, not uncertain.
    """

    log: SendLog
    part: Part
    left: int
    place: Place
    has_started: bool = field(default=False, init=False)

    async def send(self, send_message: Callable[[], Awaitable[Message]]) -> Message:
        """Send the message and return it.

        If cancelled after the request has started, wait for Telegram's answer and record it, then
        raise CancelledError. A second cancellation ends the wait.
        """
        with calling_before_sending(self._record_attempt):
            task = asyncio.create_task(self._send_and_record(send_message))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if self.has_started:
                await asyncio.wait([task])
                if not task.cancelled() and isinstance(task.exception(), _NOT_ARRIVED):
                    await self.log.drop(self.part)  # it is sent after the restart
            raise
        finally:
            task.cancel()  # no effect if it is done
            await asyncio.gather(task, return_exceptions=True)

    async def _send_and_record(self, send_message: Callable[[], Awaitable[Message]]) -> Message:
        sent = await send_message()
        await self.log.note_arrival(self.part, message_of(sent) if self.left else None)
        return sent

    async def _record_attempt(self) -> None:
        self.has_started = True  # first, so that a cancellation during the write waits, too
        await self.log.note_attempt(self.part, self.left, None if self.left else self.place)


@dataclass(slots=True)
class Delivery:
    """Sends the replies to one update, in their order.

    A part that an earlier attempt sent, or may have sent, is not sent again. `is_repeated`: an
    earlier attempt, in this process or another, did not finish the update. A chat that refused a
    message gets no further messages.
    """

    bot: ExtBot[Any]
    state: BotState
    update_id: int
    is_repeated: bool = False
    is_running: Callable[[], bool] = lambda: True
    parts: int = field(default=0, init=False)
    refused: set[Place] = field(default_factory=set, init=False)

    async def resume(self) -> None:
        """Store what an earlier process sent; delete what was withdrawn while it was sent."""
        if lines := await self.state.store.outbox.resume(self.update_id):
            await delete_withdrawn(lines, self.state, self.bot, self.update_id)

    async def begin(self, place: Place) -> Part | None:
        """Return the next part, or None if an earlier process finished it."""
        part = Part(self.update_id, self.parts)
        self.parts += 1
        if self.is_repeated and not await self.state.store.outbox.begin(part, place):
            return None
        return part

    async def send_text(
        self, place: Place, text: str, voices: Sequence[Person] = (), part: Part | None = None
    ) -> Message | None:
        """Send a text in the bot's own name, as the next part, or as a `part` that has begun.

        Returns None if it did not arrive or was sent before.
        """
        if place in self.refused:
            return None
        part = part or await self.begin(place)
        if part is None:
            return None
        sending = partial(send, self.bot, text=text, voices=voices)
        sent, state = await self._send(part, place, sending)
        await self._end(part, place, state)
        return sent

    async def show(
        self, place: Place, photo: bytes | None, text: str, ready: Ready
    ) -> Message | None:
        """Send a picture with a text below it, as the next part.

        Without a picture, or where pictures are forbidden, only the text is sent. Returns None if
        nothing arrived, nothing may be sent any more, or it was sent before.
        """
        if place in self.refused or (part := await self.begin(place)) is None:
            return None
        again, sent = partial(ready, text), None
        state: State = UNSENT
        if photo is not None and await again():
            sending = partial(send_photo, self.bot, photo=photo, caption=text)
            sent, state = await self._send(part, place, sending, again=again)
        if (photo is None or state == "refused") and await again():
            sending = partial(send, self.bot, text=text)
            sent, state = await self._send(part, place, sending, again=again)
        if state == UNSENT:
            await self.state.store.outbox.mark(part, place, "refused")
        else:
            await self._end(part, place, state)
        return sent

    async def report_failure(self, place: Place, text: str) -> None:
        """Say that something failed; end the other parts of the update."""
        outbox, part = self.state.store.outbox, Part(self.update_id, APOLOGY)
        if await outbox.begin(part, place):
            await outbox.give_up(self.update_id, but=part)
            await self.send_text(place, text, part=part)

    async def notify(self, place: Place, text: str) -> None:
        """Say that the answer will take a while, once for each update."""
        part = Part(self.update_id, NOTICE)
        if await self.state.store.outbox.begin(part, place):
            await self.send_text(place, text, part=part)

    async def ask(
        self, part: Part, place: Place, question: QuizQuestion, turn: Turn, ready: Ready
    ) -> tuple[Message | None, State]:
        """Send a quiz, which is a turn of one message without text, and return its state.

        Returns no message if it did not arrive or was withdrawn while it was sent.
        """
        outbox = self.state.store.outbox
        await outbox.keep_turn(part, place, turn)
        sent, state = None, UNSENT
        if await ready(question.text):
            sending, again = partial(send_quiz, self.bot, question=question), partial(ready, "")
            sent, state = await self._send(part, place, sending, len(turn.messages), again)
        if sent is None:  # a group that forbids polls still gets other messages
            await outbox.mark(part, place, "refused" if state == UNSENT else state)
        elif not await self._store(part, turn.without_first(state), message_of(sent), ""):
            sent = None
        return sent, state

    async def unsent(self, part: Part) -> Turn | None:
        """Return the unsent rest of a part's turn, if an earlier process left one."""
        return await self.state.store.outbox.unsent(part) if self.is_repeated else None

    async def may_send(self, part: Part, place: Place, turn: Turn) -> bool:
        """Whether a turn may still be sent, or a quiz asked.

        The bot may speak there, the person whose voice it is still agrees, and nobody has withdrawn
        what it was generated from.
        """
        await self.state.is_current.wait()  # somebody may have withdrawn, or sent /stop
        if not self.state.may_speak_in(place.chat_id):
            return False
        may_imitate = await self.state.may_still_imitate(place.chat_id, turn.person_id)
        return may_imitate and await self.state.store.outbox.may_send(part)

    async def send_turn(self, part: Part, place: Place, turn: Turn, ready: Ready) -> TurnResult:
        """Send and store the messages of a part's turn, each after `ready` returns True.

        Messages after one that may have arrived are still sent.
        """
        outbox, left, has_all = self.state.store.outbox, turn, True
        while left.messages:
            words = left.messages[0]
            state, sent = UNSENT, None
            if await ready(words):
                sent, state = await self._send_line(part, place, left, partial(ready, words))
            if state == UNSENT:
                is_withdrawn = not await outbox.may_send(part)
                await outbox.mark(part, place, left.so_far)
                return "withdrawn" if is_withdrawn else "not sent"
            if state == "refused":
                await self._end(part, place, state)
                return "not sent"
            has_all &= sent is not None
            message = message_of(sent) if sent else None
            left = left.without_first(state)
            await self._store(part, left, message, add_voice_header(left.voice, words))
        return "sent" if has_all else "not sent"

    async def _store(self, part: Part, left: Turn, sent: StoredMessage | None, text: str) -> bool:
        """Store a message of a turn; delete it if it must not stay; return whether it stays."""
        message = replace(sent, text=text) if sent else None
        may_stay = await self.state.store.outbox.advance(part, left, message)
        if message and not may_stay:
            own = (Ref(message.chat_id, message.message_id),)
            await delete_withdrawn(own, self.state, self.bot, self.update_id)
        return may_stay

    async def _end(self, part: Part, place: Place, state: State) -> None:
        if state == "refused":
            self.refused.add(place)
        await self.state.store.outbox.mark(part, place, state)

    async def _send_line(
        self, part: Part, place: Place, turn: Turn, again: Callable[[], Awaitable[bool]]
    ) -> tuple[Message | None, State]:
        """Send the first message of a turn; send a lone emoji as the group's usual sticker."""
        voice, words = turn.voice, turn.messages[0]
        left, sticker = len(turn.messages), None
        if not any(map(str.isalpha, words)):
            sticker = await self.state.store.stickers.favourite(place.chat_id, words)
        if sticker is not None:
            sending = partial(send_sticker, self.bot, file_id=sticker, voice=voice)
            sent, state = await self._send(part, place, sending, left, again)
            if state != "refused":
                return sent, state
        sending = partial(send, self.bot, text=add_voice_header(voice, words))
        return await self._send(part, place, sending, left, again)

    async def _send(
        self,
        part: Part,
        place: Place,
        sending: Callable[[Place], Awaitable[Message]],
        left: int = 0,
        again: Callable[[], Awaitable[bool]] | None = None,
    ) -> tuple[Message | None, State]:
        """Send a message; if it certainly did not arrive, retry it while `again` returns True.

        `left`: see `bot.store.outbox.Note`.
        """
        log, loop = self.state.store.outbox.log, asyncio.get_running_loop()
        end, wait, moves = loop.time() + RETRY_SECONDS, FIRST_WAIT, 0
        while True:
            address = self.state.current_place(place)
            attempt = _SendAttempt(log, part, left, place)
            try:
                sent = await attempt.send(partial(sending, address))
            except TelegramError as error:
                if isinstance(error.__cause__, StoreError):  # of the log: nothing was sent
                    raise error.__cause__ from error
                has_moved = isinstance(error, ChatMigrated) and moves < MAX_MIGRATIONS
                pause = retry_seconds(error) if isinstance(error, RetryAfter) else wait
                may_repeat = isinstance(error, RetryAfter) or not attempt.has_started
                if not has_moved and (not may_repeat or loop.time() + pause > end):
                    is_refused = isinstance(error, BadRequest | Forbidden)
                    is_refused |= not isinstance(error, NetworkError)
                    is_refused |= not attempt.has_started
                    state: State = "refused" if is_refused else "uncertain"
                    if is_refused:  # something else may be sent instead
                        await log.drop(part)
                    kind = type(error).__name__
                    logger.warning("chat %d: %s, %s", place.chat_id, kind, state)
                    self.state.replies.measurements.messages[state] += 1
                    return None, state
                await log.drop(part)
                if isinstance(error, ChatMigrated):
                    moves += 1
                    await self.state.move(address.chat_id, error.new_chat_id)
                    continue
            else:
                self.state.replies.measurements.messages["sent"] += 1
                return sent, "sent"
            await self._pause(pause)
            if again and not await again():
                return None, UNSENT
            wait = min(2 * wait, MAX_WAIT)

    async def _pause(self, seconds: float) -> None:
        """Wait, unless the bot is being stopped.

        Raises:
            StoppingError: The bot is being stopped: the update waits for the restart.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while (left := end - loop.time()) > 0:
            if not self.is_running():
                raise StoppingError("the bot is stopping: this will be sent after the restart")
            await asyncio.sleep(min(left, STOP_CHECK_SECONDS))
