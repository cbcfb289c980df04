"""Messages in a real SQLite: kept once, edited, given back in order."""

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from bot.store.database import open_database
from bot.store.messages import PAGE, MessageStore, Place
from model.chat.conversation import Message

START = datetime(2024, 3, 30, 20, tzinfo=UTC)
HERE = Place(-100)


def message(number, text="hi", minutes=None, **changes):
    moment = START + timedelta(minutes=number if minutes is None else minutes)
    return replace(Message(-100, number, 7, "Hugo Silva", text, moment), **changes)


@pytest.fixture
async def store(migrated):
    async with open_database(migrated) as database:
        yield MessageStore(database)


async def everything(store, place=HERE):
    return await store.find_newest(place, 10_000, lambda _: True)


async def test_a_message_comes_back_as_it_was(store):
    kept = message(
        1,
        "🎭 Hugo\nолá",
        author_id=-1002223334445,
        author_name=None,
        topic_id=5,
        reply_to=3,
        is_forward=True,
        is_from_bot=True,
        sent_at=START.astimezone(timezone(timedelta(hours=2))),
    )

    await store.save(kept)

    [found] = await everything(store, Place(-100, 5))
    assert found == kept
    assert found.sent_at.tzinfo is UTC
    assert await store.find(-100, 1) == kept
    assert await store.find(-100, 2) is None


async def test_the_same_message_twice_is_kept_once(store):
    await store.save(message(1, "hi"))
    await store.save(message(1, "hi"))

    assert len(await everything(store)) == 1


async def test_an_edit_changes_the_text_and_nothing_else(store):
    await store.save(message(1, "at seven"))
    await store.save(message(1, "at eight"), edited_at=START + timedelta(hours=1))

    assert await everything(store) == [message(1, "at eight")]


async def test_an_older_text_never_replaces_a_newer_one(store):
    await store.save(message(1, "third"), edited_at=START + timedelta(hours=2))
    await store.save(message(1, "second"), edited_at=START + timedelta(hours=1))
    await store.save(message(1, "first"))

    assert [found.text for found in await everything(store)] == ["third"]


async def test_messages_come_in_the_order_of_time_then_of_ids(store):
    for number, minutes in [(4, 2), (2, 1), (9, 0), (3, 1)]:
        await store.save(message(number, minutes=minutes))

    assert [found.message_id for found in await everything(store)] == [9, 2, 3, 4]


async def test_chats_and_topics_are_apart(store):
    await store.save(message(1, "general"))
    await store.save(message(2, "topic", topic_id=8))
    await store.save(message(3, "elsewhere", chat_id=-200))

    texts = [
        [found.text for found in await everything(store, place)]
        for place in (HERE, Place(-100, 8), Place(-200), Place(-300))
    ]

    assert texts == [["general"], ["topic"], ["elsewhere"], []]


async def test_it_pages_back_until_enough_count(store):
    for number in range(4 * PAGE):
        await store.save(message(number, "yes" if number % PAGE == 0 else "no", minutes=0))

    found = await store.find_newest(HERE, 2, lambda message: message.text == "yes")
    all_of_them = await store.find_newest(HERE, 5, lambda message: message.text == "yes")

    assert [found.message_id for found in found] == list(range(2 * PAGE, 4 * PAGE))
    assert [found.message_id for found in all_of_them] == list(range(4 * PAGE))


async def test_a_search_reads_each_message_once_and_only_as_many_as_needed(store):
    for number in range(40):
        await store.save(message(number))
    seen = []

    def counts(one):
        seen.append((one.message_id, threading.current_thread()))
        return one.message_id % 2 == 0

    found = await store.find_newest(HERE, 3, counts)

    assert [number for number, _ in seen] == [39, 38, 37, 36, 35, 34]
    assert [one.message_id for one in found] == [34, 35, 36, 37, 38, 39]
    assert threading.current_thread() not in {thread for _, thread in seen}


async def test_a_search_stops_after_many_messages_that_do_not_count(store, monkeypatch):
    monkeypatch.setattr("bot.store.messages.MAX_MESSAGES_READ", 2 * PAGE)
    for number in range(3 * PAGE):
        await store.save(message(number))

    found = await store.find_newest(HERE, 1, lambda _: False)

    assert len(found) == 2 * PAGE
