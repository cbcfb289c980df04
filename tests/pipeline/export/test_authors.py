from datetime import UTC
from zoneinfo import ZoneInfo

import pytest

from pipeline.export.archive import open_exports
from tests.pipeline.chats import chat, entry, write
from tests.pipeline.export.reading import read

GROUP = -1_000_000_000_077


def authors(tmp_path, *entries, **more):
    return {a.author_id: a for a in read(write(tmp_path, chat(*entries, **more))).authors}


def without(message, *keys):
    return {key: value for key, value in message.items() if key not in keys}


@pytest.mark.parametrize("how", ["null", "absent", "empty"])
def test_a_deleted_account_has_an_id_and_no_name(tmp_path, how):
    gone = entry(1, 1, "a", **{"from": None if how == "null" else ""})
    gone = without(gone, "from") if how == "absent" else gone

    reading = read(write(tmp_path, chat(gone)))

    assert (reading.messages[0].author_id, reading.messages[0].author_name) == (1, None)
    assert reading.authors[0].names == ()


def test_deleted_accounts_stay_apart(tmp_path):
    entries = [entry(n, n % 14, "a", **{"from": None}) for n in range(1, 199)]
    entries = [m | {"from_id": f"user{100 + m['id'] % 14}"} for m in entries]

    found = authors(tmp_path, *entries)

    assert len(found) == 14
    assert sum(a.messages for a in found.values()) == 198


@pytest.mark.parametrize(
    "name", ["Friends", "A channel", None], ids=["the group itself", "a channel", "no name"]
)
def test_an_anonymous_admin_and_a_channel_are_authors(tmp_path, name):
    entries = [
        entry(1, 1, "a", **{"from": name, "from_id": "channel77", "author": "Boss"}),
        entry(2, 1, "b", **{"from": name, "from_id": "channel5"}),
    ]

    assert authors(tmp_path, *entries).keys() == {GROUP, -1_000_000_000_005}


def test_the_last_texts_of_an_account_are_its_own_words(tmp_path):
    texts = ["first", "second", "third", "/as Hugo hi", "[photo]", ""]
    entries = [entry(n, 1, text, n) for n, text in enumerate(texts, 1)]
    forwarded = entry(8, 1, "not mine", 8, forwarded_from="Ana")
    file = write(tmp_path, chat(*entries, forwarded, entry(9, 2, "other", 9)))

    with open_exports([file]) as archive:
        assert archive.spool.recent_texts(GROUP, 1, 2) == ["second", "third"]


def test_people_who_share_a_name_are_two(tmp_path):
    entries = [entry(n, n, "a", **{"from": "Ana"}) for n in (1, 2)]

    assert {number: a.names for number, a in authors(tmp_path, *entries).items()} == {
        1: ("Ana",),
        2: ("Ana",),
    }


def test_a_person_who_changed_names_is_one_with_the_newest_name_last(tmp_path):
    names = [(5, "Anita"), (1, "Ana"), (3, "Ana M"), (9, "Anita")]
    entries = [entry(n, 1, "a", 60 * n, **{"from": name}) for n, name in names]

    assert authors(tmp_path, *entries)[1].names == ("Ana", "Ana M", "Anita")


def test_the_oldest_exports_know_people_by_name_alone(tmp_path):
    entries = [without(entry(n, n % 2, "a", n), "from_id") for n in range(1, 4)]

    reading = read(write(tmp_path, chat(*entries)))

    assert [(a.names, a.messages) for a in reading.authors] == [
        (("Friend 1",), 2),
        (("Friend 0",), 1),
    ]
    assert all(a.by_name for a in reading.authors)


def test_a_message_with_neither_id_nor_name_is_skipped(tmp_path):
    nobody = without(entry(1, 1, "a"), "from", "from_id")

    reading = read(write(tmp_path, chat(nobody, entry(2, 1, "b"))))

    assert (reading.ids, reading.tally.skipped) == ([2], {"no from_id": 1})


def test_who_wrote_most_is_first(tmp_path):
    entries = [entry(n, who, "a") for n, who in enumerate([3, 1, 2, 2, 1, 2], 1)]

    reading = read(write(tmp_path, chat(*entries)))

    assert [(a.author_id, a.messages) for a in reading.authors] == [(2, 3), (1, 2), (3, 1)]


@pytest.mark.parametrize("era", ["number", "kind and number"])
def test_an_old_export_gives_the_messages_of_a_new_one(tmp_path, era):
    new = [
        entry(1, 1, ["see ", {"type": "link", "text": "http://a.b"}], 0),
        entry(2, 2, "", 30, photo="a.jpg", width=1, height=1),
        entry(3, 1, "yes", 60, reply_to_message_id=1),
        entry(4, 2, "no", 90, forwarded_from="X"),
    ]
    shift = 0 if era == "number" else 2**32
    old = [
        without(m, "text_entities", "date_unixtime")
        | {
            "from_id": shift + int(m["from_id"].removeprefix("user")),
            "date": m["date"].replace("T12", "T13"),
            "edited": "1970-01-01T01:00:00",
        }
        for m in new
    ]

    modern = read(write(tmp_path / "new", chat(*new)))
    ancient = read(write(tmp_path / "old", chat(*old)), zone=ZoneInfo("Europe/Madrid"))

    assert ancient.messages == modern.messages
    assert ancient.authors == modern.authors
    assert {m.sent_at.tzinfo for m in ancient.messages} == {UTC}
