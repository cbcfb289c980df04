"""The context of replies after edits, restarts, in topics and chats, through the real bot."""

from model.chat.eligibility import add_voice_header


class TestEdits:
    async def test_an_edit_changes_the_context(self, live, group, hugo, joao):
        said = await live.telegram.say(group, hugo, "at seven")
        await live.telegram.edit(said, "at eight")

        await live.answer(group, joao, "/as João")

        assert live.speaker.context == ("Hugo Silva: at eight",)

    async def test_an_edited_command_does_nothing(self, live, group, joao):
        said = await live.telegram.say(group, joao, "/sa João")

        await live.telegram.edit(said, "/as João")
        await live.answer(group, joao, "/help")

        assert not live.speaker.asked


class TestPlaces:
    async def test_topics_are_kept_apart(self, live, stage, hugo, joao):
        forum = stage.telegram.chat(-1001234, title="Friends", is_forum=True)
        trips, food = (stage.telegram.topic(forum, name) for name in ("Trips", "Food"))
        await live.telegram.say(forum, hugo, "Peru?", thread=trips)
        await live.telegram.say(forum, hugo, "pasta?", thread=food)
        await live.telegram.say(forum, hugo, "hello")

        answer = await live.answer(forum, joao, "/as João", thread=food)

        assert answer["message_thread_id"] == food
        assert live.speaker.context == ("Hugo Silva: pasta?",)

    async def test_a_reply_outside_a_forum_is_no_topic(self, live, group, hugo, joao):
        root = await live.telegram.say(group, hugo, "who is in?")
        await live.telegram.say(group, joao, "me", reply_to=root)

        answer = await live.answer(group, joao, "/as Hugo Silva", reply_to=root)

        assert "message_thread_id" not in answer
        assert live.speaker.context == ("Hugo Silva: who is in?", "João: me")

    async def test_two_chats_are_kept_apart(self, stage, group, hugo, joao):
        async with stage.running(admins="13"):
            await stage.telegram.say(group, hugo, "only for friends")
            answer = await stage.answer(stage.telegram.private(joao), joao, "/as Hugo Silva psst")

        assert answer["chat"]["id"] == joao.id
        assert stage.speaker.context == ("João: psst",)

    async def test_a_restart_keeps_the_context(self, stage, group, hugo, joao):
        async with stage.running():
            await stage.telegram.say(group, hugo, "remember this")
            await stage.answer(group, joao, "/as João")
        async with stage.running():
            await stage.answer(group, joao, "/as Hugo Sá")

        assert stage.speaker.context == ("Hugo Silva: remember this", "João: João number 1")

    async def test_privacy_mode_lets_named_commands_through(self, stage, group, hugo, joao):
        stage.telegram.world.can_read_all = False
        async with stage.running():
            await stage.telegram.say(group, hugo, "unheard")
            answer = await stage.answer(group, joao, "/as@understudy_bot João and now?")

        assert answer["text"] == add_voice_header("João", "João number 1")
        assert stage.speaker.context == ("João: and now?",)
        assert "Privacy mode is on" in stage.lines[0]
