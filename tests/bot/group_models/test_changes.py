"""What stays true when a group's own model changes, breaks or disappears."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from telegram.ext import ExtBot

from bot.services.dump import dump
from bot.services.forgetting import expire_messages
from model.chat.person import Person
from tests.bot.conftest import FRIENDS, until
from tests.bot.database_files import rows
from tests.bot.group_models.conftest import (
    ADMIN,
    CHOIR,
    CLIMBERS,
    CLIMBING,
    break_model,
    told,
    voice,
)


@pytest.fixture
def mia(stage):
    """A climber who agreed in the roster."""
    return stage.telegram.user(31, "Mia")


@pytest.fixture
def remove_folder(stage, models):
    """Return what moves a group's folder away and waits until the bot has noticed."""

    async def remove(name, state, chat_id):
        models.of(name).root.rename(stage.folder / "elsewhere")
        await until(lambda: not state.may_speak_in(chat_id))

    return remove


@pytest.fixture
def allow_in_choir(stage, models, ada, zoe):
    """Return what lets the default model speak as João in the choir, which then gets its own."""

    async def allow():
        choir = stage.telegram.chat(CHOIR, title="Choir")
        await stage.enter(choir, ada)
        await stage.answer(choir, ada, "/allow")
        said = await stage.answer(choir, zoe, "/as João")
        people = (Person("João", (43,), imitate="yes"),)
        await told(stage, models.add(models.of("choir"), CHOIR, people))
        return choir, said

    return allow


def deleted(stage):
    calls = stage.telegram.sent("deleteMessage")
    return [(call.params["chat_id"], call.params["message_id"]) for call in calls]


def without_joao(models):
    people = models.card.roster.people
    return tuple(replace(p, imitate="no") if p.name == "João" else p for p in people)


class TestConsent:
    async def test_an_optin_among_the_climbers_never_counts_for_the_default_model(
        self, stage, running, remove_folder, group, climbers, ana
    ):
        async with running() as state:
            await stage.answer(climbers, ana, "/optin")
            await remove_folder("climbers", state, CLIMBERS)
            answer = await stage.answer(group, ana, "/as Ana")

        assert voice(answer) is None

    async def test_neither_if_their_model_is_broken_at_the_start(
        self, stage, running, models, group, climbers, ana
    ):
        async with running():
            await stage.answer(climbers, ana, "/optin")
        break_model(models, "climbers")
        async with running():
            await stage.answer(climbers, ana, "/optin")
            answer = await stage.answer(group, ana, "/as Ana")

        assert voice(answer) is None

    async def test_nor_in_a_dump(self, stage, running, models, group, climbers, ana):
        async with running():
            await stage.answer(climbers, ana, "/optin")
            await stage.telegram.say(group, ana, "said by Ana")
            await until(lambda: rows(stage, "SELECT 1 FROM messages WHERE text LIKE 'said%'"))
        models.of("climbers").root.rename(stage.folder / "elsewhere")
        file = stage.folder / "friends.json"

        await dump(stage.settings(admins=str(ADMIN)), models.registry, file, FRIENDS)

        assert '"optin"' not in file.read_text("utf-8")
        assert "said by Ana" not in file.read_text("utf-8")

    async def test_an_optout_counts_in_models_that_know_another_account(
        self, stage, running, models, group, climbers, zoe
    ):
        models.add(models.registry, FRIENDS, (Person("Nuno", (51, 52), imitate="yes"),))
        models.add(models.of("climbers"), CLIMBERS, (Person("Nuno", (52,), imitate="yes"),))
        first, second = (stage.telegram.user(number, "Nuno") for number in (51, 52))
        async with running():
            before = await stage.answer(climbers, zoe, "/as Nuno")
            await stage.answer(group, first, "/optout")
            after = [await stage.answer(chat, zoe, "/as Nuno") for chat in (group, climbers)]
            await stage.telegram.say(climbers, second, "said by Nuno")
            await until(lambda: rows(stage, "SELECT 1 FROM messages WHERE text LIKE 'said%'"))
        file = stage.folder / "climbers.json"
        await dump(stage.settings(admins=str(ADMIN)), models.registry, file, CLIMBERS)

        assert voice(before) == "Nuno"
        assert [voice(one) for one in after] == [None, None]
        assert "said by Nuno" not in file.read_text("utf-8")
        assert '"user_id": 52' in file.read_text("utf-8")

    async def test_only_an_optout_counts_for_accounts_that_another_roster_links(
        self, stage, running, models, group, climbers, zoe
    ):
        models.add(models.registry, FRIENDS, (Person("Nuno", (51, 52)),))
        models.add(models.of("climbers"), CLIMBERS, (Person("Nuno", (51,)),))
        async with running():
            answer = await stage.answer(climbers, stage.telegram.user(52, "Ghost"), "/optin")
            there = await stage.answer(climbers, zoe, "/as Nuno")

        assert "Nuno" not in answer["text"]
        assert voice(there) is None

    async def test_an_optout_counts_for_two_people_whom_another_roster_calls_one(
        self, stage, running, models, group, zoe
    ):
        two = Person("Nuno", (51,), imitate="yes"), Person("Nuno Work", (52,), imitate="yes")
        models.add(models.registry, FRIENDS, two)
        models.add(models.of("climbers"), CLIMBERS, (Person("Nuno", (51, 52)),))
        async with running():
            before = await stage.answer(group, zoe, "/as Nuno Work")
            await stage.answer(group, stage.telegram.user(51, "Nuno"), "/optout")
            after = await stage.answer(group, zoe, "/as Nuno Work")

        assert [voice(before), voice(after)] == ["Nuno Work", None]

    async def test_an_optin_counts_for_the_same_model_in_a_renamed_folder(
        self, stage, running, models, group, climbers, ana
    ):
        async with running() as state:
            await stage.answer(climbers, ana, "/optin")
            models.of("climbers").root.rename(models.of("alpinists").root)
            await until(lambda: state.holder_in(CLIMBERS).folder == "alpinists")
            said = [await stage.answer(chat, ana, "/as Ana") for chat in (group, climbers)]

        assert [voice(one) for one in said] == [None, "Ana"]


class TestErasure:
    async def test_a_message_in_flight_is_erased_although_the_model_has_changed(
        self, stage, running, models, group, ada, joao, zoe, monkeypatch
    ):
        arrived, may_go_on = asyncio.Event(), asyncio.Event()
        send = ExtBot.send_message

        async def send_slowly(self, chat_id, text, *others, **options):
            sent = await send(self, chat_id, text, *others, **options)
            if chat_id == CHOIR and text.startswith("🎭"):
                arrived.set()
                await may_go_on.wait()
            return sent

        choir = stage.telegram.chat(CHOIR, title="Choir")
        async with running() as state:
            await stage.enter(choir, ada)
            await stage.answer(choir, ada, "/allow")
            monkeypatch.setattr(ExtBot, "send_message", send_slowly)
            await stage.telegram.say(choir, zoe, "/as João")
            await arrived.wait()
            bob = (Person("Bob", (71,), imitate="yes"),)
            await told(stage, models.add(models.of("choir"), CHOIR, bob))
            await stage.answer(group, joao, "/optout")
            may_go_on.set()
            await until(lambda: not state.replies.pending)
            await until(lambda: not rows(stage, "SELECT 1 FROM lines"))

        assert [chat for chat, _ in deleted(stage)] == [CHOIR]

    async def test_what_the_default_model_said_in_somebodys_voice_is_erased(
        self, stage, running, allow_in_choir, group, joao
    ):
        async with running():
            choir, said = await allow_in_choir()
            await stage.answer(group, joao, "/optout")

        assert deleted(stage) == [(choir.id, said["message_id"])]

    async def test_a_namesake_cannot_erase_it(self, stage, running, allow_in_choir):
        async with running():
            choir, _ = await allow_in_choir()
            await stage.answer(choir, stage.telegram.user(43, "João"), "/optout")

        assert deleted(stage) == []
        assert rows(stage, "SELECT person_id FROM lines") == [(13,)]

    async def test_a_namesake_of_a_group_without_its_folder_is_spared(
        self, stage, running, remove_folder, group, climbers, joao, zoe
    ):
        async with running() as state:
            await stage.answer(climbers, zoe, "/as João")
            await remove_folder("climbers", state, CLIMBERS)
            await stage.answer(group, joao, "/optout")

        assert deleted(stage) == []

    async def test_an_optout_erases_although_the_model_is_broken(
        self, stage, running, models, climbers, mia, zoe
    ):
        async with running():
            said = await stage.answer(climbers, zoe, "/as Mia")
        break_model(models, "climbers")
        async with running():
            await stage.answer(climbers, mia, "/optout")

        assert deleted(stage) == [(climbers.id, said["message_id"])]

    async def test_a_folder_that_is_not_used_spares_nothing(
        self, stage, running, models, climbers, mia, zoe
    ):
        models.add(models.of("zoo"), CLIMBERS, (Person("Mia", (32,), imitate="yes"),))
        async with running():
            await stage.answer(climbers, zoe, "/as Mia")
            await stage.answer(climbers, mia, "/optout")

        assert rows(stage, "SELECT 1 FROM lines") == []

    async def test_only_the_person_may_forget_a_message_in_their_voice(
        self, stage, running, allow_in_choir, joao
    ):
        namesake = stage.telegram.user(43, "João")
        async with running():
            choir, said = await allow_in_choir()
            refused = await stage.answer(choir, namesake, "/forget", reply_to=said)
            await stage.answer(choir, joao, "/forget", reply_to=said)

        assert "Only the author" in refused["text"]
        assert deleted(stage) == [(choir.id, said["message_id"])]


async def test_messages_are_kept_while_it_is_not_known_who_agreed(
    stage, running, models, climbers, mia
):
    async with running():
        await stage.telegram.say(climbers, mia, "said by Mia")
        await until(lambda: rows(stage, "SELECT 1 FROM messages WHERE text LIKE 'said%'"))
    break_model(models, "climbers")
    async with running() as state:
        await expire_messages(state, datetime.now(UTC) + timedelta(days=3))

    assert rows(stage, "SELECT text FROM messages WHERE text LIKE 'said%'") == [("said by Mia",)]


async def test_a_group_that_moves_while_its_model_is_broken_stays_silent(
    stage, running, models, climbers, ada, ana, mia, zoe
):
    async with running():
        await stage.telegram.say(climbers, mia, "said by Mia")
        await until(lambda: rows(stage, "SELECT 1 FROM messages WHERE text LIKE 'said%'"))
    break_model(models, "climbers")
    bigger = stage.telegram.chat(-1005550000, title="Climbers")
    async with running() as state:
        await state.move(CLIMBERS, bigger.id, "Climbers")
        await stage.answer(bigger, ana, "/optin")
        refused = await stage.answer(bigger, ada, "/allow")
        answer = await stage.answer(bigger, zoe, "/as João")
        await expire_messages(state, datetime.now(UTC) + timedelta(days=3))

    assert refused["text"].startswith("This group has its own model, but I can't use it now")
    assert voice(answer) is None
    assert rows(stage, "SELECT 1 FROM messages WHERE text LIKE 'said%'") == [(1,)]


async def test_a_folder_that_is_used_for_another_chat_belongs_to_that_one(
    stage, running, models, climbers, ada, mia, zoe
):
    async with running():
        await stage.telegram.say(climbers, mia, "said by Mia")
        await until(lambda: rows(stage, "SELECT 1 FROM messages WHERE text LIKE 'said%'"))
    models.of("climbers").root.rename(stage.folder / "elsewhere")
    models.add(models.of("climbers"), CHOIR, (Person("Bob", (71,), imitate="yes"),))
    async with running() as state:
        await stage.answer(climbers, ada, "/allow")
        answer = await stage.answer(climbers, zoe, "/as João")
        await expire_messages(state, datetime.now(UTC) + timedelta(days=3))

    assert voice(answer) == "João"
    assert models.asked(models.default) == ["João"]
    assert rows(stage, "SELECT 1 FROM messages WHERE text LIKE 'said%'") == []


async def test_a_group_whose_model_is_broken_never_gets_the_default_one(
    stage, running, models, climbers, ada, zoe
):
    async with running():
        for _ in range(2):
            await stage.answer(climbers, ada, "/allow")
    break_model(models, "climbers")
    async with running():
        answer = await stage.answer(climbers, zoe, "/as João")

    assert voice(answer) is None
    assert models.asked(models.default) == []


class TestPermissionsAreCurrent:
    """A no in a new version's roster counts at once, whatever else is slow or broken."""

    @pytest.fixture
    def promote(self, stage, models):
        async def promote():
            await told(stage, models.add(models.registry, FRIENDS, without_joao(models)))

        return promote

    async def test_if_groups_cannot_be_listed(self, stage, running, models, promote, group, zoe):
        async with running():
            folder = models.registry.root / "groups"
            folder.rename(stage.folder / "elsewhere")
            folder.write_text("this cannot be listed")
            await promote()
            answer = await stage.answer(group, zoe, "/as João")

        assert voice(answer) is None

    async def test_while_another_groups_model_is_loaded(
        self, stage, running, models, promote, group, zoe
    ):
        async with running():
            newer = models.add(models.of("climbers"), CLIMBERS, CLIMBING)
            models.weights.slow[newer] = 1.0
            await promote()
            answer = await stage.answer(group, zoe, "/as João")

        assert voice(answer) is None

    async def test_while_the_admins_cannot_be_told(
        self, stage, running, models, group, zoe, monkeypatch
    ):
        may_tell = asyncio.Event()

        async def tell_later(*_):
            await may_tell.wait()

        monkeypatch.setattr("bot.background.report_model_change", tell_later)
        async with running() as state:
            newer = models.add(models.registry, FRIENDS, without_joao(models))
            await until(lambda: state.models.default.current.version == newer)
            answer = await stage.answer(group, zoe, "/as João")
            may_tell.set()

        assert voice(answer) is None


class TestWaitingReply:
    """A reply of the climbers waits while the default model generates another."""

    @pytest.fixture
    def waiting(self, stage, models, group, climbers, zoe):
        async def wait(state):
            for chat, name in ((climbers, "Mia"), (group, "João")):
                await stage.answer(chat, zoe, f"/as {name}")
            speaker = models.weights.speakers[models.default]
            speaker.open.clear()
            await stage.telegram.say(group, zoe, "/as João")
            await until(lambda: len(speaker.asked) == 2)
            await stage.telegram.say(climbers, zoe, "/as Mia")
            await until(lambda: CLIMBERS in state.replies._semaphore._waiting)
            return speaker

        return wait

    @pytest.fixture
    def last_reply(self, stage):
        async def finish(state, speaker):
            since = len(stage.telegram.calls)
            speaker.open.set()
            sent = await stage.telegram.wait_for("sendMessage", since=since, chat_id=CLIMBERS)
            await until(lambda: not state.replies.pending)
            return sent.result

        return finish

    async def test_it_is_generated_by_the_version_that_replaced_the_old_one(
        self, stage, running, models, waiting, last_reply
    ):
        async with running() as state:
            speaker = await waiting(state)
            newer = models.add(models.of("climbers"), CLIMBERS, CLIMBING)
            await told(stage, newer)
            models.of("climbers").remove(models.climbing)
            answer = await last_reply(state, speaker)

        assert voice(answer) == "Mia"
        assert models.asked(newer) == ["Mia"]
        assert models.weights.opened.count(models.climbing) == 1

    async def test_it_survives_another_name_of_the_folder(
        self, running, models, waiting, last_reply
    ):
        async with running(loaded_models=1) as state:
            speaker = await waiting(state)
            models.of("climbers").root.rename(models.of("alpinists").root)
            await until(lambda: state.models.find(CLIMBERS, {}).folder == "alpinists")
            answer = await last_reply(state, speaker)

        assert voice(answer) == "Mia"


async def test_a_public_model_of_a_group_speaks_only_there(stage, running, models, group, ada, zoe):
    people = (Person("Bob", (71,), imitate="yes"),)
    models.add(models.of("choir"), CHOIR, people, public=True)
    choir, other = (stage.telegram.chat(number, title="Choir") for number in (CHOIR, -1007777))
    async with running():
        for chat in (choir, other):
            await stage.enter(chat, ada)
        said = [await stage.answer(chat, zoe, "/as Bob") for chat in (choir, other, group)]

    assert [voice(one) for one in said] == ["Bob", None, None]
