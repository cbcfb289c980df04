"""How long what people wrote is kept who did not agree: the real bot, and time that is moved."""

import asyncio
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from tests.bot.database_files import find_words


@pytest.fixture
def hours(monkeypatch):
    """Let the bot look twenty times a second for what is old, and vacuum at once."""
    monkeypatch.setattr("bot.background.CLEANUP_SECONDS", 0.05)
    monkeypatch.setattr("bot.background.VACUUM_SECONDS", 0.05)
    monkeypatch.setattr("bot.store.vacuum.QUIET_SECONDS", 0)


@pytest.fixture
def clock():
    with time_machine.travel(datetime.now(UTC), tick=True) as clock:
        yield clock


def kept(stage, query="SELECT text FROM messages ORDER BY message_id"):
    with closing(sqlite3.connect(stage.folder / "bot.db")) as database:
        return [value for (value,) in database.execute(query)]


async def until_gone(stage, *words):
    async with asyncio.timeout(10):
        while find_words(stage.folder, *words):  # noqa: ASYNC110  nothing tells of it
            await asyncio.sleep(0.05)


async def test_strangers_words_vanish_and_friends_words_stay(stage, group, zoe, hugo, hours, clock):
    async with stage.running():
        await stage.telegram.say(group, zoe, "the treasure lies below the oak")
        await stage.telegram.say(group, hugo, "really?")
        await stage.answer(group, hugo, "/as João")
        clock.shift(timedelta(days=2, minutes=-5))
        await stage.telegram.say(group, zoe, "a newer secret")
        await stage.answer(group, hugo, "/as Hugo Sá")
        assert find_words(stage.folder, "treasure")

        clock.shift(timedelta(minutes=10))
        await until_gone(stage, "treasure")

        assert "really?" in kept(stage)
        assert "🎭 João\nJoão number 1" in kept(stage)
        assert "a newer secret" in kept(stage)


async def test_no_line_points_at_what_vanished(stage, group, zoe, hugo, hours, clock):
    async with stage.running():
        gone = await stage.telegram.say(group, zoe, "the treasure")
        stays = await stage.telegram.say(group, hugo, "really?")
        line = await stage.answer(group, hugo, "/as João")
        await stage.answer(group, hugo, "/as Hugo Sá")  # one turn at a time: the other one is kept
        before = kept(stage, "SELECT source_id FROM sources ORDER BY source_id")

        clock.shift(timedelta(days=3))
        await until_gone(stage, "treasure")

        after = kept(stage, "SELECT source_id FROM sources ORDER BY source_id")
        assert gone["message_id"] in before
        assert gone["message_id"] not in after
        assert stays["message_id"] in after
        assert line["message_id"] in kept(stage, "SELECT message_id FROM lines")


async def test_who_agrees_in_time_is_kept(stage, group, hugo, hours, clock):
    ana = stage.telegram.user(15, "Ana")
    async with stage.running():
        await stage.telegram.say(group, ana, "keep this")
        await stage.answer(group, ana, "/optin")
        await stage.telegram.say(group, stage.telegram.user(16, "Rui"), "and not this")

        await stage.answer(group, hugo, "/help")
        clock.shift(timedelta(days=30))
        await until_gone(stage, "and not this")

        assert "keep this" in kept(stage)


async def test_what_a_friend_forwarded_vanishes_like_a_strangers(stage, group, hugo, hours, clock):
    origin = {"type": "hidden_user", "date": 1, "sender_user_name": "A"}
    async with stage.running():
        await stage.telegram.say(group, hugo, "the treasure", forward_origin=origin)
        await stage.telegram.say(group, hugo, "they say")
        await stage.answer(group, hugo, "/help")
        assert find_words(stage.folder, "treasure")

        clock.shift(timedelta(days=3))
        await until_gone(stage, "treasure")

        assert "they say" in kept(stage)


async def test_retention_days_sets_how_long(stage, group, zoe, hugo, hours, clock):
    async with stage.running(retention_days=30):
        await stage.telegram.say(group, zoe, "the treasure")
        await stage.answer(group, hugo, "/help")
        clock.shift(timedelta(days=29))
        await asyncio.sleep(0.3)
        is_there = find_words(stage.folder, "treasure")
        clock.shift(timedelta(days=2))
        await until_gone(stage, "treasure")

    assert is_there


@pytest.mark.parametrize(("days", "after"), [(1, 25), (2, 49), (30, 49)])
async def test_what_could_not_be_read_vanishes_too(
    stage, group, zoe, hugo, hours, clock, days, after
):
    async with stage.running(retention_days=days):
        await stage.telegram.say(group, zoe, "the treasure", date="soon")
        await stage.answer(group, hugo, "/help")
        assert find_words(stage.folder, "treasure")

        clock.shift(timedelta(hours=after))
        await until_gone(stage, "treasure")


async def test_an_admins_private_messages_expire_even_if_they_agreed(
    stage, group, joao, hours, clock
):
    private = stage.telegram.private(joao)
    async with stage.running(admins="13"):
        await stage.telegram.say(private, joao, "the treasure")
        await stage.answer(private, joao, "/as João")
        await stage.telegram.say(group, joao, "hello all")
        await stage.answer(group, joao, "/help")
        assert find_words(stage.folder, "treasure", "number 1")

        clock.shift(timedelta(days=3))
        await until_gone(stage, "treasure", "number 1")

        assert kept(stage) == ["hello all", "/help"]
