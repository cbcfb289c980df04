"""Groups with models of their own beside the default one, with a real registry."""

import sqlite3
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot.run import build
from bot.services.dump import dump
from bot.services.forgetting import expire_messages
from bot.transport.polling import ALLOWED_UPDATES
from model.artifacts.artifact import Chat, save_card
from model.artifacts.registry import Registry
from model.chat.eligibility import parse_voice_header
from model.chat.roster import Person, Roster
from model.errors import ArtifactError
from tests.bot.conftest import FRIENDS, FakeSpeaker, until
from tests.bot.database_files import find_words

ADMIN, CLIMBERS, CHOIR = 7, -1005678, -1009876
CLIMBING = (
    Person("Hugo", (11,), imitate="ask"),  # "Hugo Silva" among the friends
    Person("João", (23,), imitate="yes"),  # another João than the friends'
    Person("Mia", (31,), imitate="yes"),
    Person("Ana", (15,), imitate="ask"),  # the friends' Ana
)


class Weights:
    """Opens a speaker for each version; those named in `broken` cannot be opened."""

    def __init__(self):
        self.speakers, self.opened, self.broken = {}, [], {}

    def __call__(self, artifact):
        name = artifact.path.name
        if name in self.broken:
            raise self.broken[name]
        self.opened.append(name)
        return self.speakers.setdefault(name, FakeSpeaker())


class Models:
    """A folder of models: the default one, and one of the climbers."""

    def __init__(self, folder, card):
        self.registry, self._card, self._folder = Registry(folder / "artifacts"), card, folder
        self.weights, self._number = Weights(), 0
        self.default = self.add(self.registry)
        self.climbing = self.add(self.of("climbers"), CLIMBERS, CLIMBING)

    def of(self, name):
        return Registry(self.registry.root / "groups" / name)

    def add(self, registry, chat=FRIENDS, people=(), **changes):
        """Add a version and make it current."""
        self._number += 1
        finished = self._folder / f"finished {self._number}"
        (finished / "engine").mkdir(parents=True)
        (finished / "engine" / "model.bin").write_text(str(self._number))
        (finished / "tokenizer.json").touch()
        roster = Roster(people) if people else self._card.roster
        card = replace(self._card, roster=roster, chats=(Chat(chat, str(chat)),), **changes)
        save_card(card, finished)
        return registry.promote(registry.add(finished))

    def asked(self, version):
        """Return the voices that a version was asked for."""
        speaker = self.weights.speakers.get(version)
        return [voice for voice, _ in speaker.asked] if speaker else []


@pytest.fixture
def models(tmp_path, card):
    return Models(tmp_path, card)


@pytest.fixture
def climbers(stage):
    return stage.telegram.chat(CLIMBERS, title="Climbers")


@pytest.fixture
def ada(stage):
    """The bot's admin."""
    return stage.telegram.user(ADMIN, "Ada")


@pytest.fixture
def ana(stage):
    return stage.telegram.user(15, "Ana")


@pytest.fixture
def running(stage, models, climbers, ada):
    """Return what runs the bot, which Ada has added to the climbers' group."""

    @asynccontextmanager
    async def run(**settings):
        chosen = stage.settings(admins=str(ADMIN), **settings)
        app = build(
            chosen, models.registry, models.weights, stage.lines.append, model_check_seconds=0.05
        )
        stage.telegram.private(ada)
        try:
            async with app:
                await app.post_init(app)
                await app.updater.start_polling(allowed_updates=ALLOWED_UPDATES)
                await app.start()
                if not app.bot_data["state"].groups:
                    await stage.enter(climbers, ada)
                try:
                    yield app.bot_data["state"]
                finally:
                    await app.updater.stop()
                    await app.stop()
        finally:
            await app.post_shutdown(app)

    return run


def voice(answer):
    found = parse_voice_header(answer["text"])
    return found and found[0]


def rows(stage, query):
    with closing(sqlite3.connect(stage.folder / "bot.db")) as database:
        return database.execute(query).fetchall()


class TestVoices:
    async def test_each_group_is_answered_by_its_own_model(
        self, stage, running, models, group, climbers, zoe
    ):
        async with running():
            answers = [
                await stage.answer(climbers, zoe, "/as João"),
                await stage.answer(group, zoe, "/as João"),
                await stage.answer(climbers, zoe, "/as Mia"),
            ]

        assert [voice(one) for one in answers] == ["João", "João", "Mia"]
        assert models.asked(models.climbing) == ["João", "Mia"]
        assert models.asked(models.default) == ["João"]

    @pytest.mark.parametrize("command", ["/as Mia", "/as 李雷", "/simulate Mia", "/as Hugo"])
    async def test_nobody_of_another_group_is_known(self, stage, running, group, zoe, command):
        async with running():
            answer = await stage.answer(group, zoe, command)
            listed = await stage.answer(group, zoe, "/voices")

        assert (voice(answer) == "李雷") == (command == "/as 李雷")
        assert "Mia" not in listed["text"]
        assert "Mia" not in answer["text"].removeprefix("I don't know “Mia”")

    async def test_anyone_is_someone_of_the_group(self, stage, running, models, climbers, zoe):
        async with running():
            await stage.answer(climbers, zoe, "/as anyone")

        offered = models.weights.speakers[models.climbing].asked
        assert [name for name, _ in offered] == ["João"]

    async def test_a_prompt_names_people_as_their_own_group_does(
        self, stage, running, models, group, climbers, hugo, zoe
    ):
        async with running():
            for chat in (group, climbers):
                await stage.telegram.say(chat, hugo, "who comes along?")
                await stage.answer(chat, zoe, "/as João")

        contexts = [
            models.weights.speakers[name].context for name in (models.default, models.climbing)
        ]
        assert [lines[0] for lines in contexts] == [
            "Hugo Silva: who comes along?", "Hugo: who comes along?",
        ]  # fmt: skip

    async def test_a_third_group_stays_silent(self, stage, running, ada, zoe):
        choir = stage.telegram.chat(CHOIR, title="Choir")
        async with running():
            greeting = await stage.enter(choir, ada)
            answer = await stage.answer(choir, zoe, "/as Mia")

        assert str(FRIENDS) in greeting["text"]
        assert "I stay silent here" in answer["text"]
        assert str(CLIMBERS) not in greeting["text"] + answer["text"]

    async def test_an_allowed_group_has_the_default_voices(self, stage, running, models, ada, zoe):
        choir = stage.telegram.chat(CHOIR, title="Choir")
        async with running():
            await stage.enter(choir, ada)
            await stage.answer(choir, ada, "/allow")
            refused = await stage.answer(choir, zoe, "/as Mia")
            answer = await stage.answer(choir, zoe, "/as João")

        assert voice(refused) is None
        assert voice(answer) == "João"
        assert models.asked(models.default) == ["João"]

    async def test_a_supergroup_keeps_the_model_of_the_group_that_it_was(
        self, stage, running, models, climbers, zoe, ana
    ):
        bigger = stage.telegram.chat(-1005679, title="Climbers")
        async with running():
            await stage.answer(climbers, ana, "/optin")
            await stage.telegram.say(climbers, zoe, "", migrate_to_chat_id=bigger.id)
            answer = await stage.answer(bigger, zoe, "/as Ana")

        assert voice(answer) == "Ana"
        assert models.asked(models.climbing) == ["Ana"]


class TestConsent:
    async def test_an_optin_counts_in_its_group_only(self, stage, running, group, climbers, ana):
        async with running():
            await stage.answer(group, ana, "/optin")
            here = await stage.answer(group, ana, "/as Ana")
            there = await stage.answer(climbers, ana, "/as Ana")
        async with running():
            there_later = await stage.answer(climbers, ana, "/as Ana")

        assert voice(here) == "Ana"
        assert there["text"].startswith("Ana hasn't agreed")
        assert there_later["text"].startswith("Ana hasn't agreed")

    async def test_an_optout_counts_in_all_groups(self, stage, running, group, climbers, ana):
        async with running():
            for chat in (group, climbers):
                await stage.answer(chat, ana, "/optin")
                assert voice(await stage.answer(chat, ana, "/as Ana")) == "Ana"
            await stage.answer(group, ana, "/optout")
            refused = [await stage.answer(chat, ana, "/as Ana") for chat in (group, climbers)]
            await stage.answer(climbers, ana, "/optin")
            again = [await stage.answer(chat, ana, "/as Ana") for chat in (group, climbers)]

        assert [voice(one) for one in refused] == [None, None]
        assert [voice(one) for one in again] == [None, "Ana"]

    async def test_an_optin_in_private_counts_for_the_default_model(
        self, stage, running, group, climbers, ana
    ):
        async with running():
            answer = await stage.answer(stage.telegram.private(ana), ana, "/optin")
            said = [await stage.answer(chat, ana, "/as Ana") for chat in (group, climbers)]

        assert answer["text"].startswith("Thank you, Ana!")
        assert "send /optin in that group" in answer["text"]
        assert [voice(one) for one in said] == ["Ana", None]

    async def test_only_in_private_somebody_is_told_of_their_other_group(
        self, stage, running, group
    ):
        mia = stage.telegram.user(31, "Mia")
        async with running():
            in_group = await stage.answer(group, mia, "/optin")
            in_private = await stage.answer(stage.telegram.private(mia), mia, "/optin")

        assert in_group["text"].startswith("Thank you! I haven't learned from your messages yet")
        assert "another group" not in in_group["text"]
        assert "in another group" in in_private["text"]

    async def test_an_optout_erases_a_voice_everywhere_but_not_a_namesake(
        self, stage, running, group, climbers, joao, zoe
    ):
        async with running():
            kept = await stage.answer(climbers, zoe, "/as João")
            gone = await stage.answer(group, zoe, "/as João")
            await stage.answer(group, joao, "/optout")
            deleted = stage.telegram.sent("deleteMessage")
            there = await stage.answer(climbers, zoe, "/as João")

        assert [(one.params["chat_id"], one.params["message_id"]) for one in deleted] == [
            (group.id, gone["message_id"])
        ]
        assert voice(there) == "João"
        numbers = rows(stage, "SELECT message_id FROM lines ORDER BY message_id")
        assert numbers == [(kept["message_id"],), (there["message_id"],)]

    async def test_an_optout_erases_both_names_of_a_person(
        self, stage, running, group, climbers, hugo, zoe
    ):
        async with running():
            await stage.answer(climbers, hugo, "/optin")
            for chat, name in ((group, "Hugo Silva"), (climbers, "Hugo")):
                await stage.telegram.say(chat, hugo, "my SECRETx words")
                assert voice(await stage.answer(chat, zoe, f"/as {name}")) == name
            await stage.answer(stage.telegram.private(hugo), hugo, "/optout")
            await until(lambda: not rows(stage, "SELECT 1 FROM lines"))

        assert {call.params["chat_id"] for call in stage.telegram.sent("deleteMessage")} == {
            group.id, climbers.id,
        }  # fmt: skip
        assert find_words(stage.folder, "SECRETx") == []

    async def test_messages_are_kept_only_where_their_author_agreed(
        self, stage, running, group, climbers, ana
    ):
        async with running() as state:
            await stage.answer(group, ana, "/optin")
            for chat in (group, climbers):
                await stage.telegram.say(chat, ana, f"said in {chat.id}")
            await until(
                lambda: len(rows(stage, "SELECT 1 FROM messages WHERE text LIKE 'said%'")) == 2
            )
            await expire_messages(state, datetime.now(UTC) + timedelta(days=3))

        kept = rows(stage, "SELECT text FROM messages WHERE text LIKE 'said%'")
        assert kept == [(f"said in {group.id}",)]


class TestMemory:
    async def test_a_model_is_loaded_when_it_is_needed(self, stage, running, models, climbers, zoe):
        async with running():
            at_start = [*models.weights.opened]
            await stage.answer(climbers, zoe, "/as Mia")
            await stage.answer(climbers, zoe, "/as João")

        assert at_start == [models.default]
        assert models.weights.opened == [models.default, models.climbing]

    async def test_the_least_recently_used_is_unloaded(
        self, stage, running, models, group, climbers, zoe
    ):
        async with running(loaded_models=1):
            for chat, name in ((climbers, "Mia"), (climbers, "João"), (group, "João")):
                assert voice(await stage.answer(chat, zoe, f"/as {name}")) == name

        assert models.weights.opened == [models.default, models.climbing, models.default]

    async def test_weights_that_cannot_be_loaded_are_apologised_for(
        self, stage, running, models, group, climbers, zoe
    ):
        models.weights.broken[models.climbing] = RuntimeError("there is too little memory")
        async with running():
            failed = await stage.answer(climbers, zoe, "/as Mia")
            answer = await stage.answer(group, zoe, "/as João")
            models.weights.broken.clear()
            later = await stage.answer(climbers, zoe, "/as Mia")

        assert "went wrong" in failed["text"]
        assert [voice(one) for one in (answer, later)] == ["João", "Mia"]


class TestVersions:
    async def test_a_new_version_of_one_group_leaves_the_others_alone(
        self, stage, running, models, group, climbers, zoe
    ):
        async with running():
            newer = models.add(models.of("climbers"), CLIMBERS, CLIMBING)
            text = await told(stage, newer)
            await stage.answer(climbers, zoe, "/as Mia")
            await stage.answer(group, zoe, "/as João")

        assert text.startswith("Model in groups/climbers:\nI now use version")
        assert models.asked(newer) == ["Mia"]
        assert models.asked(models.default) == ["João"]

    async def test_a_group_gets_a_model_while_the_bot_runs_and_loses_it(
        self, stage, running, models, ada, zoe
    ):
        choir = stage.telegram.chat(CHOIR, title="Choir")
        async with running() as state:
            await stage.enter(choir, ada)
            version = models.add(models.of("choir"), CHOIR, (Person("Rita", (41,), imitate="yes"),))
            await told(stage, version)
            answer = await stage.answer(choir, zoe, "/as Rita")
            models.of("choir").root.rename(stage.folder / "elsewhere")
            await until(lambda: not state.may_speak_in(CHOIR))
            silent = await stage.answer(choir, zoe, "/as Rita")

        assert voice(answer) == "Rita"
        assert "I stay silent here" in silent["text"]

    async def test_a_broken_version_is_refused_and_the_old_one_stays(
        self, stage, running, models, climbers, ada, zoe
    ):
        async with running():
            broken = models.of("climbers").root / "current"
            broken.write_text("0099-abcdef01\n")
            text = await told(stage, "0099-abcdef01")
            answer = await stage.answer(climbers, zoe, "/as Mia")
            status = await stage.answer(stage.telegram.private(ada), ada, "/status")

        assert text.startswith("Model in groups/climbers:\nThe new version can't be used")
        assert voice(answer) == "Mia"
        assert "Model in groups/climbers:\nThe new version can't be used" in status["text"]

    async def test_a_group_whose_model_is_broken_at_the_start_is_silent(
        self, stage, running, models, climbers, ada, zoe
    ):
        (models.of("climbers").root / "current").write_text("0099-abcdef01\n")
        async with running():
            answer = await stage.answer(climbers, zoe, "/as João")
            status = await stage.answer(stage.telegram.private(ada), ada, "/status")
            mended = models.add(models.of("climbers"), CLIMBERS, CLIMBING)
            await told(stage, mended)
            later = await stage.answer(climbers, zoe, "/as João")

        assert "I stay silent here" in answer["text"]
        assert "I can't use this model" in status["text"]
        assert voice(later) == "João"
        assert models.asked(models.default) == []

    async def test_an_admin_goes_back_in_one_group(
        self, stage, running, models, group, climbers, ada, zoe
    ):
        newer = models.add(models.of("climbers"), CLIMBERS, CLIMBING)
        async with running():
            described = await stage.answer(climbers, ada, "/model")
            back = await stage.answer(climbers, ada, "/rollback")
            elsewhere = await stage.answer(group, ada, "/model")
            await stage.answer(climbers, zoe, "/as Mia")

        assert newer in described["text"]
        assert models.climbing in back["text"]
        assert models.default in elsewhere["text"]
        assert models.asked(models.climbing) == ["Mia"]
        assert models.of("climbers").current == models.climbing

    async def test_the_status_in_a_group_names_nothing_of_others(
        self, stage, running, models, group, climbers, ada
    ):
        async with running():
            there = await stage.answer(climbers, ada, "/status")
            here = await stage.answer(group, ada, "/status")
            private = await stage.answer(stage.telegram.private(ada), ada, "/status")

        assert models.climbing in there["text"]
        assert models.climbing not in here["text"]
        assert "Mia" in there["text"]
        assert "Mia" not in here["text"]
        assert (
            f"Climbers: I speak (I learned from it); its own model {models.climbing}"
            in (private["text"])
        )

    async def test_of_two_folders_for_one_chat_the_first_is_used(
        self, stage, running, models, climbers, zoe
    ):
        models.add(models.of("zoo"), CLIMBERS, (Person("Rita", (41,), imitate="yes"),))
        async with running():
            answer = await stage.answer(climbers, zoe, "/as Mia")
            unknown = await stage.answer(climbers, zoe, "/as Rita")

        assert voice(answer) == "Mia"
        assert voice(unknown) is None

    async def test_many_folders_take_turns(
        self, stage, running, models, climbers, zoe, monkeypatch
    ):
        monkeypatch.setattr("bot.services.model_holder.CHECKED_AT_ONCE", 1)
        names = ("choir", "dancers", "zoo")
        for number, name in enumerate(names):
            models.add(models.of(name), CHOIR - number, (Person("Rita", (41,)),))
        async with running() as state:
            assert len(state.models.all) == 5
            newer = [
                models.add(models.of(name), CHOIR - number, (Person("Rita", (41,)),))
                for number, name in enumerate(names)
            ]
            for version in newer:
                await told(stage, version)


class TestDump:
    async def test_a_groups_dump_has_its_own_people_and_decisions(
        self, stage, running, models, group, climbers, ana, zoe
    ):
        mia = stage.telegram.user(31, "Mia")
        async with running():
            await stage.answer(group, ana, "/optin")
            for chat in (group, climbers):
                for user in (ana, mia):
                    await stage.telegram.say(chat, user, f"{user.first_name} in {chat.id}")
            await stage.answer(group, zoe, "/optout")
        settings = stage.settings(admins=str(ADMIN))
        texts = {}
        for chat_id in (FRIENDS, CLIMBERS):
            file = stage.folder / f"{chat_id}.json"
            await dump(settings, models.registry, file, chat_id)
            texts[chat_id] = file.read_text("utf-8")

        assert f"Ana in {FRIENDS}" in texts[FRIENDS]
        assert "Mia in" not in texts[FRIENDS]
        assert f"Mia in {CLIMBERS}" in texts[CLIMBERS]
        assert "Ana in" not in texts[CLIMBERS]
        assert '"optin"' in texts[FRIENDS]
        assert '"optin"' not in texts[CLIMBERS]
        assert all('"optout"' in text for text in texts.values())

    async def test_a_folder_that_cannot_be_read_stops_a_dump(self, stage, running, models):
        async with running():
            pass
        (models.of("climbers").root / "current").write_text("0099-abcdef01\n")

        with pytest.raises(ArtifactError):
            await dump(stage.settings(), models.registry, Path(stage.folder / "x.json"), FRIENDS)


async def told(stage, words):
    """Wait until the admin is told something that contains these words."""

    def find():
        calls = stage.telegram.sent("sendMessage", chat_id=ADMIN)
        return next((c.params["text"] for c in calls if words in c.params["text"]), None)

    return await until(find)
