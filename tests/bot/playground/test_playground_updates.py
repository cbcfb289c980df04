"""Which updates the bot gets, in what order, and until when."""

import asyncio

import pytest
from telegram.error import Conflict


async def texts(bot, **options):
    """The texts of the messages that wait for the bot."""
    return [update.message.text for update in await bot.get_updates(timeout=0, **options)]


async def test_a_private_message_arrives_with_its_author_and_chat(telegram, bot, private, hugo):
    await telegram.say(private, hugo, "hi")

    [update] = await bot.get_updates(timeout=0)

    assert update.message.text == "hi"
    assert update.message.from_user.full_name == "Hugo Silva"
    assert (update.message.chat.id, update.message.chat.type) == (7, "private")


async def test_an_update_comes_again_until_a_later_offset_acknowledges_it(
    telegram, bot, private, hugo
):
    for text in ("one", "two", "three"):
        await telegram.say(private, hugo, text)
    first, *_ = await bot.get_updates(timeout=0)

    again = await texts(bot)
    after = await texts(bot, offset=first.update_id + 1)
    forgotten = await texts(bot)

    assert again == ["one", "two", "three"]
    assert after == forgotten == ["two", "three"]


async def test_a_negative_offset_keeps_only_the_last_updates(telegram, bot, private, hugo):
    for text in ("one", "two", "three"):
        await telegram.say(private, hugo, text)

    last = await texts(bot, offset=-1)
    kept = await texts(bot)

    assert last == kept == ["three"]


async def test_a_limit_bounds_what_one_poll_returns(telegram, bot, private, hugo):
    for text in ("one", "two", "three"):
        await telegram.say(private, hugo, text)

    returned = await texts(bot, limit=2)

    assert returned == ["one", "two"]


async def test_a_long_poll_returns_as_soon_as_somebody_speaks(telegram, bot, private, hugo):
    poll = asyncio.create_task(bot.get_updates(timeout=10))
    await asyncio.sleep(0.05)

    await telegram.say(private, hugo, "at last")
    [update] = await asyncio.wait_for(poll, 1)

    assert update.message.text == "at last"


async def test_a_long_poll_in_silence_ends_empty_after_its_timeout(telegram, bot):
    updates = await bot.get_updates(timeout=1)

    assert updates == ()


async def test_a_second_poller_ends_the_first_with_a_conflict(
    telegram, bot, other_bot, private, hugo
):
    first = asyncio.create_task(bot.get_updates(timeout=10))
    await asyncio.sleep(0.05)
    second = asyncio.create_task(other_bot.get_updates(timeout=10))

    with pytest.raises(Conflict, match="terminated by other getUpdates request"):
        await asyncio.wait_for(first, 1)
    await telegram.say(private, hugo, "who gets it?")
    [update] = await asyncio.wait_for(second, 1)

    assert update.message.text == "who gets it?"


async def test_what_a_poller_missed_by_hanging_up_the_next_one_gets(
    telegram, bot, other_bot, private, hugo
):
    poll = asyncio.create_task(bot.get_updates(timeout=10))
    await asyncio.sleep(0.05)
    poll.cancel()
    await asyncio.gather(poll, return_exceptions=True)

    await telegram.say(private, hugo, "are you there?")

    assert await texts(other_bot) == ["are you there?"]


async def test_kinds_that_were_not_asked_for_do_not_arrive(telegram, bot, private, hugo):
    await bot.get_updates(timeout=0, allowed_updates=["edited_message"])
    message = await telegram.say(private, hugo, "tpyo")

    await telegram.edit(message, "typo")
    [update] = await bot.get_updates(timeout=0)

    assert update.message is None
    assert update.edited_message.text == "typo"


async def test_the_kinds_asked_for_are_remembered_until_an_empty_list(telegram, bot, private, hugo):
    await bot.get_updates(timeout=0, allowed_updates=["callback_query"])
    await bot.get_updates(timeout=0)
    await telegram.say(private, hugo, "unheard")

    await bot.get_updates(timeout=0, allowed_updates=[])
    await telegram.say(private, hugo, "heard")

    assert await texts(bot) == ["heard"]


async def test_a_status_of_others_arrives_only_when_asked_for(telegram, bot, friends, hugo):
    await telegram.set_status(friends, telegram.me, "administrator", by=hugo)
    await telegram.set_status(friends, hugo, "left")
    by_default = await bot.get_updates(timeout=0)

    await bot.get_updates(timeout=0, allowed_updates=["chat_member"])
    await telegram.set_status(friends, hugo, "member")
    *_, asked = await bot.get_updates(timeout=0)

    assert [update.chat_member for update in by_default] == [None]
    assert by_default[0].my_chat_member.from_user.id == hugo.id
    assert by_default[0].my_chat_member.new_chat_member.status == "administrator"
    assert asked.chat_member.new_chat_member.user.id == hugo.id
