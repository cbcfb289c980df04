"""Updates on their way to a bot that runs: posted to its webhook, or polled by it."""

import asyncio
import json
from dataclasses import dataclass, field

import pytest
from telegram.error import BadRequest, Conflict
from telegram.ext import ApplicationBuilder, CommandHandler
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

SECRET = "s3cret-token"  # noqa: S105 - guards this test's webhook alone


async def eventually(true, seconds=3):
    """Wait until a condition holds."""
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110 - what it waits for has no event
            await asyncio.sleep(0.01)


@dataclass
class Hook:
    """A bot's webhook: where it is, how it will answer, what it took and with which secret."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    taken: list[tuple[str, str | None]] = field(default_factory=list)


class HookHandler(RequestHandler):
    def initialize(self, hook):
        self.hook = hook

    def post(self):
        status = self.hook.statuses.pop(0) if self.hook.statuses else 200
        self.set_status(status)
        if status == 200:
            secret = self.request.headers.get("X-Telegram-Bot-Api-Secret-Token")
            self.hook.taken.append((json.loads(self.request.body)["message"]["text"], secret))


@pytest.mark.over_http
class TestWebhooks:
    @pytest.fixture
    async def hook(self):
        hook = Hook()
        routes = [("/hook", HookHandler, {"hook": hook})]
        server = HTTPServer(Application(routes, log_function=lambda _: None))
        [socket] = bind_sockets(0, "127.0.0.1")
        server.add_sockets([socket])
        hook.url = f"http://127.0.0.1:{socket.getsockname()[1]}/hook"
        yield hook
        server.stop()
        await server.close_all_connections()

    async def test_updates_are_posted_in_order_with_the_secret(
        self, telegram, bot, private, hugo, hook
    ):
        await bot.set_webhook(hook.url, secret_token=SECRET)

        await telegram.say(private, hugo, "one")
        await telegram.say(private, hugo, "two")
        await eventually(lambda: len(hook.taken) == 2)

        assert hook.taken == [("one", SECRET), ("two", SECRET)]

    async def test_an_update_that_is_not_taken_is_posted_again(
        self, telegram, bot, private, hugo, hook
    ):
        hook.statuses = [500, 503]
        await bot.set_webhook(hook.url)

        await telegram.say(private, hugo, "one")
        await eventually(lambda: hook.taken)

        assert hook.taken == [("one", None)]

    async def test_a_webhook_that_is_down_is_seen_in_its_info(self, telegram, bot, private, hugo):
        await bot.set_webhook("http://127.0.0.1:9/hook", allowed_updates=["message"])

        await telegram.say(private, hugo, "one")
        await eventually(lambda: telegram.updates.last_error)
        info = await bot.get_webhook_info()

        assert info.url == "http://127.0.0.1:9/hook"
        assert info.pending_update_count == 1
        assert info.last_error_message
        assert info.allowed_updates == ("message",)

    async def test_a_poll_is_refused_while_a_webhook_is_set(self, bot, hook):
        await bot.set_webhook(hook.url)

        with pytest.raises(Conflict, match="webhook is active"):
            await bot.get_updates(timeout=0)

    async def test_setting_a_webhook_ends_a_poll(self, bot, other_bot, hook):
        poll = asyncio.create_task(bot.get_updates(timeout=10))
        await asyncio.sleep(0.05)

        await other_bot.set_webhook(hook.url)

        with pytest.raises(Conflict, match="terminated by setWebhook"):
            await asyncio.wait_for(poll, 1)

    @pytest.mark.parametrize(("drop", "left"), [(False, ["one"]), (True, [])])
    async def test_without_its_webhook_the_bot_polls_what_was_not_dropped(
        self, telegram, bot, private, drop, left
    ):
        await bot.set_webhook("http://127.0.0.1:9/hook")
        await telegram.say(private, private.person, "one")

        await bot.delete_webhook(drop_pending_updates=drop)
        updates = await bot.get_updates(timeout=0)

        assert [update.message.text for update in updates] == left

    @pytest.mark.parametrize(
        "wrong", [{"url": "ftp://x"}, {"url": "http://127.0.0.1:9", "secret_token": "a b"}]
    )
    async def test_a_webhook_that_telegram_would_not_take_is_refused(self, bot, wrong):
        with pytest.raises(BadRequest):
            await bot.set_webhook(**wrong)


class TestApplication:
    @pytest.fixture
    async def application(self, connect):
        async def greet(update, _):
            await update.message.reply_text(f"hello {update.message.from_user.first_name}")

        application = ApplicationBuilder().bot(connect()).build()
        application.add_handler(CommandHandler("start", greet))
        async with application:
            await application.updater.start_polling()
            await application.start()
            yield application
            await application.updater.stop()
            await application.stop()

    async def test_a_polling_application_answers_a_command(
        self, telegram, application, private, hugo
    ):
        await telegram.say(private, hugo, "/start")

        answer = await telegram.wait_for("sendMessage", chat_id=private.id)

        assert answer.params["text"] == "hello Hugo"

    async def test_it_answers_the_command_that_names_it_in_a_group(
        self, telegram, application, friends, hugo
    ):
        await telegram.say(friends, hugo, "/start@understudy_bot")

        answer = await telegram.wait_for("sendMessage", chat_id=friends.id)

        assert answer.result["chat"]["title"] == "Friends"

    async def test_it_acknowledges_what_it_took(self, telegram, application, private, hugo):
        await telegram.say(private, hugo, "/start")

        await telegram.wait_for("sendMessage")

        await eventually(lambda: not telegram.updates.pending)
