"""Files that go up and come back, the bot's description, and a call that never comes."""

import pytest
from telegram.error import BadRequest

from bot.playground.telegram import Telegram


class TestFiles:
    async def test_a_persons_document_is_downloaded(self, telegram, bot, private, hugo):
        document = telegram.upload("result.json", b"{}")
        await telegram.say(private, hugo, None, document=document, caption="our chat")

        [update] = await bot.get_updates(timeout=0)
        file = await update.message.document.get_file()

        assert update.message.caption == "our chat"
        assert await file.download_as_bytearray() == b"{}"

    async def test_a_file_that_nobody_sent_is_refused(self, bot):
        with pytest.raises(BadRequest, match=r"(?i)invalid file_id"):
            await bot.get_file("nothing")


async def test_get_me_describes_the_bot(bot):
    me = await bot.get_me()

    assert (me.id, me.username, me.first_name) == (42, "understudy_bot", "Understudy")
    assert me.is_bot
    assert not me.can_read_all_group_messages


def test_the_token_and_the_name_are_the_makers_choice():
    me = Telegram("1234:ABC", username="voices_bot", first_name="Voices").me

    assert (me.id, me.username, me.first_name) == (1234, "voices_bot", "Voices")


async def test_waiting_for_a_call_that_never_comes_names_what_came(telegram, bot, friends):
    mark = len(telegram.calls)
    await bot.send_chat_action(friends.id, "typing")

    with pytest.raises(TimeoutError, match=r"no sendMessage .* were \['sendChatAction'\]"):
        await telegram.wait_for("sendMessage", since=mark, timeout=0.05)
