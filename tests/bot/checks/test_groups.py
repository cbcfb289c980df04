"""What the check says of privacy mode, of the model's groups and of the admins."""

import dataclasses

import pytest

from model.artifacts.artifact import LearnedChat

pytestmark = pytest.mark.over_http


async def test_privacy_mode_is_for_a_person_to_judge(desk, stage):
    stage.telegram.world.can_read_all = False

    assert (await desk.says("privacy mode")).startswith("note Privacy mode is on: in groups the")


async def test_privacy_mode_does_not_count_for_an_admin_of_the_group(desk, stage, group):
    stage.telegram.world.can_read_all = False
    await stage.telegram.set_status(group, stage.telegram.me, "administrator")

    found = await desk.says("privacy mode"), await desk.says("group")

    assert found == (
        "ok on, but as an admin the bot receives all messages",
        "ok Friends (-1001234), as an admin",
    )


async def test_a_group_that_the_bot_is_in(desk):
    assert await desk.says("group") == "ok Friends (-1001234), as a member"


async def test_a_group_that_does_not_know_the_bot(desk, stage):
    del stage.telegram.world.chats[-1001234]

    assert await desk.says("group") == (
        "FIX the bot does not know Friends (-1001234) (Chat not found): add @understudy_bot to "
        "that group"
    )


@pytest.mark.parametrize("status", ["kicked", "left"])
async def test_a_group_that_the_bot_left(desk, stage, group, status):
    await stage.telegram.set_status(group, stage.telegram.me, status)

    said = await desk.says("group")

    assert said.startswith("FIX the bot is no longer in Friends (-1001234) (Forbidden: bot")
    assert said.endswith("): add @understudy_bot again")


async def test_a_group_that_became_a_supergroup(desk, stage, group):
    await stage.telegram.migrate(group, -1009999)

    said = await desk.says("group")

    assert said.startswith("FIX Friends (-1001234) became the supergroup -1009999, on which")


async def test_each_chat_of_the_model_is_looked_at(empty_desk, card):
    chats = (*card.chats, LearnedChat(-77, "Others"))
    empty_desk.add(dataclasses.replace(card, chats=chats))

    found = [one for one in await empty_desk.look() if one.topic == "group"]

    assert [one.severity.value for one in found] == ["ok", "FIX"]


async def test_a_public_model_speaks_anywhere(empty_desk, card):
    empty_desk.add(dataclasses.replace(card, public=True))

    assert "group" not in [finding.topic for finding in await empty_desk.look()]


async def test_no_admins(desk):
    assert await desk.says("ADMINS", admins=set()) == (
        "FIX none yet: send /start to the bot in private; it answers with the line to add to .env"
    )


async def test_an_admin_who_never_wrote_to_the_bot(desk):
    assert await desk.says("ADMINS", admins={13, 14, 15}) == (
        "FIX the bot cannot write to 14, 15: each admin must send /start to @understudy_bot in "
        "private once; or the id is wrong"
    )


async def test_an_admin_who_blocked_the_bot(desk, stage, joao):
    await stage.telegram.set_status(stage.telegram.private(joao), stage.telegram.me, "kicked")

    assert (await desk.says("ADMINS")).startswith("FIX the bot cannot write to 13:")


async def test_an_admin_who_can_be_told(desk):
    assert await desk.says("ADMINS") == "ok 13"
