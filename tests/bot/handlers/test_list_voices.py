"""`/voices`, through the real bot over HTTP."""

from dataclasses import replace

import pytest

from model.chat.eligibility import parse_voice_header
from model.chat.roster import Roster


async def test_voices_are_listed_with_their_message_counts(stage, group, zoe):
    counts = {"voices": {"Hugo Silva": 1204, "João": 1}}
    async with stage.running(replace(stage.card, provenance=counts)):
        answer = await stage.answer(group, zoe, "/voices")

    assert answer["text"].split("\n\n")[0].splitlines() == [
        "• 🎭 Hugo Silva, who wrote 1,204 messages",
        "• 🎭 Hugo Sá",
        "• 🎭 João, who wrote 1 message",
        "• 🎭 李雷",
    ]


async def test_only_people_who_may_still_agree_are_listed_as_such(live, group, zoe):
    answer = await live.answer(group, zoe, "/voices")

    assert "These friends haven't agreed, so I don't speak as them: Ana." in answer["text"]
    assert not [name for name in ("Eva", "Rui") if name in answer["text"]]


async def test_a_decision_counts_at_once(stage, group, joao):
    async with stage.running() as app:
        await app.bot_data["state"].save_decision(group.id, joao.id, "optout", 1)
        answer = await stage.answer(group, joao, "/voices")

    assert "🎭 João" not in answer["text"]
    assert "don't speak as them: Ana. To agree" in answer["text"]


async def test_people_with_too_few_messages_are_listed_separately(stage, group, zoe):
    first, *others = stage.card.roster.people
    roster = Roster((replace(first, quiet=True), *others))
    async with stage.running(replace(stage.card, roster=roster)):
        answer = await stage.answer(group, zoe, "/voices")

    assert answer["text"].endswith("to imitate them: Hugo Silva.")


async def test_the_list_does_not_look_like_a_message_in_a_voice(live, group, zoe):
    listed = await live.answer(group, zoe, "/voices")

    await live.telegram.say(group, zoe, "really?", reply_to=listed)
    await live.answer(group, zoe, "/help")

    assert parse_voice_header(listed["text"]) is None
    assert not live.speaker.asked


async def test_other_chats_get_no_names(live, stage, zoe):
    elsewhere = stage.telegram.chat(-5555, title="Another")

    answer = await live.answer(elsewhere, zoe, "/voices")

    assert "Hugo" not in answer["text"]


@pytest.mark.parametrize("damaged", [{"voices": 3}, {"voices": {"João": "many"}}, {}])
def test_damaged_counts_are_ignored(card, damaged):
    assert replace(card, provenance=damaged).count_lines("João") is None
