"""Groups as the bot meets them: topics, the move to a supergroup, who is a member."""

import pytest
from telegram import ReplyParameters
from telegram.error import BadRequest, ChatMigrated, Forbidden


class TestTopics:
    @pytest.fixture
    def forum(self, telegram):
        return telegram.chat(-100555, title="Forum", is_forum=True)

    async def test_what_is_said_in_a_topic_answers_the_message_that_opened_it(
        self, telegram, bot, forum, hugo
    ):
        await telegram.set_status(forum, telegram.me, "administrator")
        trips = telegram.topic(forum, "Trips")

        await telegram.say(forum, hugo, "Peru?", thread=trips)
        *_, update = await bot.get_updates(timeout=0)

        assert update.message.chat.is_forum
        assert update.message.is_topic_message
        assert update.message.message_thread_id == trips
        assert update.message.reply_to_message.forum_topic_created.name == "Trips"

    async def test_the_bot_speaks_in_a_topic(self, telegram, bot, forum):
        trips = telegram.topic(forum, "Trips")

        sent = await bot.send_message(forum.id, "Peru!", message_thread_id=trips)

        assert (sent.message_thread_id, sent.is_topic_message) == (trips, True)

    async def test_a_reply_lands_in_the_topic_of_what_it_answers(self, telegram, bot, forum, hugo):
        trips = telegram.topic(forum, "Trips")
        question = await telegram.say(forum, hugo, "Peru?", thread=trips)

        sent = await bot.send_message(
            forum.id, "Peru!", reply_parameters=ReplyParameters(question["message_id"])
        )

        assert (sent.message_thread_id, sent.is_topic_message) == (trips, True)

    async def test_a_topic_that_does_not_exist_is_refused(self, bot, forum):
        with pytest.raises(BadRequest, match="Message thread not found"):
            await bot.send_message(forum.id, "anybody?", message_thread_id=99)
        with pytest.raises(BadRequest, match="Message thread not found"):
            await bot.send_chat_action(forum.id, "typing", message_thread_id=99)

    async def test_the_thread_of_a_plain_reply_is_no_topic(self, telegram, bot, friends, hugo):
        await telegram.set_status(friends, telegram.me, "administrator")
        root = await telegram.say(friends, hugo, "who is in?")
        await telegram.say(friends, hugo, "nobody?", reply_to=root)
        *_, update = await bot.get_updates(timeout=0)

        assert update.message.message_thread_id == root["message_id"]
        assert not update.message.is_topic_message
        with pytest.raises(BadRequest, match="Message thread not found"):
            await bot.send_message(friends.id, "me", message_thread_id=root["message_id"])


class TestMigration:
    @pytest.fixture
    def group(self, telegram):
        return telegram.chat(-77, title="Old friends", kind="group")

    async def test_both_chats_tell_of_each_other(self, telegram, bot, group):
        await telegram.migrate(group, -10077)

        leaving, arriving = [update.message for update in await bot.get_updates(timeout=0)]

        assert (leaving.chat.id, leaving.migrate_to_chat_id) == (-77, -10077)
        assert (arriving.chat.id, arriving.migrate_from_chat_id) == (-10077, -77)
        assert arriving.message_id == 1

    async def test_the_old_id_is_refused_with_the_new_one(self, telegram, bot, group):
        moved = await telegram.migrate(group, -10077)

        with pytest.raises(ChatMigrated) as refusal:
            await bot.send_message(group.id, "still here?")
        sent = await bot.send_message(refusal.value.new_chat_id, "here!")

        assert sent.chat.id == moved.id
        assert sent.chat.type == "supergroup"

    async def test_nobody_speaks_in_the_old_chat(self, telegram, group, hugo):
        await telegram.migrate(group, -10077)

        with pytest.raises(ValueError, match="-10077"):
            await telegram.say(group, hugo, "hello?")


class TestMembership:
    @pytest.mark.parametrize(
        ("status", "words"), [("kicked", "kicked from"), ("left", "not a member of")]
    )
    async def test_a_bot_outside_a_group_may_not_speak_there(
        self, telegram, bot, friends, status, words
    ):
        await telegram.set_status(friends, telegram.me, status)

        [update] = await bot.get_updates(timeout=0)
        with pytest.raises(Forbidden, match=f"{words} the supergroup chat"):
            await bot.send_message(friends.id, "let me in")

        assert update.my_chat_member.new_chat_member.status == status

    async def test_a_person_may_block_the_bot(self, telegram, bot, private):
        await telegram.set_status(private, telegram.me, "kicked")

        with pytest.raises(Forbidden, match="blocked by the user"):
            await bot.send_message(private.id, "hello?")

    async def test_a_member_is_told_from_an_admin_and_a_stranger(
        self, telegram, bot, friends, hugo
    ):
        ana = telegram.user(8, "Ana")
        await telegram.set_status(friends, ana, "creator")
        await telegram.say(friends, hugo, "hi")
        eve = telegram.user(9, "Eve")

        members = [await bot.get_chat_member(friends.id, who.id) for who in (ana, hugo, eve)]

        assert [member.status for member in members] == ["creator", "member", "left"]

    async def test_a_user_that_telegram_does_not_know_is_refused(self, bot, friends):
        with pytest.raises(BadRequest, match="User not found"):
            await bot.get_chat_member(friends.id, 12345)
