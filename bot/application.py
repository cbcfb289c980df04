"""A python-telegram-bot application with a durable inbox, and the context of its handlers."""

import asyncio
import logging
from collections import Counter, defaultdict, deque
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Self, TypeAlias

from telegram import Chat, Message, Update
from telegram.ext import Application, CallbackContext, ExtBot

from bot.errors import StoppingError, StoreError, SupersededError
from bot.services.delivery import Delivery
from bot.services.state import BotState
from bot.services.supervisor import Supervisor
from bot.store.inbox import CURRENT_ATTEMPT, AnswerKind, Attempt, Inbox, Received
from bot.texts import EN, wording
from bot.texts.wording import Wording
from bot.transport.incoming import person_id, place_of

MAX_ALONE_SECONDS = 2.0
"""Seconds for which a repeated update can keep others from starting, if it never waits."""
GRACE_SECONDS = 3.0
"""Seconds that handlers have to finish when the bot stops; then they are cancelled."""
PAUSE_SECONDS = 0.5  # before a stopping process returns a job to the queue
CANCEL_SECONDS = 0.5  # then a handler that has not ended is cancelled again

logger = logging.getLogger(__name__)

Facts: TypeAlias = dict[Any, Any]
Bot: TypeAlias = ExtBot[Any]


class Context(CallbackContext[Bot, Facts, Facts, Facts]):
    """python-telegram-bot's context, with the bot's state and the sender's texts.

    `delivery` sends the answers to the update.
    """

    state: BotState
    delivery: Delivery
    texts: Wording = EN

    @classmethod
    def from_update(
        cls, update: object, application: Application[Any, Any, Any, Any, Any, Any]
    ) -> Self:
        """Return the context of an update; remember the language of an admin who sent it."""
        self = super().from_update(update, application)
        state: BotState = application.bot_data["state"]
        self.state = state
        if isinstance(update, Update):
            again = state.store.inbox.was_begun_before(update.update_id)
            is_running = partial(_is_running, application)
            self.delivery = Delivery(self.bot, state, update.update_id, again, is_running)
            user = update.effective_user
            self.texts = wording(user.language_code if user else None)
            if user and user.language_code and user.id in state.settings.admins:
                state.admin_texts[user.id] = self.texts
        return self


@dataclass(slots=True)
class _QueuedStage:
    """A stage of an update that a job queue gave to this process.

    In the first stage, background handlers are `deferred`: their kind of answer. Another process
    may handle the update meanwhile.
    """

    is_first: bool
    deferred: AnswerKind | None = None
    is_superseded: bool = False


class DurableApplication(Application[Bot, Context, Facts, Facts, Facts, Any]):
    """Handles each chat's updates in order, and tells the inbox when all handlers have ended.

    An update starts when the blocking handlers of the previous update have ended. Groups do not
    wait for each other. An update that can concern several chats, such as a group's migration, a
    poll answer or a private message, starts after all earlier updates and before all later ones.
    Of each person, only one private message or poll answer at a time is scheduled that way; the
    person's next ones wait, so that a flood of them does not delay the groups.

    An update that a kill or a stop interrupts is handled again when the bot restarts; one that
    could not be stored is held, and handled again when there is free space.

    With a job queue, updates come to `handle_queued` instead, the queue keeps their order, and
    another process handles those that are interrupted.
    """

    def __init__(self, **parts: Any) -> None:  # noqa: ANN401  the library's builder fills them in
        super().__init__(**parts)
        self.inbox: Inbox | None = None
        self.jobs = Supervisor()
        self.select_stored: Callable[[Update], Received | None] = lambda _: None
        self._tasks: defaultdict[int, list[asyncio.Task[Any]]] = defaultdict(list)
        self._unfinished: set[asyncio.Task[Any]] = set()
        self._held: set[int] = set()
        self._ending: set[int] = set()  # whose handlers still run, such as a held one's notice
        # the newest update that is starting, by group
        self._newest: dict[int, asyncio.Task[None]] = {}
        self._barrier: asyncio.Task[None] | None = None  # the newest that concerns several chats
        self._behind: dict[int, deque[Update]] = {}  # updates that wait for the person's first one
        self._starting: set[asyncio.Task[None]] = set()
        self._handling: set[asyncio.Task[Any]] = set()
        self._requeued: set[int] = set()
        self._stages: dict[int, _QueuedStage] = {}  # by update
        self.has_job_queue = False
        self.updates = Counter[str]()  # that were started, by kind
        self.needed_tasks: list[asyncio.Task[Any]] = []  # the bot ends if one of them ends
        self.on_shutdown: list[Callable[[], Awaitable[object]]] = []
        self._turn = asyncio.Lock()
        self._stopped_at: float | None = None

    @property
    def is_stopping(self) -> bool:
        """Whether the bot starts no further updates."""
        return self._stopped_at is not None

    async def process_update(self, update: object) -> None:
        """Schedule an update after the earlier updates of its chat; return at once.

        Ignores updates without content: an earlier process handled them. With a job queue,
        `handle_queued` handles them.
        """
        if self.inbox is None or self.has_job_queue:
            return
        if not isinstance(update, Update) or is_empty(update):
            return
        if sender_id := find_private_sender(update):
            if sender_id in self._behind:
                self._behind[sender_id].append(update)
                return
            self._behind[sender_id] = deque()
        self._schedule(self.inbox, update, sender_id)

    async def handle_queued(self, update: Update, *, is_first_stage: bool) -> AnswerKind | None:
        """Handle a stage of an update to its end.

        In the first stage its background handlers do not run; returns the kind of their answer if
        it has some.

        Raises:
            StoppingError: The bot is being stopped: it must be handled again.
            StoreError: It could not be stored: it must be handled again.
        """
        number = update.update_id
        if self.inbox is None or self.is_stopping:
            await asyncio.sleep(PAUSE_SECONDS)  # the job is available again at once
            raise StoppingError("the bot is being stopped: the update is handled by another one")
        if number in self._stages:  # this process was silent for too long and got its own job back
            raise StoreError(f"update {number} is being handled: its job is tried again")
        stage = self._stages[number] = _QueuedStage(is_first_stage)
        try:
            end = await self._handle(self.inbox, update)
            is_closed = end is None or await end
            if stage.is_superseded:
                return None
            if number in self._held:
                raise StoreError(f"update {number} cannot be stored: it is handled again")
            if not is_closed:
                raise StoppingError("the bot is being stopped: the update is handled again")
            return stage.deferred
        finally:
            del self._stages[number]
            self._held.discard(number)
            self.inbox.leave(number)

    def is_answering(self, update: Update) -> bool:
        """Whether an update has passed the access check, and its background handlers run now."""
        stage = self._stages.get(update.update_id)
        return stage is not None and not stage.is_first

    def run_in_background(
        self, update: Update, start: Callable[[], Coroutine[Any, Any, None]], kind: AnswerKind
    ) -> None:
        """Start a background handler of an update, or remember that it must run later."""
        stage = self._stages.get(update.update_id)
        if stage is None or not stage.is_first:
            self.create_task(start(), update)
        elif stage.deferred in {None, "answer"}:
            stage.deferred = kind

    def _schedule(self, inbox: Inbox, update: Update, sender_id: int | None) -> None:
        group_id = find_only_group(update)
        if group_id is None:
            before = set(self._starting)
        else:
            before = {task for task in (self._newest.get(group_id), self._barrier) if task}
        task = asyncio.create_task(self._start(inbox, update, before))
        if group_id is None:
            self._barrier = task
        else:
            self._newest[group_id] = task
        self._starting.add(task)
        task.add_done_callback(partial(self._on_started, inbox, group_id, sender_id))

    async def _start(self, inbox: Inbox, update: Update, before: set[asyncio.Task[None]]) -> None:
        """Start an update after `before`; while a repeated update starts, no other one starts."""
        if before:
            await asyncio.wait(before)
        async with self._turn:
            if update.update_id in self._requeued:
                self._requeued.discard(update.update_id)
                if self._handling:
                    await asyncio.wait(set(self._handling))
                await self._handle(inbox, update)
                return
            handling = asyncio.create_task(self._handle(inbox, update))
            self._handling.add(handling)
            handling.add_done_callback(self._handling.discard)
        await handling

    def _on_started(
        self, inbox: Inbox, group_id: int | None, sender_id: int | None, task: asyncio.Task[None]
    ) -> None:
        self._starting.discard(task)
        if self._barrier is task:
            self._barrier = None
        if group_id is not None and self._newest.get(group_id) is task:
            del self._newest[group_id]
        if not task.cancelled() and (error := task.exception()):
            logger.error("an update could not be started", exc_info=error)
        if sender_id is None:
            return
        behind = self._behind[sender_id]
        if behind and not self.is_stopping:
            self._schedule(inbox, behind.popleft(), sender_id)
        else:
            del self._behind[sender_id]

    async def _handle(self, inbox: Inbox, update: Update) -> "asyncio.Task[bool] | None":
        """Store the message in an update, start its handlers and wait for those that block.

        Returns the task in which the update ends, None if it is not handled. While the bot is
        stopping it starts no update; the update is handled after the restart.
        """
        number = update.update_id
        if self.is_stopping or not await self._begin(inbox, update):
            return None
        if not self.is_answering(update):
            self.updates[next(kind for kind in Update.ALL_TYPES if getattr(update, kind))] += 1
        attempt = Attempt(inbox, number) if inbox.was_begun_before(number) else None
        token = CURRENT_ATTEMPT.set(attempt)
        try:
            dispatch = self._track(asyncio.create_task(self._dispatch(update, attempt)))
        finally:
            CURRENT_ATTEMPT.reset(token)
        self._tasks[number].append(dispatch)
        await asyncio.wait({dispatch})
        if not dispatch.cancelled() and (error := dispatch.exception()):
            logger.error("update %d", number, exc_info=error)
        end = super().create_task(self._end(inbox, number))
        if attempt is not None:
            waiter = asyncio.create_task(attempt.has_waited.wait())
            await asyncio.wait(
                {end, waiter}, timeout=MAX_ALONE_SECONDS, return_when="FIRST_COMPLETED"
            )
            waiter.cancel()
        return end

    async def _dispatch(self, update: Update, attempt: Attempt | None) -> None:
        """Call the handlers of an update, after the end of what an earlier attempt left."""
        number = update.update_id
        if attempt is not None:
            try:
                await Delivery(self.bot, self.bot_data["state"], number).resume()
            except SupersededError as error:
                await self.process_error(update, error)
                return
            except StoreError:
                logger.exception("update %d cannot be resumed: it is held", number)
                self._held.add(number)
                return
        await super().process_update(update)

    async def stop(self) -> None:
        """Stop handling updates and end the background jobs; open updates wait for the restart."""
        others = (stop() for stop in self.on_shutdown)
        await asyncio.gather(self._stop_handling(), self.jobs.close(), *others)

    async def _stop_handling(self) -> None:
        """Start no further update; cancel handlers that do not finish within `GRACE_SECONDS`."""
        since = self.begin_to_stop()
        if self._unfinished:
            left = since + GRACE_SECONDS - asyncio.get_running_loop().time()
            await asyncio.wait(self._unfinished, timeout=max(0, left))
        await self._cancel_unfinished()
        while self._starting:
            for task in self._starting:
                task.cancel()
            await asyncio.wait(self._starting, timeout=CANCEL_SECONDS)
        await self._cancel_unfinished()
        await super().stop()
        if self.inbox is not None:
            with suppress(StoreError):
                await self.inbox.clear_working()

    async def _cancel_unfinished(self) -> None:
        while self._unfinished:
            for task in self._unfinished:
                task.cancel()
            await asyncio.wait(self._unfinished, timeout=CANCEL_SECONDS)

    def begin_to_stop(self) -> float:
        """Start no further update; return when this was first called, by the loop's clock."""
        if self._stopped_at is None:
            self._stopped_at = asyncio.get_running_loop().time()
        return self._stopped_at

    def _track(self, task: asyncio.Task[Any]) -> asyncio.Task[Any]:
        self._unfinished.add(task)
        task.add_done_callback(self._unfinished.discard)
        return task

    def create_task(
        self,
        coroutine: Any,  # noqa: ANN401  its type is private to the library
        update: object | None = None,
        *,
        name: str | None = None,
    ) -> asyncio.Task[Any]:
        """Start a task; its update stays open until the task has ended."""
        task = super().create_task(coroutine, update, name=name)
        if isinstance(update, Update):
            self._tasks[update.update_id].append(self._track(task))
        return task

    async def process_error(
        self,
        update: object | None,
        error: Exception,
        job: Any = None,  # noqa: ANN401  the bot uses no library jobs
        coroutine: Any = None,  # noqa: ANN401  its type is private to the library
    ) -> bool:
        """Report an error; hold the update if it could not be stored or must wait for the restart.

        The report does not delay other updates.
        """
        if not isinstance(update, Update):
            return await super().process_error(update, error, job, coroutine)
        if isinstance(error, SupersededError):
            if stage := self._stages.get(update.update_id):
                stage.is_superseded = True
            return True
        if isinstance(error, StoreError | StoppingError):
            self._held.add(update.update_id)
        if isinstance(error, StoppingError):
            return True
        if coroutine is not None:
            return await super().process_error(update, error, job, coroutine)
        self.create_task(super().process_error(update, error), update)
        return True

    async def replay(self, parse: Callable[[dict[str, Any]], Update | None]) -> int:
        """Queue the updates that were still open when the bot last ended; return their number.

        Updates that crashed the bot repeatedly are set aside.
        """
        if self.inbox is not None:
            for number in await self.inbox.count_crashes():
                logger.error("update %d crashed the bot repeatedly: it is set aside", number)
        return await self._requeue(parse, lambda _: True)

    async def release(self, parse: Callable[[dict[str, Any]], Update | None]) -> int:
        """Queue the held updates again, in case there is free space now; return their number."""
        held = frozenset(self._held - self._ending)
        if not held or self.is_stopping:
            return 0
        try:
            count = await self._requeue(parse, held.__contains__)
        except StoreError:
            return 0
        self._held -= held
        return count

    async def _requeue(
        self, parse: Callable[[dict[str, Any]], Update | None], wanted: Callable[[int], bool]
    ) -> int:
        kept = await self.inbox.waiting() if self.inbox else []
        chosen = [body for body in kept if wanted(body["update_id"])]
        for body in chosen:
            if update := parse(body):
                self._requeued.add(update.update_id)
                await self.update_queue.put(update)
            elif self.inbox:
                await self.inbox.set_aside(body["update_id"])
        return len(chosen)

    async def _begin(self, inbox: Inbox, update: Update) -> bool:
        """Record that an update starts, and store its message; return whether to handle it.

        If a message cannot be stored, for example because it has half a surrogate pair, this is
        reported like an error in a handler.
        """
        number, stages_before = update.update_id, int(self.is_answering(update))
        try:
            try:
                return await inbox.begin(number, self.select_stored(update), stages_before)
            except StoreError:
                raise
            except Exception as error:  # noqa: BLE001  it must not end the update fetcher
                if await inbox.begin(number, stages_before=stages_before):
                    await self.process_error(update, error)
                    super().create_task(self._end(inbox, number))
                return False
        except StoreError:
            logger.exception("update %d cannot be stored: it is held", number)
            self._held.add(number)
            return False

    async def _end(self, inbox: Inbox, number: int) -> bool:
        """Close an update once its tasks have ended; return whether it was closed or deferred.

        One that was cancelled or held stays open.
        """
        has_ended = True
        self._ending.add(number)
        while tasks := self._tasks.pop(number, None):
            results = await asyncio.gather(*tasks, return_exceptions=True)
            has_ended &= not any(isinstance(result, asyncio.CancelledError) for result in results)
        self._ending.discard(number)
        if number in self._held or not has_ended:
            return False
        stage = self._stages.get(number)
        if stage and stage.deferred:
            return True
        try:
            await inbox.end(number)
        except SupersededError:
            if stage:
                stage.is_superseded = True
            return False
        except StoreError:
            logger.exception("update %d cannot be closed: it is held", number)
            self._held.add(number)
            return False
        return True


def is_empty(update: Update) -> bool:
    """Whether an update has no content, see `bot.transport.polling`."""
    return all(getattr(update, kind) is None for kind in Update.ALL_TYPES)


def find_only_group(update: Update) -> int | None:
    """Return the id of the only chat that an update can concern, if it is a group."""
    message = update.message or update.edited_message
    found = message or update.callback_query or update.message_reaction
    chat = update.effective_chat
    if found is None or chat is None or chat.type not in {Chat.GROUP, Chat.SUPERGROUP}:
        return None
    is_move = message and (message.migrate_to_chat_id or message.migrate_from_chat_id)
    return None if is_move else chat.id


def find_private_sender(update: Update) -> int | None:
    """Return the id of the person who sent a private message or answered a poll, or None."""
    if update.poll_answer:
        return update.poll_answer.user.id if update.poll_answer.user else None
    message = update.message or update.edited_message
    return message.chat.id if message and message.chat.type == Chat.PRIVATE else None


def _is_running(application: Application[Any, Any, Any, Any, Any, Any]) -> bool:
    return not (isinstance(application, DurableApplication) and application.is_stopping)


Answer: TypeAlias = Callable[[Message, Context], Awaitable[str | None]]
"""Handles a new message; returns the text to answer it with, if any."""


def on_message(
    answer: Answer, *, is_blocking: bool = False
) -> Callable[[Update, Context], Coroutine[Any, Any, None]]:
    """Return a handler callback that calls `answer` and sends the text that it returns.

    With `is_blocking` the text is sent in a task of its own, so the next update does not wait for
    Telegram.
    """

    async def callback(update: Update, context: Context) -> None:
        if (message := update.message) and (text := await answer(message, context)):
            sending = context.delivery.send_text(place_of(message), text)
            if is_blocking:
                context.application.create_task(sending, update)
            else:
                await sending

    return callback


def in_background(
    callback: Callable[[Update, Context], Coroutine[Any, Any, None]],
    kind: AnswerKind = "answer",
    is_needed: Callable[[Update, Context], bool] = lambda *_: True,
) -> Callable[[Update, Context], Coroutine[Any, Any, None]]:
    """Return a handler callback that does not delay the next update.

    `is_needed` is a quick test; an update that fails it has nothing to run in the background.
    """

    async def start(update: Update, context: Context) -> None:
        application = context.application
        if not isinstance(application, DurableApplication):
            raise TypeError("only our own application can run a handler in the background")
        if is_needed(update, context):
            application.run_in_background(update, partial(callback, update, context), kind)

    return start


def admins_only(answer: Answer) -> Answer:
    """Return an `answer` that refuses everyone but the bot's admins."""

    async def answer_admin(message: Message, context: Context) -> str | None:
        if person_id(message.from_user) not in context.state.settings.admins:
            return context.texts.admins_only
        return await answer(message, context)

    return answer_admin
