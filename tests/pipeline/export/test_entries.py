import pytest

from tests.pipeline.chats import NOON, chat, entry, service, write
from tests.pipeline.export.reading import read

ENTITIES = [
    "plain", "mention", "hashtag", "bot_command", "link", "email", "bold", "italic", "code", "pre",
    "text_link", "mention_name", "phone", "cashtag", "underline", "strikethrough",
    "bank_card", "spoiler", "custom_emoji", "unknown", "one of next year's",
]  # fmt: skip
ACTIONS = [
    "create_group", "edit_group_title", "invite_members", "remove_members", "join_group_by_link",
    "migrate_to_supergroup", "migrate_from_group", "pin_message", "topic_created", "topic_edit",
    "clear_history", "phone_call", "group_call", "set_messages_ttl", "boost_apply",
    "joined_telegram", "one of next year's",
]  # fmt: skip


def one(tmp_path, *entries, **more):
    return read(write(tmp_path, chat(*entries, **more)))


def test_a_message_is_who_said_what_when_and_where(tmp_path):
    message = one(tmp_path, entry(5, 3, "hi")).messages[0]

    assert (message.chat_id, message.message_id) == (-1_000_000_000_077, 5)
    assert (message.author_id, message.author_name) == (3, "Friend 3")
    assert (message.text, message.sent_at, message.topic_id) == ("hi", NOON, None)
    assert not message.is_forward
    assert not message.is_from_bot


@pytest.mark.parametrize(
    "text",
    [
        "see https://a.b or not",
        ["see https://a.b or not"],
        ["see ", {"type": "link", "text": "https://a.b"}, " or ", {"type": "bold", "text": "not"}],
        [{"type": "plain", "text": "see https://a.b or not"}, ""],
        {"type": "plain", "text": "see https://a.b or not"},
    ],
    ids=["a string", "a list of strings", "both mixed", "a list of entities", "one entity"],
)
def test_a_text_in_any_form_is_its_words(tmp_path, text):
    assert one(tmp_path, entry(1, 1, text)).texts == ["see https://a.b or not"]


@pytest.mark.parametrize("text", ["", None, []])
def test_entities_alone_are_words_too(tmp_path, text):
    entities = [{"type": "plain", "text": "so "}, {"type": "bold", "text": "true"}]

    assert one(tmp_path, entry(1, 1, text, text_entities=entities)).texts == ["so true"]


@pytest.mark.parametrize("absent", ["text", "text_entities"])
def test_either_form_of_a_text_may_be_absent(tmp_path, absent):
    message = entry(1, 1, "so true", text_entities=[{"type": "plain", "text": "so true"}])
    del message[absent]

    assert one(tmp_path, message).texts == ["so true"]


@pytest.mark.parametrize("kind", ENTITIES)
def test_an_entity_of_any_kind_is_its_words(tmp_path, kind):
    entity = {
        "type": kind,
        "text": "a b",
        "href": "http://x",
        "user_id": 5,
        "language": "",
        "document_id": "(File not included. Change data exporting settings to download.)",
        "collapsed": True,
    }

    assert one(tmp_path, entry(1, 1, ["<", entity, ">"])).texts == ["<a b>"]


QUOTE = {"type": "blockquote", "text": "her words", "collapsed": True}


@pytest.mark.parametrize(
    ("text", "entities"),
    [
        ([QUOTE, "\nmine"], []),
        (["", QUOTE, "\n", QUOTE, "\nmine"], []),
        ("her words\nmine", [QUOTE, {"type": "plain", "text": "\nmine"}]),
        (None, [QUOTE, {"type": "plain", "text": "\nmine"}]),
        ("> her words\nmine", []),
        (["> her ", {"type": "bold", "text": "words\n"}, "mine"], []),
    ],
    ids=["a block", "two blocks", "told by entities alone", "no text", "a mark", "a mark, mixed"],
)
def test_what_a_message_quotes_is_not_its_words(tmp_path, text, entities):
    messages = [entry(1, 1, text, text_entities=entities), entry(2, 1, [QUOTE], photo="a.jpg")]

    assert [words.strip() for words in one(tmp_path, *messages).texts] == ["mine", "[photo]"]


@pytest.mark.parametrize("odd", [5, True, None, {"type": "bold"}, {"text": None}, [], [7]])
def test_what_is_no_text_adds_none(tmp_path, odd):
    assert one(tmp_path, entry(1, 1, ["a", odd, "b"]), entry(2, 1, odd, 1)).texts == ["ab"]


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"photo": "(File not included.)"}, "[photo] look"),
        ({"photo": "a.jpg", "width": 3, "height": 4, "photo_file_size": 9}, "[photo] look"),
        ({"file": "a.ogg", "media_type": "voice_message", "duration_seconds": 7},
         "[voice 0:07] look"),
        ({"file": "a.ogg", "media_type": "voice_message"}, "[voice] look"),
        ({"file": "a.ogg", "media_type": "voice_message", "duration_seconds": "7"},
         "[voice] look"),
        ({"file": "a.mp4", "media_type": "video_message", "duration_seconds": 61},
         "[video message 1:01] look"),
        ({"file": "a.mp4", "media_type": "video_file", "duration_seconds": 61}, "[video] look"),
        ({"file": "a.mp4", "media_type": "animation"}, "[animation] look"),
        ({"file": "a.mp3", "media_type": "audio_file", "performer": "Zeca", "title": "T"},
         "[audio] look"),
        ({"file": "a.pdf", "mime_type": "application/pdf"}, "[file] look"),
        ({"file": "a.xyz", "media_type": "hologram"}, "[file] look"),
        ({"file": "a.xyz", "media_type": ["list"]}, "[file] look"),
        ({"contact_information": {"first_name": "A"}, "contact_vcard": "x"}, "[contact] look"),
        ({"location_information": {"latitude": 1.5, "longitude": 2.5}}, "[location] look"),
        ({"location_information": None}, "[location] look"),
        ({"place_name": "Bar", "address": "x", "location_information": {}}, "[location] look"),
        ({"poll": {"question": "?", "answers": []}}, "[poll] look"),
        ({"game_title": "Chess", "game_description": "x", "game_link": "x"}, "[game] look"),
        ({"invoice_information": '{"title": "x", "amount": 1}'}, "[invoice] look"),
        ({"giveaway_information": {"quantity": 3}}, "[giveaway] look"),
        ({"giveaway_results": {"winners": []}}, "[giveaway] look"),
        ({"todo_list": {"title": "x", "items": []}}, "[checklist] look"),
        ({"photo": "a.jpg", "paid_stars_amount": 5}, "[photo] look"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_medium_stands_before_its_caption(tmp_path, more, text):
    assert one(tmp_path, entry(1, 1, "look", **more)).texts == [text]


def test_a_medium_without_a_caption_is_a_bracketed_word(tmp_path):
    assert one(tmp_path, entry(1, 1, "", photo="a.jpg")).texts == ["[photo]"]


def test_a_sticker_is_its_emoji_or_a_bracketed_word(tmp_path):
    stickers = [
        entry(1, 1, "", file="a.webp", media_type="sticker", sticker_emoji="😺"),
        entry(2, 1, "", file="a.webp", media_type="sticker"),
        entry(3, 1, "", file="a.webp", media_type="sticker", sticker_emoji=""),
        entry(4, 1, "", file="a.webp", media_type="sticker", sticker_emoji=None),
    ]

    assert one(tmp_path, *stickers).texts == ["😺", "[sticker]", "[sticker]", "[sticker]"]


@pytest.mark.parametrize(
    ("poll", "text"),
    [
        ({"question": "Pizza?", "closed": False, "answers": [{"text": "yes"}]}, "[poll] Pizza?"),
        ({"question": ["Piz", {"type": "bold", "text": "za?"}]}, "[poll] Pizza?"),
        ({"question": None}, "[poll]"),
        (None, "[poll]"),
    ],
    ids=["a question", "a question with entities", "no question", "no poll"],
)
def test_a_poll_s_question_stands_after_it(tmp_path, poll, text):
    assert one(tmp_path, entry(1, 1, "", poll=poll)).texts == [text]


@pytest.mark.parametrize("action", ACTIONS)
def test_a_service_message_is_counted_and_never_said(tmp_path, action):
    reading = one(tmp_path, service(1, action, title="x", members=["A", None]), entry(2, 1, "x"))

    assert reading.ids == [2]
    assert (reading.counts.messages, reading.counts.service) == (1, 1)
    assert not reading.tally.skipped


def test_a_service_message_may_lack_everything_but_its_id(tmp_path):
    reading = one(tmp_path, {"id": 1, "type": "service"}, entry(2, 1, "x"))

    assert (reading.ids, reading.counts.service) == ([2], 1)


def test_an_unsupported_entry_has_an_id_and_nothing_else(tmp_path):
    reading = one(tmp_path, {"id": 2, "type": "unsupported"}, entry(4, 1, "x"))

    assert (reading.ids, reading.counts.unsupported) == ([4], 1)
    assert not reading.tally.skipped


def test_a_message_without_words_or_medium_is_counted_and_never_said(tmp_path):
    reading = one(tmp_path, entry(3, 1, ""), entry(4, 1, "x"))

    assert (reading.ids, reading.counts.messages) == ([4], 2)


def test_an_unknown_type_of_message_is_counted_and_named(tmp_path):
    reading = one(tmp_path, {**entry(1, 1, "?"), "type": "hologram"}, entry(2, 1, "x"))

    assert reading.ids == [2]
    assert reading.tally.skipped == {"an unknown type 'hologram'": 1}


@pytest.mark.parametrize("lost", ["id", "type", "date"])
def test_a_message_that_lacks_what_it_needs_is_skipped_and_named(tmp_path, lost):
    broken = entry(3, 1, "x")
    del broken[lost]
    broken.pop("date_unixtime") if lost == "date" else None

    reading = one(tmp_path, broken, entry(4, 1, "y", 1))

    assert reading.ids == [4]
    assert reading.tally.skipped == {f"no {lost}": 1}


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("id", "3", "unreadable id"),
        ("id", 3.5, "unreadable id"),
        ("id", True, "unreadable id"),
        ("id", 2**63, "unreadable id"),
        ("id", None, "no id"),
        ("type", None, "an unknown type"),
        ("type", [], "an unknown type"),
        ("from_id", "", "unreadable from_id"),
        ("from_id", ["user1"], "unreadable from_id"),
        ("from_id", {"user": 1}, "unreadable from_id"),
    ],
)
def test_a_value_of_another_form_costs_its_message_alone(tmp_path, key, value, reason):
    reading = one(tmp_path, {**entry(3, 1, "x"), key: value}, entry(4, 1, "y", 1))

    assert reading.ids == [4]
    assert reading.tally.skipped == {reason: 1}


def test_forwards_are_told_even_where_their_source_is_hidden(tmp_path):
    entries = [
        entry(1, 1, "a", forwarded_from="X"),
        entry(2, 1, "b", forwarded_from=None),
        entry(3, 1, "c", saved_from="Y"),
    ]

    assert [m.is_forward for m in one(tmp_path, *entries).messages] == [True, True, False]


def test_inline_bots_and_a_bot_s_buttons_are_told_but_not_a_channel_s(tmp_path):
    buttons = [[{"type": "url", "text": "go", "data": "http://x"}]]
    entries = [
        entry(1, 1, "a", via_bot="@gif"),
        entry(2, 9, "b", inline_bot_buttons=buttons),
        entry(3, 1, "c", inline_bot_buttons=buttons, from_id="channel5"),
        entry(4, 1, "d"),
    ]

    reading = one(tmp_path, *entries)

    assert [m.is_from_bot for m in reading.messages] == [True, True, False, False]
    assert {a.author_id for a in reading.authors if a.is_bot and a.author_id > 0} == {9}


def test_reactions_change_nothing_but_the_time_of_the_edit(tmp_path):
    reactions = [
        {"type": "emoji", "count": 2, "emoji": "👍",
         "recent": [{"from": "A", "from_id": "user2", "date": "2024-03-01T12:00:00"}]},
        {"type": "custom_emoji", "count": 1, "document_id": "(File not included.)"},
        {"type": "paid", "count": 1},
    ]  # fmt: skip
    reacted = entry(1, 1, "x", reactions=reactions, edited_unixtime="1709294460")

    reading = one(tmp_path, reacted, author="A. Min")

    assert reading.messages == one(tmp_path, entry(1, 1, "x")).messages


def test_an_answer_to_another_chat_is_no_reply_here(tmp_path):
    there = entry(11, 1, "x", reply_to_message_id=10, reply_to_peer_id="channel5")

    assert one(tmp_path, entry(10, 1, "y"), there).messages[1].reply_to is None


@pytest.mark.parametrize("reply", [9, -999_999_990], ids=["deleted", "before the supergroup"])
def test_a_reply_keeps_whom_it_answers_even_if_that_is_not_there(tmp_path, reply):
    assert one(tmp_path, entry(1, 1, "x", reply_to_message_id=reply)).messages[0].reply_to == reply


@pytest.mark.parametrize("reply", ["9", None, 1.5, [9]])
def test_a_reply_to_what_is_no_id_is_none(tmp_path, reply):
    assert one(tmp_path, entry(1, 1, "x", reply_to_message_id=reply)).messages[0].reply_to is None
