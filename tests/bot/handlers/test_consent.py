"""`/optin` and `/optout`, through the real bot over HTTP."""

import json
import sqlite3
from contextlib import closing

import pytest

from bot.services.dump import dump
from bot.texts import EN
from model.chat.eligibility import add_voice_header, parse_voice_header
from tests.bot.conftest import until
from tests.bot.database_files import find_words


@pytest.fixture
def ana(stage):
    """A friend who has not been asked yet."""
    return stage.telegram.user(15, "Ana")


def decisions(stage):
    with closing(sqlite3.connect(stage.folder / "bot.db")) as database:
        return database.execute("SELECT user_id, decision FROM decisions ORDER BY id").fetchall()


class TestOptin:
    async def test_a_voice_can_be_used_once_its_person_agrees(self, live, group, ana, joao):
        before = await live.answer(group, joao, "/as Ana")
        agreed = await live.answer(group, ana, "/optin")
        after = await live.answer(group, joao, "/as Ana")

        assert before["text"].startswith("Ana hasn't agreed to be imitated")
        assert agreed["text"].startswith("Thank you, Ana! I can now speak in your voice")
        assert parse_voice_header(after["text"])[0] == "Ana"

    async def test_it_survives_a_restart(self, stage, group, ana, joao):
        async with stage.running():
            await stage.answer(group, ana, "/optin")
        async with stage.running():
            answer = await stage.answer(group, joao, "/as Ana")

        assert parse_voice_header(answer["text"])[0] == "Ana"

    async def test_one_that_is_handled_again_does_not_undo_an_optout(self, stage, group, ana, joao):
        private = stage.telegram.private(ana)
        async with stage.running():
            stage.telegram.fail_next("sendMessage", 429, "Too Many Requests", retry_after=30)
            await stage.telegram.say(group, ana, "/optin")
            await until(lambda: stage.telegram.sent("sendMessage", refused=True))
            await stage.first_message(private, ana, "/optout")
        async with stage.running():
            await stage.wait_until_handled()
            answer = await stage.answer(group, joao, "/as Ana")

        assert decisions(stage) == [(15, "optin"), (15, "optout")]
        assert parse_voice_header(answer["text"]) is None

    async def test_it_works_in_private(self, live, group, ana, joao):
        await live.answer(live.telegram.private(ana), ana, "/optin")

        answer = await live.answer(group, joao, "/as Ana")

        assert parse_voice_header(answer["text"])[0] == "Ana"

    async def test_a_stranger_learns_that_they_have_no_voice(self, live, group, zoe):
        answer = await live.answer(group, zoe, "/optin")

        assert "I haven't learned from your messages" in answer["text"]

    async def test_a_no_in_the_roster_wins(self, live, group, joao):
        rui = live.telegram.user(16, "Rui")

        answer = await live.answer(group, rui, "/optin")
        refused = await live.answer(group, joao, "/as Rui")

        assert "The person who runs me entered “no” for you" in answer["text"]
        assert refused["text"].startswith("I was asked not to imitate Rui")

    @pytest.mark.parametrize("command", ["/optin", "/optout", "/forget all"])
    async def test_anonymous_senders_are_refused(self, live, group, ana, command):
        channel = {"id": -1000000000777, "type": "channel", "title": "News"}

        as_the_group = await live.answer(group, None, command)
        as_a_channel = await live.answer(group, ana, command, sender_chat=channel)

        assert "write as yourself" in as_the_group["text"]
        assert "write as yourself" in as_a_channel["text"]
        assert decisions(live) == []

    async def test_it_answers_in_the_senders_language(self, live, group, ana):
        portuguese = ana.json() | {"language_code": "pt-PT"}

        answer = await live.answer(group, ana, "/optin", **{"from": portuguese})

        assert answer["text"].startswith("Obrigado, Ana! Já posso falar na tua voz")


class TestWhereAnOptinCounts:
    @pytest.fixture
    def strangers(self, stage):
        """A group that the model did not learn from."""
        return stage.telegram.chat(-1009999, title="Strangers")

    @pytest.fixture
    async def admin(self, stage, strangers, joao):
        """João, who has added the bot to both groups."""
        async with stage.running(admins=str(joao.id)):
            await stage.enter(strangers, joao)
            yield joao

    async def test_an_optin_in_a_silent_group_reveals_nothing_and_counts_nowhere_else(
        self, stage, admin, strangers, group, ana, zoe
    ):
        answers = [await stage.answer(strangers, user, "/optin") for user in (ana, zoe)]
        there = await stage.answer(group, admin, "/as Ana")

        assert {answer["text"] for answer in answers} == {EN.optin_silent}
        assert there["text"].startswith("Ana hasn't agreed")

    @pytest.mark.parametrize("command", ["/optout", "/forget all"])
    async def test_a_silent_group_does_not_learn_what_was_said_in_another(
        self, stage, admin, strangers, group, hugo, zoe, command
    ):
        await stage.telegram.say(group, hugo, "the treasure lies below the oak")
        await stage.wait_until_handled()
        answers = [await stage.answer(strangers, user, command) for user in (hugo, zoe)]

        assert len({answer["text"] for answer in answers}) == 1
        assert "everything of yours" in answers[0]["text"]
        assert not await stage.find_after_vacuum("treasure")

    async def test_it_counts_in_a_silent_group_once_an_admin_allows(
        self, stage, admin, strangers, ana
    ):
        await stage.answer(strangers, ana, "/optin")
        await stage.answer(strangers, admin, "/allow")
        here = await stage.answer(strangers, admin, "/as Ana")

        assert parse_voice_header(here["text"])[0] == "Ana"

    async def test_an_allowed_group_gives_everyone_the_same_answer(
        self, stage, admin, strangers, group, ana, zoe
    ):
        rui = stage.telegram.user(16, "Rui")  # the roster says no
        await stage.answer(strangers, admin, "/allow")
        answers = [await stage.answer(strangers, user, "/optin") for user in (ana, rui, zoe)]
        here = await stage.answer(strangers, admin, "/as Ana")
        there = await stage.answer(group, admin, "/as Ana")

        assert {answer["text"] for answer in answers} == {EN.optin_other_group}
        assert parse_voice_header(here["text"])[0] == "Ana"
        assert there["text"].startswith("Ana hasn't agreed")

    async def test_in_private_it_counts_where_the_model_learned_and_with_admins(
        self, stage, admin, strangers, group, ana
    ):
        await stage.answer(strangers, admin, "/allow")
        answer = await stage.answer(stage.telegram.private(ana), ana, "/optin")
        elsewhere = await stage.answer(strangers, admin, "/as Ana")
        said = [
            await stage.answer(chat, admin, "/as Ana")
            for chat in (group, stage.telegram.private(admin))
        ]

        assert "in the chat “Friends”" in answer["text"]
        assert parse_voice_header(elsewhere["text"]) is None
        assert [parse_voice_header(one["text"])[0] for one in said] == ["Ana", "Ana"]

    async def test_in_a_group_it_does_not_count_in_private(self, stage, admin, group, ana):
        await stage.answer(group, ana, "/optin")
        answer = await stage.answer(stage.telegram.private(admin), admin, "/as Ana")

        assert parse_voice_header(answer["text"]) is None

    @pytest.mark.parametrize("is_before", [True, False], ids=["before", "after"])
    async def test_it_counts_in_the_supergroup_that_its_group_became(
        self, stage, admin, group, ana, is_before
    ):
        bigger = stage.telegram.chat(-1005679, title="Friends")
        if is_before:
            await stage.answer(group, ana, "/optin")
        await stage.telegram.say(group, admin, "", migrate_to_chat_id=bigger.id)
        if not is_before:
            await stage.answer(bigger, ana, "/optin")
        answer = await stage.answer(bigger, admin, "/as Ana")

        assert parse_voice_header(answer["text"])[0] == "Ana"

    async def test_a_dump_has_only_the_optins_of_its_chat(
        self, stage, admin, strangers, group, ana, zoe
    ):
        await stage.answer(strangers, ana, "/optin")
        await stage.answer(stage.telegram.private(zoe), zoe, "/optin")
        await stage.telegram.say(group, ana, "said by Ana")
        await stage.wait_until_handled()
        found = []
        for chat in (group, strangers):
            file = stage.folder / "live.json"
            await dump(stage.settings(admins=str(admin.id)), stage.models, file, chat.id)
            found.append(json.loads(file.read_text("utf-8")))

        told = [[one["user_id"] for one in value["understudy"]["decisions"]] for value in found]
        assert told == [[zoe.id], [ana.id]]
        assert not any(entry["text"] == "said by Ana" for entry in found[0]["messages"])


class TestOptout:
    @pytest.mark.parametrize("consent", ["ask", "roster"])
    async def test_optout_wins_over_the_roster(self, stage, group, joao, hugo, consent):
        async with stage.running(consent=consent):
            await stage.answer(group, joao, "/optout")
            answer = await stage.answer(group, hugo, "/as João")

        assert not parse_voice_header(answer["text"])
        assert "João" not in [person for person, _ in stage.speaker.asked]

    async def test_a_later_optin_counts(self, live, group, joao, hugo):
        await live.answer(group, joao, "/optout")
        await live.answer(group, joao, "/optin")

        answer = await live.answer(group, hugo, "/as João")

        assert parse_voice_header(answer["text"])[0] == "João"
        assert decisions(live) == [(13, "optout"), (13, "optin")]

    async def test_it_erases_stored_messages_while_the_bot_runs(self, live, group, joao, hugo):
        await live.telegram.say(group, joao, "the treasure lies below the oak")
        await live.telegram.say(group, hugo, "and the map?")
        await live.answer(group, hugo, "/as João")
        assert find_words(live.folder, "treasure", "João number 1")

        answer = await live.answer(live.telegram.private(joao), joao, "/optout")

        assert "I erased 1 message of yours" in answer["text"]
        assert not await live.find_after_vacuum("treasure", "João number 1")
        await live.answer(group, hugo, "/as Hugo Sá")
        assert live.speaker.context == ("Hugo Silva: and the map?",)

    async def test_it_ends_a_burst_and_deletes_the_message_being_sent(
        self, live, group, joao, hugo
    ):
        live.speaker.replies.append(("cabbage", "two", "three"))
        live.telegram.delay_next("sendMessage", 0.5)

        await live.telegram.say(group, hugo, "/as João")
        line = (await live.telegram.wait_for("sendMessage")).result
        answer = await live.answer(group, joao, "/optout")
        await live.telegram.wait_for("deleteMessage", message_id=line["message_id"])
        await live.answer(group, hugo, "/as Hugo Sá")  # one turn at a time: the other is over

        assert answer["text"].startswith("I won't speak in your voice any more")
        lines = [parse_voice_header(text) for text in live.said() if parse_voice_header(text)]
        assert lines == [("João", "cabbage"), ("Hugo Sá", "Hugo Sá number 2")]
        assert not await live.find_after_vacuum("cabbage")

    async def test_a_simulation_continues_without_the_voice(self, live, group, joao, hugo):
        live.speaker.next_voices.extend(["João", "João"])
        live.speaker.open.clear()
        await live.telegram.say(group, hugo, "/simulate 3")
        await live.telegram.wait_for("sendChatAction")

        await live.answer(group, joao, "/optout")
        live.speaker.open.set()
        await live.telegram.wait_for(
            "sendMessage", text=add_voice_header("Hugo Silva", "Hugo Silva number 3")
        )

        voices = [parse_voice_header(text)[0] for text in live.said() if parse_voice_header(text)]
        assert live.speaker.offered[0] == ("Hugo Silva", "Hugo Sá", "João", "李雷")
        assert live.speaker.offered[1:] == [("Hugo Silva", "Hugo Sá", "李雷")] * 2
        assert "João" not in voices
