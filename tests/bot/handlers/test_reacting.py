"""Reactions to the bot's lines, and what /why says of a line."""

from bot.texts import EN


async def test_reactions_to_a_line_are_kept_and_told(live, group, joao, zoe):
    await live.telegram.set_status(group, live.telegram.me, "administrator", by=joao)
    line = await live.answer(group, zoe, "/as João")
    await live.telegram.react(line, zoe, "👍")
    await live.telegram.react(line, joao, "👍", "🔥")
    await live.telegram.react(line, zoe)

    answer = await live.answer(group, zoe, "/why", reply_to=line)

    assert answer["text"].splitlines()[1:] == ["👍 1  🔥 1"]


async def test_reactions_to_what_people_say_are_not_kept(live, group, joao, zoe):
    await live.telegram.set_status(group, live.telegram.me, "administrator", by=joao)
    said = await live.telegram.say(group, joao, "hello")
    await live.telegram.react(said, zoe, "👍")
    await live.answer(group, zoe, "/help")

    house = live.app.bot_data["house"]
    assert await house.shelves.reactions.counts(group.id, said["message_id"]) == {}


async def test_why_names_voice_version_and_what_it_was_made_from(live, group, joao, zoe):
    await live.telegram.say(group, joao, "what about friday?")
    await live.telegram.say(group, zoe, "yes")
    line = await live.answer(group, zoe, "/as João")

    answer = await live.answer(group, zoe, "/why", reply_to=line)

    assert "in João's voice, with version 0001-abcdef01" in answer["text"]
    assert "after the 2 messages" in answer["text"]


async def test_why_needs_a_line_of_the_bot_s(live, group, joao, zoe):
    said = await live.telegram.say(group, joao, "hello")

    unanswered = await live.answer(group, zoe, "/why")
    of_a_person = await live.answer(group, zoe, "/why", reply_to=said)

    assert unanswered["text"] == of_a_person["text"] == EN.why_what


async def test_in_another_group_why_tells_nothing(live, zoe):
    elsewhere = live.telegram.chat(-1009999, title="Other people")

    answer = await live.answer(elsewhere, zoe, "/why")

    assert answer["text"] == EN.silent_here
