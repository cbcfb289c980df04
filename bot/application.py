"""A python-telegram-bot application with a durable inbox, and the context of its handlers."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

from telegram import Message, Update
from telegram.ext import Application, CallbackContext

from bot.errors import StoppingError, StoreError, SupersededError
from bot.services.delivery import Delivery
from bot.services.replies import TOO_MANY
from bot.services.state import BotState
from bot.store.inbox import CURRENT_WATCH, CrashWatch, Inbox, Received
from bot.store.update_queue import AnswerKind, Job, Stage
from bot.texts import EN, wording
from bot.texts.en import Wording
from bot.transport.incoming import person_id, place_of
from bot.transport.polling import Client

MAX_ALONE_SECONDS = 2.0
"""Seconds for which a repeated update may keep other repeated ones from starting."""
GRACE_SECONDS = 3.0
"""Seconds that handlers have to finish when the bot stops; then they are cancelled."""
CANCEL_SECONDS = 0.5  # then a handler that has not ended is cancelled again

logger = logging.getLogger(__name__)

Facts: TypeAlias = dict[Any, Any]


class Context(CallbackContext[Client, Facts, Facts, Facts]):
    """python-telegram-bot's context, with the bot's state and the sender's texts.

    `delivery` sends the answers to the update, `stage` is the one that is being handled.
    """

    app: "DurableApplication"
    state: BotState
    delivery: Delivery
    stage: Stage = "receive"
    texts: Wording = EN

    @classmethod
    def from_update(
        cls, update: object, application: Application[Any, Any, Any, Any, Any, Any]
    ) -> Self:
        """Return the context of an update; remember the language of an admin who sent it."""
        self = super().from_update(update, application)
        if not isinstance(application, DurableApplication):
            raise TypeError("only our own application has this context")
        state, self.app = application.state, application
        self.state = state
        if isinstance(update, Update):
            self.stage = application.stage_of(update)
            again = state.store.inbox.was_begun_before(update.update_id)
            self.delivery = Delivery(
                self.bot, state, update.update_id, again, lambda: not application.is_stopping
            )
            user = update.effective_user
            self.texts = wording(user.language_code if user else None)
            if user and user.language_code and user.id in state.settings.admins:
                state.admin_texts[user.id] = self.texts
        return self


@dataclass(slots=True)
class _Handling:
    """A stage of an update that is being handled.

    `answer`: the kind of the second stage that it asks for. `error`: why it must be handled again;
    set by `process_error`, because the library swallows a handler's exception.
    """

    job: Job
    task: asyncio.Task[None] | None = None
    update: Update | None = None
    answer: AnswerKind | None = None
    error: StoreError | StoppingError | None = None


class DurableApplication(Application[Client, Context, Facts, Facts, Facts, Any]):
    """Handles the jobs of the queue of updates, and tells the inbox which updates have ended.

    The queue decides when (`bot.store.update_queue`): in a chat, second stages of the same
    kind run one after another, those of different kinds at the same time. A job that a kill or a
    stop interrupts is handled again after the restart; with PostgreSQL, another process may handle
    it.
    """

    def __init__(self, **parts: Any) -> None:  # noqa: ANN401  the library's builder fills them in
        super().__init__(**parts)
        self.select_stored: Callable[[Update], Received | None] = lambda _: None
        self.updates = Counter[str]()  # that were started, by kind
        self.needed_tasks: list[asyncio.Task[Any]] = []  # the bot ends if one of them ends
        self._handling: dict[int, _Handling] = {}  # by update
        self._repeating = asyncio.Lock()
        self._stopped_at: float | None = None

    @property
    def state(self) -> BotState:
        """Return what the handlers share."""
        state: BotState = self.bot_data["state"]
        return state

    @property
    def inbox(self) -> Inbox:
        """Return the updates in the database."""
        return self.state.store.inbox

    @property
    def is_stopping(self) -> bool:
        """Whether the bot starts no further updates."""
        return self._stopped_at is not None

    async def process_update(self, update: object) -> None:
        """Do nothing: the library passes each update here, but the queue handles it."""

    async def handle(self, job: Job) -> None:
        """Handle a stage of an update to its end, and add the second stage if it has one.

        Raises:
            StoppingError: The bot is stopping: the update must be handled again.
            StoreError: Something could not be stored, or this process is already handling the
                update: it must be handled again.
        """
        number = job.update_id
        if self.is_stopping:
            raise StoppingError("the bot is stopping: the update will be handled after the restart")
        # this process was silent for too long and got its own job back
        if number in self._handling:
            raise StoreError(f"update {number} is already being handled: its job will be retried")
        handling = self._handling[number] = _Handling(job)
        try:
            handling.task = asyncio.create_task(self._handle(handling))
            await asyncio.wait({handling.task})
            handling.task.result()
        except (asyncio.CancelledError, StoppingError) as error:
            await self._note_interruption(number)
            if handling.task is None or not handling.task.done():
                raise  # not by `stop`
            raise StoppingError("the bot is stopping: the update will be handled again") from error
        except SupersededError:
            return
        except StoreError:
            raise
        except Exception:
            logger.exception("update %d cannot be handled: it is set aside", number)
            await self.inbox.set_aside(number)
            return
        finally:
            del self._handling[number]
            self.inbox.leave(number)
        if handling.answer is not None and handling.update is not None:
            chat, user = handling.update.effective_chat, handling.update.effective_user
            chat_id, user_id = chat.id if chat else 0, user.id if user else 0
            await self.state.queue.add_answer(number, chat_id, user_id, handling.answer)

    async def _handle(self, handling: _Handling) -> None:
        """Store the message in an update, call its handlers, and close it if it has ended."""
        inbox, number = self.inbox, handling.job.update_id
        await self.state.is_current.wait()
        update = handling.update = await self._read(number)
        if update is None or not await self._begin(handling.job, update):
            return
        if handling.job.stage == "receive":
            self.updates[next(kind for kind in Update.ALL_TYPES if getattr(update, kind))] += 1
        TOO_MANY.set(handling.job.stage == "busy")
        if inbox.was_begun_before(number):
            await self._handle_again(update)
        else:
            await super().process_update(update)
        if handling.error is not None:
            raise handling.error
        if handling.answer is None:
            await self.state.queue.close(number)

    async def _handle_again(self, update: Update) -> None:
        """Handle an update that an earlier attempt did not finish.

        Only one starts at a time, so a crash can be blamed on the one that is running.
        """
        attempt = CrashWatch(self.inbox, update.update_id)
        CURRENT_WATCH.set(attempt)
        async with self._repeating:
            await attempt.mark(working=True)
            delivery = Delivery(self.bot, self.state, update.update_id)
            await delivery.resume()
            calling = asyncio.create_task(super().process_update(update))
            waiting = asyncio.create_task(attempt.has_waited.wait())
            try:
                await asyncio.wait(
                    {calling, waiting}, timeout=MAX_ALONE_SECONDS, return_when="FIRST_COMPLETED"
                )
            except asyncio.CancelledError:
                calling.cancel()
                await asyncio.wait({calling})
                raise
            finally:
                waiting.cancel()
        await calling

    async def _read(self, number: int) -> Update | None:
        """Return a waiting update; one that cannot be read or has no content is set aside."""
        found = await self.inbox.find(number, lambda body: (self.bot.parse_update(body),))
        if found is None:
            return None
        [update] = found
        if update is None or is_empty(update):
            await self.inbox.set_aside(number)
            return None
        chat = update.effective_chat
        if chat and chat.id < 0 and not self.state.may_speak_in(chat.id):
            await self.state.reload_group(chat.id)
        return update

    async def _begin(self, job: Job, update: Update) -> bool:
        """Record that a stage starts, and store the update's message; return whether to continue.

        If a message cannot be stored, for example because it has half a surrogate pair, this is
        reported like an error in a handler.
        """
        if job.stage != "receive":
            return await self.inbox.begin(job.update_id, stages_before=1)
        try:
            received = self.select_stored(update)
            has_begun = await self.inbox.begin(job.update_id, received)
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001  reported as a handler's
            if await self.inbox.begin(job.update_id):
                await self.process_error(update, error)
                await self.state.queue.close(job.update_id)
            return False
        if has_begun and received and received.names:
            await self.state.load_names()
        return has_begun

    async def _note_interruption(self, number: int) -> None:
        """Record that an interrupted update was not working: its end is not a crash."""
        if self.inbox.was_begun_before(number):
            with suppress(StoreError):
                await self.inbox.mark(number, working=False)

    def stage_of(self, update: Update) -> Stage:
        """Return the stage of an update that is being handled."""
        handling = self._handling.get(update.update_id)
        return handling.job.stage if handling else "receive"

    def answer_later(self, update: Update, kind: AnswerKind) -> None:
        """Let an update that is in its first stage have a second one."""
        handling = self._handling.get(update.update_id)
        if handling is not None and handling.answer in {None, "answer"}:
            handling.answer = kind

    async def process_error(
        self,
        update: object | None,
        error: Exception,
        job: Any = None,  # noqa: ANN401  the bot uses no library jobs
        coroutine: Any = None,  # noqa: ANN401  its type is private to the library
    ) -> bool:
        """Report an error; the stage is handled again if something could not be stored.

        Returns True for an update: no other handlers see it.
        """
        if not isinstance(update, Update):
            return await super().process_error(update, error, job, coroutine)
        handling = self._handling.get(update.update_id)
        if handling is not None and isinstance(error, StoreError | StoppingError):
            handling.error = error
        if not isinstance(error, StoppingError | SupersededError):
            await super().process_error(update, error, job, coroutine)
        return True

    async def start(self) -> None:
        """Begin to handle updates, first those that an earlier process left."""
        await super().start()
        await self.state.queue.start(self.handle)

    async def stop(self) -> None:
        """Stop handling updates and end the background jobs; open updates wait for the restart."""
        await asyncio.gather(
            self._stop_handling(), self.state.queue.stop(), self.state.jobs.close()
        )
        await super().stop()

    async def _stop_handling(self) -> None:
        """Start no further update; cancel handlers that do not finish within `GRACE_SECONDS`."""
        left = self.begin_to_stop() + GRACE_SECONDS - asyncio.get_running_loop().time()
        if tasks := self._tasks():
            await asyncio.wait(tasks, timeout=max(0, left))
        while tasks := self._tasks():
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=CANCEL_SECONDS)

    def _tasks(self) -> list[asyncio.Task[None]]:
        tasks = [handling.task for handling in self._handling.values() if handling.task]
        return [task for task in tasks if not task.done()]

    def begin_to_stop(self) -> float:
        """Start no further update; return when this was first called, by the loop's clock."""
        if self._stopped_at is None:
            self._stopped_at = asyncio.get_running_loop().time()
        return self._stopped_at


def is_empty(update: Update) -> bool:
    """Whether an update has no content, see `bot.transport.polling`."""
    return all(getattr(update, kind) is None for kind in Update.ALL_TYPES)


Answer: TypeAlias = Callable[[Message, Context], Awaitable[str | None]]
"""Handles a new message; returns the text to answer it with, if any."""


def on_message(answer: Answer) -> Callable[[Update, Context], Coroutine[Any, Any, None]]:
    """Return a handler callback that calls `answer` and sends the text that it returns."""

    async def callback(update: Update, context: Context) -> None:
        if (message := update.message) and (text := await answer(message, context)):
            await context.delivery.send_text(place_of(message), text)

    return callback


def in_second_stage(
    callback: Callable[[Update, Context], Coroutine[Any, Any, None]],
    kind: AnswerKind = "answer",
    is_needed: Callable[[Update, Context], bool] = lambda *_: True,
    first: Callable[[Message, Context], Awaitable[None]] | None = None,
) -> Callable[[Update, Context], Coroutine[Any, Any, None]]:
    """Return a handler callback that does not delay the next update of the chat.

    `is_needed` is a quick test; an update that fails it is not answered. `first` is called in the
    first stage.
    """

    async def handle(update: Update, context: Context) -> None:
        if not is_needed(update, context):
            return
        if context.stage == "receive":
            if first and update.message:
                await first(update.message, context)
            context.app.answer_later(update, kind)
        else:
            await callback(update, context)

    return handle


def admins_only(answer: Answer) -> Answer:
    """Return an `answer` that refuses everyone but the bot's admins."""

    async def answer_admin(message: Message, context: Context) -> str | None:
        if person_id(message.from_user) not in context.state.settings.admins:
            return context.texts.admins_only
        return await answer(message, context)

    return answer_admin
