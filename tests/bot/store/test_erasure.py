"""What is erased from a real SQLite is in no row at once, and after a VACUUM in no byte."""

import asyncio
import json
import random
import sqlite3
from contextlib import closing
from datetime import UTC, datetime

import pytest

from bot.store import erasure
from bot.store.database import make_backend, open_database, prepare_database
from bot.store.erasure import Eraser, ErasureQuery
from bot.store.inbox import Inbox
from bot.store.messages import MessageStore, Place, Ref
from bot.store.updates import remove_erased_text
from bot.store.vacuum import Vacuum
from model.chat import eligibility
from model.chat.conversation import Message
from model.redaction import numbers
from tests.bot.database_files import find_in_rows, find_words

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
LEAKY = 25
"""With this seed `secure_delete` alone leaves five copies of erased words."""


class KilledError(Exception):
    """Ends an erasure in the middle."""


def said(number, text="hi", author=1, chat=-5):
    return Message(chat, number, author, f"name {author}", text, AT)


def update(number, text, author=1, chat=-5, **more):
    user = {"id": author, "is_bot": False, "first_name": f"name {author}"}
    return {"message_id": number, "chat": {"id": chat, "type": "group"}, "from": user,
            "date": 1, "text": text, **more}  # fmt: skip


@pytest.fixture
async def database(tmp_path):
    url = f"sqlite+aiosqlite:///{tmp_path}/bot.db"
    await prepare_database(url)
    async with open_database(url) as database:
        yield database


async def erase(eraser, wanted, **more):
    """Erase in both stages; there is no chat."""
    marked = await eraser.mark(wanted, AT)
    await eraser.erase(wanted, marked.lines, **more)


def fill(path, seed=LEAKY):
    """Let pages of a busy chat split and grow: SQLite copies rows from one to another."""
    chance = random.Random(seed)
    row = "INSERT INTO messages VALUES (?, ?, NULL, ?, ?, ?, ?, NULL, 0, 0, NULL)"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA secure_delete=ON")
        for number in range(1500):
            author = chance.randint(1, 3)
            place = chance.choice([-5, -7]), chance.randint(1, 10**9)
            text = f"SECRET{author}x " + "w" * chance.choice([5, 30, 80, 300, 1500])
            moment = f"2024-01-01 00:00:{number % 60:02d}"
            connection.execute(row, (*place, author, f"n{author}", text, moment))
        longer = "UPDATE messages SET text = text || ? WHERE message_id % 3 = 0"
        connection.execute(longer, ("y" * 40,))


async def test_no_copy_that_sqlite_made_is_left(database, tmp_path):
    fill(tmp_path / "bot.db")

    await erase(Eraser(database), ErasureQuery(authors=frozenset({1})))

    assert not find_in_rows(tmp_path / "bot.db", "SECRET1x")
    await Vacuum(database).run()
    assert find_words(tmp_path, "SECRET1x", "SECRET2x") == [("SECRET2x", "bot.db")]


async def test_what_is_marked_is_neither_used_nor_kept(database):
    store = MessageStore(database)
    await store.save(said(1, "first"))
    await store.save(said(3, "third"))

    await Eraser(database).mark(ErasureQuery(messages=(Ref(-5, 1), Ref(-5, 2))), AT)
    await store.save(said(1, "mended"), edited_at=AT)
    await store.save(said(2, "another"))

    assert [one.text for one in await store.find_newest(Place(-5), 10, lambda _: True)] == ["third"]
    assert (await store.find(-5, 1)).text == ""
    assert await store.find(-5, 2) is None


async def test_no_copy_stays_in_the_memory_of_the_process(database):
    caches = (
        *(eligibility._redact_cached, eligibility._shorten, eligibility._hide_private_name),
        numbers._find_valid_phones,
    )
    for cache in caches:
        cache("020 7946 0958 treasure")

    await erase(Eraser(database), ErasureQuery(messages=(Ref(-5, 1),)))

    assert not any(cache.cache_info().currsize for cache in caches)


async def test_who_writes_while_all_of_somebody_is_erased_is_in_nobodys_way(database, monkeypatch):
    monkeypatch.setattr(erasure, "ROWS_PER_WRITE", 1)
    monkeypatch.setattr(erasure, "ROWS_PER_READ", 4)
    store = MessageStore(database)
    for number in range(40):
        await store.save(said(number, "first", author=1 + number % 2))
    held = []

    async def meanwhile():
        while not forgetting.done():
            began = asyncio.get_running_loop().time()
            await store.save(said(100 + len(held), "meanwhile", author=3))
            held.append(asyncio.get_running_loop().time() - began)

    forgetting = asyncio.create_task(erase(Eraser(database), ErasureQuery(authors=frozenset({1}))))
    await meanwhile()
    await forgetting

    assert len(held) > 10
    assert await store.count() == 20 + len(held)


async def test_an_erasure_takes_many_short_steps(database, tmp_path, monkeypatch):
    monkeypatch.setattr(erasure, "ROWS_PER_WRITE", 100)
    fill(tmp_path / "bot.db")
    sizes, execute = [], erasure._delete

    def spied(refs, connection):
        sizes.append(len(refs))
        return execute(refs, connection)

    monkeypatch.setattr(erasure, "_delete", spied)
    await erase(Eraser(database), ErasureQuery(authors=frozenset({1})))

    assert len(sizes) >= 4
    assert max(sizes) <= 100


async def test_a_vacuum_follows_only_if_something_was_erased(database, tmp_path):
    fill(tmp_path / "bot.db")
    eraser = Eraser(database)
    is_due = []

    for authors in ({98, 99}, {1, 99}):
        await Vacuum(database).run()
        await erase(eraser, ErasureQuery(authors=frozenset(authors)))
        is_due.append(database.must_vacuum)

    assert is_due == [False, True]


async def test_a_killed_erasure_leaves_overwritten_text_and_can_be_finished(
    database, tmp_path, monkeypatch
):
    monkeypatch.setattr(erasure, "ROWS_PER_WRITE", 100)
    fill(tmp_path / "bot.db")
    wanted, steps, execute = ErasureQuery(authors=frozenset({1})), [], erasure._delete

    def dying(*arguments):
        steps.append(arguments)
        if len(steps) == 3:
            raise KilledError
        return execute(*arguments)

    monkeypatch.setattr(erasure, "_delete", dying)
    with pytest.raises(KilledError):
        await erase(Eraser(database), wanted)
    left = await MessageStore(database).count()
    assert not find_in_rows(tmp_path / "bot.db", "SECRET1x")
    await Vacuum(database).run()
    assert not find_words(tmp_path, "SECRET1x")

    await erase(Eraser(database), wanted)

    assert await MessageStore(database).count() < left
    with closing(sqlite3.connect(tmp_path / "bot.db")) as connection:
        assert connection.execute(
            "SELECT count(*) FROM messages WHERE author_id = 1"
        ).fetchone() == (0,)


@pytest.mark.parametrize("seed", range(6))
async def test_no_copy_is_left_after_edits_and_other_erasures(database, tmp_path, seed):
    fill(tmp_path / "bot.db", seed)
    with closing(sqlite3.connect(tmp_path / "bot.db")) as connection, connection:
        connection.execute("PRAGMA secure_delete=ON")
        connection.execute("DELETE FROM messages WHERE author_id = 3")
        longer = "UPDATE messages SET text = text || ? WHERE author_id = 2 AND message_id % 3 = 0"
        connection.execute(longer, ("y" * 40,))
    before = await MessageStore(database).count()

    await erase(Eraser(database), ErasureQuery(authors=frozenset({1})))
    await Vacuum(database).run()

    assert {word for word, _ in find_words(tmp_path, *(f"SECRET{n}x" for n in (1, 2, 3)))} == {
        "SECRET2x"
    }
    with closing(sqlite3.connect(tmp_path / "bot.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        [kept] = connection.execute("SELECT count(*) FROM messages WHERE author_id = 2").fetchone()
    assert 0 < kept < before
    assert await MessageStore(database).count() == kept


async def test_the_file_shrinks(database, tmp_path):
    fill(tmp_path / "bot.db")
    path = tmp_path / "bot.db"
    before = path.stat().st_size

    await erase(Eraser(database), ErasureQuery(authors=frozenset({1, 2})))
    await Vacuum(database).run()

    assert path.stat().st_size < before
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA freelist_count").fetchone() == (0,)


async def test_a_busy_reader_delays_only_the_bytes(database, tmp_path, monkeypatch):
    monkeypatch.setattr("bot.store.database.LOG_PAUSE", 0)
    await MessageStore(database).save(said(1, "the treasure"))
    with closing(sqlite3.connect(tmp_path / "bot.db", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM messages").fetchall()
        await erase(Eraser(database), ErasureQuery(messages=(Ref(-5, 1),)))
        are_clean = [await Vacuum(database).run()]
        assert not find_in_rows(tmp_path / "bot.db", "treasure")
        assert find_words(tmp_path, "treasure")
    are_clean.append(await Vacuum(database).run())

    assert are_clean == [False, True]
    assert not find_words(tmp_path, "treasure")


class TestTheInbox:
    async def test_what_waits_keeps_the_words_of_others_alone(self, database, tmp_path):
        inbox, erasing = Inbox(database), Eraser(database)
        await MessageStore(database).save(said(1, "the treasure"))
        answered = update(3, "what?", author=2, reply_to_message=update(1, "the treasure"))
        await inbox.store(
            [
                {"update_id": 1, "message": update(1, "the treasure")},
                {"update_id": 2, "edited_message": update(1, "the treasure, mended")},
                {"update_id": 3, "message": answered | {"quote": {"text": "treasure"}}},
                {"update_id": 4, "callback_query": {"id": "1", "message": update(1, "treasure")}},
            ]
        )

        await erase(erasing, ErasureQuery(authors=frozenset({1})))

        await Vacuum(database).run()
        assert not find_words(tmp_path, "treasure", "name 1")
        first, _, third, _ = await inbox.waiting()
        assert first["message"]["message_id"] == 1
        assert third["message"]["text"] == "what?"
        assert third["message"]["reply_to_message"]["from"]["id"] == 1

    async def test_half_of_an_emoji_in_another_one_stops_nothing(self, database, tmp_path):
        inbox = Inbox(database)
        answered = update(2, "half \ud83d", author=2, reply_to_message=update(1, "the treasure"))
        await inbox.store([{"update_id": 1, "message": answered}])

        await erase(Eraser(database), ErasureQuery(authors=frozenset({1})))

        [kept] = await inbox.waiting()
        assert kept["message"]["text"] == "half \ud83d"
        await Vacuum(database).run()
        assert not find_words(tmp_path, "treasure")

    async def test_the_update_that_asks_for_it_can_be_handled_anew(self, database, tmp_path):
        inbox = Inbox(database)
        await MessageStore(database).save(said(1, "the treasure"))
        asks = update(2, "/forget", reply_to_message=update(1, "the treasure"))
        await inbox.store([{"update_id": 7, "message": asks}])

        await erase(Eraser(database), ErasureQuery(authors=frozenset({1})), update_id=7)

        [kept] = await inbox.waiting()
        assert kept["message"]["text"] == "/forget"
        assert kept["message"]["reply_to_message"]["message_id"] == 1
        await Vacuum(database).run()
        assert not find_words(tmp_path, "treasure")

    async def test_another_erasure_leaves_a_command_that_is_being_handled(self, database):
        command = update(
            2, "/forget all", entities=[{"type": "bot_command", "offset": 0, "length": 7}]
        )
        await Inbox(database).store([{"update_id": 7, "message": command}])
        await MessageStore(database).save(said(2, "/forget all"))
        await Eraser(database).mark(ErasureQuery(authors=frozenset({1})), AT)

        await erase(Eraser(database), ErasureQuery(own=(Ref(-5, 9),)), update_id=8)

        [kept] = await Inbox(database).waiting()
        assert kept["message"]["text"] == "/forget all"
        assert kept["message"]["from"]["first_name"] == ""

    async def test_what_was_forgotten_is_not_kept_where_it_is_repeated(self, database, tmp_path):
        await Eraser(database).mark(ErasureQuery(messages=(Ref(-5, 1),)), AT)
        answered = update(3, "what?", author=2, reply_to_message=update(1, "the treasure"))

        fresh = await Inbox(database).store([{"update_id": 3, "message": answered}])

        assert fresh == {3}
        await Vacuum(database).run()
        assert not find_words(tmp_path, "treasure")
        [kept] = await Inbox(database).waiting()
        assert kept["message"]["text"] == "what?"


def test_an_update_of_which_nothing_was_erased_stays_as_it_is():
    before = {"update_id": 1, "message": update(1, "hi", entities=[{"type": "bold"}])}

    after = remove_erased_text(before, lambda _: False, lambda _: False)

    assert json.dumps(after) == json.dumps(before)


async def test_words_are_erased_from_a_database_that_a_link_leads_to(tmp_path):
    real, link = tmp_path / "disk" / "bot.db", tmp_path / "bot.db"
    real.parent.mkdir()
    link.symlink_to(real)
    url = f"sqlite+aiosqlite:///{link}"
    await prepare_database(url)
    async with open_database(url) as database:
        fill(link)

        await erase(Eraser(database), ErasureQuery(authors=frozenset({1})))
        await Vacuum(database).run()

        assert make_backend(url).sibling("-wal").exists()
        assert not find_words(real.parent, "SECRET1x")
