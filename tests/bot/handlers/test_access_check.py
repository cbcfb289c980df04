"""The access check in private chats, other groups and for anonymous admins."""

import pytest

from bot.handlers import membership
from bot.texts import EN
from tests.bot.conftest import until

JOAO = "13"


@pytest.fixture
async def guarded(stage):
    """The stage with the bot up, João its admin."""
    async with stage.running(admins=JOAO):
        yield stage


class TestPrivate:
    @pytest.fixture
    def private(self, stage, zoe):
        return stage.telegram.private(zoe)

    @pytest.mark.parametrize("command", ["/start", "/help"])
    async def test_start_and_help_explain_the_bot_to_anyone(self, guarded, private, zoe, command):
        answer = await guarded.answer(private, zoe, command)

        assert answer["text"] == f"{EN.introduction}\n\n{EN.private_admins_only}"

    @pytest.mark.parametrize(
        "command", ["/as João", "/as", "/simulate", "/stop", "/status", "/allow", "/whatever"]
    )
    async def test_other_commands_are_for_admins_only(self, guarded, private, zoe, command):
        answer = await guarded.answer(private, zoe, command)

        assert answer["text"] == EN.private_admins_only
        assert not guarded.speaker.asked

    async def test_plain_messages_are_answered_once(self, guarded, private, zoe):
        for words in ("hi", "anybody there?", "hello?"):
            await guarded.telegram.say(private, zoe, words)
        await guarded.telegram.wait_for("sendMessage", text=EN.private_admins_only)
        await guarded.answer(private, zoe, "/help")

        assert guarded.said().count(EN.private_admins_only) == 1

    async def test_a_flood_of_commands_is_ignored_but_not_a_withdrawal(
        self, guarded, group, private, zoe, hugo, monkeypatch
    ):
        monkeypatch.setattr(membership, "MAX_ANSWERS_PER_MINUTE", 3)
        for command in ("/help", "/start", "/whatever", "/help", "/whatever", "/privacy"):
            await guarded.telegram.say(private, zoe, command)
        await guarded.telegram.say(private, zoe, "/optout")
        await until(lambda: len(guarded.telegram.sent("sendMessage")) == 4)

        await guarded.answer(group, hugo, "/help")

        chats = [call.params["chat_id"] for call in guarded.telegram.sent("sendMessage")]
        assert (chats.count(zoe.id), chats[-1]) == (4, group.id)
        [decision] = guarded.app.bot_data["state"].decisions[zoe.id]
        assert decision.kind == "optout"

    async def test_an_admin_can_use_the_bot_in_private(self, guarded, joao):
        private = guarded.telegram.private(joao)
        await guarded.telegram.say(private, joao, "hi")

        answer = await guarded.answer(private, joao, "/as Hugo Silva")

        assert guarded.said() == [answer["text"]]
        assert guarded.speaker.context == ("João: hi",)


class TestAnotherGroup:
    @pytest.fixture
    def elsewhere(self, stage):
        return stage.telegram.chat(-1009999, title="Other people")

    async def test_buttons_do_not_work_there(self, guarded, group, elsewhere, zoe):
        question = await guarded.answer(group, zoe, "/as")
        carried = question | {"chat": elsewhere.json(), "message_id": 700}
        guarded.telegram.world.messages[elsewhere.id, 700] = carried

        await guarded.telegram.press(carried, zoe, "as:13")
        toast = await guarded.telegram.wait_for("answerCallbackQuery")

        assert toast.params["text"] == EN.silent_here
        assert not guarded.speaker.asked
        assert guarded.telegram.message(elsewhere, 700)

    async def test_commands_of_other_bots_are_ignored(self, guarded, elsewhere, zoe):
        for words in ("/play chess", "/as@other_bot João", "hello /as João", "as you like"):
            await guarded.telegram.say(elsewhere, zoe, words)
        await guarded.answer(elsewhere, zoe, "/help")

        assert guarded.said() == [EN.silent_here]

    async def test_a_command_with_the_bots_name_is_answered(self, guarded, elsewhere, zoe):
        answer = await guarded.answer(elsewhere, zoe, "/AS@Understudy_Bot João")

        assert answer["text"] == EN.silent_here

    async def test_edits_there_are_ignored(self, guarded, elsewhere, zoe):
        said = await guarded.telegram.say(elsewhere, zoe, "/sa")

        await guarded.telegram.edit(said, "/as João")
        await guarded.answer(elsewhere, zoe, "/help")

        assert guarded.said() == [EN.silent_here]


class TestAnonymousAdmins:
    """Telegram names the group as the sender, and a bot of its own as the user."""

    async def test_they_can_use_commands_like_all_members(self, guarded, group):
        answer = await guarded.answer(group, None, "/as João and you?")

        assert answer["text"].startswith("🎭 João\n")
        assert guarded.speaker.context == ("Friends: and you?",)

    async def test_their_replies_are_answered(self, guarded, group):
        first = await guarded.answer(group, None, "/as João")

        answer = await guarded.answer(group, None, "why?", reply_to=first)

        assert answer["text"].startswith("🎭 João\n")

    @pytest.mark.parametrize("command", ["/status", "/allow"])
    async def test_they_do_not_count_as_admins_of_the_bot(self, stage, group, command):
        everybody = f"{JOAO} 1087968824"
        async with stage.running(admins=everybody):
            answer = await stage.answer(group, None, command)

        assert answer["text"] == EN.admins_only


class TestOtherBots:
    @pytest.mark.parametrize("words", ["/as Hugo Silva", "really?"], ids=["commands", "replies"])
    async def test_they_are_not_answered(self, guarded, group, zoe, words):
        line = await guarded.answer(group, zoe, "/as João")
        other = {"id": 77, "is_bot": True, "first_name": "Understudy of others"}
        said = line | {"message_id": 500, "from": other, "text": words, "reply_to_message": line}
        if words.startswith("/"):
            said |= {"entities": [{"type": "bot_command", "offset": 0, "length": 3}]}

        await guarded.telegram.world.updates.push("message", said)
        await guarded.answer(group, zoe, "/help")

        assert len(guarded.speaker.asked) == 1

    async def test_an_anonymous_admin_does_not_count_as_a_bot(self, guarded, group, zoe):
        answer = await guarded.answer(group, None, "/as João")

        assert answer["text"].startswith("🎭 João\n")
