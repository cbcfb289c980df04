import pytest

from tests.pipeline.chats import INDENTED, LAYOUTS, account, chat, entry, service, write
from tests.pipeline.export.reading import read, read_all

TALK = [
    entry(1, 1, 'he said "hi" \\ and {left},\n]\n}, then 😂'),
    service(2, "pin_message", 30),
    entry(3, 2, ["see ", {"type": "link", "text": "http://a.b"}], 60, reply_to_message_id=1),
    {"id": 4, "type": "unsupported"},
    entry(5, 1, "", 90, photo="a.jpg", reactions=[{"type": "emoji", "count": 1, "emoji": "👍"}]),
    entry(6, 1, "🙂\t.\u2028.", 120, location_information={"latitude": 1.5, "longitude": -2.5}),
]
PREAMBLE = {
    "personal_information": {"user_id": 5, "first_name": "A", "bio": "x", "id": 3, "type": "y"},
    "profile_pictures": [{"date": "2024-01-01T00:00:00", "photo": "a.jpg"}],
    "stories": [
        {
            "id": 7,
            "type": "story",
            "date": "2024-01-01T00:00:00",
            "text_entities": [{"type": "plain", "text": "a story", "id": 3}],
        }
    ],
    "contacts": {
        "about": "x",
        "list": [{"user_id": 5, "first_name": "A", "id": 1, "name": "N", "type": "contact"}],
    },
    "frequent_contacts": {"about": "x", "list": [{"id": 1, "type": "user", "name": "N"}]},
    "sessions": {"about": "x", "list": [{"last_active": "2024", "deep": [{"id": 9}]}]},
    "other_data": {"drafts": [{"chat": "Friends", "lines": [[{"id": 3, "type": "draft"}]]}]},
}


def friends():
    return chat(*TALK)


def several(**sections):
    """Return an account of four chats with messages, two without, and one that was left."""
    return account(
        chat(entry(1, 1, "to myself"), type="saved_messages", id=500) | {"name": None},
        chat(*TALK),
        chat(type="bot_chat", id=9, name="Robot"),
        chat(entry(1, 7, "hi"), entry(2, 1, "ho", 9), type="personal_chat", id=7, name="Ana"),
        left=[
            chat(type="private_channel", id=11, name="Quiet"),
            chat(entry(4, 1, "bye"), type="private_group", id=78, name="Old"),
        ],
        **sections,
    )


@pytest.mark.parametrize("layout", LAYOUTS)
def test_one_chat_is_the_same_in_every_layout(tmp_path, layout):
    expected = read(write(tmp_path / "exported", friends()))

    reading = read(write(tmp_path / "again", LAYOUTS[layout](friends())))

    assert reading.messages == expected.messages
    assert reading.counts == expected.counts
    assert reading.chat.places == []
    assert len(reading.messages) == 4


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("sections", [{}, PREAMBLE], ids=["chats alone", "with other sections"])
def test_a_whole_account_has_the_same_chats_in_every_layout(tmp_path, layout, sections):
    path = write(tmp_path, LAYOUTS[layout](several(**sections)))

    readings = read_all(path)

    assert {chat_id: len(r.messages) for chat_id, r in readings.items()} == {
        500: 1,
        -1_000_000_000_077: 4,
        9: 0,
        7: 2,
        -1_000_000_000_011: 0,
        -78: 1,
    }
    assert readings[500].chat.name == "a chat without a name"
    assert readings[7].texts == ["hi", "ho"]
    assert not any(r.chat.places for r in readings.values())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_wanted_chat_is_read_without_the_others(tmp_path, layout):
    path = write(tmp_path, LAYOUTS[layout](several(**PREAMBLE)))

    assert read(path, wanted="Ana").texts == ["hi", "ho"]


def test_an_empty_list_of_messages_may_stand_on_two_lines(tmp_path):
    text = LAYOUTS["one space a level"](several()).replace(
        b'"messages": []', b'"messages": [\n    ]'
    )

    readings = read_all(write(tmp_path, text))

    assert sum(len(r.messages) for r in readings.values()) == 8
    assert len(readings) == 6


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_name_may_be_absent(tmp_path, layout):
    nameless = friends()
    del nameless["name"]

    reading = read(write(tmp_path, LAYOUTS[layout](nameless)))

    assert reading.chat.name == "a chat without a name"
    assert reading.chat.places == []


@pytest.mark.parametrize("layout", LAYOUTS)
def test_messages_larger_than_what_is_read_at_once_are_whole(tmp_path, layout):
    wall = "wall 🧱 " * (60_000 if layout in INDENTED else 3_000)
    talk = [entry(1, 1, "x"), entry(2, 1, wall, 1), entry(3, 1, wall, 2), entry(4, 1, "y", 3)]

    reading = read(write(tmp_path, LAYOUTS[layout](account(chat(*talk), chat(id=3)))), wanted="77")

    assert reading.texts == ["x", wall, wall, "y"]


@pytest.mark.parametrize("indent", ["one space a level", "one line"])
def test_messages_across_many_reads_all_come(tmp_path, indent):
    talk = [entry(n, n % 5, f"words {n}", n) for n in range(1, 5001)]

    reading = read(write(tmp_path, LAYOUTS[indent](account(chat(*talk), chat(*talk, id=78)))),
                   wanted="77")  # fmt: skip

    assert reading.ids == list(range(1, 5001))
    assert reading.chat.places == []
