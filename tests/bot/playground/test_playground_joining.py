"""How the bot comes into a chat of the playground, and what it hears of it."""

import pytest
from telegram.error import BadRequest

from bot.playground.telegram import add_bot
from tests.simulated_telegram import move, remove_bot


async def test_who_adds_the_bot_is_named_to_it(telegram, bot, friends, hugo):
    telegram.world.can_read_all = True
    await add_bot(telegram, friends, hugo)

    change, service = await bot.get_updates(timeout=0)

    changed = change.my_chat_member
    assert changed.from_user.id == hugo.id
    assert (changed.old_chat_member.status, changed.new_chat_member.status) == ("left", "member")
    assert service.message.new_chat_members[0].id == telegram.me.id


async def test_a_bot_that_was_removed_hears_no_more(telegram, bot, friends, hugo):
    telegram.world.can_read_all = True
    await remove_bot(telegram, friends, hugo)
    await telegram.say(friends, hugo, "gone?")

    [update] = await bot.get_updates(timeout=0)

    assert update.my_chat_member.new_chat_member.status == "kicked"


async def test_who_is_restricted_is_in_the_chat_and_mute(telegram, bot, friends, hugo):
    await telegram.set_status(friends, telegram.me, "restricted", by=hugo)

    [update] = await bot.get_updates(timeout=0)
    with pytest.raises(BadRequest, match="[Nn]ot enough rights to send text"):
        await bot.send_message(friends.id, "may I?")

    restricted = update.my_chat_member.new_chat_member
    assert restricted.is_member
    assert not restricted.can_send_messages


async def test_a_move_is_told_in_the_order_that_a_test_wants(telegram, bot, hugo):
    old = telegram.chat(-77, title="Friends", kind="group")

    moved = await move(telegram, old, -10077, hugo, order="jno")
    joined, arriving, leaving = await bot.get_updates(timeout=0)

    assert joined.my_chat_member.chat.id == moved.id == arriving.message.chat.id == -10077
    assert arriving.message.migrate_from_chat_id == leaving.message.chat.id == -77
    assert joined.my_chat_member.from_user.id == hugo.id
