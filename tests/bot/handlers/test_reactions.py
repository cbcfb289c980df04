"""Reactions to the bot's lines, and `/why`."""

import sqlite3
from contextlib import closing

from bot.texts import EN


async def test_reactions_to_a_line_are_stored_and_shown(live, group, joao, zoe):
    await live.telegram.set_status(group, live.telegram.me, "administrator", by=joao)
    line = await live.answer(group, zoe, "/as João")
    await live.telegram.react(line, zoe, "👍")
    await live.telegram.react(line, joao, "👍", "🔥")
    await live.telegram.react(line, zoe)

    answer = await live.answer(group, zoe, "/why", reply_to=line)

    assert answer["text"].splitlines()[1:] == ["👍 1  🔥 1"]


async def test_reactions_to_peoples_messages_are_not_stored(live, group, joao, zoe):
    await live.telegram.set_status(group, live.telegram.me, "administrator", by=joao)
    said = await live.telegram.say(group, joao, "hello")
    await live.telegram.react(said, zoe, "👍")
    await live.answer(group, zoe, "/help")

    state = live.app.bot_data["state"]
    assert await state.store.reactions.counts(group.id, said["message_id"]) == {}


async def test_why_names_voice_version_and_context_size(live, group, joao, zoe):
    await live.telegram.say(group, joao, "what about friday?")
    await live.telegram.say(group, zoe, "yes")
    line = await live.answer(group, zoe, "/as João")

    answer = await live.answer(group, zoe, "/why", reply_to=line)

    assert "in João's voice, with version 0001-abcdef01" in answer["text"]
    assert answer["text"].endswith("after reading 2 messages.")


async def test_why_counts_one_message_and_omits_zero(live, group, joao, zoe):
    unread = await live.answer(group, zoe, "/as João")
    without = await live.answer(group, zoe, "/why", reply_to=unread)
    read_one = await live.answer(group, zoe, "/as João")

    answer = await live.answer(group, zoe, "/why", reply_to=read_one)

    assert without["text"] == EN.why_without_count.format(voice="João", version="0001-abcdef01")
    assert answer["text"].endswith("after reading 1 message.")


async def test_why_shows_rejected_candidates_only_to_admins(stage, group, joao, zoe):
    stage.speaker.rejected = {"private": 1, "repeats": 2}
    async with stage.running(admins="13"):
        line = await stage.answer(group, zoe, "/as João")
        stage.speaker.rejected = {}
        other = await stage.answer(group, zoe, "/as João")

        told = await stage.answer(group, joao, "/why", reply_to=line)
        none = await stage.answer(group, joao, "/why", reply_to=other)
        untold = await stage.answer(group, zoe, "/why", reply_to=line)

    assert told["text"].endswith("\nRejected candidates: 3 (2 × repetition, 1 × private data)")
    assert none["text"].endswith("\nRejected candidates: none")
    assert "Rejected" not in untold["text"]


async def test_why_works_for_a_line_of_an_earlier_version(stage, group, joao, zoe):
    async with stage.running(admins="13"):
        await stage.telegram.say(group, zoe, "hello")
        line = await stage.answer(group, zoe, "/as João")
        with closing(sqlite3.connect(stage.folder / "bot.db")) as database, database:
            database.execute("UPDATE replies SET generation = NULL")

        answer = await stage.answer(group, joao, "/why", reply_to=line)

    assert answer["text"].endswith("after reading 1 message.")


async def test_why_needs_a_line_of_the_bot(live, group, joao, zoe):
    said = await live.telegram.say(group, joao, "hello")

    unanswered = await live.answer(group, zoe, "/why")
    of_a_person = await live.answer(group, zoe, "/why", reply_to=said)

    assert unanswered["text"] == of_a_person["text"] == EN.why_usage


async def test_in_another_group_why_explains_nothing(live, zoe):
    elsewhere = live.telegram.chat(-1009999, title="Other people")

    answer = await live.answer(elsewhere, zoe, "/why")

    assert answer["text"] == EN.silent_here
