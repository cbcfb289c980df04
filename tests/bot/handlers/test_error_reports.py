"""Apologies after errors, through the real bot over HTTP."""

from sqlalchemy.exc import OperationalError

from bot.store.inbox import Inbox
from bot.texts import EN

BROKEN = RuntimeError("CUDA exploded")


async def test_a_failed_button_press_gets_an_apology_in_its_chat(live, stage, hugo):
    forum = stage.telegram.chat(-1001234, title="Friends", is_forum=True)
    trips = stage.telegram.topic(forum, "Trips")
    question = await live.answer(forum, hugo, "/as", thread=trips)
    live.speaker.replies.append(BROKEN)

    answer = await live.press(question, hugo, "as:13")

    assert answer["text"] == EN.error
    assert answer["message_thread_id"] == trips


async def test_a_failed_reply_to_a_voice_gets_an_apology(live, group, joao, zoe):
    voiced = await live.answer(group, joao, "/as João")
    live.speaker.replies.append(BROKEN)

    answer = await live.answer(group, zoe, "why?", reply_to=voiced)

    assert answer["text"] == EN.error


async def test_plain_messages_get_no_apology(live, group, hugo, joao, monkeypatch):
    said = await live.telegram.say(group, hugo, "hello")

    begin = Inbox.begin

    async def fails(self, update_id, received=None, stages_before=0):
        if received:
            raise OperationalError("INSERT", {}, Exception("disk full"))
        return await begin(self, update_id)

    with monkeypatch.context() as patch:
        patch.setattr(Inbox, "begin", fails)
        await live.telegram.say(group, joao, "hello to you")
        await live.telegram.say(group, joao, "and again", reply_to=said)
        answer = await live.answer(group, joao, "/help")

    assert answer["text"] == EN.error  # the command's, which came last
    assert live.said().index(EN.error) == 0
    assert live.said().count(EN.error) == 1
