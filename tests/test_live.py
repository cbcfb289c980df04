"""The real bot, as a process, with a really trained model, in a group on loopback."""

from contextlib import asynccontextmanager
from io import StringIO
from itertools import groupby

import pytest
from rich.console import Console

from bot.playground.show import show
from bot.playground.telegram import Telegram
from model.chat.eligibility import parse_voice_header
from model.chat.prompt import format_line
from tests.habits import HABITS
from tests.live_group import Friends
from tests.telegram_server import serve

# test_simulated_month.py runs the bot with a model of the other family.
pytestmark = pytest.mark.parametrize("trained", ["decoder-only"], indirect=True)

MOST_A_TURN = 4
WINDOW = 4  # of the habits' dataset


@asynccontextmanager
async def friends_of(models, folder, python):
    telegram = Telegram(can_read_all=True)
    async with serve(telegram) as url:
        friends = Friends(telegram, url, models, folder)
        friends.python = python
        friends.start()
        try:
            await friends.wait_for("setMyCommands")
            yield friends
        finally:
            if friends.process.poll() is None:
                friends.process.kill()
            friends.process.wait()


@pytest.fixture
async def friends(trained, tmp_path, bot_python):
    async with friends_of(trained, tmp_path, bot_python) as group:
        for name in ("Hugo", "Tiago", "Raul", "Ana", "Rui"):
            await group.say(name, f"hello there {HABITS.get(name, '')}".strip())
        yield group


async def test_as_answers_in_that_voice(friends):
    answer = await friends.asks("Tiago", "/as Hugo")

    voice, words = parse_voice_header(answer["text"])
    assert voice == "Hugo"
    assert HABITS["Hugo"] in words


async def test_words_after_a_colon_are_how_the_answer_begins(friends):
    answer = await friends.asks("Tiago", "/as Hugo: hello you")

    voice, words = parse_voice_header(answer["text"])
    assert voice == "Hugo"
    assert words.startswith("hello you")
    assert HABITS["Hugo"] in words


async def test_two_who_are_named_talk_about_what_is_said(friends):
    mark = len(friends.telegram.calls)

    await friends.say("Ana", "/simulate Hugo, Raul 4 about friday")

    assert {name for name, _ in await friends.spoken(mark)} <= {"Hugo", "Raul"}


async def test_a_reply_to_an_answer_goes_on_in_its_voice(friends):
    answer = await friends.asks("Tiago", "/as Raul what about friday?")

    again = await friends.asks("Hugo", "shall we go? bark bark", reply_to=answer)

    assert parse_voice_header(again["text"])[0] == "Raul"
    assert HABITS["Raul"] in again["text"]


async def test_simulate_shows_turns_of_friends_one_by_one(friends):
    mark = len(friends.telegram.calls)

    await friends.say("Ana", "/simulate 6")

    said = await friends.spoken(mark)
    turns = [list(turn) for _, turn in groupby(said, key=lambda line: line[0])]
    assert 6 <= len(said) <= 6 * MOST_A_TURN
    assert len(turns) <= 6  # two turns in a row of one voice look like one
    assert {name for name, _ in said} <= set(HABITS)
    own = sum(HABITS[name] in words for name, words in said)
    assert own >= 0.8 * len(said), said


async def test_an_unknown_voice_gets_the_nearest_names(friends):
    answer = await friends.asks("Ana", "/as Hugoo")

    assert "Hugo" in answer["text"]
    assert parse_voice_header(answer["text"]) is None


async def test_sigterm_ends_it_and_the_context_is_there_after_a_new_start(friends):
    assert await friends.stop() == 0
    mark = len(friends.telegram.calls)
    friends.start()
    await friends.wait_for("setMyCommands", mark)

    await friends.say("Ana", "/as Tiago")

    said = await friends.spoken(mark)
    assert {voice for voice, _ in said} == {"Tiago"}
    assert await friends.context() == last_lines(
        *("Hugo: hello there bark bark", "Tiago: hello there meow meow"),
        *("Raul: hello there tweet tweet", "Ana: hello there", "Rui: hello there"),
        *(format_line(*line) for line in said),
    )


async def test_an_edit_changes_the_context(friends):
    message = await friends.say("Ana", "before")
    await friends.telegram.edit(message, "after")
    mark = len(friends.telegram.calls)

    await friends.say("Tiago", "/as Hugo")

    said = await friends.spoken(mark)
    assert await friends.context() == last_lines(
        *("Raul: hello there tweet tweet", "Ana: hello there", "Rui: hello there", "Ana: after"),
        *(format_line(*line) for line in said),
    )


async def test_the_playground_lets_an_admin_bring_the_bot_in(trained):
    console = Console(file=StringIO(), width=200, highlight=False)
    talk = [f"{name}: {HABITS[name]}" for name in ("Hugo", "Tiago")]

    await show(trained.open("current"), trained, talk, console)

    shown = console.file.getvalue()
    assert "I learned to talk from the chat “" in shown
    assert (
        shown.index("/allow") < shown.index("All right, I now speak here too") < shown.index("🎭 ")
    )


def last_lines(*lines):
    """Return as many lines as the model's window holds."""
    return lines[-WINDOW:]
