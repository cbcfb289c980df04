"""Pictures and reactions, and the changes that a listener hears of."""

import struct

import pytest
from telegram.error import BadRequest

# 30 by 20 pixels; only the beginnings, which hold the sizes
PNG = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 30, 20) + bytes(9)
JPEG = b"\xff\xd8\xff\xe0\x00\x04JF\xff\xc0" + struct.pack(">HBHH", 17, 8, 20, 30) + bytes(10)


@pytest.fixture
def heard(telegram):
    changes = []
    telegram.world.listeners.append(lambda kind, body: changes.append((kind, body)))
    return changes


class TestPictures:
    @pytest.mark.parametrize("picture", [PNG, JPEG], ids=["PNG", "JPEG"])
    async def test_a_picture_of_the_bot_has_its_own_size(self, bot, friends, picture):
        sent = await bot.send_photo(friends.id, picture, caption="who talks when")
        [size] = sent.photo
        content = await (await size.get_file()).download_as_bytearray()

        assert (size.width, size.height) == (30, 20)
        assert (sent.caption, bytes(content)) == ("who talks when", picture)

    @pytest.mark.parametrize("content", [b"GIF89a", b"", b"\xff\xd8\xff\xe0\x00\x10", b"\x89PNG\r"])
    async def test_what_is_no_picture_is_refused(self, bot, friends, content):
        with pytest.raises(BadRequest, match=r"(?i)image_process_failed|no photo|non-empty"):
            await bot.send_photo(friends.id, content or b"-")

    async def test_a_persons_picture_reaches_the_bot(self, telegram, bot, friends, hugo):
        telegram.world.can_read_all = True
        photo = telegram.photo(JPEG)
        await telegram.say(friends, hugo, None, photo=photo, caption="the sea")

        [update] = await bot.get_updates(timeout=0)

        assert update.message.caption == "the sea"
        assert update.message.photo[0].width == 30


async def test_a_reaction_names_the_earlier_one(telegram, bot, friends, hugo):
    await bot.get_updates(timeout=0, allowed_updates=["message_reaction"])
    await telegram.set_status(friends, telegram.me, "administrator")
    message = await telegram.say(friends, hugo, "hi")

    await telegram.react(message, hugo, "👍")
    await telegram.react(message, hugo)
    first, second = await bot.get_updates(timeout=0)

    assert (first.message_reaction.old_reaction, len(first.message_reaction.new_reaction)) == (
        (),
        1,
    )
    assert second.message_reaction.old_reaction[0].emoji == "👍"
    assert second.message_reaction.new_reaction == ()


async def test_a_listener_hears_what_people_see(telegram, bot, friends, hugo, heard):
    said = await telegram.say(friends, hugo, "hi")
    await telegram.edit(said, "hello")
    await telegram.react(said, hugo, "👍")
    await bot.send_chat_action(friends.id, "typing")
    telegram.remove(said)

    kinds = [kind for kind, _ in heard]
    assert kinds == ["message", "message", "message", "action", "deleted"]
    assert heard[1][1]["text"] == "hello"
    assert telegram.world.reactions == {}


async def test_a_listener_hears_the_answer_to_a_button(telegram, bot, friends, hugo, heard):
    keyboard = {"inline_keyboard": [[{"text": "Ana", "callback_data": "as:1"}]]}
    asked = await bot.send_message(friends.id, "Whose?", api_kwargs={"reply_markup": keyboard})
    query = await telegram.press(asked.to_dict(), hugo, "as:1")

    await bot.answer_callback_query(query, "no")

    assert heard[-1][0] == "callback_answer"
    assert heard[-1][1]["text"] == "no"
