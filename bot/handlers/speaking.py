"""Generate and send turns in a voice."""

import asyncio
import logging
import random
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from bot.application import Context
from bot.handlers.membership import PrivacyMode
from bot.services.access import Access
from bot.services.delivery import Ready
from bot.services.replies import (
    BusyError,
    QueueError,
    ReplyRequest,
    SlowError,
)
from bot.services.state import BotState
from bot.store.messages import Place
from bot.store.outbox import Turn
from bot.store.send_log import Part
from bot.texts.en import Wording
from bot.transport.outgoing import pause, typing, typing_seconds
from model.chat.person import Person
from model.errors import VoiceError
from model.speaking.candidates import MAX_OPENING, OpeningError

BUSY_NOTICE_SECONDS = 60.0  # between two notices in a chat that the bot is busy
QUEUED_SECONDS = 5.0
"""Seconds after which the chat is told that the model is busy with other replies."""

logger = logging.getLogger(__name__)


class Speaking:
    """Generates and sends turns in a voice, one at a time in each chat."""

    def __init__(self, state: BotState, privacy_mode: PrivacyMode) -> None:
        self._state = state
        self._privacy_mode = privacy_mode
        self._locks: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._busy_notices: dict[int, float] = {}  # when each chat got the last one
        self._stops = Counter[int]()
        self._rng = random.Random()

    async def answer(
        self,
        context: Context,
        request: ReplyRequest,
        no_reply_text: str | None = None,
        should_continue: Callable[[], bool] = lambda: True,
    ) -> None:
        """Generate and send a turn while `should_continue()` is true; if that fails, say why not.

        `no_reply_text` is the answer if the model has no reply. Without it nobody has asked for the
        turn, and failures stay silent.
        """
        place = request.place
        if (part := await context.delivery.begin(place)) is None:
            return
        stops = self._stops[place.chat_id]

        def may_continue() -> bool:
            return self._stops[place.chat_id] == stops and should_continue()

        is_asked = no_reply_text is not None
        try:
            if await self._take_turn(context, part, request, may_continue, is_asked=is_asked):
                await self._privacy_mode.hint(context, place)
        except VoiceError as error:
            excuse = ""
            if no_reply_text is not None:
                refusal = self._refuse(request.voice, place, context)
                excuse = self._excuse(error, place, context, refusal or no_reply_text)
            await self._send_excuse(context, part, place, excuse)

    async def resume(
        self, context: Context, place: Place, should_continue: Callable[[], bool]
    ) -> bool:
        """Continue an unprompted turn of an earlier process; return whether there was one."""
        turn = await context.delivery.unsent(Part(context.delivery.update_id, 0))
        if turn is not None:
            request = ReplyRequest(place, turn.voice, datetime.now(UTC))
            await self.answer(context, request, should_continue=should_continue)
        return turn is not None

    def stop(self, chat_id: int) -> None:
        """Stop the turns that are being sent to a chat."""
        self._stops[chat_id] += 1

    async def simulate_turn(
        self, context: Context, request: ReplyRequest, stopped: asyncio.Event
    ) -> bool:
        """Send the turn of a voice that the model chooses; return whether to continue.

        A turn that an earlier process already sent is not sent again.
        """
        place = request.place
        if (part := await context.delivery.begin(place)) is None:
            return True
        try:
            return await self._take_turn(
                context, part, request, lambda: not stopped.is_set(),
                stopped=stopped, is_first_paced=part.number > 0,
            )  # fmt: skip
        except (BusyError, QueueError, SlowError) as error:
            stopped.set()  # the reason is sent here
            await self._send_excuse(context, part, place, self._excuse(error, place, context, ""))
            return False
        except VoiceError:
            await self._state.store.outbox.mark(part, place, "refused")
            return False

    async def _take_turn(
        self,
        context: Context,
        part: Part,
        request: ReplyRequest,
        may_continue: Callable[[], bool],
        *,
        is_asked: bool = True,
        is_first_paced: bool = False,
        stopped: asyncio.Event | None = None,
    ) -> bool:
        """Generate and send a turn after the chat's other turns; return whether it arrived.

        Raises:
            VoiceError: No reply was generated, or its voice may no longer be used: while the
                request waits, another model may replace the chat's, and the person may withdraw.
        """
        place, state, delivery = request.place, self._state, context.delivery
        with state.replies.admitted(place.chat_id):
            async with self._locks[place.chat_id]:
                begun = time.monotonic()
                async with typing(context.bot, place), _notice(context, place, is_asked) as started:
                    turn = await delivery.unsent(part)
                    if turn is None:
                        turn = await state.replies.generate(request, started.set)
                        if is_asked and self._refuse(request.voice, place, context):
                            raise VoiceError(f"{turn.voice} may no longer be used")
                        await state.store.outbox.keep_turn(part, place, turn)
                since = begun if is_first_paced else None
                ready = self._paced(context, part, place, turn, may_continue, since, stopped)
                return await self._send_turn(context, part, place, turn, ready)

    async def _send_excuse(self, context: Context, part: Part, place: Place, excuse: str) -> None:
        """Say why there is no reply, unless `excuse` is empty."""
        logger.info("no reply in chat %d", place.chat_id)
        if excuse:
            await context.delivery.send_text(place, excuse, part=part)
        else:
            await self._state.store.outbox.mark(part, place, "refused")

    def _paced(
        self,
        context: Context,
        part: Part,
        place: Place,
        turn: Turn,
        may_continue: Callable[[], bool],
        since: float | None = None,
        stopped: asyncio.Event | None = None,
    ) -> Ready:
        """Return a function that waits before each message for as long as a person would type it.

        Without `since` the first message is sent at once; with it, the pause before the first
        message counts from `since`. The function returns False if the turn was stopped, or may no
        longer be sent.
        """
        begun = since

        async def ready(words: str) -> bool:
            nonlocal begun
            if begun is not None and context.delivery.is_running():
                seconds = self._state.settings.pace * typing_seconds(words, self._rng)
                left = begun + seconds - time.monotonic()
                await pause(context.bot, place, left, stopped or asyncio.Event())
            begun = time.monotonic()
            return await context.delivery.may_send(part, place, turn) and may_continue()

        return ready

    async def _send_turn(
        self, context: Context, part: Part, place: Place, turn: Turn, ready: Ready
    ) -> bool:
        """Send a turn message by message; return whether its messages arrived.

        Returns False if one did not, or if the bot may no longer speak here. A turn that was
        withdrawn counts as sent.
        """
        result = await context.delivery.send_turn(part, place, turn, ready)
        if result == "sent" or not self._state.may_speak_in(place.chat_id):
            return result == "sent"
        if result == "withdrawn":
            return True
        return not await self._state.may_still_imitate(place.chat_id, turn.person_id)

    def _refuse(self, voice: str | Sequence[str], place: Place, context: Context) -> str | None:
        """Return why a voice that somebody asked for may not be used now, or None if it may.

        In a chat where the bot may no longer speak, there is nothing to say.
        """
        access = self._state.access_in(place.chat_id)
        if not isinstance(voice, str) or not access.may_speak_in(place.chat_id):
            return None
        person = access.roster.find_by_name(voice)
        return explain_refusal(person, access, context.texts, place.chat_id)

    def _excuse(self, error: VoiceError, place: Place, context: Context, no_reply_text: str) -> str:
        """Return the message that explains why there is no reply, or "" if the chat just got it."""
        if isinstance(error, BusyError):
            return self.busy(place, context)
        if isinstance(error, QueueError):
            return context.texts.queue_timeout
        if isinstance(error, SlowError):
            return context.texts.too_slow
        if isinstance(error, OpeningError):
            return context.texts.opening_refused.format(most=MAX_OPENING)
        return no_reply_text

    def busy(self, place: Place, context: Context) -> str:
        """Return the message for a chat with too many requests, at most once a minute."""
        now = time.monotonic()
        if now - self._busy_notices.get(place.chat_id, -BUSY_NOTICE_SECONDS) < BUSY_NOTICE_SECONDS:
            return ""
        self._busy_notices[place.chat_id] = now
        return context.texts.busy


@asynccontextmanager
async def _notice(context: Context, place: Place, is_asked: bool) -> AsyncIterator[asyncio.Event]:  # noqa: FBT001
    """Tell a chat that asked if the model is busy for long, until the event is set."""
    started = asyncio.Event()
    if not is_asked:
        started.set()
    notice = asyncio.create_task(_tell_queued(context, place, started))
    try:
        yield started
    finally:
        started.set()
        await notice  # so that it never comes after the reply


async def _tell_queued(context: Context, place: Place, started: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(QUEUED_SECONDS):
            await started.wait()
    except TimeoutError:
        await context.delivery.notify(place, context.texts.queued)


def explain_refusal(
    person: Person | None, access: Access, texts: Wording, chat_id: int
) -> str | None:
    """Return why the bot does not speak as a person, or None if it may."""
    if person is not None and access.may_imitate(person):
        return None
    if person is None or person not in access.roster_in(chat_id).people:
        return texts.format_unknown_name([voice.name for voice in access.voices])
    if access.may_still_agree(person):
        return texts.not_agreed.format(name=person.name)
    return (texts.too_few_messages if person.is_only_quiet else texts.declined).format(
        name=person.name
    )
