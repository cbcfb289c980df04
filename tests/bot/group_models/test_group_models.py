"""Groups with models of their own beside the default one."""

from datetime import UTC, datetime, timedelta

import pytest

from bot.services.dump import dump
from bot.services.forgetting import expire_messages
from model.chat.person import Person
from model.errors import ArtifactError
from tests.bot.conftest import FRIENDS, until
from tests.bot.database_files import find_words, rows
from tests.bot.group_models.conftest import (
    ADMIN,
    CHOIR,
    CLIMBERS,
    CLIMBING,
    break_model,
    told,
    voice,
)


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

    @pytest.mark.parametrize("command", ["/as Mia", "/simulate Mia"])
    async def test_nobody_of_another_group_is_known(self, stage, running, group, zoe, command):
        async with running():
            answer = await stage.answer(group, zoe, command)
            listed = await stage.answer(group, zoe, "/voices")

        assert answer["text"].startswith("I don't know anyone with that name")
        assert "Mia" not in answer["text"] + listed["text"]

    async def test_as_anyone_chooses_among_the_groups_voices(
        self, stage, running, models, climbers, zoe
    ):
        async with running():
            await stage.answer(climbers, zoe, "/as anyone")

        offered = models.weights.speakers[models.climbing].asked
        assert [name for name, _ in offered] == ["João"]

    async def test_prompts_use_the_names_of_the_groups_roster(
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
        assert "model of a group" not in in_group["text"]
        assert in_private["text"].startswith("I have a separate model for a group that you are in")

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

    async def test_the_bot_apologises_if_a_model_cannot_be_loaded(
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
            replacement = models.add(models.of("climbers"), CLIMBERS, CLIMBING)
            await told(stage, replacement)
            later = await stage.answer(climbers, zoe, "/as João")

        assert "I stay silent here" in answer["text"]
        assert "I can't use this model" in status["text"]
        assert voice(later) == "João"
        assert models.asked(models.default) == []

    async def test_a_rollback_affects_only_its_group(
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

    async def test_the_status_in_a_group_hides_other_groups(
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

    async def test_every_folder_is_checked_within_a_few_passes(
        self, stage, running, models, climbers, zoe, monkeypatch
    ):
        monkeypatch.setattr("bot.services.model_holder.MAX_FOLDERS_PER_CHECK", 1)
        names = ("choir", "dancers", "zoo")
        for number, name in enumerate(names):
            models.add(models.of(name), CHOIR - number, (Person("Rita", (41,)),))
        async with running() as state:
            assert len(state.models.usable) == 5
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

    async def test_a_broken_model_stops_only_its_groups_dump(
        self, stage, running, models, climbers, zoe
    ):
        mia = stage.telegram.user(31, "Mia")
        async with running():
            await stage.telegram.say(climbers, mia, "said by Mia")
            await stage.answer(climbers, zoe, "/as Mia")
        break_model(models, "climbers")

        await dump(stage.settings(), models.registry, stage.folder / "x.json", FRIENDS)
        with pytest.raises(ArtifactError, match="0099-abcdef01"):
            await dump(stage.settings(), models.registry, stage.folder / "y.json", CLIMBERS)
