"""Build the bot from its settings and run it until it is stopped."""

import asyncio
import gc
import logging
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from telegram.error import (
    BadRequest,
    Conflict,
    InvalidToken,
    NetworkError,
    RetryAfter,
    TelegramError,
)
from telegram.ext import Application, ContextTypes
from telegram.request import BaseRequest

from bot.application import Context, DurableApplication
from bot.background import start_jobs
from bot.errors import BotNotRunning, SettingsError, StoppingError, TelegramUnreachable
from bot.handlers.record import trim_updates
from bot.handlers.routes import add_handlers
from bot.handlers.uploads import ExportUploads
from bot.monitoring import serve_monitoring
from bot.services.model_holder import ModelSet, OpenSpeaker
from bot.services.state import BotState
from bot.settings import Settings
from bot.store import Store
from bot.store.database import (
    is_postgres,
    lock_database,
    open_database,
    prepare_database,
    read_version,
)
from bot.store.heartbeat import heartbeat_file, notify_systemd
from bot.texts import EN
from bot.transport.outgoing import CountMessage, never_arrived, retry_seconds
from bot.transport.polling import ALLOWED_UPDATES, Client, find_polling_task, make_client
from bot.transport.webhook import keep_webhook, listening
from model.artifacts.registry import Registry
from model.errors import UnderstudyError

if TYPE_CHECKING:
    from bot.replica import Replica  # its packages are optional

T = TypeVar("T")

FIRST_WAIT, MAX_WAIT = 1.0, 30.0  # seconds before a call that failed at the start is retried
WEBHOOK_SECONDS = 300.0  # between checks that the webhook is still set
MODEL_CHECK_SECONDS = 5.0  # between checks for another version of the model
MAX_GET_ME_CALLS = 5  # at the start; only a few, so that an error is reported soon
_NO_UPDATES = "the bot no longer receives updates (see the log): restart it"

logger = logging.getLogger(__name__)

SWITCH_SECONDS = 0.001
"""Seconds after which a thread that reads messages yields to the event loop.

This is a fifth of Python's default.
"""


def tune_interpreter() -> None:
    """Shorten the pauses of the event loop that threads and full garbage collections cause.

    A full collection would visit the 138,000 objects of the imported modules, which takes 70 ms.
    Frozen objects are not visited.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.collect()
    gc.freeze()


def run(settings: Settings, app: DurableApplication) -> None:
    """Run the bot until SIGTERM or SIGINT; replies in progress are finished.

    Raises:
        TelegramUnreachable: The token is wrong or was revoked, or Telegram cannot be reached.
        StoreError: The database cannot be used, or another bot uses it.
        BotNotRunning: A task that the bot needs has ended.
    """
    tune_interpreter()
    with suppress(StoppingError):
        asyncio.run(_run(settings, app))


async def _run(settings: Settings, app: DurableApplication) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):  # on Windows only Ctrl-C works
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await run_until_stopped(settings, app, stop)


async def run_until_stopped(
    settings: Settings, app: DurableApplication, stop: asyncio.Event
) -> None:
    """Run the bot until `stop` is set; raise as `run` does, or StoppingError during startup."""
    try:
        await _call_until_answered("getMe", app.bot.initialize, stop, MAX_GET_ME_CALLS)
        await read_version(settings.database_url)  # report problems with its path first
        with lock_database(settings.database_url, app.bot.id):
            heartbeat_file(settings.database_url).unlink(missing_ok=True)  # of an earlier process
            async with (
                started(app),
                serve_monitoring(app, app.state),
                receiving(settings, app, stop),
            ):
                try:
                    await _wait_for_end(app, stop)
                finally:
                    app.begin_to_stop()
                    notify_systemd("STOPPING=1")
    except TelegramError as error:
        raise _unreachable(error) from error
    finally:
        await app.bot.shutdown()


@asynccontextmanager
async def started(app: DurableApplication) -> AsyncIterator[None]:
    """Handle updates while the block runs, no matter how they are received."""
    try:
        async with app:
            try:
                if app.post_init:
                    await app.post_init(app)
                await app.start()
                yield
            finally:
                if app.running:
                    await app.stop()
    finally:
        if app.post_shutdown:
            await app.post_shutdown(app)


@asynccontextmanager
async def receiving(
    settings: Settings, app: DurableApplication, stop: asyncio.Event
) -> AsyncIterator[None]:
    """Receive updates while the block runs: by webhook if one is set, else by polling.

    Of several processes only the leading one polls.
    """
    replica = app.bot_data.get("replica")
    handling = replica.running() if replica else nullcontext()
    if settings.webhook_url:
        async with (
            listening(settings, app.bot, app.state.health) as set_webhook,
            handling,
        ):
            await _call_until_answered("setWebhook", set_webhook, stop)
            check = partial(keep_webhook, app.bot, settings.webhook_url, set_webhook)
            app.state.jobs.repeat("webhook", check, WEBHOOK_SECONDS)
            yield
        return
    if replica:
        async with handling:
            yield
        return
    try:
        await _call_until_answered("deleteWebhook", partial(_start_polling, app), stop)
        yield
    finally:
        if app.updater and app.updater.running:
            with suppress(TelegramError):  # the reason why polling ended is known by now
                await app.updater.stop()


async def _start_polling(app: DurableApplication) -> object:
    if app.updater is None:
        raise TypeError("only a bot that has an updater can poll")
    return await app.updater.start_polling(
        allowed_updates=ALLOWED_UPDATES, error_callback=_log_poll_error
    )


async def _wait_for_end(app: DurableApplication, stop: asyncio.Event) -> None:
    """Wait until `stop` is set, or a task that the bot needs ends.

    The library does not report when such a task ends: the bot would run on without updates.

    Raises:
        TelegramError, UnderstudyError: The task's own error, such as a refused token.
        BotNotRunning: A task ended for another reason.
    """
    needed = set(app.needed_tasks)
    if not needed and app.updater and app.updater.running:  # else `bot.replica` watches polling
        polling = find_polling_task()
        if polling is None:  # it has ended already
            raise BotNotRunning(_NO_UPDATES)
        needed.add(polling)
    stopped = asyncio.create_task(stop.wait())
    try:
        done, _ = await asyncio.wait({stopped, *needed}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopped.cancel()
    if stopped in done:
        return
    task = done.pop()
    error = None if task.cancelled() else task.exception()
    if isinstance(error, TelegramError | UnderstudyError):
        raise error
    logger.error("the task %s ended", task.get_name(), exc_info=error)
    raise BotNotRunning(_NO_UPDATES)


async def _call_until_answered(
    method: str,
    call: Callable[[], Coroutine[Any, Any, T]],
    stop: asyncio.Event,
    times: int | None = None,
) -> T:
    """Call Telegram until it answers; raise at once if a retry cannot help.

    With `times`, give up after that many attempts, or at once if no connection is possible.

    Raises:
        StoppingError: `stop` was set while waiting.
        TelegramError: Telegram refuses, or gives no answer.
    """
    wait, tries = FIRST_WAIT, 1
    while True:
        try:
            return await _unless_stopped(call(), stop)
        except (NetworkError, RetryAfter) as error:
            gives_up = times is not None and (tries >= times or never_arrived(error))
            if isinstance(error, BadRequest) or gives_up:
                raise
            pause = retry_seconds(error) if isinstance(error, RetryAfter) else wait
            logger.warning("%s failed (%s): next try in %g s", method, type(error).__name__, pause)
        await _unless_stopped(asyncio.sleep(pause), stop)
        wait, tries = min(2 * wait, MAX_WAIT), tries + 1


async def _unless_stopped(work: Coroutine[Any, Any, T], stop: asyncio.Event) -> T:
    """Return the result of `work`; cancel it if `stop` is set first.

    Raises:
        StoppingError: `stop` was set.
    """
    task, stopped = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise StoppingError("the bot was stopped while it was starting")
    finally:
        for one in (task, stopped):
            one.cancel()
        await asyncio.gather(task, stopped, return_exceptions=True)


def _log_poll_error(error: TelegramError) -> None:
    """Log why requesting updates failed; the library retries."""
    if isinstance(error, Conflict):
        logger.error(
            "another process is polling with this token, or a webhook was set: stop it, or get a "
            "new token from @BotFather (/revoke); until then each receives only some of the updates"
        )
    else:
        logger.warning("requesting updates failed (%s): retrying", type(error).__name__)


def _unreachable(error: TelegramError) -> TelegramUnreachable:
    """Describe an error without the token, which the library's own text contains."""
    if isinstance(error, InvalidToken):
        return TelegramUnreachable(
            "Telegram does not know this BOT_TOKEN: copy it again from @BotFather into .env"
        )
    kind = "cannot be reached" if isinstance(error, NetworkError) else "refused the request"
    return TelegramUnreachable(
        f"Telegram {kind} ({type(error).__name__}): check the network and TELEGRAM_API_URL"
    )


def build(
    settings: Settings,
    models: Registry,
    open_speaker: OpenSpeaker,
    on_up: Callable[[str], object] = print,
    model_check_seconds: float = MODEL_CHECK_SECONDS,
    request: BaseRequest | None = None,
) -> DurableApplication:
    """Build the bot without starting it; `on_up` receives one line when the bot is up.

    `request` sends its requests to Telegram instead of the network.
    The database and the weights are opened only after Telegram has accepted the token.

    Raises:
        SettingsError: There is no token.
    """
    resources = AsyncExitStack()
    client = make_client(settings, _open_limits(settings, resources), request)

    async def set_up(app: DurableApplication) -> None:
        state = await _open_state(app, settings, models, open_speaker, resources)
        app.bot_data["state"] = state
        replica = _open_replica(app, client, state)
        if replica:
            app.bot_data["replica"] = replica
            await resources.enter_async_context(replica.prepared())
        client.set_inbox(state.store.inbox, partial(trim_updates, state, client.username))
        uploads = ExportUploads(settings)
        resources.push_async_callback(uploads.close)
        add_handlers(app, state, uploads)
        if uncertain := await state.store.outbox.settle():
            logger.info("%d replies uncertain", uncertain)
        leads = replica.leadership.is_leading if replica else asyncio.Event()
        if not replica:
            leads.set()
        start_jobs(app, state, resources, model_check_seconds, leads)
        on_up(_describe_start(client, state))

    async def tear_down(_: DurableApplication) -> None:
        await resources.aclose()

    return _build_application(client, set_up, tear_down)


def _open_limits(settings: Settings, resources: AsyncExitStack) -> CountMessage | None:
    """Return how several processes share Telegram's limits; None if there is only one."""
    if not is_postgres(settings.database_url):
        return None
    from bot.store.postgres.limits import SharedLimits
    from bot.store.postgres.server import PostgresDatabase

    engine = PostgresDatabase(settings.database_url).make_reader()
    resources.callback(engine.dispose)
    return SharedLimits(engine).take


def _open_replica(app: DurableApplication, client: Client, state: BotState) -> "Replica | None":
    """Return this process as one of several, None if the database cannot be shared.

    Raises:
        SettingsError: There is a webhook, and no secret that all processes know.
    """
    from bot.store.postgres.server import PostgresDatabase

    settings, backend = state.settings, state.store.database.backend
    if not isinstance(backend, PostgresDatabase):
        return None
    from bot.replica import Replica

    if settings.webhook_url and settings.webhook_secret is None:
        raise SettingsError(
            "WEBHOOK_SECRET is not set: with a PostgreSQL database several processes may receive "
            "updates, and all of them need the same secret"
        )
    start = partial(_start_polling, app)
    polling = partial(_call_until_answered, "deleteWebhook", start, asyncio.Event())
    return Replica(app, client, state, backend, None if settings.webhook_url else polling)


def _build_application(
    client: Client,
    set_up: Callable[[DurableApplication], Awaitable[None]],
    tear_down: Callable[[DurableApplication], Awaitable[None]],
) -> DurableApplication:
    app = (
        Application.builder()
        .application_class(DurableApplication)
        .bot(client)
        .context_types(ContextTypes(context=Context))
        .post_init(set_up)  # type: ignore[arg-type]  # the builder knows only the library's own
        .post_shutdown(tear_down)  # type: ignore[arg-type]  # likewise
        .build()
    )
    if not isinstance(app, DurableApplication):
        raise TypeError("the library did not build our application class")
    return app


async def _open_state(
    app: DurableApplication,
    settings: Settings,
    models: Registry,
    open_speaker: OpenSpeaker,
    resources: AsyncExitStack,
) -> BotState:
    await prepare_database(settings.database_url)
    database = await resources.enter_async_context(open_database(settings.database_url))
    store = Store.of(database)
    model_set = ModelSet(models, open_speaker, app.bot.id, settings.loaded_models)
    state = BotState(settings, model_set, store)
    resources.callback(state.replies.close)
    await state.open()
    return state


def _describe_start(client: Client, state: BotState) -> str:
    """Return the line that tells the terminal that the bot is up."""
    default = state.models.default
    voices = ", ".join(person.name for person in state.access_of(default).voices)
    speaks = f"speaking as {voices}" if voices else "with no voice that may be used (see CONSENT)"
    line = f"@{client.username} is up, model {default.current.version}, {speaks}."
    if own := len(state.models.usable) - 1:
        line += f" {own} {'group has its' if own == 1 else 'groups have their'} own model."
    return line if client.bot.can_read_all_group_messages else f"{line} {EN.privacy_mode_on}"
