"""What of a group's talk reaches a bot in privacy mode, and what lifts it."""

import pytest

from bot.playground.telegram import Telegram


async def heard(bot):
    """The texts that reached the bot."""
    messages = [update.effective_message for update in await bot.get_updates(timeout=0)]
    return [message.text for message in messages if message]


@pytest.mark.parametrize(
    "text",
    ["good morning", "@understudy_bot come here", "/start", "/start@another_bot", "try /start"],
)
async def test_talk_that_is_not_for_the_bot_does_not_reach_it(telegram, bot, friends, hugo, text):
    await telegram.say(friends, hugo, text)

    assert await heard(bot) == []


@pytest.mark.parametrize("text", ["/start@understudy_bot", "/start@Understudy_Bot now"])
async def test_a_command_that_names_the_bot_reaches_it(telegram, bot, friends, hugo, text):
    await telegram.say(friends, hugo, text)

    assert await heard(bot) == [text]


async def test_a_plain_command_reaches_the_last_bot_that_spoke(telegram, bot, friends, hugo):
    await bot.send_message(friends.id, "hello")
    await telegram.say(friends, hugo, "and people talk on")

    await telegram.say(friends, hugo, "/start")

    assert await heard(bot) == ["/start"]


async def test_a_plain_command_misses_the_bot_once_another_bot_spoke(telegram, bot, friends, hugo):
    quizzer = telegram.user(99, "Quiz", username="quiz_bot", is_bot=True)
    await bot.send_message(friends.id, "hello")
    await telegram.say(friends, quizzer, "What is the capital of Peru?")

    await telegram.say(friends, hugo, "/start")

    assert await heard(bot) == []


async def test_a_reply_reaches_the_bot_only_if_it_answers_the_bot(telegram, bot, friends, hugo):
    of_a_friend = await telegram.say(friends, hugo, "who is in?")
    sent = await bot.send_message(friends.id, "hello")
    of_the_bot = telegram.message(friends, sent.message_id)

    await telegram.say(friends, hugo, "me", reply_to=of_a_friend)
    await telegram.say(friends, hugo, "hello yourself", reply_to=of_the_bot)
    [update] = await bot.get_updates(timeout=0)

    assert update.message.text == "hello yourself"
    assert update.message.reply_to_message.from_user.id == bot.id


async def test_an_edit_is_as_private_as_the_message(telegram, bot, friends, hugo):
    message = await telegram.say(friends, hugo, "tpyo")

    await telegram.edit(message, "typo")

    assert await heard(bot) == []


async def test_service_messages_reach_the_bot(telegram, bot, friends, hugo):
    await telegram.say(friends, hugo, None, new_chat_members=[hugo.json()])

    [update] = await bot.get_updates(timeout=0)

    assert [user.id for user in update.message.new_chat_members] == [hugo.id]


async def test_an_admin_bot_hears_all(telegram, bot, friends, hugo):
    await telegram.set_status(friends, telegram.me, "administrator")

    await telegram.say(friends, hugo, "good morning")

    assert "good morning" in await heard(bot)


async def test_an_admin_who_speaks_as_the_group_is_no_bot_to_the_bot(telegram, bot, friends):
    await telegram.set_status(friends, telegram.me, "administrator")

    await telegram.say(friends, None, "order!")
    *_, update = await bot.get_updates(timeout=0)

    assert update.message.text == "order!"
    assert update.message.sender_chat.id == update.message.chat.id


async def test_no_bot_hears_another_bot(telegram, bot, friends):
    await telegram.set_status(friends, telegram.me, "administrator")

    await telegram.say(friends, telegram.user(99, "Quiz", is_bot=True), "beep")

    assert "beep" not in await heard(bot)


async def test_a_bot_that_left_hears_nothing(telegram, bot, friends, hugo):
    await bot.leave_chat(friends.id)

    await telegram.say(friends, hugo, "/start@understudy_bot")

    assert await heard(bot) == []


class TestPrivacyOff:
    @pytest.fixture
    def telegram(self):
        return Telegram(can_read_all=True)

    async def test_the_bot_hears_all_and_get_me_says_so(self, telegram, bot, friends, hugo):
        await telegram.say(friends, hugo, "good morning")

        me = await bot.get_me()

        assert me.can_read_all_group_messages
        assert await heard(bot) == ["good morning"]
