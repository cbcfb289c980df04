"""`/forget` and `/forget all`, through the real bot over HTTP."""

import asyncio
import sqlite3
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from model.chat.eligibility import add_voice_header, parse_voice_header
from tests.bot.database_files import find_words, rows


def forgotten(stage):
    return {number for (number,) in rows(stage, "SELECT message_id FROM forgotten")}


class TestOneMessage:
    async def test_the_message_and_lines_made_from_it_are_erased(self, live, group, hugo, joao):
        said = await live.telegram.say(group, joao, "the treasure lies below the oak")
        live.speaker.replies.append(("below the oak, he says",))
        line = await live.answer(group, hugo, "/as Hugo Sá")

        answer = await live.answer(group, joao, "/forget", reply_to=said)

        assert answer["text"] == (
            "Forgotten. I can't read it any more, and I won't learn from it.\n"
            "I also deleted 1 message of mine based on it."
        )
        assert (group.id, line["message_id"]) not in live.telegram.world.messages
        assert forgotten(live) == {said["message_id"], line["message_id"]}
        assert not await live.find_after_vacuum("treasure", "below the oak")

    async def test_a_line_made_from_other_messages_stays(self, live, group, hugo, joao):
        await live.telegram.say(group, hugo, "hello")
        line = await live.answer(group, hugo, "/as Hugo Sá")
        said = await live.telegram.say(group, joao, "the treasure")

        await live.answer(group, joao, "/forget", reply_to=said)

        assert live.telegram.message(group, line["message_id"])

    async def test_a_line_with_a_forced_beginning_is_erased_too(self, live, group, joao):
        since = len(live.telegram.calls)
        asked = await live.telegram.say(group, joao, "/as Hugo Sá: the treasure lies")
        line = (await live.telegram.wait_for("sendMessage", since=since)).result

        await live.answer(group, joao, "/forget", reply_to=asked)

        assert (group.id, line["message_id"]) not in live.telegram.world.messages
        assert not await live.find_after_vacuum("treasure")

    async def test_a_forgotten_sticker_is_not_sent_again(self, live, group, joao):
        sticker = live.telegram.sticker("😂")
        said = await live.telegram.say(group, joao, None, sticker=sticker)
        await live.answer(group, joao, "/help")

        await live.answer(group, joao, "/forget", reply_to=said)
        live.speaker.replies.append(("😂",))
        answer = await live.answer(group, joao, "/as Hugo Sá")

        assert answer["text"] == add_voice_header("Hugo Sá", "😂")
        assert not await live.find_after_vacuum(sticker["file_id"])

    async def test_an_edit_does_not_bring_it_back(self, live, group, hugo, joao):
        said = await live.telegram.say(group, joao, "the treasure")
        await live.answer(group, joao, "/forget", reply_to=said)

        await live.telegram.edit(said, "the treasure, I said")
        await live.answer(group, hugo, "/as Hugo Sá")

        assert live.speaker.context == ()
        assert not await live.find_after_vacuum("treasure")

    async def test_a_reply_that_repeats_it_does_not_bring_it_back(self, live, group, hugo, joao):
        said = await live.telegram.say(group, joao, "the treasure")
        await live.answer(group, joao, "/forget", reply_to=said)

        await live.telegram.say(
            group, hugo, "what?", reply_to=said, quote={"text": "treasure", "position": 4}
        )
        await live.answer(group, hugo, "/as Hugo Sá")

        assert live.speaker.context == ("Hugo Silva: what?",)
        assert not await live.find_after_vacuum("treasure")

    async def test_a_reply_being_generated_from_it_is_not_sent(self, live, group, hugo, joao):
        said = await live.telegram.say(group, joao, "the treasure")
        live.speaker.open.clear()
        await live.telegram.say(group, hugo, "/as Hugo Sá")
        await live.telegram.wait_for("sendChatAction")

        await live.answer(group, joao, "/forget", reply_to=said)
        live.speaker.open.set()
        await live.answer(group, hugo, "/as Hugo Silva")

        voices = [parse_voice_header(text)[0] for text in live.said() if parse_voice_header(text)]
        assert voices == ["Hugo Silva"]

    @pytest.mark.parametrize("words", ["/forget", "/forget it", "/forget everything"])
    async def test_without_a_reply_it_explains_the_command(self, live, group, joao, words):
        answer = await live.answer(group, joao, words)

        assert answer["text"].startswith("Send /forget in reply to a message of yours")

    async def test_the_first_message_of_a_topic_is_not_a_reply(self, live, joao):
        forum = live.telegram.chat(-1001234, title="Friends", is_forum=True)
        trips = live.telegram.topic(forum, "Trips")

        answer = await live.answer(forum, joao, "/forget", thread=trips)

        assert answer["text"].startswith("Send /forget in reply to a message of yours")


class TestPermission:
    async def test_another_persons_message_stays(self, live, group, hugo, joao):
        said = await live.telegram.say(group, joao, "the treasure")

        answer = await live.answer(group, hugo, "/forget", reply_to=said)

        assert answer["text"].startswith("Only the author, the person whose voice it is")
        assert find_words(live.folder, "treasure")

    async def test_group_admins_may_forget_it(self, live, group, hugo, joao):
        said = await live.telegram.say(group, joao, "the treasure")
        await live.telegram.set_status(group, hugo, "administrator")

        answer = await live.answer(group, hugo, "/forget", reply_to=said)

        assert answer["text"].startswith("Forgotten")
        assert not await live.find_after_vacuum("treasure")

    async def test_anonymous_group_admins_may_forget_it(self, live, group, joao):
        said = await live.telegram.say(group, joao, "the treasure")

        answer = await live.answer(group, None, "/forget", reply_to=said)

        assert answer["text"].startswith("Forgotten")

    async def test_a_channel_may_not_forget_it(self, live, group, joao, zoe):
        said = await live.telegram.say(group, joao, "the treasure")
        channel = {"id": -1000000000777, "type": "channel", "title": "News"}

        answer = await live.answer(group, zoe, "/forget", reply_to=said, sender_chat=channel)

        assert answer["text"].startswith("Only the author")

    async def test_admins_of_the_bot_may_forget_it(self, stage, group, hugo, joao):
        async with stage.running(admins="11"):
            said = await stage.telegram.say(group, joao, "the treasure")
            answer = await stage.answer(group, hugo, "/forget", reply_to=said)

        assert answer["text"].startswith("Forgotten")

    async def test_nobody_counts_as_admin_if_telegram_does_not_say(self, live, group, hugo, joao):
        said = await live.telegram.say(group, joao, "the treasure")
        await live.telegram.set_status(group, hugo, "administrator")
        live.telegram.fail_next("getChatMember", 400, "Bad Request: user not found")

        answer = await live.answer(group, hugo, "/forget", reply_to=said)

        assert answer["text"].startswith("Only the author")


class TestLineInAVoice:
    async def test_the_imitated_person_can_have_it_deleted(self, live, group, hugo, joao):
        live.speaker.replies.append(("I love cabbage",))
        line = await live.answer(group, hugo, "/as João")

        answer = await live.answer(group, joao, "/forget", reply_to=line)

        assert answer["text"].startswith("Forgotten")
        assert (group.id, line["message_id"]) not in live.telegram.world.messages
        assert not await live.find_after_vacuum("cabbage")

    async def test_a_message_forgotten_while_it_is_sent_is_erased(self, live, group, hugo, joao):
        live.speaker.replies.append(("I love cabbage", "and beans"))
        live.telegram.delay_next("sendMessage", 1)
        line = await live.first_message(group, hugo, "/as João")

        await live.first_message(group, joao, "/forget", reply_to=line)
        await live.wait_until_handled()

        assert (group.id, line["message_id"]) not in live.telegram.world.messages
        assert "🎭 João\nand beans" in live.said()
        assert not await live.find_after_vacuum("cabbage")
        assert find_words(live.folder, "beans")

    @pytest.mark.parametrize(
        ("code", "reason"), [(400, "Bad Request: chat not found"), (403, "Forbidden")]
    )
    async def test_the_log_names_a_late_message_that_telegram_keeps(
        self, live, group, hugo, joao, caplog, code, reason
    ):
        live.telegram.delay_next("sendMessage", 0.5)
        line = await live.first_message(group, hugo, "/as João")
        live.telegram.fail_next("deleteMessage", code, reason)

        answer = await live.first_message(group, joao, "/optout")
        await live.wait_until_handled()

        assert "of mine based on it" not in answer["text"]
        assert f"chat {group.id}: message {line['message_id']} was withdrawn" in caplog.text
        assert rows(live, "SELECT message_id FROM lines") == []

    async def test_the_other_lines_of_a_chat_are_deleted_after_an_error(
        self, live, group, hugo, joao
    ):
        live.speaker.replies.append(("one", "two", "three"))
        await live.answer(group, hugo, "/as João")
        live.telegram.fail_next("deleteMessage", 500, "Internal Server Error")

        answer = await live.answer(group, joao, "/forget all")

        assert "I also deleted 2 messages of mine" in answer["text"]
        assert "I'm going to delete 1 message of mine" in answer["text"]
        assert len(rows(live, "SELECT message_id FROM lines")) == 1
        assert not await live.find_after_vacuum("🎭 João\none")

    async def test_a_line_in_another_voice_stays(self, live, group, hugo, joao):
        line = await live.answer(group, hugo, "/as João")

        answer = await live.answer(group, hugo, "/forget", reply_to=line)

        assert answer["text"].startswith("Only the author, the person whose voice it is")

    async def test_the_bots_own_texts_cannot_be_forgotten(self, live, group, joao):
        text = await live.answer(group, joao, "/help")

        answer = await live.answer(group, joao, "/forget", reply_to=text)

        assert answer["text"].startswith("I didn't write that in anyone's voice")

    async def test_after_48_hours_it_says_that_it_cannot_delete(self, stage, group, hugo, joao):
        with time_machine.travel(datetime.now(UTC), tick=True) as clock:
            async with stage.running():
                stage.speaker.replies.append(("I love cabbage",))
                line = await stage.answer(group, hugo, "/as João")
                clock.shift(timedelta(hours=49))
                answer = await stage.answer(group, joao, "/forget", reply_to=line)

                assert "I can't delete 1 message of mine based on it" in answer["text"]
                assert stage.telegram.message(group, line["message_id"])
                assert not await stage.find_after_vacuum("cabbage")


class TestAll:
    async def test_nothing_of_the_person_is_left(self, live, group, hugo, joao):
        await live.telegram.say(group, joao, "the treasure lies below the oak")
        live.speaker.replies.extend([("below the oak?",), ("I love cabbage",)])
        await live.answer(group, hugo, "/as Hugo Sá")
        for number in range(12):  # more than a reply looks at
            await live.telegram.say(group, hugo, f"hm {number}")
        await live.answer(group, hugo, "/as João")
        await live.answer(group, hugo, "/as Hugo Sá")
        assert find_words(live.folder, "treasure", "below the oak?", "cabbage", "João")

        answer = await live.answer(group, joao, "/forget all")

        assert answer["text"].startswith("I forgot 2 messages of yours")
        assert "I also deleted 2 messages of mine" in answer["text"]
        await live.answer(group, hugo, "/help")
        assert not await live.find_after_vacuum("treasure", "below the oak?", "cabbage")
        assert [name for (name,) in rows(live, "SELECT author_name FROM messages")].count(
            "João"
        ) == 0
        kept = [text for (text,) in rows(live, "SELECT text FROM messages")]
        assert "🎭 Hugo Sá\nHugo Sá number 3" in kept

    async def test_strangers_can_use_it_too(self, live, group, hugo, zoe):
        await live.telegram.say(group, zoe, "the treasure")
        line = await live.answer(group, hugo, "/as Hugo Sá")

        answer = await live.answer(live.telegram.private(zoe), zoe, "/forget all")

        assert answer["text"].startswith("I forgot 1 message of yours")
        assert (group.id, line["message_id"]) not in live.telegram.world.messages
        assert not await live.find_after_vacuum("treasure", "Zoe")

    @pytest.mark.parametrize("words", ["/forget all", "/optout"])
    async def test_repeated_commands_run_one_after_another(self, live, zoe, monkeypatch, words):
        eraser = live.app.bot_data["state"].store.eraser
        erase, runs, running = eraser.erase, [], Counter()

        async def erase_slowly(query, lines, update_id, *more):
            runs.append(update_id)
            running["now"] += 1
            running["most"] = max(running.values())
            await asyncio.sleep(0.01)
            await erase(query, lines, update_id, *more)
            running["now"] -= 1

        monkeypatch.setattr(eraser, "erase", erase_slowly)
        first = live.telegram.updates.next_id
        for _ in range(5):
            await live.telegram.say(live.telegram.private(zoe), zoe, words)
        await live.wait_until_handled()

        assert runs == list(range(first, first + 5))
        assert running["most"] == 1
        assert len(live.said()) == 5

    async def test_it_covers_all_chats(self, stage, group, hugo, joao):
        async with stage.running(admins="13"):
            private = stage.telegram.private(joao)
            await stage.telegram.say(private, joao, "psst")
            await stage.telegram.say(group, joao, "the treasure")
            answer = await stage.answer(private, joao, "/forget all")

            assert answer["text"].startswith("I forgot 2 messages of yours")
            assert not await stage.find_after_vacuum("psst", "treasure")

    async def test_it_works_after_the_group_moved(self, live, hugo, joao):
        basic = live.telegram.chat(-1001234, title="Friends", kind="group")
        await live.telegram.say(basic, joao, "the treasure")
        line = await live.answer(basic, hugo, "/as João")
        moved = await live.telegram.migrate(basic, -1000000005678)
        said = await live.telegram.say(moved, joao, "another treasure")
        await live.answer(moved, hugo, "/as Hugo Sá")

        one = await live.answer(moved, joao, "/forget", reply_to=said)
        everything = await live.answer(moved, joao, "/forget all")

        assert one["text"].startswith("Forgotten")
        assert everything["text"].startswith("I forgot 3 messages of yours")
        assert "I can't delete 1 message of mine" in everything["text"]
        assert live.telegram.message(basic, line["message_id"])
        assert not await live.find_after_vacuum("treasure", "João number 1")

    async def test_a_message_from_before_the_move_is_erased(self, live, hugo, joao):
        basic = live.telegram.chat(-1001234, title="Friends", kind="group")
        said = await live.telegram.say(basic, joao, "the treasure")
        await live.answer(basic, hugo, "/as Hugo Sá")
        moved = await live.telegram.migrate(basic, -1000000005678)

        answer = await live.answer(moved, joao, "/forget", reply_to=said)

        assert answer["text"].startswith("Forgotten")
        assert "I can't delete 1 message of mine" in answer["text"]
        assert not await live.find_after_vacuum("treasure", "Hugo Sá number 1")

    async def test_quizzes_and_guesses_are_erased_too(self, live, group, joao, hugo):
        said = await live.telegram.say(group, joao, "below the oak")
        about_it, of_the_voice = [await live.answer(group, hugo, "/help") for _ in range(2)]
        with closing(sqlite3.connect(live.folder / "bot.db")) as database, database:
            for poll, number, voice, person_id in (
                ("about it", about_it["message_id"], "Hugo Sá", 12),
                ("of the voice", of_the_voice["message_id"], "João", 13),
                ("of others", 900, "Hugo Sá", 12),
            ):
                database.execute(
                    "INSERT INTO guesses VALUES (?, ?, ?, 0, ?, 0, '1', '2026-01-01')",
                    (poll, group.id, number, voice),
                )
                database.execute(
                    "INSERT INTO lines VALUES (?, ?, 1, ?, '1', '2026-01-01', ?)",
                    (group.id, number, voice, person_id),
                )
            database.execute(
                "INSERT INTO sources VALUES (?, ?, ?, ?)",
                (group.id, about_it["message_id"], said["message_id"], group.id),
            )
            database.executemany(
                "INSERT INTO answers VALUES ('of others', ?, ?, 0)", [(13, "Jo"), (11, "Hugo")]
            )

        answer = await live.answer(group, joao, "/forget all")

        assert "I also deleted 2 messages of mine" in answer["text"]
        assert rows(live, "SELECT poll_id FROM guesses") == [("of others",)]
        assert rows(live, "SELECT user_id FROM answers") == [(11,)]
        assert (group.id, about_it["message_id"]) not in live.telegram.world.messages
        assert (group.id, of_the_voice["message_id"]) not in live.telegram.world.messages


async def test_updates_set_aside_keep_no_text(live, group, joao, hugo):
    await live.telegram.say(group, joao, "the treasure", date="soon")
    await live.answer(group, hugo, "/help")
    assert find_words(live.folder, "treasure")

    await live.answer(group, joao, "/forget all")

    assert not await live.find_after_vacuum("treasure")
