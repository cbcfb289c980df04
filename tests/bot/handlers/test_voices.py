"""`/as`, replies and buttons, through the real bot over HTTP."""

from dataclasses import replace

import pytest

from bot.texts import EN
from model.chat.eligibility import add_voice_header
from model.chat.roster import Roster
from model.errors import VoiceError
from tests.bot.conftest import until


class TestAs:
    async def test_answers_what_was_said_last(self, live, group, hugo, joao):
        await live.telegram.say(group, hugo, "who brings the wine?")

        answer = await live.answer(group, joao, "/as Hugo Silva")

        assert answer["text"] == "🎭 Hugo Silva\nHugo Silva number 1"
        assert live.speaker.asked == [("Hugo Silva", ("Hugo Silva: who brings the wine?",))]

    async def test_takes_the_words_as_the_askers_message(self, live, group, hugo, joao):
        await live.telegram.say(group, hugo, "who brings the wine?")

        await live.answer(group, joao, "/as Hugo Silva, what about Friday?\nor Saturday")

        assert live.speaker.context == (
            "Hugo Silva: who brings the wine?",
            "João: what about Friday?\ror Saturday",
        )

    async def test_a_burst_is_several_messages(self, live, group, joao):
        live.speaker.replies.append(("no", "wait", "yes"))

        await live.answer(group, joao, "/as João and you?")
        await live.telegram.wait_for("sendMessage", text=add_voice_header("João", "yes"))

        assert live.said() == [add_voice_header("João", words) for words in ("no", "wait", "yes")]

    async def test_what_the_bot_said_is_part_of_the_conversation(self, live, group, joao):
        await live.answer(group, joao, "/as Hugo Sá shall we?")

        await live.answer(group, joao, "/as 李雷")

        assert live.speaker.context == ("João: shall we?", "Hugo Sá: Hugo Sá number 1")

    async def test_it_types_while_it_thinks(self, live, group, joao):
        await live.answer(group, joao, "/as João")

        assert live.telegram.sent("sendChatAction", chat_id=group.id, action="typing")

    @pytest.mark.parametrize(
        ("said", "voice"),
        [
            ("hugo sa", "Hugo Sá"),
            ("HUGO SILVA", "Hugo Silva"),
            ("joao", "João"),
            ("lei, hello", "李雷"),
            ("李雷 好吗", "李雷"),
        ],
    )
    async def test_names_are_matched(self, live, group, zoe, said, voice):
        answer = await live.answer(group, zoe, f"/as {said}")

        assert answer["text"].startswith(f"🎭 {voice}\n")

    async def test_a_model_with_nothing_to_say_is_admitted(self, live, group, joao):
        live.speaker.replies.append(VoiceError("nothing"))

        answer = await live.answer(group, joao, "/as João")

        assert "couldn't think of anything" in answer["text"]

    async def test_a_model_that_breaks_is_apologised_for(self, live, group, joao, caplog):
        live.speaker.replies.append(RuntimeError("CUDA exploded"))

        answer = await live.answer(group, joao, "/as João my secret")

        assert "Sorry, something went wrong" in answer["text"]
        assert "CUDA exploded" in caplog.text
        assert "my secret" not in caplog.text


class TestForcedWords:
    async def test_words_after_a_colon_are_the_friends_not_the_askers(
        self, live, group, hugo, joao
    ):
        await live.telegram.say(group, hugo, "who brings the wine?")

        answer = await live.answer(group, joao, "/as Hugo Silva: well,\n I think")

        assert answer["text"] == add_voice_header("Hugo Silva", "well, I think Hugo Silva number 1")
        assert live.speaker.begun == ["well, I think"]
        assert live.speaker.context == ("Hugo Silva: who brings the wine?",)

    async def test_in_later_prompts_they_are_part_of_the_friends_line_only(self, live, group, joao):
        await live.answer(group, joao, "/as Hugo Silva: well")

        await live.answer(group, joao, "/as 李雷")

        assert live.speaker.context == ("Hugo Silva: well Hugo Silva number 1",)

    async def test_no_words_after_a_colon_are_no_wish(self, live, group, joao):
        answer = await live.answer(group, joao, "/as 李雷: ")

        assert answer["text"] == add_voice_header("李雷", "李雷 number 1")

    @pytest.mark.parametrize(
        "words",
        [
            "yes Ana: no",
            "yes\nEva: no",
            "🎭 Rui",
            "[photo]",
            "call +351 912 345 678",
            "a" * 201,
        ],
        ids=["a label", "a label on a line", "a mask", "a bracket", "a number", "too much"],
    )
    async def test_nobody_is_made_to_say_what_no_voice_may_say(self, live, group, joao, words):
        answer = await live.answer(group, joao, f"/as 李雷: {words}")

        assert answer["text"].startswith("I can't start with that. Use at most 200 characters")
        assert not live.speaker.asked

    @pytest.mark.parametrize("name", ["Ana", "Rui", "Eva"])
    async def test_who_did_not_agree_stays_silent_whatever_is_written(
        self, live, group, joao, name
    ):
        answer = await live.answer(group, joao, f"/as {name}: I agree to all of it")

        assert name in answer["text"]
        assert "agree to all" not in answer["text"]
        assert not live.speaker.asked


class TestAnyone:
    @pytest.mark.parametrize("said", ["anyone", "Anybody", "alguém", "ALGUEM", "qualquer"])
    async def test_the_model_chooses_among_those_who_agreed(self, live, group, zoe, said):
        live.speaker.next_voices.append("李雷")

        answer = await live.answer(group, zoe, f"/as {said}")

        assert answer["text"] == add_voice_header("李雷", "李雷 number 1")
        assert live.speaker.offered == [("Hugo Silva", "Hugo Sá", "João", "李雷")]

    async def test_a_reply_goes_on_in_the_voice_that_was_chosen(self, live, group, joao, zoe):
        live.speaker.next_voices.append("Hugo Sá")
        first = await live.answer(group, joao, "/as anyone")

        answer = await live.answer(group, zoe, "why not", reply_to=first)

        assert answer["text"] == add_voice_header("Hugo Sá", "Hugo Sá number 2")

    async def test_its_words_are_said_to_whoever_answers(self, live, group, hugo, zoe):
        await live.telegram.say(group, hugo, "so")

        await live.answer(group, zoe, "/as anyone, what about Friday?")

        assert live.speaker.context == ("Hugo Silva: so", "Zoe: what about Friday?")

    async def test_whoever_it_is_begins_with_words_after_a_colon(self, live, group, zoe):
        answer = await live.answer(group, zoe, "/as anyone: I think")

        assert answer["text"] == add_voice_header("Hugo Silva", "I think Hugo Silva number 1")
        assert live.speaker.context == ()

    async def test_nobody_answers_where_nobody_agreed(self, stage, group, zoe):
        people = tuple(replace(p, imitate="ask") for p in stage.card.roster.people)
        async with stage.running(replace(stage.card, roster=Roster(people))):
            answer = await stage.answer(group, zoe, "/as anyone")

        assert answer["text"].startswith("Nobody has agreed")

    async def test_nothing_to_say_is_admitted(self, live, group, zoe):
        live.speaker.replies.extend([VoiceError("nothing")] * 4)

        answer = await live.answer(group, zoe, "/as anyone")

        assert answer["text"].startswith("They have nothing to say")


class TestBursts:
    async def test_typing_is_shown_between_the_messages_of_a_burst(self, stage, group, joao):
        stage.speaker.replies.append(("no", "wait", "yes"))
        async with stage.running(pace=0.5):
            await stage.telegram.say(group, joao, "/as João")
            await stage.telegram.wait_for("sendMessage", text=add_voice_header("João", "yes"))

        methods = [call.method for call in stage.telegram.calls]
        methods = [one for one in methods if one in {"sendMessage", "sendChatAction"}]
        first = methods.index("sendMessage")
        assert methods[first:] == [
            *("sendMessage", "sendChatAction", "sendMessage", "sendChatAction", "sendMessage"),
        ]

    async def test_a_burst_ends_where_its_voice_says_no_meanwhile(self, stage, group, joao):
        stage.speaker.replies.append(("no", "wait", "yes"))
        async with stage.running(pace=1) as app:
            await stage.first_message(group, joao, "/as João")
            await app.bot_data["state"].save_decision(group.id, joao.id, "optout", 1)

        assert stage.said() == [add_voice_header("João", "no")]


class TestNames:
    async def test_a_first_name_of_two_gets_buttons(self, live, group, joao):
        question = await live.answer(group, joao, "/as Hugo what about Friday?")

        [row] = question["reply_markup"]["inline_keyboard"]
        assert [(button["text"], button["callback_data"]) for button in row] == [
            ("Hugo Silva", "as:11"),
            ("Hugo Sá", "as:12"),
        ]
        assert not live.speaker.asked

    async def test_a_first_name_of_two_of_whom_one_may_speak_is_known(self, stage, group, joao):
        first, second, *others = stage.card.roster.people
        people = (first, replace(second, imitate="ask"), *others)
        async with stage.running(replace(stage.card, roster=Roster(people))):
            question = await stage.answer(group, joao, "/as Hugo, what about Friday?")

        [[button]] = question["reply_markup"]["inline_keyboard"]
        assert question["text"] == "Several friends have that name. Who do you mean?"
        assert button["text"] == "Hugo Silva"

    @pytest.mark.parametrize(
        ("names", "aliases"),
        [
            (("Tom", "Tom 2"), ()),
            (("Tom Berg", "Hill"), ("Tom",)),
            (("Tom Berg", "Hill"), ()),
        ],
        ids=["as in Telegram", "an alias", "a first name"],
    )
    async def test_a_name_that_telegram_shows_for_two_gets_buttons(
        self, stage, group, joao, names, aliases
    ):
        first, second, *others = stage.card.roster.people
        toms = (
            replace(first, name=names[0], names=("Tom",), aliases=aliases),
            replace(second, name=names[1], names=("Tom",)),
        )
        async with stage.running(replace(stage.card, roster=Roster((*toms, *others)))):
            question = await stage.answer(group, joao, "/as Tom what about Friday?")
            said = len(stage.speaker.asked)
            answer = await stage.press(question, joao, "as:12")
            other = await stage.answer(group, joao, f"/as {names[1]} and you?")

        assert question["text"] == "Several friends have that name. Who do you mean?"
        [row] = question["reply_markup"]["inline_keyboard"]
        assert [(button["text"], button["callback_data"]) for button in row] == [
            (names[0], "as:11"), (names[1], "as:12"),
        ]  # fmt: skip
        assert said == 0
        assert answer["text"].startswith(f"🎭 {names[1]}\n")
        assert other["text"].startswith(f"🎭 {names[1]}\n")

    async def test_a_slip_gets_the_nearest_name(self, live, group, zoe):
        question = await live.answer(group, zoe, "/as Joaozinho")

        assert "Did you mean João?" in question["text"]
        assert question["reply_markup"]["inline_keyboard"][0][0]["callback_data"] == "as:13"

    async def test_nobody_near_gets_the_list(self, live, group, zoe):
        answer = await live.answer(group, zoe, "/as Bartholomew")

        assert answer["text"] == (
            "I don't know anyone with that name. "
            "I have the voices of Hugo Silva, Hugo Sá, João, 李雷."
        )


class TestButtons:
    async def test_no_name_offers_the_voices_that_may_speak(self, live, group, zoe):
        question = await live.answer(group, zoe, "/as")

        buttons = [b["text"] for row in question["reply_markup"]["inline_keyboard"] for b in row]
        assert buttons == ["Hugo Silva", "Hugo Sá", "João", "李雷"]

    async def test_a_press_answers_in_place_of_the_question(self, live, group, hugo, zoe):
        await live.telegram.say(group, hugo, "anyone?")
        question = await live.answer(group, zoe, "/as")

        answer = await live.press(question, zoe, "as:14")

        assert answer["text"] == add_voice_header("李雷", "李雷 number 1")
        assert live.speaker.context == ("Hugo Silva: anyone?",)
        assert live.telegram.sent("answerCallbackQuery")
        with pytest.raises(KeyError):
            live.telegram.message(group, question["message_id"])

    async def test_a_press_in_a_topic_answers_there(self, live, stage, hugo):
        forum = stage.telegram.chat(-1001234, title="Friends", is_forum=True)
        trips = stage.telegram.topic(forum, "Trips")
        await live.telegram.say(forum, hugo, "in general")
        await live.telegram.say(forum, hugo, "Peru?", thread=trips)
        question = await live.answer(forum, hugo, "/as", thread=trips)

        answer = await live.press(question, hugo, "as:13")

        assert answer["message_thread_id"] == trips
        assert live.speaker.context == ("Hugo Silva: Peru?",)

    async def test_anybody_in_the_group_may_press(self, live, group, hugo, zoe):
        question = await live.answer(group, zoe, "/as")

        answer = await live.press(question, hugo, "as:14")

        assert answer["text"] == add_voice_header("李雷", "李雷 number 1")

    async def test_a_press_after_a_restart_gets_one_answer(self, stage, group, hugo, zoe):
        async with stage.running():
            question = await stage.answer(group, zoe, "/as")
        async with stage.running():
            await stage.telegram.press(question, zoe, "as:14")
            await stage.telegram.press(question, hugo, "as:13")
            await stage.telegram.wait_for(
                "sendMessage", text=add_voice_header("李雷", "李雷 number 1")
            )
            await stage.answer(group, zoe, "/help")

        assert len(stage.speaker.asked) == 1

    async def test_a_friend_who_said_no_since_the_question_stays_silent(
        self, live, group, joao, zoe
    ):
        question = await live.answer(group, zoe, "/as")
        await live.answer(group, joao, "/optout")

        answer = await live.press(question, zoe, "as:13")

        assert answer["text"] == EN.declined.format(name="João")
        assert not live.speaker.asked

    async def test_two_presses_get_one_answer(self, live, group, hugo, zoe):
        question = await live.answer(group, zoe, "/as")

        await live.telegram.press(question, zoe, "as:14")
        await live.telegram.press(question, hugo, "as:13")
        await live.telegram.wait_for("sendMessage", text=add_voice_header("李雷", "李雷 number 1"))
        await live.answer(group, zoe, "/help")

        assert len(live.speaker.asked) == 1


class TestForgedPresses:
    """A client may send any data for any message it can see; Telegram adds the message."""

    async def test_data_for_a_line_of_the_bot_changes_nothing(self, live, group, joao, zoe):
        line = await live.answer(group, joao, "/as João")

        await forge(live, line, zoe, "as:12")
        await forge(live, line, zoe, "voice:Ana")
        await live.answer(group, zoe, "/help")

        assert live.telegram.message(group, line["message_id"])
        assert len(live.speaker.asked) == 1
        assert await toasts(live, 2) == [EN.button_expired] * 2

    async def test_a_button_that_the_question_does_not_have_is_refused(self, live, group, zoe):
        question = await live.answer(group, zoe, "/as Hugo")

        await forge(live, question, zoe, "as:13")
        await live.answer(group, zoe, "/help")

        assert not live.speaker.asked
        assert live.telegram.message(group, question["message_id"])

    async def test_a_question_that_somebody_else_sent_is_refused(self, live, group, zoe):
        question = await live.answer(group, zoe, "/as")
        copied = question | {"message_id": 700, "from": zoe.json()}
        live.telegram.world.messages[group.id, 700] = copied

        await forge(live, copied, zoe, "as:13")
        await live.answer(group, zoe, "/help")

        assert not live.speaker.asked

    async def test_a_message_that_telegram_does_not_show_is_refused(self, live, group, zoe):
        chat, number = group.json(), (await live.answer(group, zoe, "/as"))["message_id"]
        hidden = {"chat": chat, "message_id": number, "date": 0}

        await forge(live, hidden, zoe, "as:13")
        await forge(live, hidden, zoe, "voice:João")
        await forge(live, None, zoe, "as:13")
        await forge(live, None, zoe, "voice:João")
        await live.answer(group, zoe, "/help")

        assert not live.speaker.asked
        assert await toasts(live, 4) == [EN.button_expired] * 4

    @pytest.mark.parametrize("data", ["as:", "as:99999999999999999999", "as:-1", "as:x", "", "\0"])
    async def test_unknown_button_data_changes_nothing(self, live, group, zoe, data):
        question = await live.answer(group, zoe, "/as")

        await forge(live, question, zoe, data)
        answer = await live.press(question, zoe, "as:13")

        assert answer["text"] == add_voice_header("João", "João number 1")

    async def test_the_payload_of_a_deep_link_is_ignored(self, stage, joao, zoe, group):
        async with stage.running(admins="13"):
            for chat, user in ((stage.telegram.private(joao), joao), (group, zoe)):
                for payload in ("as:13", "as_13", "optout", "allow", "rollback"):
                    answer = await stage.answer(chat, user, f"/start {payload}")
                    assert answer["text"].startswith(EN.introduction)

        assert not stage.speaker.asked


async def forge(stage, message, user, data):
    """Send a button press as a modified client can."""
    query = {"id": "1", "from": user.json(), "data": data, "chat_instance": "1"}
    inline = {"inline_message_id": "x"} if message is None else {"message": message}
    stage.telegram.world.queries["1"] = 11
    await stage.telegram.world.updates.push("callback_query", query | inline)


async def toasts(stage, count):
    """Return the answers to this many presses."""

    def found():
        calls = stage.telegram.sent("answerCallbackQuery")
        return calls if len(calls) >= count else None

    return [call.params.get("text") for call in await until(found)]


class TestReplies:
    async def test_a_reply_goes_on_in_the_same_voice(self, live, group, joao, zoe):
        first = await live.answer(group, joao, "/as Hugo Sá shall we?")

        answer = await live.answer(group, zoe, "why not", reply_to=first)

        assert answer["text"] == add_voice_header("Hugo Sá", "Hugo Sá number 2")
        assert live.speaker.context == (
            "João: shall we?",
            "Hugo Sá: Hugo Sá number 1",
            "Zoe: why not",
        )

    async def test_the_store_knows_a_voice_that_telegram_does_not_repeat(self, live, group, joao):
        first = await live.answer(group, joao, "/as Hugo Sá shall we?")
        bare = {key: value for key, value in first.items() if key != "text"}

        answer = await live.answer(group, joao, "why not", reply_to=bare)

        assert answer["text"].startswith("🎭 Hugo Sá\n")

    async def test_a_reply_to_the_bots_own_words_gets_none(self, live, group, joao):
        about = await live.answer(group, joao, "/help")

        await live.telegram.say(group, joao, "thanks", reply_to=about)
        await live.answer(group, joao, "/help")

        assert not live.speaker.asked

    async def test_a_reply_to_a_friend_gets_none(self, live, group, hugo, joao):
        faked = await live.telegram.say(group, hugo, add_voice_header("João", "I am João"))

        await live.telegram.say(group, joao, "no", reply_to=faked)
        await live.answer(group, joao, "/help")

        assert not live.speaker.asked
