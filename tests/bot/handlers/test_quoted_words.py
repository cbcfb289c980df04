"""Excluded people's words, quoted and copied by others, in the real bot."""

import sqlite3
from contextlib import closing

HERS = "the zanzibar plan"
BLOCK = {"type": "blockquote", "offset": 0, "length": len(HERS)}


def tables(stage):
    with closing(sqlite3.connect(stage.folder / "bot.db")) as database:
        return "\n".join(database.iterdump())


async def test_no_prompt_has_excluded_peoples_words_repeated_by_others(
    live, group, hugo, joao, zoe
):
    eva = live.telegram.user(17, "Eva")
    original = await live.telegram.say(group, eva, HERS)
    quote = {"text": HERS, "position": 0, "is_manual": True}
    say = live.telegram.say
    await say(group, hugo, "a", reply_to=original, quote=quote)
    await say(group, joao, f"{HERS}\nb", entities=[BLOCK])
    await say(group, zoe, f"> {HERS}\nc", reply_to=original)
    edited = await say(group, hugo, "d")
    await live.telegram.edit(edited, f"Eva: {HERS}\n\nd")
    origin = {"type": "hidden_user", "date": 1, "sender_user_name": "Eva"}
    await say(group, joao, "e", external_reply={"origin": origin}, quote=quote)

    for asked in (
        "/as Hugo Silva",
        "/as anyone",
        f"/as João so?\n> {HERS}",
        f"/as João Eva: {HERS}",
    ):
        await live.answer(group, zoe, asked)

    prompts = [line for _, context in live.speaker.asked for line in context]
    assert live.speaker.asked[0][1] == (
        *("[…]", "Hugo Silva: a", "João: b", "Zoe: c", "Hugo Silva: d", "João: e"),
    )
    assert "Zoe: so?" in prompts
    assert not any("zanzibar" in line for line in prompts)


async def test_a_quote_in_a_command_reaches_no_prompt(live, group, zoe):
    for command in ("/as anyone", "/as anyone:", "/simulate 1 about", "/as João:"):
        text = f"{command} so\n{HERS}"
        places = [
            {"type": "bot_command", "offset": 0, "length": command.find(" ")},
            BLOCK | {"offset": text.index(HERS)},
        ]
        await live.answer(group, zoe, text, entities=places)

    asked = [*live.speaker.begun, *(line for _, context in live.speaker.asked for line in context)]
    assert any("so" in line for line in asked)
    assert not any("zanzibar" in line for line in asked)


async def test_a_forgotten_message_does_not_survive_in_a_quote_of_it(stage, group, hugo, zoe):
    async with stage.running():
        said = await stage.telegram.say(group, zoe, HERS)
        quote = {"text": HERS, "position": 0}
        await stage.telegram.say(group, hugo, "a", reply_to=said, quote=quote)
        await stage.telegram.say(group, hugo, f"{HERS}\nb", entities=[BLOCK], reply_to=said)
        await stage.telegram.say(group, hugo, f"> {HERS}\nc")
        await stage.answer(group, zoe, "/forget", reply_to=said)

    assert "zanzibar" not in tables(stage)
    assert "/forget" in tables(stage)
