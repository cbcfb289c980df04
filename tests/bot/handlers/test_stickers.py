"""A lone emoji is sent as the sticker that the group uses for it."""

from model.chat.eligibility import add_voice_header


async def test_a_lone_emoji_is_sent_as_the_sticker_that_the_group_uses_most(live, group, joao, zoe):
    rare, usual = live.telegram.sticker("😂"), live.telegram.sticker("😂")
    for sticker in (rare, usual, usual):
        await live.telegram.say(group, joao, None, sticker=sticker)
    live.speaker.replies.append(("😂",))

    await live.telegram.say(group, zoe, "/as João")
    call = await live.telegram.wait_for("sendSticker")

    assert call.params["sticker"] == usual["file_id"]
    assert call.result["reply_markup"]["inline_keyboard"][0][0]["text"] == "🎭 João"


async def test_the_sticker_counts_as_a_line_of_that_voice(live, group, joao, zoe):
    await live.telegram.say(group, joao, None, sticker=live.telegram.sticker("😂"))
    live.speaker.replies.append(("😂",))
    await live.telegram.say(group, zoe, "/as João")
    sent = (await live.telegram.wait_for("sendSticker")).result
    await live.wait_until_handled()

    answer = await live.answer(group, zoe, "what?", reply_to=sent)

    assert answer["text"] == add_voice_header("João", "João number 2")
    assert live.speaker.context[-2:] == ("João: 😂", "Zoe: what?")


async def test_its_button_explains_who_sent_it(live, group, joao, zoe):
    await live.telegram.say(group, joao, None, sticker=live.telegram.sticker("😂"))
    live.speaker.replies.append(("😂",))
    await live.telegram.say(group, zoe, "/as João")
    sent = (await live.telegram.wait_for("sendSticker")).result
    await live.wait_until_handled()

    await live.telegram.press(sent, zoe, "voice:João")
    call = await live.telegram.wait_for("answerCallbackQuery")

    assert "didn't send this" in call.params["text"]
    assert len(live.speaker.asked) == 1


async def test_a_deleted_sticker_is_sent_as_the_emoji(live, group, joao, zoe):
    await live.telegram.say(group, joao, None, sticker=live.telegram.sticker("😂"))
    live.telegram.world.stickers.clear()
    live.speaker.replies.append(("😂",))

    answer = await live.answer(group, zoe, "/as João")

    assert answer["text"] == add_voice_header("João", "😂")


async def test_other_groups_stickers_and_words_are_sent_as_text(live, group, joao, zoe):
    elsewhere = live.telegram.chat(-1009999, title="Other people")
    await live.telegram.say(elsewhere, zoe, None, sticker=live.telegram.sticker("🔥"))
    await live.telegram.say(group, joao, None, sticker=live.telegram.sticker("😂"))
    live.speaker.replies += [("🔥",), ("ha 😂",)]

    first = await live.answer(group, zoe, "/as João")
    second = await live.answer(group, zoe, "/as João")

    assert (first["text"], second["text"]) == (
        add_voice_header("João", "🔥"),
        add_voice_header("João", "ha 😂"),
    )
