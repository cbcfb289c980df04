from datetime import UTC, datetime, timedelta

import pytest

from model.errors import ExportError
from pipeline.export import author_id_of, chat_id_of, read_chat
from tests.pipeline.chats import NOON, chat, entry, topic_created, write


def read(tmp_path, *messages, **more):
    return read_chat(write(tmp_path, chat(*messages, **more)))


def test_a_message_is_read_from_a_file_or_from_its_folder(tmp_path):
    path = write(tmp_path, chat(entry(5, 3, "hi")))

    exports = [read_chat(path), read_chat(tmp_path)]

    assert exports[0] == exports[1]
    assert (exports[0].chat_id, exports[0].title) == (-1_000_000_000_077, "Friends")
    message = exports[0].messages[0]
    assert (message.message_id, message.author_id, message.author_name) == (5, 3, "Friend 3")
    assert (message.text, message.sent_at, message.topic_id) == ("hi", NOON, None)
    assert not message.is_forward
    assert not message.is_from_bot


@pytest.mark.parametrize(
    ("kind", "chat_id"),
    [
        ("private_group", -77),
        ("private_supergroup", -1_000_000_000_077),
        ("public_supergroup", -1_000_000_000_077),
        ("private_channel", -1_000_000_000_077),
        ("public_channel", -1_000_000_000_077),
        ("personal_chat", 77),
        ("bot_chat", 77),
        ("saved_messages", 77),
    ],
)
def test_a_chat_is_known_by_its_id_in_the_bot_api(kind, chat_id):
    assert chat_id_of(kind, 77) == chat_id


@pytest.mark.parametrize(
    ("from_id", "author_id"),
    [
        ("user7", 7),
        ("chat7", -7),
        ("channel7", -1_000_000_000_007),
        ("user9007199254740991", 2**53 - 1),
    ],
)
def test_an_author_is_known_by_their_id_in_the_bot_api(from_id, author_id):
    assert author_id_of(from_id) == author_id


@pytest.mark.parametrize("from_id", ["7", "user", "user-7", "person7", "", "user٣x"])
def test_another_form_of_author_is_refused(from_id):
    with pytest.raises(ValueError, match="from_id"):
        author_id_of(from_id)


def test_strings_and_entities_are_joined(tmp_path):
    text = [
        "see ",
        {"type": "link", "text": "https://a.b"},
        " or ",
        {"type": "bold", "text": "not"},
        "",
    ]

    assert read(tmp_path, entry(1, 1, text)).messages[0].text == "see https://a.b or not"


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"photo": "(File not included.)"}, "[photo] look"),
        ({"file": "a.ogg", "media_type": "voice_message", "duration_seconds": 7},
         "[voice 0:07] look"),
        ({"file": "a.mp4", "media_type": "video_message", "duration_seconds": 61},
         "[video message 1:01] look"),
        ({"file": "a.mp4", "media_type": "video_file", "duration_seconds": 61}, "[video] look"),
        ({"file": "a.mp4", "media_type": "animation"}, "[animation] look"),
        ({"file": "a.mp3", "media_type": "audio_file", "performer": "Zeca"}, "[audio] look"),
        ({"file": "a.pdf", "mime_type": "application/pdf"}, "[file] look"),
        ({"file": "a.xyz", "media_type": "hologram"}, "[file] look"),
        ({"contact_information": {"first_name": "A"}, "contact_vcard": "x"}, "[contact] look"),
        ({"location_information": None}, "[location] look"),
        ({"place_name": "Bar", "location_information": {}}, "[location] look"),
        ({"poll": {"question": "?"}}, "[poll] look"),
        ({"game_title": "Chess"}, "[game] look"),
        ({"invoice_information": "{}"}, "[invoice] look"),
        ({"giveaway_information": {}}, "[giveaway] look"),
        ({"todo_list": {}}, "[checklist] look"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_medium_stands_before_its_caption(tmp_path, more, text):
    assert read(tmp_path, entry(1, 1, "look", **more)).messages[0].text == text


def test_a_sticker_is_its_emoji_or_a_bracketed_word(tmp_path):
    cat = entry(1, 1, "", file="a.webp", media_type="sticker", sticker_emoji="😺")
    bare = entry(2, 1, "", file="a.webp", media_type="sticker")

    assert [m.text for m in read(tmp_path, cat, bare).messages] == ["😺", "[sticker]"]


def test_the_unix_time_wins_over_a_date_that_contradicts_it(tmp_path):
    late = entry(1, 1, "hi", date="2024-03-01T17:30:00")

    assert read(tmp_path, late).messages[0].sent_at == NOON


def test_a_gap_across_a_change_to_summer_time_is_the_real_one(tmp_path):
    before = entry(1, 1, "hi", 0, date="2024-03-31T00:30:00")
    after = entry(2, 1, "hi", 3600, date="2024-03-31T02:30:00")

    messages = read(tmp_path, before, after).messages

    assert messages[1].sent_at - messages[0].sent_at == timedelta(hours=1)


def test_a_date_alone_counts_as_utc(tmp_path):
    old = entry(1, 1, "hi", date="2016-07-01T10:00:00")
    del old["date_unixtime"]

    assert read(tmp_path, old).messages[0].sent_at == datetime(2016, 7, 1, 10, tzinfo=UTC)


def test_messages_are_in_order_of_time_and_then_of_id(tmp_path):
    entries = [
        entry(9, 1, "c", 60),
        entry(4, 1, "b", 5),
        entry(3, 1, "a", 5),
        entry(-999, 1, "0", 1),
    ]

    assert [m.text for m in read(tmp_path, *entries).messages] == ["0", "a", "b", "c"]


def test_forwards_and_inline_bots_are_told(tmp_path):
    entries = [
        entry(1, 1, "a", forwarded_from="X"),
        entry(2, 1, "b", forwarded_from=None),
        entry(3, 1, "c", via_bot="@gif"),
    ]

    messages = read(tmp_path, *entries).messages

    assert [m.is_forward for m in messages] == [True, True, False]
    assert [m.is_from_bot for m in messages] == [False, False, True]


def test_a_deleted_account_has_an_id_and_no_name(tmp_path):
    message = read(tmp_path, entry(1, 1, "a", **{"from": None})).messages[0]

    assert (message.author_id, message.author_name) == (1, None)


def test_service_unsupported_and_empty_entries_are_no_messages(tmp_path):
    pinned = {**entry(1, 1, ""), "type": "service", "action": "pin_message"}

    export = read(
        tmp_path, pinned, {"id": 2, "type": "unsupported"}, entry(3, 1, ""), entry(4, 1, "x")
    )

    assert [m.message_id for m in export.messages] == [4]


def test_a_topic_is_found_by_following_replies_to_its_root(tmp_path):
    entries = [
        topic_created(10, "Trips"),
        topic_created(11, "Food"),
        entry(12, 1, "in trips", reply_to_message_id=10),
        entry(13, 2, "an answer in trips", reply_to_message_id=12),
        entry(14, 1, "an answer to that", reply_to_message_id=13),
        entry(15, 2, "in food", reply_to_message_id=11),
        entry(16, 1, "in general"),
        entry(17, 2, "an answer in general", reply_to_message_id=16),
        entry(18, 1, "to something deleted", reply_to_message_id=9),
    ]

    messages = read(tmp_path, *entries).messages

    assert [m.topic_id for m in messages] == [10, 10, 10, 11, None, None, None]
    assert [m.reply_to for m in messages] == [None, 12, 13, None, None, 16, 9]


def test_a_long_chain_of_replies_and_one_that_bites_its_tail_end(tmp_path):
    chain = [entry(n, 1, "x", reply_to_message_id=n - 1) for n in range(2, 5000)]
    ring = [
        entry(6001, 1, "y", reply_to_message_id=6002),
        entry(6002, 1, "y", reply_to_message_id=6001),
    ]

    messages = read(tmp_path, topic_created(1, "Long"), *reversed(chain), *ring).messages

    assert {m.topic_id for m in messages if m.text == "x"} == {1}
    assert {m.topic_id for m in messages if m.text == "y"} == {None}


def test_an_answer_to_another_chat_is_no_reply_here(tmp_path):
    entries = [
        topic_created(10, "Trips"),
        entry(11, 1, "x", reply_to_message_id=10, reply_to_peer_id="channel5"),
    ]

    message = read(tmp_path, *entries).messages[0]

    assert (message.topic_id, message.reply_to) == (None, None)


def test_halves_of_surrogate_pairs_are_joined_and_lone_ones_replaced(tmp_path):
    text = write(tmp_path, chat(entry(1, 1, "X"))).read_text()
    path = write(tmp_path, text.replace('"X"', r'"\ud83d\ude02 \ud83d"'))

    assert read_chat(path).messages[0].text == "😂 \ufffd"


def test_a_chat_without_a_name_has_one(tmp_path):
    assert read(tmp_path, entry(1, 1, "x"), name=None).title == "a chat without a name"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("Date,Text\n1,hi\n", "is no JSON"),
        ('{"name": "x", "messages": [', "is no JSON"),
        ('{"a": "\\x0B"}', "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("[1, 2]", "no chat export"),
        ('{"messages": {"a": 1}}', "no chat export"),
        ('{"conversations": []}', "no chat export"),
        ('{"about": "", "chats": {"list": []}}', "a whole account"),
        ('{"messages": [{"role": "user", "content": "hi"}]}', "does not say which chat"),
        ('{"type": "private_group", "id": 1, "messages": []}', "nobody wrote a message"),
    ],
    ids=["a table", "cut off", "a bad escape", "too deep", "a list", "no list of messages",
         "another program's", "a whole account", "another program's messages", "an empty chat"],
)  # fmt: skip
def test_what_is_no_export_of_a_chat_is_refused_in_one_line(tmp_path, content, says):
    path = write(tmp_path, content)

    with pytest.raises(ExportError, match=says) as caught:
        read_chat(path)

    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("lost", ["id", "from_id", "date_unixtime"])
def test_a_message_that_lacks_what_it_needs_is_named(tmp_path, lost):
    broken = entry(3, 1, "x", **{lost: "nonsense"})

    with pytest.raises(ExportError, match="cannot be read"):
        read(tmp_path, broken)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ExportError, match="there is no file"):
        read_chat(tmp_path / "nothing.json")


def test_a_folder_without_result_json_is_refused_and_an_html_export_named(tmp_path):
    with pytest.raises(ExportError, match=r"there is no result\.json"):
        read_chat(tmp_path)

    (tmp_path / "messages.html").write_text("<html>")

    with pytest.raises(ExportError, match="but an HTML export"):
        read_chat(tmp_path)
