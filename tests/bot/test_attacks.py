"""Commands and button presses that must not do what they say."""

from dataclasses import replace
from functools import partial

import pytest

from bot.handlers.guess import GuessGame
from bot.texts import EN
from model.chat.roster import Roster
from tests.bot.conftest import FRIENDS, PEOPLE
from tests.bot.handlers.test_guess import Coin

REAL = "I bring the wine and nothing else"


@pytest.fixture
def coin(monkeypatch):
    """Quizzes show real messages."""
    monkeypatch.setattr("bot.handlers.routes.GuessGame", partial(GuessGame, rng=Coin(1)))


async def press(stage, message, user, data):
    """Press a button that need not exist; return the answer."""
    queries = stage.telegram.world.queries
    query_id = str(len(queries) + 1)
    queries[query_id] = user.id
    query = {"id": query_id, "from": user.json(), "message": message, "data": data}
    await stage.telegram.updates.push("callback_query", query | {"chat_instance": "1"})
    call = await stage.telegram.wait_for("answerCallbackQuery", callback_query_id=query_id)
    return call.params.get("text")


@pytest.mark.parametrize("origin", ["forwarded", "written by another bot"])
async def test_an_optin_that_somebody_else_wrote_is_no_consent(stage, group, hugo, joao, origin):
    ana = stage.telegram.user(15, "Ana")
    other = stage.telegram.user(900, "Inline", username="inline_bot", is_bot=True)
    forward = {"type": "user", "sender_user": joao.json(), "date": 1_700_000_000}
    extra = {"forward_origin": forward} if origin == "forwarded" else {"via_bot": other.json()}
    async with stage.running():
        await stage.telegram.say(group, ana, "/optin", **extra)
        answer = await stage.answer(group, hugo, "/as Ana")

    assert "hasn't agreed" in answer["text"]


async def test_a_public_model_is_silent_in_a_group_that_no_admin_added_it_to(stage, card, zoe):
    strangers = stage.telegram.chat(-1009999, title="Strangers")
    async with stage.running(replace(card, public=True), admins="13"):
        answer = await stage.answer(strangers, zoe, "/as João hi")

    assert "🎭" not in answer["text"]


async def test_words_of_an_excluded_person_do_not_begin_a_reply(stage, group, hugo):
    eva = stage.telegram.user(17, "Eva")
    async with stage.running():
        for command in ("/as João: zanzibar", "/as anyone: zanzibar"):
            answer = await stage.answer(group, eva, command)
            assert "zanzibar" not in answer["text"]
        await stage.answer(group, hugo, "/as João")

    assert "zanzibar" not in str(stage.speaker.context)


async def test_a_quiz_shows_no_message_of_another_topic(stage, hugo, joao, coin):
    forum = stage.telegram.chat(FRIENDS, title="Friends", is_forum=True)
    first, second = stage.telegram.topic(forum, "One"), stage.telegram.topic(forum, "Two")
    async with stage.running():
        await stage.telegram.say(forum, joao, REAL, thread=first)
        answer = await stage.answer(forum, hugo, "/guess", thread=second)

    assert REAL not in answer["text"]
    assert not stage.telegram.sent("sendPoll")


async def test_a_forged_press_does_not_name_the_author_of_a_quiz(stage, group, joao, zoe, coin):
    async with stage.running():
        await stage.telegram.say(group, joao, REAL)
        await stage.telegram.say(group, zoe, "/guess")
        poll = (await stage.telegram.wait_for("sendPoll")).result

        assert await press(stage, poll, zoe, "voice:x") == EN.button_expired


async def test_another_group_does_not_learn_who_has_not_agreed(stage, card, joao, zoe):
    full = {"Rui": "Rui Costa Pinto", "Ana": "Ana Maria Neves"}
    people = tuple(replace(one, name=full.get(one.name, one.name)) for one in PEOPLE)
    strangers = stage.telegram.chat(-1009999, title="Strangers")
    async with stage.running(replace(card, roster=Roster(people), learned=()), admins="13"):
        await stage.enter(strangers, joao)
        await stage.answer(strangers, joao, "/allow")
        commands = ("/as Rui", "/as Ana", "/as Eva", "/simulate Rui")
        answers = [(await stage.answer(strangers, zoe, one))["text"] for one in commands]

    assert not any(name in answer for answer in answers for name in ("Costa", "Neves", "Eva"))
