"""While the bot runs, its folder holds no text from chats in which it is silent."""

import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest

from bot import background
from bot.playground.telegram import add_bot
from bot.store import vacuum
from bot.store.database import open_database, prepare_database
from bot.store.inbox import Inbox
from bot.texts import EN
from tests.bot.conftest import until
from tests.simulated_telegram import remove_bot

WORD = "pineapple"


@pytest.fixture
def strangers(stage):
    return stage.telegram.chat(-1009999, title="Strangers")


@pytest.fixture
def _often(monkeypatch):
    monkeypatch.setattr(background, "VACUUM_SECONDS", 0.05)
    monkeypatch.setattr(vacuum, "QUIET_SECONDS", 0)


def found_in(folder):
    """Return the files below a folder that hold the word, in any JSON escape."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert any(path.name.startswith("bot.db") for path in files)
    return [path.name for path in files if WORD.encode() in path.read_bytes()]


async def talk(stage, chat, user, times=1):
    """Send the word in every kind of update."""
    telegram = stage.telegram
    photo = [{"file_id": "a", "file_unique_id": "b", "width": 1, "height": 1}]
    for number in range(times):
        first = await telegram.say(chat, user, f"{number} {WORD} " + "and more " * (number % 300))
        await telegram.edit(first, f"{WORD} again")
        await telegram.say(chat, user, "yes", reply_to=first, quote={"text": WORD, "position": 0})
        await telegram.say(chat, user, None, photo=photo, caption=WORD)
        await telegram.say(chat, user, f"/as Hugo: {WORD}")
        await telegram.say(chat, user, f"/weather@another_bot {WORD}")
        await telegram.say(chat, user, f"/as:{WORD}")
        await telegram.say(chat, user, WORD, date="soon")  # cannot be read


@pytest.mark.parametrize("kind", ["a group", "a private chat"])
async def test_words_never_reach_the_disk(stage, strangers, zoe, kind, monkeypatch):
    chat = strangers if kind == "a group" else stage.telegram.private(zoe)
    async with stage.running(admins="7") as app:
        await talk(stage, chat, zoe, times=3)
        await stage.wait_until_handled()
        left = found_in(stage.folder)
        aside = (await app.inbox.count_open()).set_aside

    assert left == []
    assert aside == 3


@pytest.mark.usefixtures("_often")
async def test_command_texts_are_erased_soon_after(stage, strangers, zoe):
    async with stage.running(admins="7"):
        answer = await stage.answer(strangers, zoe, f"/help {WORD}")
        await stage.telegram.say(strangers, zoe, f"/privacy {WORD}")
        await stage.wait_until_handled()
        await until(lambda: not found_in(stage.folder))

    assert answer["text"]


@pytest.mark.usefixtures("_often")
async def test_private_texts_are_erased_soon_after(stage, zoe):
    private = stage.telegram.private(zoe)
    async with stage.running(admins="7"):
        await stage.answer(private, zoe, f"/start {WORD}")
        await stage.telegram.say(private, zoe, f"/optin {WORD}")
        await stage.wait_until_handled()
        await until(lambda: not found_in(stage.folder))


async def test_messages_are_stored_once_a_group_is_allowed(stage, strangers, joao, zoe):
    async with stage.running(admins=str(joao.id)):
        await stage.enter(strangers, joao)
        await stage.answer(strangers, joao, "/allow")
        await stage.telegram.say(strangers, zoe, f"hello {WORD}")
        await stage.wait_until_handled()
        await stage.answer(strangers, zoe, "/as João")

    assert any(WORD in line for line in stage.speaker.context)


async def test_a_command_interrupted_by_a_kill_is_answered(stage, strangers, zoe, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("bot.application.DurableApplication.handle", lost)
        async with stage.running(admins="7") as app:
            await stage.telegram.say(strangers, zoe, f"/as João {WORD}")
            await stage.telegram.say(strangers, zoe, WORD)

            async def are_kept():
                return (await app.inbox.count_open()).waiting == 2

            await until(are_kept)
    async with stage.running(admins="7"):
        sent = await stage.telegram.wait_for("sendMessage")
        await stage.wait_until_handled()

    assert sent.params["text"] == EN.silent_here
    assert found_in(stage.folder) == []


async def test_messages_behind_an_interrupted_allow_are_stored(
    stage, strangers, joao, zoe, monkeypatch
):
    async with stage.running(admins=str(joao.id)):
        await stage.enter(strangers, joao)
    with monkeypatch.context() as patch:
        patch.setattr("bot.application.DurableApplication.handle", lost)
        async with stage.running(admins=str(joao.id)) as app:
            await stage.telegram.say(strangers, joao, "/allow")
            await stage.telegram.say(strangers, zoe, "hello")

            async def are_kept():
                return (await app.inbox.count_open()).waiting == 2

            await until(are_kept)
    async with stage.running(admins=str(joao.id)):
        await stage.wait_until_handled()
        await stage.answer(strangers, zoe, "/as João")

    assert stage.speaker.context == ("Zoe: hello",)


async def until_stored(app, text):
    """Wait until a message with this text waits to be handled."""

    async def is_stored():
        waiting = await app.inbox.waiting()
        return any(text in str(update.get("message", {}).get("text")) for update in waiting)

    await until(is_stored)


async def add(stage, chat, admin):
    await add_bot(stage.telegram, chat, admin)


async def add_and_allow(stage, chat, admin):
    await add_bot(stage.telegram, chat, admin)
    await stage.telegram.say(chat, admin, "/allow")


async def move_here(stage, chat, admin):
    basic = stage.telegram.chat(-77, title="Strangers")
    await add_bot(stage.telegram, basic, admin)
    await stage.telegram.say(basic, admin, "", migrate_to_chat_id=chat.id)


WAYS = pytest.mark.parametrize(
    ("let_in", "is_public"), [(add, True), (add_and_allow, False), (move_here, True)],
    ids=["added", "added and allowed", "moved"],
)  # fmt: skip


@WAYS
@pytest.mark.parametrize("end", ["a kill", "a stop"])
async def test_words_behind_an_interrupted_permission_are_kept(
    stage, strangers, joao, zoe, monkeypatch, let_in, is_public, end
):
    stage.card = replace(stage.card, public=is_public)
    with monkeypatch.context() as patch:
        async with stage.running(admins=str(joao.id)) as app:
            if end == "a kill":
                patch.setattr("bot.application.DurableApplication.handle", lost)
            else:
                app.begin_to_stop()
            await let_in(stage, strangers, joao)
            await stage.telegram.say(strangers, zoe, "/as Hugo Silva: well")
            await until_stored(app, "/as")
    async with stage.running(admins=str(joao.id)):
        await stage.wait_until_handled()

    assert stage.speaker.begun == ["well"]


@WAYS
async def test_words_that_arrive_after_a_restart_behind_a_permission_are_kept(
    stage, strangers, joao, zoe, monkeypatch, let_in, is_public
):
    stage.card = replace(stage.card, public=is_public)
    with monkeypatch.context() as patch:
        patch.setattr("bot.application.DurableApplication.handle", lost)
        async with stage.running(admins=str(joao.id)) as app:
            await let_in(stage, strangers, joao)
            await until(lambda: not stage.telegram.updates.pending)
        async with stage.running(admins=str(joao.id)) as app:
            await stage.telegram.say(strangers, zoe, "/as Hugo Silva: well")
            await until_stored(app, "/as")
    async with stage.running(admins=str(joao.id)):
        await stage.wait_until_handled()

    assert stage.speaker.begun == ["well"]


@pytest.mark.parametrize("who", ["a stranger", "an admin, to a group of others"])
async def test_words_behind_an_addition_without_effect_never_reach_the_disk(
    stage, strangers, joao, zoe, who, monkeypatch
):
    monkeypatch.setattr("bot.application.DurableApplication.handle", lost)
    stage.card = replace(stage.card, public=who == "a stranger")
    async with stage.running(admins=str(joao.id)) as app:
        await add_bot(stage.telegram, strangers, zoe if who == "a stranger" else joao)
        await stage.telegram.say(strangers, zoe, f"/as Hugo Silva: {WORD}")
        await until_stored(app, "/as")
        assert found_in(stage.folder) == []


@pytest.mark.parametrize("sender", ["an admin", "a stranger", "a forward", "an inline bot"])
async def test_words_behind_an_allow_without_effect_never_reach_the_disk(
    stage, strangers, joao, zoe, sender, monkeypatch
):
    if sender != "an admin":  # for an admin, the bot must have been added before
        async with stage.running(admins=str(joao.id)):
            await stage.enter(strangers, joao)
    monkeypatch.setattr("bot.application.DurableApplication.handle", lost)
    more = {
        "a forward": {"forward_origin": {"type": "user", "sender_user": zoe.json(), "date": 1}},
        "an inline bot": {"via_bot": stage.telegram.me.json()},
    }
    async with stage.running(admins=str(joao.id)) as app:
        user = zoe if sender == "a stranger" else joao
        await stage.telegram.say(strangers, user, "/allow", **more.get(sender, {}))
        await stage.telegram.say(strangers, zoe, WORD)

        async def are_kept():
            return (await app.inbox.count_open()).waiting == 2

        await until(are_kept)
        assert found_in(stage.folder) == []


@pytest.mark.parametrize("before", ["an unhandled addition", "a group where it speaks"])
async def test_words_behind_a_removal_never_reach_the_disk(
    stage, strangers, joao, zoe, before, monkeypatch
):
    stage.card = replace(stage.card, public=True)
    if before == "a group where it speaks":
        async with stage.running(admins=str(joao.id)):
            await stage.enter(strangers, joao)
    monkeypatch.setattr("bot.application.DurableApplication.handle", lost)
    async with stage.running(admins=str(joao.id)) as app:
        if before == "an unhandled addition":
            await add_bot(stage.telegram, strangers, joao)
        await remove_bot(stage.telegram, strangers, joao)
        await add_bot(stage.telegram, strangers, zoe)
        await stage.telegram.say(strangers, zoe, f"/as Hugo Silva: {WORD}")
        await until_stored(app, "/as")
        assert found_in(stage.folder) == []


async def lost(*_):
    """Simulate a kill between storing and handling."""


async def test_the_log_is_emptied_as_soon_as_no_reader_needs_it(tmp_path, monkeypatch):
    monkeypatch.setattr("bot.store.database.LOG_TRIES", 2)
    url = f"sqlite+aiosqlite:///{tmp_path}/bot.db"
    await prepare_database(url)
    async with open_database(url) as database:
        inbox = Inbox(database)
        await inbox.store([{"update_id": 1, "message": {"text": WORD}}])
        await inbox.end(1)
        with closing(sqlite3.connect(tmp_path / "bot.db")) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM inbox").fetchone()
            await inbox.store([{"update_id": 2}])
            before = await database.truncate_log()
            await inbox.end(2)
        after = await database.truncate_log()

        assert (before, after) == (False, True)
        assert (tmp_path / "bot.db-wal").stat().st_size == 0
    assert found_in(tmp_path) == []


@pytest.mark.usefixtures("_often")
async def test_a_log_that_can_never_be_emptied_is_reported(stage, strangers, zoe, monkeypatch):
    monkeypatch.setattr("bot.store.database.LOG_TRIES", 1)
    monkeypatch.setattr(vacuum, "MAX_FULL_LOG_SECONDS", 0.1)
    async with stage.running(admins="7") as app:
        with closing(sqlite3.connect(stage.folder / "bot.db")) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM inbox").fetchone()
            await stage.telegram.say(strangers, zoe, f"/help {WORD}")
            [job] = await until(lambda: app.state.jobs.failing, 20)

    assert (job.name, job.error) == ("vacuum", "StoreError")


@pytest.mark.usefixtures("_often")
async def test_an_allow_that_is_being_answered_counts_once(stage, strangers, joao, zoe):
    """The first `/allow` only says which chat the model learned from, even after a restart."""
    async with stage.running(admins=str(joao.id)):
        stage.telegram.fail_next("sendMessage", 429, "Too Many Requests", retry_after=60)
        await stage.telegram.say(strangers, joao, "/allow")
        await until(lambda: stage.telegram.sent("sendMessage", refused=True))
        await stage.telegram.say(strangers, zoe, f"{WORD} secrets")
        await until(lambda: found_in(stage.folder) == [])
    async with stage.running(admins=str(joao.id)) as app:
        await stage.wait_until_handled()
        may_speak = app.bot_data["state"].may_speak_in(strangers.id)

    assert not may_speak
    assert stage.said() == [EN.needs_allow.format(chats="Friends")]
