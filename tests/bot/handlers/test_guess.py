"""`/guess`, through the real bot over HTTP."""

import asyncio
import random
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

import pytest

from bot.handlers import stats
from bot.handlers.guess import GuessGame, QuizMessage, is_guessable, make_question
from bot.store.outbox import Turn
from bot.texts import EN, LANGUAGES
from model.errors import VoiceError
from tests.bot.conftest import FRIENDS, until
from tests.bot.database_files import find_words

REAL = "I bring the wine and nothing else"
MADE_UP = "somebody took my wine on Friday night"
MACHINE = "the machine 🎭"


class Coin:
    """Chance that has been told what comes: 0 is the machine, 1 is not; the last one always."""

    def __init__(self, *sides):
        self.sides = list(sides)

    def random(self):
        return self.sides.pop(0) if len(self.sides) > 1 else self.sides[0]

    def choice(self, options):
        return options[-1]  # the oldest

    def sample(self, options, count):
        return list(options)[:count]

    def shuffle(self, options):
        options.sort()


@pytest.fixture
def coin(monkeypatch):
    """Replace the handler's random numbers."""

    def coin(*sides):
        monkeypatch.setattr("bot.handlers.routes.GuessGame", partial(GuessGame, rng=Coin(*sides)))

    return coin


async def ask(stage, group, user, text="/guess"):
    """Ask for a quiz and return the message."""
    since = len(stage.telegram.calls)
    await stage.telegram.say(group, user, text)
    return (await stage.telegram.wait_for("sendPoll", since=since)).result


async def kept(app, sent):
    """Wait until the bot has kept a quiz, and return how it was made."""
    outbox = app.bot_data["state"].store.outbox
    async with asyncio.timeout(5):
        while (turn := await outbox.find_turn(FRIENDS, sent["message_id"])) is None:  # noqa: ASYNC110  another's
            await asyncio.sleep(0.01)
    return turn


async def counted(app, votes, chat_id=FRIENDS):
    """Wait for votes: a poll's answers belong to no chat, so they are in no order."""

    async def are_counted():
        score = await app.bot_data["state"].store.quizzes.score(chat_id)
        return sum(person.total for person in score.people) == votes

    await until(are_counted)


def options(sent):
    return [option["text"] for option in sent["poll"]["options"]]


def right(sent):
    [place] = sent["poll"]["correct_option_ids"]
    return options(sent)[place]


async def test_a_quiz_shows_a_friends_own_message(stage, group, joao, zoe, coin):
    coin(1)
    async with stage.running() as app:
        said = await stage.telegram.say(group, joao, REAL)
        sent = await ask(stage, group, zoe)
        turn = await kept(app, sent)

    assert sent["poll"]["question"] == f"Who said it?\n\n“{REAL}”"
    assert not sent["poll"]["is_anonymous"]
    assert options(sent) == ["Hugo Silva", "Hugo Sá", "João", "李雷", MACHINE]
    assert right(sent) == "João"
    assert sent["poll"]["explanation"].startswith("João wrote it on 20")
    assert turn == Turn("João", 13, "0001-abcdef01", (said["message_id"],))


async def test_a_generated_line_replaces_the_friends_own(stage, group, hugo, joao, zoe, coin):
    coin(0)
    stage.speaker.replies.append(("too short", MADE_UP))
    async with stage.running() as app:
        first = await stage.telegram.say(group, hugo, "who?")
        await stage.telegram.say(group, joao, REAL)
        await stage.telegram.say(group, hugo, "well")
        sent = await ask(stage, group, zoe)
        turn = await kept(app, sent)

    assert sent["poll"]["question"] == f"Who said it?\n\n“{MADE_UP}”"
    assert right(sent) == MACHINE
    assert sent["poll"]["explanation"] == "The machine made it up, in João's voice."
    assert stage.speaker.asked == [("João", ("Hugo Silva: who?",))]
    assert turn == Turn("João", 13, "0001-abcdef01", (first["message_id"],))


@pytest.mark.parametrize("said", [VoiceError("nothing"), ("short",), (REAL,)])
async def test_a_real_message_is_shown_if_none_can_be_generated(
    stage, group, joao, zoe, coin, said
):
    coin(0)
    stage.speaker.replies.extend([said] * 3)
    async with stage.running():
        await stage.telegram.say(group, joao, REAL)
        sent = await ask(stage, group, zoe)

    assert right(sent) == "João"


@pytest.mark.parametrize(
    ("user", "text"),
    [
        (15, "I was asked and have not answered yet"),
        (16, "I do not want to be imitated by it"),
        (17, "nobody may learn anything at all from me"),
        (99, "I am a stranger in this group here"),
        (13, "yes, me too"),
        (13, "/as Hugo Silva what about all of this?"),
        (13, "call me tonight at +351 912 345 678 please"),
        (13, "look at [this] and tell me what it is"),
        (13, "a" * 60 + " word" * 40),
    ],
    ids=[
        *("not asked", "said no", "not learned from", "a stranger", "too short", "a command"),
        *("private", "a bracket", "too long"),
    ],
)
async def test_unsuitable_messages_are_never_shown(stage, group, zoe, coin, user, text):
    coin(1)
    async with stage.running():
        author = zoe if user == 99 else stage.telegram.user(user, "Somebody")
        await stage.telegram.say(group, author, text)
        if text.startswith("/as"):
            await stage.telegram.wait_for("sendMessage")
        answer = await stage.answer(group, zoe, "/guess")

    assert answer["text"].startswith("I need longer messages")
    assert not stage.telegram.sent("sendPoll")


async def test_messages_of_another_chat_are_never_shown(stage, group, joao, zoe, coin):
    coin(1)
    async with stage.running(admins="13"):
        await stage.telegram.say(stage.telegram.private(joao), joao, REAL)
        answer = await stage.answer(group, zoe, "/guess")

    assert answer["text"].startswith("I need longer messages")


async def test_a_message_is_not_shown_again_soon(stage, group, joao, zoe, coin):
    coin(1)
    async with stage.running() as app:
        await stage.telegram.say(group, joao, REAL)
        await kept(app, await ask(stage, group, zoe))
        answer = await stage.answer(group, zoe, "/guess")

    assert answer["text"].startswith("I need longer messages")


async def test_no_quiz_is_sent_after_an_optout(stage, group, joao, zoe, coin):
    coin(0)
    async with stage.running() as app:
        await stage.telegram.say(group, joao, REAL)
        stage.speaker.open.clear()
        await stage.telegram.say(group, zoe, "/guess")
        await stage.telegram.wait_for("sendChatAction")
        await app.bot_data["state"].save_decision(group.id, joao.id, "optout", 1)
        stage.speaker.open.set()
        await stage.telegram.wait_for("sendMessage")

    assert not stage.telegram.sent("sendPoll")


async def test_why_does_not_reveal_the_answer(stage, group, joao, zoe, coin):
    coin(1)
    async with stage.running() as app:
        await stage.telegram.say(group, joao, REAL)
        sent = await ask(stage, group, zoe)
        await kept(app, sent)
        answer = await stage.answer(group, zoe, "/why", reply_to=sent)

    assert answer["text"] == EN.why_usage


@pytest.mark.parametrize("word", ["/optout", "/forget"])
async def test_an_optout_during_a_flood_wait_cancels_the_quiz(stage, group, joao, zoe, coin, word):
    coin(1)
    stage.telegram.fail_next("sendPoll", 429, "Too Many Requests: retry after 2", retry_after=2)
    async with stage.running():
        said = await stage.telegram.say(group, joao, REAL)
        await stage.telegram.say(group, zoe, "/guess")
        await stage.telegram.wait_for("sendPoll", refused=True)
        await stage.telegram.say(group, joao, word, reply_to=said)
        await until(lambda: len(stage.said()) == 2)

    assert not stage.telegram.sent("sendPoll")
    assert stage.said()[-1].startswith("I need longer messages")


@pytest.mark.parametrize("word", ["/optout", "/forget"])
async def test_a_quiz_sent_during_an_optout_is_deleted(stage, group, joao, zoe, coin, word):
    coin(1)
    stage.telegram.delay_next("sendPoll", 1)
    async with stage.running():
        said = await stage.telegram.say(group, joao, REAL)
        await stage.telegram.say(group, zoe, "/guess")
        await until(lambda: stage.telegram.sent("sendPoll"))
        await stage.answer(group, joao, word, reply_to=said)
        await stage.telegram.wait_for("deleteMessage")

    assert not find_words(stage.folder, "wine")


async def test_the_score_counts_right_guesses_and_fooled_people(
    stage, group, hugo, joao, zoe, coin, monkeypatch
):
    coin(1, 0)
    monkeypatch.setattr(stats, "MIN_MESSAGES", 1)
    monkeypatch.setattr(stats, "can_draw", lambda: False)
    stage.speaker.replies.append((MADE_UP,))
    async with stage.running() as app:
        await stage.telegram.say(group, joao, REAL)
        real = await ask(stage, group, zoe)
        await kept(app, real)
        await stage.telegram.vote(real, hugo, 2)
        await stage.telegram.vote(real, zoe, 4)
        await stage.telegram.say(group, joao, f"{REAL} again")
        made_up = await ask(stage, group, zoe)
        await kept(app, made_up)
        await stage.telegram.vote(made_up, hugo, 4)
        await stage.telegram.vote(made_up, joao, 2)
        await counted(app, 4)
        answer = await stage.answer(group, zoe, "/guess score")
        statistics = await stage.answer(group, zoe, "/stats")

    assert (right(real), right(made_up)) == ("João", MACHINE)
    assert answer["text"] == (
        "Correct guesses:\nHugo Silva: 2 of 2\nJoão: 0 of 1\nZoe Martin: 0 of 1\n\n"
        "Times the machine passed for a friend: 1 of 2"
    )
    assert statistics["text"].endswith("\n\nTimes the machine passed for a friend: 1 of 2")


async def test_guesses_are_not_stored_once_the_bot_is_silent(stage, group, joao, zoe, coin):
    coin(1)
    async with stage.running() as app:
        state = app.bot_data["state"]
        await stage.telegram.say(group, joao, REAL)
        sent = await ask(stage, group, zoe)
        await kept(app, sent)
        await state.save_group(replace(state.group(FRIENDS), authorised=False))
        await stage.telegram.vote(sent, zoe, 0)
        await stage.answer(group, zoe, "/help")
        score = await state.store.quizzes.score(FRIENDS)

    assert score.people == ()


async def test_each_chat_has_its_own_score_which_starts_empty(live, group, zoe):
    answer = await live.answer(group, zoe, "/guess pontos")

    assert answer["text"] == "Nobody has guessed yet. Send /guess to start."


async def test_the_score_of_an_allowed_group_has_no_names_from_the_roster(stage, joao, zoe, coin):
    coin(1)
    strangers = stage.telegram.chat(-1009999, title="Strangers")
    rui = stage.telegram.user(16, "R.")  # the roster says "Rui", who is no voice
    async with stage.running(admins=str(joao.id)) as app:
        state = app.bot_data["state"]
        await stage.enter(strangers, joao)
        await stage.answer(strangers, joao, "/allow")
        await stage.telegram.say(strangers, joao, REAL)
        sent = await ask(stage, strangers, zoe)
        await until(partial(state.store.quizzes.find_chat_id, sent["poll"]["id"]))
        for user in (joao, rui):
            await stage.telegram.vote(sent, user, 0)

        await counted(app, 2, chat_id=-1009999)
        answer = await stage.answer(strangers, zoe, "/guess score")

    assert "R.: " in answer["text"]
    assert "João: " in answer["text"]


async def test_a_group_that_forbids_polls_gets_a_message(stage, group, joao, zoe, coin):
    coin(1)
    stage.telegram.fail_next("sendPoll", 400, "Bad Request: not enough rights to send polls")
    async with stage.running():
        await stage.telegram.say(group, joao, REAL)
        answer = await stage.answer(group, zoe, "/guess")

    assert answer["text"] == "I couldn't send the quiz. Am I allowed to send polls here?"


async def test_a_quiz_whose_answer_is_lost_is_not_sent_again(stage, group, joao, zoe, coin):
    coin(1)
    stage.telegram.drop_next("sendPoll")
    async with stage.running():
        await stage.telegram.say(group, joao, REAL)
        await ask(stage, group, zoe)
        await stage.answer(group, zoe, "/help")

    assert len(stage.telegram.sent("sendPoll")) == 1
    assert len(stage.said()) == 1


async def test_no_quiz_is_sent_where_the_bot_is_silent(live, stage, zoe):
    elsewhere = stage.telegram.chat(-5555, title="Another")

    answer = await live.answer(elsewhere, zoe, "/guess")

    assert answer["text"].startswith("I learned to talk from another")


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("one two three four", True),
        ("one two three", False),
        ("😂😂😂😂 ... !!", False),
        ("我们星期五去吗", True),
        ("four words and 😂" + "😂" * 120, False),
    ],
)
def test_a_message_needs_enough_words_for_a_quiz(text, is_one):
    assert is_guessable(text) is is_one


@pytest.mark.parametrize("texts", LANGUAGES.values(), ids=LANGUAGES)
@pytest.mark.parametrize("is_machine", [False, True])
def test_the_longest_question_fits_telegram_s_limits(texts, is_machine):
    names = [letter * 40 for letter in "abcdefgh"]
    moment = datetime(2026, 11, 24, tzinfo=UTC)
    shown = QuizMessage("x" * 250, names[0], is_machine, (1,), moment, "0001", 11)

    question = make_question(shown, names, texts, random.Random(0))

    assert len(question.text.encode("utf-16-le")) // 2 <= 300
    assert 2 <= len(question.options) <= 10
    assert all(len(option) <= 100 for option in question.options)
    assert len(question.explanation) <= 200
    assert question.options[question.right] == (texts.quiz_machine if is_machine else names[0])


async def test_a_chat_with_too_many_quizzes_is_asked_once_to_wait(stage, group, joao, coin):
    coin(0)
    async with stage.running() as app:
        inbox, state = app.inbox, app.bot_data["state"]
        await stage.telegram.say(group, joao, REAL)
        stage.speaker.open.clear()
        for _ in range(12):
            await stage.telegram.say(group, joao, "/guess")

        async def rest_are_refused():
            return stage.said() and (await inbox.count_open()).waiting <= 3

        await until(rest_are_refused, 20)
        assert stage.said() == [EN.busy]
        assert await state.count_replies(group.id) == 3
