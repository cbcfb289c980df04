import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.conversation import Message
from model.errors import RosterError
from model.marker import spoken
from model.roster import Person, Roster, clean_name, fold
from pipeline.roster_file import read_roster, roster_of, write_roster
from tests.pipeline.chats import NOON

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


def message(author_id, name, text="hi", **more):
    return Message(-1, 1, author_id, name, text, NOON, **more)


@st.composite
def rosters(draw):
    names = draw(st.lists(TEXT.map(clean_name), max_size=4, unique_by=fold))
    people = tuple(
        Person(
            name,
            (number, -number - 10**12),
            names=tuple(draw(st.lists(TEXT, max_size=3))),
            aliases=tuple(draw(st.lists(TEXT, max_size=3))),
            learn=draw(st.sampled_from(["yes", "no"])),
            imitate=draw(st.sampled_from(["yes", "no", "ask"])),
        )
        for number, name in enumerate(names, 1)
    )
    bots, understudies = (draw(st.frozensets(st.integers(100, 10**15))) for _ in range(2))
    return Roster(people, bots, understudies)


@given(roster=rosters())
def test_a_roster_is_read_back_as_it_was_written(tmp_path_factory, roster):
    path = tmp_path_factory.mktemp("roster") / "roster.toml"

    write_roster(roster, path)

    assert read_roster(path) == roster


def test_a_roster_file_explains_itself_and_is_its_owners_alone(tmp_path):
    path = tmp_path / "roster.toml"

    write_roster(Roster((Person("João", (7,)),)), path)

    text = path.read_text("utf-8")
    assert all(f"# {word} " in text for word in ("learn", "imitate", "aliases"))
    assert 'name = "João"\nids = [7]' in text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_roster_written_by_hand_may_leave_out_what_has_a_default(tmp_path):
    path = tmp_path / "roster.toml"
    path.write_text('[[people]]\nname = "Hugo"\nids = [7]\n')

    assert read_roster(path) == Roster((Person("Hugo", (7,), learn="yes", imitate="ask"),))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[[people]\n", "roster.toml"),
        ("[[people]]\nids = [1]\n", "a person needs a name"),
        ('[[people]]\nname = "Hugo"\nids = ["user7"]\n', "an id is a number"),
        ('[[people]]\nname = "Hugo"\nids = 7\n', "a person needs"),
        ('[[people]]\nname = "Hugo"\nids = [7]\nconsent = "yes"\n', "consent"),
        ('[[people]]\nname = "Hugo"\nids = [7]\nimitate = "maybe"\n', '"yes", "no" or "ask"'),
        ('[[people]]\nname = "Hugo: me"\nids = [7]\n', "cannot stand in a prompt"),
        ('[[person]]\nname = "Hugo"\nids = [7]\n', "what is 'person'"),
        ('people = ["Hugo"]\n', "a person needs"),
        ('bots = ["@gif"]\n', "an id is a number"),
    ],
    ids=["no TOML", "no name", "ids in words", "one id", "an unknown field", "an unknown answer",
         "a colon in a name", "an unknown table", "people in words", "bots in words"],
)  # fmt: skip
def test_a_roster_that_cannot_be_is_refused_in_one_line_with_its_path(tmp_path, text, says):
    path = tmp_path / "roster.toml"
    path.write_text(text)

    with pytest.raises(RosterError, match=says) as caught:
        read_roster(path)

    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [None, b"\xff\xfe"], ids=["missing", "not UTF-8"])
def test_a_roster_that_cannot_be_read_is_refused(tmp_path, content):
    path = tmp_path / "roster.toml"
    if content:
        path.write_bytes(content)

    with pytest.raises(RosterError, match=r"roster\.toml"):
        read_roster(path)


def test_whoever_wrote_is_learned_from_and_silent_until_they_agree():
    roster = roster_of([message(7, "Hugo Silva"), message(8, "João"), message(7, "Hugo Silva")])

    assert [(p.name, p.ids, p.learn, p.imitate) for p in roster.people] == [
        ("Hugo Silva", (7,), "yes", "ask"),
        ("João", (8,), "yes", "ask"),
    ]


def test_a_person_is_called_by_their_last_name_and_all_are_kept():
    shown = ["Hugo", "H.", "Hugo", None, "Hugo 🎭 Silva"]

    person = roster_of([message(7, name) for name in shown]).people[0]

    assert person.name == "Hugo Silva"
    assert person.names == ("H.", "Hugo", "Hugo 🎭 Silva")


def test_names_that_two_share_are_made_distinct():
    names = ["Hugo", "hugo", "Húgo", "Hugo 2", "x" * 60, "x" * 60, None, None]

    people = roster_of([message(n, name) for n, name in enumerate(names, 1)]).people

    assert [p.name for p in people] == [
        "Hugo", "hugo 2", "Húgo 3", "Hugo 2 2", "x" * 40, "x" * 38 + " 2", "somebody", "somebody 2",
    ]  # fmt: skip


def test_who_only_wrote_by_way_of_a_bot_is_one_and_who_also_wrote_is_not():
    roster = roster_of(
        [
            message(7, "Gif", is_from_bot=True),
            message(8, "Hugo", is_from_bot=True),
            message(8, "Hugo"),
        ]
    )

    assert [p.name for p in roster.people] == ["Hugo"]
    assert roster.bots == {7}


def test_the_bots_marker_alone_makes_nobody_an_understudy():
    roster = roster_of([message(7, "Joker", spoken("Hugo", "hello"))])

    assert [p.name for p in roster.people] == ["Joker"]
    assert not roster.understudies


def test_whom_a_roster_knows_already_stays_as_they_are():
    known = Roster((Person("Hugo", (7,), learn="no"),), frozenset({5}), frozenset({6}))
    messages = [
        message(7, "Renamed"),
        message(8, "Hugo"),
        message(5, "Gif"),
        message(6, "Understudy"),
    ]

    roster = roster_of(messages, known)

    assert [(p.name, p.ids, p.learn) for p in roster.people] == [
        ("Hugo", (7,), "no"),
        ("Hugo 2", (8,), "yes"),
    ]
    assert (roster.bots, roster.understudies) == ({5}, {6})
