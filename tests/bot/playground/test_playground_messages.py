"""What the bot says, and what of it Telegram refuses."""

import pytest
from telegram import InlineKeyboardButton, InlineKeyboardMarkup, ReplyParameters
from telegram.error import BadRequest


def keyboard(data):
    return InlineKeyboardMarkup([[InlineKeyboardButton("Hugo", callback_data=data)]])


async def test_a_sent_message_stands_in_the_chat_and_in_the_record(telegram, bot, friends):
    sent = await bot.send_message(friends.id, "42")

    [call] = telegram.sent("sendMessage", chat_id=friends.id)

    assert call.params["text"] == "42"
    assert call.result == telegram.message(friends, sent.message_id)
    assert call.result["from"]["id"] == bot.id


async def test_message_ids_rise_from_one_in_each_chat(telegram, bot, friends, private, hugo):
    said = await telegram.say(friends, hugo, "hi")
    answered = await bot.send_message(friends.id, "hi")
    elsewhere = await bot.send_message(private.id, "hi")

    assert (said["message_id"], answered.message_id, elsewhere.message_id) == (1, 2, 1)


@pytest.mark.parametrize(
    ("text", "offsets"),
    [
        ("/as Hugo", [(0, 3)]),
        ("/as@understudy_bot Hugo", [(0, 18)]),
        ("🎭 /as Hugo", [(3, 3)]),
        ("either/or", []),
        ("https://telegram.org/as", []),
    ],
)
async def test_commands_are_marked_in_utf16_units(telegram, bot, private, text, offsets):
    await telegram.say(private, private.person, text)

    [update] = await bot.get_updates(timeout=0)

    assert [(found.offset, found.length) for found in update.message.entities] == offsets
    assert all(found.type == "bot_command" for found in update.message.entities)


@pytest.mark.parametrize("text", ["x" * 4096, "🎭" * 2048], ids=["letters", "masks"])
async def test_a_text_of_4096_utf16_units_is_sent(telegram, bot, friends, text):
    await bot.send_message(friends.id, text)

    assert telegram.sent("sendMessage", text=text)


@pytest.mark.parametrize("text", ["x" * 4097, "🎭" * 2049], ids=["letters", "masks"])
async def test_a_text_of_more_utf16_units_is_refused(telegram, bot, friends, text):
    with pytest.raises(BadRequest, match="Message is too long"):
        await bot.send_message(friends.id, text)

    assert not telegram.sent("sendMessage")
    assert telegram.sent("sendMessage", refused=True)


@pytest.mark.parametrize("text", ["", "  \n"], ids=["empty", "blank"])
async def test_an_empty_text_is_refused(bot, friends, text):
    with pytest.raises(BadRequest, match="Message text is empty"):
        await bot.send_message(friends.id, text)


async def test_an_unknown_chat_is_refused(bot):
    with pytest.raises(BadRequest, match="Chat not found"):
        await bot.send_message(-5, "anybody?")


async def test_a_parse_mode_is_refused_rather_than_ignored(bot, friends):
    with pytest.raises(BadRequest, match="parse_mode"):
        await bot.send_message(friends.id, "<b>hi</b>", parse_mode="HTML")


async def test_a_reply_shows_what_it_answers(telegram, bot, friends, hugo):
    question = await telegram.say(friends, hugo, "who is in?")

    sent = await bot.send_message(
        friends.id, "me", reply_parameters=ReplyParameters(question["message_id"])
    )

    assert sent.reply_to_message.text == "who is in?"


async def test_a_reply_to_a_removed_message_is_refused_unless_allowed(telegram, bot, friends, hugo):
    question = await telegram.say(friends, hugo, "who is in?")
    telegram.remove(question)
    strict = ReplyParameters(question["message_id"])
    lenient = ReplyParameters(question["message_id"], allow_sending_without_reply=True)

    with pytest.raises(BadRequest, match="Message to be replied not found"):
        await bot.send_message(friends.id, "me", reply_parameters=strict)
    sent = await bot.send_message(friends.id, "me", reply_parameters=lenient)

    assert sent.reply_to_message is None


async def test_an_edit_of_the_buttons_keeps_the_text(bot, friends):
    sent = await bot.send_message(friends.id, "who?", reply_markup=keyboard("as:7"))

    edited = await bot.edit_message_reply_markup(
        friends.id, sent.message_id, reply_markup=keyboard("as:8")
    )

    assert edited.text == "who?"
    assert edited.reply_markup == keyboard("as:8")


async def test_an_edit_that_changes_nothing_is_refused_also_the_second_time(bot, friends):
    sent = await bot.send_message(friends.id, "who?", reply_markup=keyboard("as:7"))
    await bot.edit_message_reply_markup(friends.id, sent.message_id)

    with pytest.raises(BadRequest, match="Message is not modified"):
        await bot.edit_message_reply_markup(friends.id, sent.message_id)


async def test_only_its_own_messages_are_the_bots_to_edit(telegram, bot, friends, hugo):
    message = await telegram.say(friends, hugo, "mine")

    with pytest.raises(BadRequest, match="Message can't be edited"):
        await bot.edit_message_reply_markup(friends.id, message["message_id"])
    with pytest.raises(BadRequest, match="Message to edit not found"):
        await bot.edit_message_reply_markup(friends.id, 999)


async def test_the_bot_deletes_its_own_message_once(telegram, bot, friends):
    sent = await bot.send_message(friends.id, "oops")

    await bot.delete_message(friends.id, sent.message_id)

    with pytest.raises(BadRequest, match="Message to delete not found"):
        await bot.delete_message(friends.id, sent.message_id)


async def test_others_messages_are_an_admins_to_delete(telegram, bot, friends, hugo):
    message = await telegram.say(friends, hugo, "mine")
    with pytest.raises(BadRequest, match="Message can't be deleted"):
        await bot.delete_message(friends.id, message["message_id"])

    await telegram.set_status(friends, telegram.me, "administrator")
    deleted = await bot.delete_message(friends.id, message["message_id"])

    assert deleted


async def test_a_message_is_too_old_to_delete_after_48_hours(telegram, bot, private, hugo):
    message = await telegram.say(private, hugo, "long ago", date=0)

    with pytest.raises(BadRequest, match="for everyone"):
        await bot.delete_message(private.id, message["message_id"])


async def test_a_pressed_button_is_a_query_that_the_bot_answers(telegram, bot, friends, hugo):
    sent = await bot.send_message(friends.id, "who?", reply_markup=keyboard("as:7"))

    query_id = await telegram.press(telegram.message(friends, sent.message_id), hugo, "as:7")
    [update] = await bot.get_updates(timeout=0)
    await update.callback_query.answer("Hugo it is")

    assert update.callback_query.data == "as:7"
    assert update.callback_query.from_user.id == hugo.id
    assert update.callback_query.message.message_id == sent.message_id
    assert telegram.sent("answerCallbackQuery", callback_query_id=query_id, text="Hugo it is")


async def test_a_button_that_is_not_there_cannot_be_pressed(telegram, bot, friends, hugo):
    sent = await bot.send_message(friends.id, "who?", reply_markup=keyboard("as:7"))
    message = telegram.message(friends, sent.message_id)
    await bot.edit_message_reply_markup(friends.id, sent.message_id)

    with pytest.raises(ValueError, match="as:7"):
        await telegram.press(message, hugo, "as:7")


async def test_a_query_that_nobody_made_is_refused(bot):
    with pytest.raises(BadRequest, match="Query is too old"):
        await bot.answer_callback_query("12345")


async def test_a_buttons_data_holds_64_bytes(bot, friends):
    await bot.send_message(friends.id, "who?", reply_markup=keyboard("é" * 32))

    with pytest.raises(BadRequest, match=r"(?i)button_data_invalid"):
        await bot.send_message(friends.id, "who?", reply_markup=keyboard("é" * 33))
