"""Consent, places where the bot may speak, and its help."""

from dataclasses import replace

import pytest

from bot.texts import EN
from model.chat.person import Person
from model.chat.roster import Roster

VOICES = "Hugo Silva, Hugo Sá, João, 李雷."


class TestConsent:
    @pytest.mark.parametrize(
        ("name", "words"),
        [
            ("Ana", "Ana hasn't agreed to be imitated"),
            ("Rui", "I was asked not to imitate Rui"),
            ("Eva", "I was asked not to imitate Eva"),
        ],
    )
    async def test_a_friend_who_did_not_agree_stays_silent(self, live, group, zoe, name, words):
        answer = await live.answer(group, zoe, f"/as {name} hello")

        assert words in answer["text"]
        assert not live.speaker.asked

    @pytest.mark.parametrize("command", ["/as João", "/simulate João", "/voices"])
    async def test_people_who_said_no_are_not_asked_to_agree(self, live, group, joao, zoe, command):
        await live.answer(group, joao, "/optout")

        answer = await live.answer(group, zoe, command)

        assert answer["text"] == EN.declined.format(name="João") or command == "/voices"
        assert "João" not in answer["text"] or command != "/voices"
        assert not live.speaker.asked

    async def test_a_refusal_explains_how_to_agree(self, live, group, zoe):
        answer = await live.answer(group, zoe, "/as Ana")

        assert answer["text"] == (
            "Ana hasn't agreed to be imitated. To agree, send /optin, "
            "or ask an admin to write “yes” in the file roster.toml."
        )

    async def test_with_consent_by_roster_ask_counts_as_yes(self, stage, group, zoe):
        async with stage.running(consent="roster"):
            asked = await stage.answer(group, zoe, "/as Ana")
            refused = await stage.answer(group, zoe, "/as Rui")

        assert asked["text"].startswith("🎭 Ana\n")
        assert "asked not to imitate" in refused["text"]

    async def test_a_name_of_somebody_who_declined_matches_nobody_else(
        self, stage, group, zoe, card
    ):
        first, *others = card.roster.people
        people = (replace(first, imitate="no"), *others)
        changed = replace(card, roster=replace(card.roster, people=people))
        async with stage.running(changed):
            answer = await stage.answer(group, zoe, "/as Hugo Silva")

        assert answer["text"] == "I was asked not to imitate Hugo Silva."

    async def test_without_voices_all_commands_explain_why(self, stage, group, zoe, card):
        people = tuple(replace(person, imitate="ask") for person in card.roster.people)
        changed = replace(card, roster=replace(card.roster, people=people))
        async with stage.running(changed):
            answers = [
                (await stage.answer(group, zoe, command))["text"]
                for command in ("/as", "/simulate", "/as Nobody", "/help")
            ]

        assert all("Nobody has agreed to be imitated yet" in answer for answer in answers)

    async def test_a_button_checks_consent_again(self, stage, group, zoe, card):
        async with stage.running(consent="roster"):
            question = await stage.answer(group, zoe, "/as")
        async with stage.running(consent="ask"):
            answer = await stage.press(question, zoe, "as:15")

        assert "Ana hasn't agreed" in answer["text"]


class TestPlaces:
    @pytest.fixture
    def elsewhere(self, stage):
        return stage.telegram.chat(-1009999, title="Other people")

    @pytest.mark.parametrize("command", ["/as João", "/as", "/simulate", "/help", "/start"])
    async def test_another_group_gets_one_line_without_names(self, live, elsewhere, zoe, command):
        answer = await live.answer(elsewhere, zoe, command)

        assert answer["text"].startswith("I learned to talk from another group's messages")
        assert not any(person.name in answer["text"] for person in live.card.roster.people)
        assert not live.speaker.asked

    async def test_a_public_model_speaks_where_an_admin_added_it(
        self, stage, elsewhere, joao, zoe, card
    ):
        async with stage.running(replace(card, public=True), admins="13"):
            await stage.enter(elsewhere, joao)
            answer = await stage.answer(elsewhere, zoe, "/as João")

        assert answer["text"].startswith("🎭 João\n")

    async def test_an_admin_can_use_voices_in_private(self, stage, joao, zoe):
        async with stage.running(admins="13"):
            answer = await stage.answer(stage.telegram.private(joao), joao, "/as João")
            refusal = await stage.answer(stage.telegram.private(zoe), zoe, "/as João")

        assert answer["text"].startswith("🎭 João\n")
        assert refusal["text"] == EN.private_admins_only

    async def test_earlier_replies_and_buttons_stay_silent(self, stage, elsewhere, joao, zoe, card):
        async with stage.running(replace(card, public=True), admins="13"):
            await stage.enter(elsewhere, joao)
            voiced = await stage.answer(elsewhere, zoe, "/as João")
            question = await stage.answer(elsewhere, zoe, "/as")
        async with stage.running():
            await stage.telegram.say(elsewhere, zoe, "go on", reply_to=voiced)
            await stage.telegram.press(question, zoe, "as:13")
            await stage.answer(elsewhere, zoe, "/help")

        assert len(stage.speaker.asked) == 1

    @pytest.mark.parametrize("command", ["/as {}", "/as {}: hello", "/simulate 2 {}"])
    async def test_an_allowed_group_knows_only_voices(self, stage, elsewhere, joao, zoe, command):
        roster = Roster(
            (
                *(Person("Hugo Silva", (11,), imitate="yes"), Person("João", (13,), imitate="yes")),
                *(Person("Rui Sá", (16,), imitate="no"), Person("Rui Dias", (17,), learn="no")),
                *(Person("Ana C", (18,), names=("Tim",)), Person("Ana D", (19,), names=("Tim",))),
                *(Person("Tom", (20,)), Person("Tom B", (21,), names=("Tom",), aliases=("Tom",))),
                *(Person("Hugo Nunes", (22,), learn="no"), Person("Eva", (23,), quiet=True)),
            )
        )
        names = ("Rui", "Rui Sá", "Rui D", "Ana", "Ana C", "Tim", "Tom", "Tom B", "Eva")
        async with stage.running(replace(stage.card, roster=roster), admins=str(joao.id)):
            await stage.enter(elsewhere, joao)
            await stage.answer(elsewhere, joao, "/allow")
            unknown, shared, *answers = [
                (await stage.answer(elsewhere, zoe, command.format(name)))["text"]
                for name in ("Xavier", "Hugo", *names)
            ]

        assert unknown.startswith("I don't know anyone with that name.")
        assert set(answers) == {unknown}
        assert stage.speaker.asked
        assert "Several friends" not in shared


class TestHelp:
    async def test_start_shows_the_senders_id_while_there_is_no_admin(self, live, zoe):
        answer = await live.answer(live.telegram.private(zoe), zoe, "/start")

        assert "Your Telegram id is 99" in answer["text"]
        assert answer["text"].endswith("\nADMINS=99")

    async def test_start_shows_no_id_once_there_is_an_admin(self, stage, joao):
        async with stage.running(admins="13"):
            answer = await stage.answer(stage.telegram.private(joao), joao, "/start")

        assert "ADMINS" not in answer["text"]
        assert "/simulate" in answer["text"]

    async def test_help_names_the_voices_that_may_speak(self, live, group, zoe):
        answer = await live.answer(group, zoe, "/help")

        assert answer["text"].endswith(f"Voices here: {VOICES}")

    async def test_commands_are_listed(self, live):
        pt = {"scope": {"type": "all_private_chats"}, "language_code": "pt"}
        await live.telegram.wait_for("setMyCommands", **pt)
        menus = {
            (call.params["scope"]["type"], call.params.get("language_code", "")): [
                command["command"] for command in call.params["commands"]
            ]
            for call in live.telegram.sent("setMyCommands")
        }

        in_groups = menus["all_group_chats", ""]
        assert in_groups[:2] == ["as", "simulate"]
        assert menus["all_group_chats", "pt"] == in_groups
        assert menus["default", ""] == ["help", "privacy"]
        assert "as" not in menus["all_private_chats", ""]

    async def test_it_prints_a_line_when_it_is_up(self, live):
        assert live.lines == ["@understudy_bot is up, model 0001-abcdef01, speaking as " + VOICES]
