import itertools

import pytest

from model.errors import ExportError
from tests.pipeline.chats import account, chat, entry, service, write
from tests.pipeline.export.reading import read, read_all

FRIENDS, WORK, ANA = -1_000_000_000_077, -78, 7


@pytest.fixture
def three(tmp_path):
    return write(
        tmp_path,
        account(
            chat(entry(1, 7, "hi"), type="personal_chat", id=ANA, name="Ana"),
            chat(*(entry(n, 1, "x", n) for n in range(1, 4))),
            chat(entry(1, 1, "y"), entry(2, 1, "y"), type="private_group", id=78, name="Wörk"),
        ),
    )


@pytest.mark.parametrize(
    ("wanted", "chat_id"),
    [
        ("Friends", FRIENDS),
        ("fRIENDS", FRIENDS),
        (" friends ", FRIENDS),
        ("wörk", WORK),
        ("work", WORK),
        ("77", FRIENDS),
        ("-1000000000077", FRIENDS),
        ("78", WORK),
        ("-78", WORK),
        ("7", ANA),
    ],
    ids=["its name", "another case", "spaces", "its accents", "no accents", "the export's id",
         "the Bot API's id", "a group's id", "a group's in the Bot API", "a person's id"],
)  # fmt: skip
def test_a_chat_is_wanted_by_its_name_or_by_either_id(three, wanted, chat_id):
    assert read(three, wanted=wanted).chat.chat_id == chat_id


def test_several_chats_and_none_wanted_are_listed_the_biggest_first(three):
    with pytest.raises(ExportError, match="several chats.*--chat") as caught:
        read(three)

    _, *lines = str(caught.value).split("\n")
    assert [line.split() for line in lines] == [
        [str(FRIENDS), "3", "messages", "Friends"],
        [str(WORK), "2", "messages", "Wörk"],
        [str(ANA), "1", "messages", "Ana"],
    ]


def test_what_is_not_there_is_answered_with_what_is(three):
    with pytest.raises(ExportError, match="no chat 'Freinds'") as caught:
        read(three, wanted="Freinds")

    assert all(name in str(caught.value) for name in ("Friends", "Wörk", "Ana"))


def test_a_list_goes_by_messages_not_by_other_entries(tmp_path):
    pins = [service(n, "pin_message", n) for n in range(1, 9)]
    noisy = chat(*pins, entry(9, 1, "x", 9), name="Noisy")
    path = write(tmp_path, account(noisy, chat(entry(1, 1, "x"), entry(2, 1, "x"), id=78)))

    with pytest.raises(ExportError) as caught:
        read(path)

    assert [line.split()[-1] for line in str(caught.value).split("\n")[1:]] == ["Friends", "Noisy"]


def test_two_chats_of_one_name_are_told_apart_by_id(tmp_path):
    path = write(tmp_path, account(*(chat(entry(1, 1, str(n)), id=n) for n in (5, 6))))

    with pytest.raises(ExportError, match=r"-1000000000005(.|\n)*-1000000000006"):
        read(path, wanted="Friends")

    assert read(path, wanted="6").texts == ["6"]


def test_the_one_chat_that_has_messages_needs_no_naming(tmp_path):
    path = write(tmp_path, account(chat(id=5), chat(entry(1, 1, "x"), id=6), left=[chat(id=7)]))

    assert read(path).texts == ["x"]


def test_overlapping_exports_are_one_chat(tmp_path):
    early = write(tmp_path / "1", chat(*(entry(n, 1, f"w{n}", n) for n in range(1, 7))))
    late = write(tmp_path / "2", chat(*(entry(n, 1, f"w{n}", n) for n in range(4, 10))))

    reading = read(early, late)

    assert reading.ids == list(range(1, 10))
    assert reading.counts.messages == 9
    assert reading.messages == read(late, early).messages


def test_the_same_file_twice_is_read_once(tmp_path):
    path = write(tmp_path, chat(entry(1, 1, "x")))

    assert read(path, path).ids == [1]
    assert read(path, tmp_path).ids == [1]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
def test_of_one_message_the_latest_edit_wins_whatever_the_order(tmp_path, order):
    def edited(text, hour, last):
        message = entry(1, 1, text)
        if hour:
            message["edited_unixtime"] = str(1_709_300_000 + 3600 * hour)
        return chat(message, entry(2, 1, "later", last))

    exports = [edited("first", 0, 10), edited("third", 2, 20), edited("second", 1, 30)]
    paths = [write(tmp_path / str(n), export) for n, export in enumerate(exports)]

    assert read(*(paths[n] for n in order)).texts[0] == "third"


def test_what_was_unsupported_gives_way_to_what_is_known(tmp_path):
    known = write(tmp_path / "1", chat(entry(1, 1, "x"), entry(2, 1, "y", 5)))
    unknown = write(tmp_path / "2", chat({"id": 1, "type": "unsupported"}, entry(2, 1, "y", 5)))

    for order in itertools.permutations([known, unknown]):
        assert read(*order).ids == [1, 2]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["oldest first", "newest first"])
def test_the_newest_names_stand_last_whatever_the_order_of_the_files(tmp_path, order):
    old = chat(*(entry(n, 1, "x", n, **{"from": "Ana"}) for n in (1, 2, 3)), name="Old name")
    new = chat(*(entry(n, 1, "x", n, **{"from": "Anita"}) for n in (3, 4)), name="New name")
    paths = [write(tmp_path / "b", old), write(tmp_path / "a", new)]

    reading = read(*(paths[n] for n in order))

    assert reading.authors[0].names == ("Ana", "Anita")
    assert reading.chat.name == "New name"


def test_an_account_is_as_new_as_its_latest_message_wherever_that_stands(tmp_path):
    left = chat(*(entry(n, 1, "x", -9_000_000) for n in range(1, 1500)), id=5, name="Left")
    new = account(chat(entry(2, 1, "x", 60, **{"from": "Anita"})), left=[left])
    old = chat(entry(1, 1, "x", 30, **{"from": "Ana"}), name="Old name")
    paths = [write(tmp_path / "1", new), write(tmp_path / "2", old)]

    reading = read(*paths, wanted="77")

    assert (reading.chat.name, reading.authors[0].names) == ("Friends", ("Ana", "Anita"))


def test_an_account_and_one_chat_s_own_export_are_merged(tmp_path):
    whole = account(chat(entry(1, 1, "x")), chat(entry(1, 1, "z"), id=5, name="Other"))
    paths = [write(tmp_path / "1", whole), write(tmp_path / "2", chat(entry(2, 1, "y", 5)))]

    assert read(*paths, wanted="Friends").texts == ["x", "y"]


SHIFT = 1_000_000_000


def basic(*extra, name="Friends"):
    talk = [entry(1, 1, "old 1", 10), entry(2, 2, "old 2", 20, reply_to_message_id=1)]
    return chat(*talk, *extra, type="private_group", id=5, name=name)


def moved(title="Friends", seconds=32):
    """Return the two service messages that tell of a move."""
    return (
        service(3, "migrate_to_supergroup", 30),
        service(1, "migrate_from_group", seconds, title=title),
    )


def test_a_basic_group_is_joined_to_the_supergroup_that_tells_of_the_move(tmp_path):
    left, came = moved()
    paths = [
        write(tmp_path / "1", basic(left)),
        write(tmp_path / "2", chat(came, entry(2, 1, "new", 60))),
    ]

    readings = read_all(*paths)

    assert list(readings) == [FRIENDS]
    reading = readings[FRIENDS]
    assert reading.texts == ["old 1", "old 2", "new"]
    assert reading.ids == [1 - SHIFT, 2 - SHIFT, 2]
    assert reading.messages[1].reply_to == 1 - SHIFT
    assert reading.chat.joined == [-5]


@pytest.mark.parametrize("wanted", ["Friends", "77", "-1000000000077", "5", "-5"])
def test_either_half_of_a_moved_group_means_both(tmp_path, wanted):
    left, came = moved()
    path = write(tmp_path, account(chat(came, entry(2, 1, "new", 60)), left=[basic(left)]))

    assert read(path, wanted=wanted).texts == ["old 1", "old 2", "new"]


def test_a_basic_group_is_joined_to_the_supergroup_whose_export_holds_its_past(tmp_path):
    past = [
        entry(1 - SHIFT, 1, "old 1", 10),
        entry(2 - SHIFT, 2, "old 2", 20, reply_to_message_id=1 - SHIFT),
    ]
    paths = [
        write(tmp_path / "1", basic(entry(3, 1, "old 3", 25), name="Renamed")),
        write(tmp_path / "2", chat(*past, entry(2, 1, "new", 60))),
    ]

    reading = read(*paths)

    assert reading.texts == ["old 1", "old 2", "old 3", "new"]
    assert read(*paths, wanted="renamed").texts == reading.texts
    assert reading.counts.messages == 4


@pytest.mark.parametrize(
    "supergroup",
    [
        chat(moved("Strangers")[1], entry(2, 1, "new", 60)),
        chat(moved(seconds=3600)[1], entry(2, 1, "new", 60)),
        chat(entry(1 - SHIFT, 9, "old 1", 10), entry(2, 1, "new", 60)),
        chat(entry(1 - SHIFT, 1, "old 1", 11), entry(2, 1, "new", 60)),
        chat(entry(2, 1, "new", 60)),
    ],
    ids=["of another name", "an hour later", "of other people", "at another time", "by name alone"],
)
def test_a_basic_group_that_does_not_fit_stays_a_chat_of_its_own(tmp_path, supergroup):
    paths = [write(tmp_path / "1", basic(moved()[0])), write(tmp_path / "2", supergroup)]

    assert read_all(*paths).keys() == {-5, FRIENDS}


def test_a_renamed_chat_is_wanted_whole_by_either_name(tmp_path):
    for place in ("old", "new"):
        (tmp_path / place).mkdir()
    old = write(tmp_path / "old", chat(entry(1, 1, "a"), name="Before"))
    new = write(tmp_path / "new", chat(entry(2, 1, "b", 90_000), name="After"))

    found = [read(old, new, wanted=name).ids for name in ("Before", "After")]

    assert found == [[1, 2], [1, 2]]
