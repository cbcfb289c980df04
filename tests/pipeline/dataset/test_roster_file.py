import stat
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.chat.names import clean_name, fold
from model.chat.person import Person
from model.chat.roster import Roster
from model.errors import RosterError
from pipeline.dataset.roster_file import (
    add_people,
    make_roster,
    mark_quiet,
    read_roster,
    write_roster,
)
from pipeline.export.merging import Author

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
ANY_TEXT = st.text(max_size=30)


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
            quiet=draw(st.booleans()),
        )
        for number, name in enumerate(names, 1)
    )
    bots, understudies = (draw(st.frozensets(st.integers(100, 10**15))) for _ in range(2))
    return Roster(people, bots, understudies)


@st.composite
def authors(draw, names=TEXT):
    numbers = st.lists(st.integers(-(10**12), 10**12), max_size=5, unique=True)
    return [
        Author(
            number,
            tuple(draw(st.lists(names, max_size=3, unique=True))),
            draw(st.integers(0, 400)),
            is_bot=draw(st.booleans()),
            by_name=draw(st.booleans()),
        )
        for number in draw(numbers)
    ]


@settings(deadline=None)
@given(roster=rosters())
def test_a_roster_is_read_back_as_it_was_written(tmp_path_factory, roster):
    path = tmp_path_factory.mktemp("roster") / "roster.toml"

    write_roster(roster, path)

    assert read_roster(path) == roster


@settings(deadline=None)
@given(wrote=authors(), known=rosters())
def test_a_roster_with_its_questions_is_read_back_too_who_wrote_most_first(
    tmp_path_factory, wrote, known
):
    path = tmp_path_factory.mktemp("roster") / "roster.toml"
    roster = make_roster(wrote, known)
    counts = {author.author_id: author.messages for author in wrote}

    write_roster(roster, path, wrote)

    found = read_roster(path)
    totals = [sum(counts.get(number, 0) for number in person.ids) for person in found.people]
    assert totals == sorted(totals, reverse=True)
    assert {person.name: person for person in found.people} == {p.name: p for p in roster.people}
    assert replace(found, people=()) == replace(roster, people=())


@settings(deadline=None)
@given(wrote=authors(names=ANY_TEXT))
def test_no_name_breaks_the_file_and_what_cannot_be_seen_is_written_so_that_it_can(
    tmp_path_factory, wrote
):
    path = tmp_path_factory.mktemp("roster") / "roster.toml"
    roster = make_roster(wrote)

    write_roster(roster, path, wrote)

    text = path.read_text("utf-8")
    assert [p.ids for p in read_roster(path).people] == [p.ids for p in _by_messages(roster, wrote)]
    assert not set(text) & set("\u202e\u2066\u2028\x85\x7f\x00\r\ufeff")


def _by_messages(roster, wrote):
    counts = {author.author_id: author.messages for author in wrote}
    return sorted(roster.people, key=lambda person: -counts[person.ids[0]])


def test_half_a_surrogate_pair_and_marks_that_turn_the_line_do_no_harm(tmp_path):
    path = tmp_path / "roster.toml"
    wrote = [Author(7, ("Hu\ud83dgo\u202e\n[[people]]\x07",), 300)]

    write_roster(make_roster(wrote), path, wrote)

    assert read_roster(path).people == (
        Person("Hugo people", (7,), names=("Hu\ufffdgo\u202e\n[[people]]\x07",)),
    )
    assert "\\u202E" in path.read_text("utf-8")


def test_who_is_quiet_says_so_and_nobody_else(tmp_path):
    path = tmp_path / "roster.toml"

    write_roster(Roster((Person("Hugo", (7,)), Person("Rita", (8,), quiet=True))), path)

    hugo, rita = path.read_text("utf-8").split("[[people]]\n")[-2:]
    assert "quiet" not in hugo
    assert 'imitate = "ask"\nquiet = true  # set by each build\n' in rita


def test_the_file_fits_80_columns_and_says_how_much_each_wrote(tmp_path):
    path = tmp_path / "roster.toml"
    names = tuple(f"Name number {n}" for n in range(9))
    wrote = [Author(n, (*names, f"Hugo {'de ' * n}Silva"), 10**n) for n in range(1, 6)]

    write_roster(make_roster(wrote), path, wrote)

    lines = path.read_text("utf-8").splitlines()
    assert max(map(len, lines)) <= 80
    assert "# 100,000 messages." in lines
    assert "# 10 messages. Too few to be a voice." in lines


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
        ('[[people]]\nname = "Hugo"\nids = ["user7"]\n', "an id must be a number"),
        ('[[people]]\nname = "Hugo"\nids = 7\n', "ids must be a list"),
        ('[[people]]\nname = "Hugo"\nids = [7]\nconsent = "yes"\n', "consent"),
        ('[[people]]\nname = "Hugo"\nids = [7]\nimitate = "maybe"\n', '"yes", "no" or "ask"'),
        ('[[people]]\nname = "Hugo"\nids = [7]\nquiet = "yes"\n', "quiet must be true or false"),
        ('[[people]]\nname = "Hugo: me"\nids = [7]\n', "is not allowed in prompts"),
        ('[[person]]\nname = "Hugo"\nids = [7]\n', "there is no key 'person'"),
        ('people = ["Hugo"]\n', "a person needs"),
        ('bots = ["@gif"]\n', "an id must be a number"),
    ],
    ids=["no TOML", "no name", "ids in words", "one id", "an unknown field", "an unknown answer",
         "quiet in words", "a colon in a name", "an unknown table", "people in words",
         "bots in words"],
)  # fmt: skip
def test_a_roster_that_cannot_be_is_refused_in_one_line_with_its_path(tmp_path, text, says):
    path = tmp_path / "roster.toml"
    path.write_text(text)

    with pytest.raises(RosterError, match=says) as caught:
        read_roster(path)

    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [None, b"\xff"], ids=["missing", "not UTF-8"])
def test_a_roster_that_cannot_be_read_is_refused(tmp_path, content):
    path = tmp_path / "roster.toml"
    if content:
        path.write_bytes(content)

    with pytest.raises(RosterError, match=r"roster\.toml"):
        read_roster(path)


def test_whoever_wrote_is_learned_from_and_silent_until_they_agree():
    roster = make_roster([Author(7, ("Hugo Silva",), 300), Author(8, ("João",), 300)])

    assert [(p.name, p.ids, p.learn, p.imitate, p.quiet) for p in roster.people] == [
        ("Hugo Silva", (7,), "yes", "ask", False),
        ("João", (8,), "yes", "ask", False),
    ]


def test_a_person_is_called_by_their_last_name_and_all_are_kept():
    names = ("H.", "Hugo", "Hugo 🎭 Silva")

    person = make_roster([Author(7, names, 300)]).people[0]

    assert (person.name, person.names) == ("Hugo Silva", names)


def test_names_that_two_share_are_made_distinct_and_who_wrote_most_has_the_plain_one():
    names = ["Hugo", "hugo", "Húgo", "Hugo 2", "x" * 60, "x" * 60, None, None]
    wrote = [Author(n, (name,) if name else (), 900 - n) for n, name in enumerate(names, 1)]

    people = make_roster([*wrote, Author(99, ("HUGO",), 1000)]).people

    assert [p.name for p in people] == [
        "HUGO", "Hugo 2", "hugo 3", "Húgo 4", "Hugo 2 2", "x" * 40, "x" * 38 + " 2",
        "somebody", "somebody 2",
    ]  # fmt: skip


def test_bots_stand_apart():
    roster = make_roster([Author(7, ("Gif",), 300, is_bot=True), Author(8, ("Hugo",), 300)])

    assert [p.name for p in roster.people] == ["Hugo"]
    assert roster.bots == {7}


@pytest.mark.parametrize("name", ["+351 912 345 678", "Hugo 912 345 678", "hugo@example.com"])
def test_a_phone_number_or_an_address_is_no_name_for_prompts(name):
    person = make_roster([Author(7, ("Hugo", name), 300)]).people[0]

    assert (person.name, person.names) == ("somebody", ("Hugo", name))


def test_whom_a_roster_knows_already_stays_as_they_are_but_for_names_newly_seen():
    hugo = Person("Hugo", (7, 70), names=("H.",), aliases=("h",), learn="no", imitate="yes")
    known = Roster((hugo,), frozenset({5}), frozenset({6}))
    wrote = [
        Author(7, ("H.", "Renamed"), 300),
        Author(70, ("Hugo's phone",), 1),
        Author(8, ("Hugo",), 300),
        Author(5, ("Gif",), 300),
        Author(6, ("Understudy",), 300),
    ]

    roster = make_roster(wrote, known)

    assert roster.people == (
        replace(hugo, names=("H.", "Renamed", "Hugo's phone")),
        Person("Hugo 2", (8,), ("Hugo",)),
    )
    assert (roster.bots, roster.understudies) == ({5}, {6})


def test_who_wrote_too_little_is_quiet_over_all_their_accounts_together():
    known = Roster((Person("Hugo", (7, 8)), Person("Rita", (9,)), Person("Gone", (10,))))
    wrote = [Author(7, ("Hugo",), 4), Author(8, ("Hugo",), 6), Author(9, ("Rita",), 9)]

    roster = make_roster([*wrote, Author(11, ("Zé",), 10)], known, min_messages=10)

    assert [(p.name, p.quiet) for p in roster.people] == [
        ("Hugo", False),
        ("Rita", True),
        ("Gone", True),
        ("Zé", False),
    ]


def test_who_is_quiet_is_decided_anew_each_time():
    roster = Roster((Person("Hugo", (7,), quiet=True), Person("Rita", (8,))))

    again = mark_quiet(roster, [Author(7, (), 10), Author(8, (), 9)], 10)

    assert [(p.name, p.quiet) for p in again.people] == [("Hugo", False), ("Rita", True)]


TYPO = """\
bots = []

[[people]]
name = "Hugo"
ids = [7]

[[people]]
name = "Zé"
ids = [8]
{key} = "no"
"""


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("immitate", "line 10: Zé: there is no key 'immitate': did you mean 'imitate'?"),
        ("Learn", "line 10: Zé: there is no key 'Learn': did you mean 'learn'?"),
        ("zzz", "line 10: Zé: there is no key 'zzz': the keys are name, ids, names, aliases,"),
    ],
)
def test_an_unknown_key_is_reported_with_its_line_and_the_nearest_key(tmp_path, key, says):
    file = tmp_path / "roster.toml"
    file.write_text(TYPO.format(key=key), "utf-8")

    with pytest.raises(RosterError) as caught:
        read_roster(file)

    assert str(caught.value).startswith(f"{file}: {says}")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_roster_with_a_byte_order_mark_is_read_and_extended(tmp_path, encoding):
    marks = {"utf-16-le": "\ufeff", "utf-16-be": "\ufeff"}
    text = '[[people]]\r\nname = "Zé"\r\nids = [8]\r\n'
    file = tmp_path / "roster.toml"
    file.write_bytes((marks.get(encoding, "") + text).encode(encoding))

    add_people(file, [Person("Ana", (9,))], {"Ana": "new"})

    assert [person.name for person in read_roster(file).people] == ["Zé", "Ana"]


def test_a_roster_in_another_encoding_is_refused_in_one_line(tmp_path):
    file = tmp_path / "roster.toml"
    file.write_bytes('[[people]]\nname = "Zé"\nids = [8]\n'.encode("latin-1"))

    with pytest.raises(RosterError, match=r"not UTF-8 text \(byte 20\): save it as UTF-8"):
        read_roster(file)


def test_the_header_forbids_no_name_that_is_drafted(tmp_path):
    author = Author(7, ("Ana (mum)",), 300)

    write_roster(make_roster([author]), tmp_path / "r.toml", [author])

    text = (tmp_path / "r.toml").read_text("utf-8")
    assert 'name = "Ana (mum)"' in text
    assert "without the brackets [ and ]" in " ".join(text.replace("#", "").split())
