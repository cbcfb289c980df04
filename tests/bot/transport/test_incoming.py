"""Telegram's messages, as `Update.de_json` makes them, turned into ours."""

from datetime import UTC, datetime

import pytest
from telegram import Update

from bot.store.messages import Place
from bot.transport.incoming import after_command, message_of, place_of
from model.chat.conversation import Message

HUGO = {"id": 7, "is_bot": False, "first_name": "Hugo", "last_name": "Silva"}
ANONYMOUS = {"id": 1087968824, "is_bot": True, "first_name": "Group"}
GROUP = {"id": -1001234, "type": "supergroup", "title": "Friends"}
FILE = {"file_id": "a", "file_unique_id": "b"}
SIZE = {"width": 1, "height": 1}
ROOT = {
    "message_id": 3,
    "date": 1,
    "chat": GROUP,
    "forum_topic_created": {"name": "Trips", "icon_color": 1},
}
STICKER = FILE | SIZE | {"type": "regular", "is_animated": False, "is_video": False}


def received(**fields):
    body = {"message_id": 5, "date": 1_700_000_000, "chat": GROUP, "from": HUGO} | fields
    return Update.de_json({"update_id": 1, "message": body}, None).message


def test_a_text_is_kept_whole():
    found = message_of(received(text="hello\nthere 👋"))

    sent_at = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert found == Message(-1001234, 5, 7, "Hugo Silva", "hello\nthere 👋", sent_at)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"sticker": STICKER | {"emoji": "😀"}}, "😀"),
        ({"sticker": STICKER}, "[sticker]"),
        ({"photo": [FILE | SIZE]}, "[photo]"),
        ({"photo": [FILE | SIZE], "caption": "us\ntwo"}, "[photo] us\ntwo"),
        ({"voice": FILE | {"duration": 7}}, "[voice 0:07]"),
        ({"voice": FILE | {"duration": 754}, "caption": "long"}, "[voice 12:34] long"),
        ({"voice": FILE | {"duration": 0}}, "[voice]"),
        ({"video": FILE | SIZE | {"duration": 3}}, "[video]"),
        ({"video_note": FILE | {"duration": 61, "length": 1}}, "[video message 1:01]"),
        (
            {"animation": FILE | SIZE | {"duration": 3}, "document": FILE, "caption": "lol"},
            "[animation] lol",
        ),
        ({"audio": FILE | {"duration": 180}}, "[audio]"),
        ({"document": FILE}, "[file]"),
        ({"contact": {"phone_number": "1", "first_name": "A"}}, "[contact]"),
        ({"location": {"latitude": 1, "longitude": 1}}, "[location]"),
        (
            {
                "location": {"latitude": 1, "longitude": 1},
                "venue": {
                    "location": {"latitude": 1, "longitude": 1},
                    "title": "A",
                    "address": "B",
                },
            },
            "[location]",
        ),
        (
            {
                "poll": {
                    "id": "1",
                    "question": "?",
                    "options": [],
                    "total_voter_count": 0,
                    "is_closed": False,
                    "is_anonymous": True,
                    "type": "regular",
                    "allows_multiple_answers": False,
                    "allows_revoting": True,
                    "members_only": False,
                }
            },
            "[poll] ?",
        ),
    ],
)
def test_other_media_are_a_word_with_the_caption_after_it(fields, text):
    assert message_of(received(**fields)).text == text


@pytest.mark.parametrize(
    "fields",
    [
        {"new_chat_members": [HUGO]},
        {"new_chat_title": "Enemies"},
        {"dice": {"emoji": "🎲", "value": 3}},
        {"story": {"id": 1, "chat": GROUP}},
    ],
    ids=["somebody joined", "a new title", "a dice", "a story"],
)
def test_what_an_export_shows_nothing_of_is_nothing(fields):
    assert message_of(received(**fields)) is None


class TestAuthors:
    def test_an_anonymous_admin_is_the_group(self):
        fields = {"from": ANONYMOUS, "sender_chat": GROUP}
        found = message_of(received(text="hi", **fields))

        assert (found.author_id, found.author_name) == (-1001234, "Friends")
        assert not found.is_from_bot

    def test_a_linked_channels_post_is_a_forward_of_the_channel(self):
        channel = {"id": -1009, "type": "channel", "title": "News"}
        origin = {"type": "channel", "date": 1, "chat": channel, "message_id": 3}
        telegram = {"id": 777000, "is_bot": False, "first_name": "Telegram"}
        found = message_of(
            received(text="hi", sender_chat=channel, forward_origin=origin, **{"from": telegram})
        )

        assert (found.author_id, found.author_name) == (-1009, "News")
        assert found.is_forward
        assert not found.is_from_bot

    def test_a_forward_is_one_whoever_wrote_it(self):
        origin = {"type": "hidden_user", "date": 1, "sender_user_name": "A"}

        assert message_of(received(text="hi", forward_origin=origin)).is_forward

    @pytest.mark.parametrize(
        "fields",
        [
            {"from": {"id": 8, "is_bot": True, "first_name": "Bot"}},
            {"via_bot": {"id": 8, "is_bot": True, "first_name": "Bot"}},
        ],
        ids=["sent by a bot", "sent through a bot"],
    )
    def test_a_bots_message_is_one(self, fields):
        assert message_of(received(text="hi", **fields)).is_from_bot


class TestTopics:
    def test_an_ordinary_message_in_a_topic_answers_nobody(self):
        received_message = received(
            text="hi", is_topic_message=True, message_thread_id=3, reply_to_message=ROOT
        )
        found = message_of(received_message)

        assert (found.topic_id, found.reply_to) == (3, None)
        assert place_of(received_message) == Place(-1001234, 3)

    def test_an_answer_in_a_topic_is_one(self):
        answered = {"message_id": 4, "date": 1, "chat": GROUP, "from": HUGO, "text": "?"}
        found = message_of(
            received(
                text="hi", is_topic_message=True, message_thread_id=3, reply_to_message=answered
            )
        )

        assert (found.topic_id, found.reply_to) == (3, 4)

    def test_a_thread_of_replies_is_no_topic(self):
        answered = {"message_id": 4, "date": 1, "chat": GROUP, "from": HUGO, "text": "?"}
        found = message_of(received(text="hi", message_thread_id=4, reply_to_message=answered))

        assert (found.topic_id, found.reply_to) == (None, 4)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("/as", ""),
        ("/as Hugo", "Hugo"),
        ("/as@understudy_bot  Hugo  hi", "Hugo  hi"),
        ("/as\nHugo\nhi", "Hugo\nhi"),
    ],
)
def test_what_follows_a_command(text, words):
    assert after_command(received(text=text)) == words


class TestQuotes:
    """Quotes are other people's words and are not stored with a message."""

    def block(self, offset, length, kind="blockquote"):
        return {"type": kind, "offset": offset, "length": length}

    @pytest.mark.parametrize("kind", ["blockquote", "expandable_blockquote"])
    def test_a_quote_block_is_left_out(self, kind):
        text = "👋 hi\nher 𝕏 words\nmine 👋"
        bold = {"type": "bold", "offset": 0, "length": 5}

        found = message_of(received(text=text, entities=[bold, self.block(6, 12, kind)]))

        assert found.text == "👋 hi\n\nmine 👋"

    def test_several_blocks_in_any_order_and_a_line_with_a_mark_are_left_out(self):
        blocks = [self.block(8, 3), self.block(0, 3), self.block(1, 2)]

        found = message_of(received(text="hers\ntwo\nhers\n> hers"[1:], entities=blocks))

        assert found.text == "\ntwo\ns"

    def test_a_quote_in_a_caption_is_left_out(self):
        fields = {
            "photo": [FILE | SIZE],
            "caption": "her\nus",
            "caption_entities": [self.block(0, 4)],
        }

        assert message_of(received(**fields)).text == "[photo] us"

    def test_a_reply_with_a_quote_has_only_its_own_words(self):
        quote = {"text": "her words", "position": 0}
        origin = {"type": "hidden_user", "date": 1, "sender_user_name": "Eva"}

        found = message_of(received(text="no", quote=quote, external_reply={"origin": origin}))

        assert found.text == "no"

    def test_a_quote_block_with_invalid_bounds_is_handled(self):
        found = message_of(received(text="𝕏 ok", entities=[self.block(1, 1), self.block(9, 5)]))

        assert found.text.endswith(" ok")

    def test_a_quote_is_not_part_of_a_commands_arguments(self):
        command = {"type": "bot_command", "offset": 0, "length": 3}
        text = "/as anyone\nher words\nso?"

        asked = received(text=text, entities=[command, self.block(11, 9)])

        assert after_command(asked) == "anyone\n\nso?"
        assert after_command(received(text="/as", entities=[command, self.block(0, 3)])) == ""
