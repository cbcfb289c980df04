"""Privacy mode: commands are answered, and the group gets an explanation."""

import pytest

from bot.playground.objects import Member
from bot.texts import EN
from model.chat.eligibility import parse_voice_header
from tests.bot.conftest import until


@pytest.fixture
def deaf(stage):
    """The stage with privacy mode on."""
    stage.telegram.world.can_read_all = False
    return stage


async def test_the_group_and_who_added_the_bot_get_instructions(deaf, group, joao):
    me = deaf.telegram.me
    private = deaf.telegram.private(joao)
    async with deaf.running(admins="13"):
        await deaf.telegram.set_status(group, me, "left", by=joao)
        await deaf.telegram.set_status(group, me, "member", by=joao)
        await deaf.telegram.wait_for("sendMessage", text=EN.privacy_mode_on, chat_id=group.id)
        await deaf.telegram.wait_for("sendMessage", text=EN.privacy_mode_on, chat_id=private.id)

    assert "/setprivacy" in EN.privacy_mode_on
    assert deaf.said().count(EN.privacy_mode_on) == 2


async def test_no_hint_if_the_bot_is_a_group_admin(deaf, group, joao, zoe):
    me = deaf.telegram.me
    async with deaf.running(admins="13"):
        await deaf.telegram.set_status(group, me, "left", by=joao)
        await deaf.telegram.set_status(group, me, "administrator", by=joao)
        await deaf.telegram.wait_for("sendMessage", chat_id=group.id)
        await deaf.answer(group, zoe, "/as João")
        await deaf.answer(group, zoe, "/as 李雷")

    assert EN.privacy_mode_on not in deaf.said()
    assert EN.privacy_mode_hint not in deaf.said()


async def test_only_the_first_three_answers_carry_a_hint(deaf, group, zoe):
    async with deaf.running():
        for _ in range(5):
            await deaf.answer(group, zoe, f"/as@{deaf.telegram.me.username} João")
        await deaf.answer(group, zoe, "/help")
        await until(lambda: len(list(filter(parse_voice_header, deaf.said()))) == 5)

    assert deaf.said().count(EN.privacy_mode_hint) == 3


async def test_a_command_is_answered_without_earlier_context(deaf, group, zoe):
    async with deaf.running():
        await deaf.telegram.say(group, zoe, "nobody hears this")
        await deaf.answer(group, zoe, f"/as@{deaf.telegram.me.username} João what about friday?")

    assert "what about friday?" in deaf.speaker.context[-1]
    assert not any("nobody hears this" in line for line in deaf.speaker.context)


async def test_a_reply_to_a_voice_is_answered(deaf, group, zoe):
    async with deaf.running():
        voiced = await deaf.answer(group, zoe, f"/as@{deaf.telegram.me.username} João")
        await deaf.telegram.wait_for("sendMessage", text=EN.privacy_mode_hint)
        again = await deaf.answer(group, zoe, "why?", reply_to=voiced)

    assert parse_voice_header(again["text"])[0] == "João"


async def test_an_admin_made_later_ends_the_hints(deaf, group, zoe):
    async with deaf.running():
        await deaf.answer(group, zoe, f"/as@{deaf.telegram.me.username} João")
        await deaf.telegram.wait_for("sendMessage", text=EN.privacy_mode_hint)
        group.members[deaf.telegram.me.id] = Member(deaf.telegram.me, "administrator")
        await deaf.answer(group, zoe, "/as João")
        await deaf.answer(group, zoe, "/as 李雷")

    assert deaf.said().count(EN.privacy_mode_hint) == 1
