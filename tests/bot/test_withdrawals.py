"""Withdrawals at every moment of a turn, while Telegram's answers are late: no line may stay.

`python -m pytest -m soak tests/bot/test_withdrawals.py -s` tries every 20 ms.
"""

import asyncio
import itertools
import re
import time
from collections import defaultdict
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

import pytest
from sqlalchemy import text

from bot.store.database import open_database
from model.artifacts.artifact import LearnedChat
from model.chat.person import Person
from model.chat.roster import Roster
from tests.bot.conftest import CARD, FRIENDS, FakeSpeaker, until
from tests.simulated_telegram import move

LATE = 0.3  # seconds from the moment when others see a message until the bot gets the answer
WITHDRAWN_WORDS = "words that nobody may keep"
EMOJI = "😂"
MADE = re.compile(r"made at (\S+) from (\w+)")
LONGEST = 1.8  # seconds that a burst takes
FEW = (0.2, 0.7)  # seconds after a command: while its first and its last message are on their way
MANY = [number / 50 for number in range(91)]
WITHDRAWALS = ("/optout", "/forget all", "/forget")
COMMANDS = ("/as", "/guess", "/simulate 2")
AT_ONCE = 18


class BurstSpeaker(FakeSpeaker):
    """Says in two messages when they were generated and from what, with a sticker in between."""

    def reply(self, context, voice, begins="", should_stop=None):
        is_secret = any(WITHDRAWN_WORDS in line for line in context)
        made = f"made at {time.monotonic()} from {'secrets' if is_secret else 'others'}"
        return made, EMOJI, f"also {made}"


@dataclass(frozen=True)
class Case:
    """A withdrawal so many seconds after a command, by the only friend in a group."""

    number: int
    command: str
    withdrawal: str
    seconds: float

    @property
    def name(self):
        return f"Friend{self.number:04}"

    @property
    def user_id(self):
        return 5000 + self.number

    @property
    def chat_id(self):
        return FRIENDS - 1 - self.number


def make_cases(commands, seconds):
    each = itertools.product(commands, WITHDRAWALS, seconds)
    return [Case(number, *one) for number, one in enumerate(each)]


@pytest.fixture(params=["SQLite", pytest.param("PostgreSQL", marks=pytest.mark.scale)])
async def url(request, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if request.param == "SQLite":
        return f"sqlite+aiosqlite:///{tmp_path}/bot.db"
    return await request.getfixturevalue("postgres").make_migrated()


async def withdraw(stage, case, at_once, *, forgets_line=False):
    """Let the bot speak in a friend's voice, and the friend withdraw in the meantime."""
    telegram = stage.telegram
    friend = telegram.user(case.user_id, case.name)
    chat = telegram.chat(case.chat_id, title=f"Group {case.number}")
    async with at_once:
        await telegram.say(chat, friend, None, sticker=telegram.sticker(EMOJI))
        source = await telegram.say(chat, friend, WITHDRAWN_WORDS)
        await telegram.say(chat, telegram.user(99, "Zoe"), f"{case.command} {case.name}")
        if forgets_line:
            source = await until(lambda: next(iter(standing(stage)[case.chat_id]), None), 20)
        await asyncio.sleep(case.seconds)
        since = time.monotonic()
        is_reply = case.withdrawal == "/forget"
        await telegram.say(chat, friend, case.withdrawal, reply_to=source if is_reply else None)
        await asyncio.sleep(LONGEST)
    return source, since


def find_wrong(case, since, lines):
    """Return the lines that had to go: only those may stay that owe nothing to what was withdrawn.

    After `/optout` none may stay, after `/forget all` none that was generated before it.
    """

    def may_stay(line):
        made = MADE.search(line["poll"]["question"] if "poll" in line else line["text"])
        is_new = bool(made) and (case.withdrawal == "/forget" or float(made[1]) > since)
        return is_new and made[2] == "others" and case.withdrawal != "/optout"

    wrong = [line for line in lines if "sticker" not in line and not may_stay(line)]
    return wrong if any("sticker" not in line for line in lines) else lines


def standing(stage):
    """Return what the bot said in voices and what was not deleted, by chat."""
    found = defaultdict(list)
    for (chat_id, _), message in stage.telegram.world.messages.items():
        is_own = message["from"]["id"] == stage.telegram.me.id
        is_line = "🎭" in message.get("text", "") or "poll" in message or "sticker" in message
        if is_own and is_line:
            found[chat_id].append(message)
    return found


async def run(stage, url, cases, **options):
    """Run all cases with one process, or with two on a server; return the lines that stay."""
    people = [Person(one.name, (one.user_id,), imitate="yes") for one in cases]
    chats = [LearnedChat(one.chat_id, "Group") for one in cases]
    stage.card = replace(CARD, roster=Roster(tuple(people)), chats=tuple(chats))
    stage.speaker = BurstSpeaker()
    async with AsyncExitStack() as stack:
        for _ in range(1 if url.startswith("sqlite") else 2):
            process = stage.running_process(database_url=url, pace=0.1)
            stage.app = await stack.enter_async_context(process)
        at_once = asyncio.Semaphore(AT_ONCE)
        tasks = [withdraw(stage, case, at_once, **options) for case in cases]
        withdrawn = await asyncio.gather(*tasks)
        await stage.wait_until_handled(seconds=120)
        await until_deleted(url)
    left = standing(stage)
    await check_rows(url, left)
    return [
        (case, source, left[case.chat_id], find_wrong(case, since, left[case.chat_id]))
        for case, (source, since) in zip(cases, withdrawn, strict=True)
    ]


async def until_deleted(url):
    """Wait until the bot has deleted all lines that had to go."""

    async def are_deleted():
        return not await rows(url, "SELECT * FROM lines NATURAL JOIN forgotten")

    await until(are_deleted, 20)


async def check_rows(url, left):
    """Check that exactly the lines that stay have rows, and that no turn is left."""
    stay = {(chat_id, one["message_id"]) for chat_id, own in left.items() for one in own}
    polls = {(chat_id, one["message_id"]) for chat_id, own in left.items() for one in own
             if "poll" in one}  # fmt: skip
    bots_own = "SELECT chat_id, message_id FROM messages WHERE text LIKE '🎭%'"
    for query, wanted in (
        ("SELECT chat_id, message_id FROM lines", stay),
        (bots_own, stay - polls),
        ("SELECT chat_id, message_id FROM guesses", polls),
        ("SELECT update_id, part FROM replies WHERE turn IS NOT NULL", set()),
    ):
        assert set(await rows(url, query)) == wanted, query


async def rows(url, query, **values):
    async with open_database(url) as database:
        found = await database.read(lambda one: one.execute(text(query), values).all())
    return [tuple(row) for row in found]


@pytest.fixture(autouse=True)
def _late(monkeypatch):
    monkeypatch.setattr("tests.simulated_telegram.ANSWER_SECONDS", LATE)


async def test_no_line_stays_after_a_withdrawal_while_it_is_sent(stage, url):
    results = await run(stage, url, make_cases(COMMANDS, FEW))

    assert [(case, wrong) for case, _, _, wrong in results if wrong] == []


async def test_lines_that_cannot_be_deleted_at_once_are_deleted_later(stage, url, monkeypatch):
    monkeypatch.setattr("bot.background.DELETE_SECONDS", 0.2)
    stage.telegram.fail_next("deleteMessage", 500, "Internal Server Error", times=3)
    stage.telegram.fail_next("deleteMessage", 429, "Too Many Requests", retry_after=60)

    results = await run(stage, url, make_cases(("/as",), FEW))

    assert [(case, wrong) for case, _, _, wrong in results if wrong] == []


async def test_a_line_that_cannot_be_deleted_is_deleted_after_a_restart(
    stage, url, group, hugo, joao, monkeypatch
):
    async with stage.running_process(database_url=url) as stage.app:
        await stage.answer(group, hugo, "/as João")
        stage.telegram.fail_next("deleteMessage", 502, "Bad Gateway")
        answer = await stage.answer(group, joao, "/optout")
        before = standing(stage)[group.id]

    monkeypatch.setattr("bot.background.DELETE_SECONDS", 0.1)
    async with stage.running_process(database_url=url) as stage.app:
        await until_deleted(url)

    assert "I'm going to delete 1 message of mine" in answer["text"]
    assert before
    assert not standing(stage)[group.id]


@pytest.mark.parametrize("command", ["/forget all", "/optout"])
async def test_messages_that_wait_in_another_chat_are_forgotten(
    stage, url, group, hugo, joao, command
):
    telegram, private = stage.telegram, stage.telegram.private(joao)
    for number in range(16):
        await telegram.say(group, joao if number % 4 == 3 else hugo, f"message {number}")
    await telegram.say(private, joao, command)
    async with stage.running_process(database_url=url) as stage.app:
        answer = await telegram.wait_for("sendMessage")
        await stage.wait_until_handled()

    assert "4 messages of yours" in answer.params["text"]
    assert len(await rows(url, "SELECT text FROM messages WHERE text LIKE 'message %'")) == 12
    assert await rows(url, "SELECT 1 FROM messages WHERE author_id = :joao", joao=joao.id) == []


async def test_only_the_forgotten_message_of_a_burst_is_deleted(stage, url):
    moments = [Case(number, "/as", "/forget", number * 0.1) for number in range(4)]

    results = await run(stage, url, moments, forgets_line=True)

    assert [len(left) for _, _, left, _ in results] == [2] * len(moments)
    assert not any(forgotten in left for _, forgotten, left, _ in results)


async def test_a_line_goes_with_its_source_if_the_group_moved_in_between(stage, url, hugo, joao):
    telegram, rui = stage.telegram, stage.telegram.user(16, "Rui")
    basic = telegram.chat(FRIENDS, title="Friends", kind="group")
    stage.speaker.replies.append(("below the oak?", "I found the oak", "and the treasure"))
    async with stage.running_process(database_url=url, pace=0.1) as stage.app:
        await telegram.say(basic, rui, WITHDRAWN_WORDS)
        await telegram.say(basic, hugo, "/as João")
        await telegram.wait_for("sendMessage")
        moved = await move(telegram, basic, FRIENDS - 1, hugo, order="on")
        await stage.wait_until_handled()
        lines = await rows(
            url, "SELECT message_id FROM lines WHERE chat_id = :moved", moved=moved.id
        )

        await stage.answer(moved, rui, "/forget all")

        assert len(lines) == 2
        assert not standing(stage)[moved.id]
        assert await rows(url, "SELECT chat_id FROM lines") == []


@pytest.mark.soak
@pytest.mark.parametrize("command", COMMANDS)
async def test_no_line_stays_at_any_of_many_moments(stage, url, command):
    results = await run(stage, url, make_cases((command,), MANY))

    assert [(case, wrong) for case, _, _, wrong in results if wrong] == []
