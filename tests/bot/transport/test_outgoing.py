"""What the bot sends: how long, how fast, and what a stop does to it."""

import asyncio
import time

import pytest
from telegram.error import RetryAfter

from bot.transport.outgoing import MAX_RETRIES, UNCOUNTED, Limiter, truncate
from model.chat.eligibility import add_voice_header


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("short", "short"),
        ("a" * 5000, "a" * 4096),
        ("a" + "🎭" * 3000, "a" + "🎭" * 2047),
    ],
    ids=["short", "long", "not through a surrogate pair"],
)
def test_a_text_is_cut_to_one_message(text, kept):
    assert truncate(text) == kept


class TestLimiter:
    async def call(self, limiter, chat_id, endpoint="sendMessage", fails=()):
        errors = list(fails)

        async def callback():
            if errors:
                raise errors.pop()
            return True

        return await limiter.process_request(callback, (), {}, endpoint, {"chat_id": chat_id}, None)

    async def test_what_telegram_does_not_count_is_not_counted(self):
        limiter = Limiter()

        async with asyncio.timeout(1):
            for endpoint in sorted(UNCOUNTED):
                for _ in range(25):
                    await self.call(limiter, -1, endpoint)
            await self.call(limiter, -1)

    async def test_a_chat_that_must_wait_does_not_keep_others_waiting(self):
        limiter = Limiter()
        start = time.monotonic()

        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(self.call(limiter, -1, fails=[RetryAfter(1)]))
            await asyncio.sleep(0.05)
            await self.call(limiter, -2)
            other = time.monotonic() - start

        assert waiting.result() is True
        assert other < 0.5
        assert time.monotonic() - start >= 1

    async def test_many_messages_to_private_chats_do_not_delay_groups(self):
        limiter, order = Limiter(), []

        async def send(chat_id):
            await self.call(limiter, chat_id)
            order.append(chat_id)

        private = [asyncio.create_task(send(1 + number)) for number in range(100)]
        await asyncio.sleep(0)
        await send(-1)
        for task in private:
            task.cancel()

        assert order.index(-1) < 30

    async def test_a_chat_that_is_told_again_and_again_to_wait_gets_an_error(self):
        with pytest.raises(RetryAfter):
            await self.call(Limiter(), -1, fails=[RetryAfter(0)] * (MAX_RETRIES + 1))


async def test_a_stop_finishes_the_reply_in_progress(stage, group, joao):
    async with stage.running():
        stage.speaker.open.clear()
        await stage.telegram.say(group, joao, "/as João")
        await stage.telegram.wait_for("sendChatAction")

    assert stage.said() == [add_voice_header("João", "João number 1")]


async def test_a_stop_ends_a_simulation_after_its_turn(stage, group, joao):
    async with stage.running():
        stage.speaker.open.clear()
        await stage.telegram.say(group, joao, "/simulate 20")
        await stage.telegram.wait_for("sendChatAction")

    assert 1 <= len(stage.said()) <= 3


async def test_a_flood_wait_loses_no_message(live, group, joao):
    live.telegram.fail_next("sendMessage", 429, "Too Many Requests: retry after 1", retry_after=1)

    answer = await live.answer(group, joao, "/as João")

    assert answer["text"] == add_voice_header("João", "João number 1")


async def test_a_lost_answer_is_not_sent_again(live, group, joao):
    live.telegram.drop_next("sendMessage")

    await live.telegram.say(group, joao, "/as João")
    await live.telegram.wait_for("sendMessage")
    await live.answer(group, joao, "/help")

    assert live.said().count(add_voice_header("João", "João number 1")) == 1


async def test_a_sign_of_typing_that_fails_costs_no_reply(live, group, joao):
    live.telegram.fail_next("sendChatAction", 400, "Bad Request: no")

    answer = await live.answer(group, joao, "/as João")

    assert answer["text"].startswith("🎭 João")
