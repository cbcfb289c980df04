"""`understudy-bot dump`: what the pipeline reads back is what the bot kept of those who agreed."""

import asyncio
import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from telegram import Update

from bot.errors import DumpError, StoreError
from bot.services.dump import dump
from bot.settings import Settings
from bot.store.backup import DumpReader
from bot.store.database import open_database, prepare_database
from bot.store.groups import Group, Groups
from bot.store.messages import MessageStore
from bot.transport.incoming import message_of
from model.artifacts.artifact import Artifact, Card
from model.chat.conversation import Message, Window
from model.chat.eligibility import add_voice_header, make_lines, strip_other_authors
from model.chat.roster import Roster
from tests.bot.conftest import FRIENDS, FakeModels
from tests.parity_chats import BOT, ROSTER, Chat, chats
from tests.pipeline.export.reading import read

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def models(tmp_path, card):
    return FakeModels(Artifact(tmp_path / "0001-abcdef01", card))


@pytest.fixture
def file(tmp_path):
    return tmp_path / "live.json"


@pytest.fixture
async def keep(stage):
    """Keep messages, as the bot does."""
    url = stage.settings().database_url
    await prepare_database(url)

    async def keep(*messages):
        async with open_database(url) as database:
            for message in messages:
                await MessageStore(database).save(message)

    return keep


def message(number, text="hi", author=11, **changes):
    return replace(Message(FRIENDS, number, author, f"name {author}", text, AT), **changes)


def ours(file):
    return json.loads(file.read_text("utf-8"))["understudy"]


async def test_all_that_can_be_said_comes_back(stage, models, file, hugo, joao, zoe):
    telegram = stage.telegram
    forum = telegram.chat(-1000000001234, title="Friends", is_forum=True)
    trips, food = (telegram.topic(forum, name) for name in ("Trips", "Food"))
    card = replace(stage.card, chats=(replace(stage.card.chats[0], chat_id=forum.id),))
    models.artifact = Artifact(models.artifact.path, card)
    async with stage.running(card):
        peru = await telegram.say(forum, hugo, "Peru?", thread=trips)
        strange = await telegram.say(forum, zoe, "no, Chile", thread=trips, reply_to=peru)
        await telegram.say(forum, joao, "why Chile?", thread=trips, reply_to=strange)
        await telegram.say(forum, joao, "yes, Peru", thread=trips, reply_to=peru)
        await telegram.say(forum, joao, "pasta", thread=food)
        mended = await telegram.say(forum, hugo, "at sevn\nor so")
        await telegram.edit(mended, "at seven\nor so")
        await telegram.say(forum, joao, None, sticker=STICKER, reply_to=mended)
        await telegram.say(forum, joao, None, photo=[PHOTO], caption="us", reply_to=mended)
        await telegram.say(forum, hugo, "so they say", forward_origin=ORIGIN)
        await telegram.say(
            forum, hugo, "a gif", via_bot={"id": 8, "is_bot": True, "first_name": ""}
        )
        await stage.answer(forum, hugo, "/as João hm?", thread=trips)
        await dump(stage.settings(), models, file, None)
        async with open_database(stage.settings().database_url) as database:
            kept = await DumpReader(database).messages(forum.id)

    found = read(file)
    expected = [
        one.message
        for one in kept
        if one.message.author_id != zoe.id and not one.message.is_forward
    ]
    assert sorted(found.messages, key=lambda one: one.message_id) == expected
    assert {one.topic_id for one in expected} == {None, trips, food}
    assert [one.text for one in expected if one.is_from_bot] == [
        "a gif",
        add_voice_header("João", "João number 1"),
    ]
    assert (found.chat.name, found.chat.kind) == ("Friends", "private_supergroup")
    assert not found.tally.skipped
    assert not found.tally.repaired
    [edited] = [
        item for item in json.loads(file.read_text("utf-8"))["messages"] if "edited" in item
    ]
    assert edited["id"] == mended["message_id"]


STICKER = {
    "file_id": "a",
    "file_unique_id": "b",
    "width": 1,
    "height": 1,
    "emoji": "😀",
    "type": "regular",
    "is_animated": False,
    "is_video": False,
}
PHOTO = {"file_id": "a", "file_unique_id": "b", "width": 1, "height": 1}
ORIGIN = {"type": "hidden_user", "date": 1, "sender_user_name": "A"}


@settings(max_examples=15, deadline=None)
@given(said=chats, kind=st.sampled_from(["private_group", "private_supergroup"]))
def test_any_chat_comes_back(empty_database, said, kind):
    chat = Chat(said, kind)
    with TemporaryDirectory() as name:
        folder = Path(name)
        url = f"sqlite+aiosqlite:///{shutil.copy(empty_database, folder / 'bot.db')}"
        kept, file = asyncio.run(kept_and_dumped(chat, url, folder))
        found = read(file)
        assert "zanzibar" not in file.read_text("utf-8")

    agreed = {number for person in ROSTER.people if person.may_be_target for number in person.ids}
    expected = [
        one
        for one in kept
        if one.author_id in {*agreed, BOT}
        and not one.is_forward
        and (one.author_id == BOT or strip_other_authors(one.text, ROSTER))
    ]
    dumped = sorted(found.messages, key=lambda one: one.message_id)
    assert [replace(one, text="") for one in dumped] == [replace(one, text="") for one in expected]
    assert make_lines(dumped, ROSTER) == make_lines(expected, ROSTER)


async def kept_and_dumped(chat, url, folder):
    """Let a store keep a chat, and dump it; return what was kept, in order of ids, and the file."""
    chosen = Settings(_env_file=None, bot_token=f"{BOT}:x", database_url=url, consent="roster")
    async with open_database(url) as database:
        store = MessageStore(database)
        for number, fields in enumerate(chat.updates()):
            update = Update.de_json({"update_id": number, **fields}, None)
            received = update.effective_message
            if message := message_of(received):
                await store.save(message, edited_at=received.edit_date)
        kept = [one.message for one in await DumpReader(database).messages(chat.id)]
        await Groups(database).save(Group(chat.id, title="Us"))
    card = Card("t5", "encoder-decoder", ROSTER, (), Window(), 512)
    models = FakeModels(Artifact(folder / "0001-abcdef01", card))
    await dump(chosen, models, folder / "live.json", chat.id)
    return sorted(kept, key=lambda one: one.message_id), folder / "live.json"


async def test_all_decisions_and_forgotten_ids_stand_beside(stage, group, models, file, hugo, zoe):
    async with stage.running():
        said = await stage.telegram.say(group, hugo, "the treasure")
        await stage.answer(group, hugo, "/forget", reply_to=said)
        await stage.answer(group, zoe, "/optin")
        await stage.answer(group, zoe, "/optout")
        await dump(stage.settings(), models, file, None)

    found = ours(file)
    assert found["chat_id"] == group.id
    assert datetime.fromisoformat(found["written_at"]).tzinfo is not None
    assert [(one["user_id"], one["decision"]) for one in found["decisions"]] == [
        (99, "optin"),
        (99, "optout"),
    ]
    assert all(datetime.fromisoformat(one["at"]).tzinfo for one in found["decisions"])
    assert said["message_id"] in found["forgotten"]
    assert "treasure" not in file.read_text("utf-8")


async def test_who_took_their_yes_back_is_not_in_it(stage, keep, models, file):
    await keep(message(1, "hers"), message(2, "his", author=13))
    with closing(sqlite3.connect(stage.folder / "bot.db")) as database, database:
        database.execute("INSERT INTO decisions VALUES (1, 1, 11, 'optout', '2026-01-01', NULL)")

    await dump(stage.settings(), models, file, None)

    assert read(file).texts == ["his"]


async def test_an_optout_is_the_last_decision_of_all_accounts_of_a_person(
    stage, keep, models, file
):
    card = models.artifact.card
    people = [replace(p, ids=(13, 33)) if 13 in p.ids else p for p in card.roster.people]
    models.artifact = replace(models.artifact, card=replace(card, roster=Roster(tuple(people))))
    await keep(message(1, "hers"))
    with closing(sqlite3.connect(stage.folder / "bot.db")) as database, database:
        database.executemany(
            "INSERT INTO decisions (chat_id, user_id, decision, at) VALUES (?, ?, ?, ?)",
            [(FRIENDS, 13, "optin", "2026-01-01"), (FRIENDS, 33, "optin", "2026-01-02"),
             (FRIENDS, 13, "optout", "2026-01-03")],
        )  # fmt: skip

    await dump(stage.settings(), models, file, None)

    last = {one["user_id"]: one["decision"] for one in ours(file)["decisions"]}
    assert last == {13: "optout", 33: "optout"}


async def test_what_friends_forwarded_are_not_their_words(stage, keep, models, file):
    await keep(message(1, "hers"), message(2, "the treasure", is_forward=True))

    held = await dump(stage.settings(), models, file, None)

    assert read(file).texts == ["hers"]
    assert held.friends == 1
    assert "treasure" not in file.read_text("utf-8")


async def test_a_group_that_moved_is_one_chat(stage, keep, models, file):
    new = -1000000005678
    await keep(
        message(1, "before"),
        message(2, "and an answer", reply_to=1),
        message(1, "after", chat_id=new),
    )
    async with open_database(stage.settings().database_url) as database:
        await Groups(database).save(Group(new, title="Friends", moved_from=FRIENDS))

    held = await dump(stage.settings(), models, file, None)

    found = read(file)
    assert (held.chat_id, found.chat.chat_id) == (new, new)
    assert [(one.message_id, one.reply_to, one.text) for one in found.messages] == [
        (1 - 10**9, None, "before"),
        (2 - 10**9, 1 - 10**9, "and an answer"),
        (1, None, "after"),
    ]


async def test_of_several_chats_one_must_be_named(stage, keep, models, file):
    await keep(message(1), message(1, "elsewhere", chat_id=-77))

    with pytest.raises(
        DumpError, match=r"there are several chats: choose one with --chat ID"
    ) as error:
        await dump(stage.settings(), models, file, None)
    await dump(stage.settings(), models, file, -77)

    assert f"\n  {FRIENDS}  Friends\n  -77" in str(error.value)
    assert read(file).texts == ["elsewhere"]


async def test_where_only_one_chat_has_friends_in_it_none_must_be_named(keep, stage, models, file):
    await keep(message(1), message(1, "a stranger's", chat_id=99, author=99))

    held = await dump(stage.settings(), models, file, None)

    assert (held.chat_id, held.friends) == (FRIENDS, 1)


async def test_a_dump_leaves_out_admins_private_chats(stage, group, models, file, joao):
    private = stage.telegram.private(joao)
    async with stage.running(admins="13"):
        await stage.answer(private, joao, "/start")
        await stage.telegram.say(private, joao, "psst")
        await stage.answer(private, joao, "/as Hugo Silva")
        await stage.telegram.say(group, joao, "hello")
        await stage.answer(group, joao, "/as Hugo Silva")

        held = await dump(stage.settings(), models, file, None)
        with pytest.raises(DumpError, match="no messages of chat 13 are stored") as error:
            await dump(stage.settings(), models, stage.folder / "private.json", joao.id)

    assert held.chat_id == group.id
    assert "psst" not in file.read_text("utf-8")
    assert "\n  13" not in str(error.value)


async def test_a_chat_that_is_not_kept_is_none(stage, keep, models, file):
    await keep(message(1))

    with pytest.raises(
        DumpError, match="no messages of chat 5 are stored: choose a chat with --chat ID"
    ):
        await dump(stage.settings(), models, file, 5)

    assert not file.exists()


async def test_where_nobody_agreed_the_decisions_are_there(stage, keep, models, file):
    await keep(message(1, "a stranger's", author=99))

    held = await dump(stage.settings(), models, file, None)

    assert (held.friends, held.own) == (0, 0)
    assert read(file).messages == []
    assert ours(file)["decisions"] == []


async def test_only_its_owner_can_read_the_file(stage, keep, models, file):
    await keep(message(1))
    file.write_text("an older one", "utf-8")
    file.chmod(0o644)

    await dump(stage.settings(), models, file, None)

    assert file.stat().st_mode & 0o777 == 0o600
    assert read(file).texts == ["hi"]


async def test_a_file_that_cannot_be_written_is_named(stage, keep, models, tmp_path):
    await keep(message(1))

    with pytest.raises(DumpError, match="cannot be written .*: choose another file"):
        await dump(stage.settings(), models, tmp_path / "no folder" / "live.json", None)


async def test_no_database_is_no_reason_to_make_one(stage, models, file):
    with pytest.raises(StoreError, match="there is no database"):
        await dump(stage.settings(), models, file, None)

    assert not (stage.folder / "bot.db").exists()
