"""`/privacy`, and the header of every line in a voice, through the real bot over HTTP."""

from model.chat.eligibility import VOICE_EMOJI, parse_voice_header


async def test_it_explains_what_is_stored_and_for_how_long(stage, group, zoe):
    async with stage.running(retention_days=5):
        answer = await stage.answer(group, zoe, "/privacy")

    assert "everyone else's messages, and forwarded ones, for 5 days." in answer["text"]
    assert "/forget all" in answer["text"]
    assert "backups of my database remain until they are deleted" in answer["text"]
    assert "stays in the model until I'm retrained without it" in answer["text"]


async def test_it_names_the_admins(stage, zoe):
    known = stage.telegram.user(13, "João", username="joao13")
    stage.telegram.private(known)
    async with stage.running(admins="13 77"):
        answer = await stage.answer(stage.telegram.private(zoe), zoe, "/privacy")

    assert answer["text"].endswith("Who runs me: João (@joao13), id 77")


async def test_without_an_admin_it_says_so(live, group, zoe):
    answer = await live.answer(group, zoe, "/privacy")

    assert answer["text"].endswith("nobody has entered their id yet (ADMINS is empty)")


async def test_it_answers_in_portuguese(live, group, zoe):
    portuguese = zoe.json() | {"language_code": "pt"}

    answer = await live.answer(group, zoe, "/privacy", **{"from": portuguese})

    assert "de todos os outros, e as reencaminhadas, durante 2 dias." in answer["text"]


async def test_it_answers_in_groups_that_the_bot_is_silent_in(live, zoe):
    elsewhere = live.telegram.chat(-1009999, title="Other people")

    answer = await live.answer(elsewhere, zoe, "/privacy")

    assert answer["text"].startswith("Where I speak")


async def test_each_message_of_a_turn_shows_that_the_bot_wrote_it(live, group, hugo):
    live.speaker.replies.append(("one", "w" * 5000, "three"))

    await live.telegram.say(group, hugo, "/as João")
    await live.telegram.wait_for("sendMessage", text=f"{VOICE_EMOJI} João\nthree")

    assert [parse_voice_header(text)[0] for text in live.said()] == ["João"] * 3
    assert max(map(len, live.said())) <= 4096
