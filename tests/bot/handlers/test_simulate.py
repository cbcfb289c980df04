"""`/simulate`, through the real bot over HTTP."""

import pytest

from bot.texts import EN
from model.chat.eligibility import add_voice_header
from model.errors import VoiceError


async def test_the_model_chooses_who_speaks_and_each_sees_the_one_before(live, group, joao):
    live.speaker.next_voices.extend(["Hugo Sá", "李雷", "Hugo Sá", "João", "李雷", "João"])

    await live.telegram.say(group, joao, "who has news?")
    await live.telegram.say(group, joao, "/simulate 6")
    await live.telegram.wait_for("sendMessage", text=add_voice_header("João", "João number 6"))

    assert live.said()[:2] == [
        add_voice_header("Hugo Sá", "Hugo Sá number 1"),
        add_voice_header("李雷", "李雷 number 2"),
    ]
    assert len(live.said()) == 6
    assert live.speaker.context == (
        "João: who has news?",
        "Hugo Sá: Hugo Sá number 1",
        "李雷: 李雷 number 2",
        "Hugo Sá: Hugo Sá number 3",
        "João: João number 4",
        "李雷: 李雷 number 5",
    )


async def test_only_voices_that_may_speak_are_offered_to_the_model(live, group, joao):
    await live.answer(group, joao, "/simulate 1")

    assert live.speaker.offered == [("Hugo Silva", "Hugo Sá", "João", "李雷")]


async def test_another_voice_speaks_if_one_has_no_reply(live, group, joao):
    live.speaker.replies.append(VoiceError("nothing"))

    answer = await live.answer(group, joao, "/simulate 1")

    assert answer["text"] == add_voice_header("Hugo Sá", "Hugo Sá number 2")


async def test_it_ends_if_nobody_has_a_reply(live, group, joao):
    live.speaker.replies.extend([VoiceError("nothing")] * 4)

    answer = await live.answer(group, joao, "/simulate 3")

    assert answer["text"].startswith("They have nothing to say")
    assert len(live.speaker.asked) == 4


async def test_a_second_simulation_is_refused(live, group, joao, hugo):
    live.speaker.open.clear()

    await live.telegram.say(group, joao, "/simulate 1")
    refusal = await live.answer(group, hugo, "/simulate")
    live.speaker.open.set()
    await live.telegram.wait_for(
        "sendMessage", text=add_voice_header("Hugo Silva", "Hugo Silva number 1")
    )
    await live.answer(group, hugo, "/as João")  # it waits until the turn is over
    again = await live.answer(group, hugo, "/simulate 1")

    assert refusal["text"].startswith("They are already talking")
    assert again["text"].startswith("🎭")


async def test_two_chats_can_run_one_each(stage, group, joao):
    async with stage.running(admins="13"):
        stage.speaker.open.clear()
        await stage.telegram.say(group, joao, "/simulate 1")
        await stage.telegram.say(stage.telegram.private(joao), joao, "/simulate 1")
        await stage.telegram.wait_for("sendChatAction", chat_id=joao.id)
        stage.speaker.open.set()
        await stage.telegram.wait_for("sendMessage", chat_id=joao.id)
        await stage.telegram.wait_for("sendMessage", chat_id=group.id)

    assert not [text for text in stage.said() if "already" in text]


async def test_generation_delays_neither_messages_nor_help(live, group, joao, hugo):
    live.speaker.open.clear()
    await live.telegram.say(group, joao, "/as João")

    answer = await live.answer(group, hugo, "/help")
    await live.telegram.say(group, hugo, "meanwhile")
    await live.telegram.say(group, hugo, "/as Hugo Sá")
    live.speaker.open.set()
    await live.telegram.wait_for(
        "sendMessage", text=add_voice_header("Hugo Sá", "Hugo Sá number 2")
    )

    assert answer["text"].startswith("I have learned how")
    assert "Hugo Silva: meanwhile" in live.speaker.context


@pytest.mark.parametrize("wrong", ["0", "21", "-3", "٥", "9" * 5000, "007", "5 6", "Hugo Sá 0"])
async def test_an_invalid_number_gets_the_usage(live, group, joao, wrong):
    answer = await live.answer(group, joao, f"/simulate {wrong}"[:4000])

    assert answer["text"] == (
        "How many turns? Send a number from 1 to 20, for example /simulate 5."
    )


async def test_only_the_named_people_speak(live, group, zoe):
    await live.answer(group, zoe, "/simulate joao and lei, 1")

    assert live.speaker.offered == [("João", "李雷")]


@pytest.mark.parametrize(
    ("words", "refusal"),
    [
        ("3 João, Ana", "Ana hasn't agreed"),
        ("João, Rui", "I was asked not to imitate Rui"),
        ("João, Bartholomew", "I don't know anyone with that name"),
        ("Hugo 3", "Several friends have that name. Who do you mean? Hugo Silva, Hugo Sá"),
    ],
    ids=["was not asked", "said no", "is unknown", "is two people"],
)
async def test_nobody_speaks_if_a_named_person_cannot(live, group, zoe, words, refusal):
    answer = await live.answer(group, zoe, f"/simulate {words}")

    assert answer["text"].startswith(refusal)
    assert not live.speaker.asked


async def test_the_subject_appears_only_in_its_own_prompts(live, group, hugo, joao):
    await live.telegram.say(group, hugo, "so")
    await live.telegram.say(group, joao, "/simulate 2 about the trip to my@mail.pt")
    await live.telegram.wait_for(
        "sendMessage", text=add_voice_header("Hugo Silva", "Hugo Silva number 2")
    )
    played = live.speaker.context
    await live.answer(group, joao, "/as 李雷")

    assert played == (
        "Hugo Silva: so",
        "João: the trip to [email]",
        "Hugo Silva: Hugo Silva number 1",
    )
    assert live.speaker.context == (
        "Hugo Silva: so",
        "Hugo Silva: Hugo Silva number 1",
        "Hugo Silva: Hugo Silva number 2",
    )


async def test_a_voice_is_silent_after_an_optout(stage, group, hugo, joao):
    async with stage.running(pace=1) as app:
        state = app.bot_data["state"]
        await stage.first_message(group, hugo, "/simulate 5 João")
        await state.save_decision(group.id, joao.id, "optout", 1)

    assert [text for text in stage.said() if text.startswith("🎭")] == [
        add_voice_header("João", "João number 1")
    ]


async def test_anyone_can_stop_it_during_a_pause(stage, group, joao, zoe):
    async with stage.running(pace=5):
        await stage.first_message(group, joao, "/simulate 20")
        since = len(stage.telegram.calls)
        await stage.telegram.wait_for("sendChatAction", since=since)
        stopped = await stage.answer(group, zoe, "/stop")
        again = await stage.answer(group, zoe, "/simulate 1 李雷")

    assert stopped["text"] == EN.stopped
    assert again["text"].startswith("🎭 李雷\n")
    assert len(stage.said()) == 3


async def test_stop_ends_a_turn_being_generated(live, group, joao, zoe):
    live.speaker.open.clear()
    await live.telegram.say(group, joao, "/simulate 20")
    await live.telegram.wait_for("sendChatAction")

    await live.answer(group, zoe, "/stop")
    live.speaker.open.set()
    answer = await live.answer(group, zoe, "/as João")

    assert answer["text"] == add_voice_header("João", "João number 2")


async def test_stop_also_ends_a_requested_reply(live, group, joao, zoe):
    live.speaker.open.clear()
    await live.telegram.say(group, joao, "/as Hugo Sá")
    await live.telegram.wait_for("sendChatAction")
    await live.answer(group, zoe, "/stop")

    live.speaker.open.set()
    answer = await live.answer(group, joao, "/as 李雷")

    assert answer["text"] == add_voice_header("李雷", "李雷 number 2")
