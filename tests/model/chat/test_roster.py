import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from model.chat.names import clean_name
from model.chat.person import Decision, Person
from model.chat.roster import (
    Roster,
    apply_new_roster,
    merge_stricter,
    roster_from_json,
    roster_to_json,
)
from model.errors import RosterError

SILVA = Person("Hugo Silva", (1,))
SA = Person("Hugo Sá", (2,))
JOAO = Person("João", (3,), aliases=("Johnny B", "jb"))
LI = Person("李雷", (4,))
ANA = Person("Ana Sofia", (5,))
EVERYBODY = (SILVA, SA, JOAO, LI, ANA)


@pytest.mark.parametrize(
    ("people", "says"),
    [
        (
            [Person("Hugo", (1,)), Person("Ana", (1,))],
            "id 1 belongs to two people; the second one is",
        ),
        ([Person("João", (1,)), Person("joao", (2,))], "two people are called joao"),
    ],
    ids=["one id", "one name"],
)
def test_two_people_share_neither_an_id_nor_a_name(people, says):
    with pytest.raises(RosterError, match=says):
        Roster(tuple(people))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"name": "Hugo: hi"}, "is not allowed in prompts: use 'Hugo hi'"),
        ({"learn": "ask"}, 'learn must be "yes" or "no"'),
        ({"imitate": "never"}, 'imitate "yes", "no" or "ask"'),
    ],
)
def test_an_inconsistent_person_is_refused(options, says):
    with pytest.raises(RosterError, match=says):
        Person(**{"name": "Hugo", "ids": (1,), **options})


@pytest.mark.parametrize(
    ("learn", "imitate", "voice"),
    [
        ("yes", "yes", True),
        ("yes", "ask", True),
        ("yes", "no", False),
        ("no", "yes", False),
        ("no", "ask", False),
    ],
)
def test_voices_are_people_who_may_be_learned_from_and_imitated(learn, imitate, voice):
    person = Person("Hugo", (1,), learn=learn, imitate=imitate)

    assert Roster((person,)).voices == ((person,) if voice else ())


@pytest.mark.parametrize("imitate", ["yes", "ask", "no"])
def test_quiet_people_are_no_voices_but_keep_their_name(imitate):
    quiet = Person("Hugo", (1,), imitate=imitate, quiet=True)
    roster = Roster((quiet, JOAO))

    assert roster.voices == (JOAO,)
    assert not quiet.may_be_target
    assert roster.speaker_name(1, "Hugo Silva") == "Hugo"


def test_a_first_name_shared_by_a_voice_and_a_quiet_person_matches_the_voice():
    quiet = Person("Hugo Sá", (2,), quiet=True)
    roster = Roster((SILVA, quiet))

    assert roster.match_voice("hugo, hello") == (SILVA, "hello")
    assert roster.match_voice("hugo sá, hello") == (quiet, "hello")


@pytest.mark.parametrize(
    ("author", "shown", "called"),
    [
        (2, "Renamed since", "Hugo Sá"),
        (99, "Rita Lopes", "Rita"),
        (99, "joao Lopes", "the other joao"),
        (99, None, "somebody"),
        (99, ": :", "somebody"),
    ],
    ids=["a friend", "a stranger", "a friend's namesake", "a deleted account", "no name at all"],
)
def test_prompts_use_friends_names_and_strangers_first_names(author, shown, called):
    assert Roster(EVERYBODY).speaker_name(author, shown) == called


def test_one_friend_may_have_two_accounts():
    hugo = Person("Hugo", (1, 8))

    assert [Roster((hugo,)).find_by_id(n) for n in (1, 8, 9)] == [hugo, hugo, None]


def test_adding_an_understudy_changes_nothing_else():
    roster = Roster(EVERYBODY, bots=frozenset({6}))

    assert roster.with_understudy(7) == Roster(EVERYBODY, frozenset({6}), frozenset({7}))
    assert roster.with_understudy(7).find_by_id(2) == SA


def test_a_roster_is_restored_from_json():
    quiet = Person("Rui", (9,), learn="no", imitate="yes", quiet=True)
    roster = Roster((*EVERYBODY, quiet), frozenset({6}), frozenset({7, 8}))

    assert roster_from_json(json.loads(json.dumps(roster_to_json(roster)))) == roster
    assert roster_from_json({}) == Roster()


@pytest.mark.parametrize(
    "value",
    [
        {"people": [{"name": "Hugo"}]},
        {"people": [{"ids": [1]}]},
        {"people": [{"name": "Hugo", "ids": ["1"]}]},
        {"people": [{"name": "Hugo", "ids": 1}]},
        {"people": [{"name": 5, "ids": [1]}]},
        {"people": [{"name": "Hugo", "ids": [1], "age": 3}]},
        {"people": ["Hugo"]},
        {"people": 3},
        {"bots": ["x"]},
        {"friends": []},
    ],
    ids=str,
)
def test_an_invalid_roster_is_refused(value):
    with pytest.raises(RosterError):
        roster_from_json(value)


@pytest.mark.parametrize("hidden", ["\u200b", "\u2060", "\u00ad", "\u202e", "\ufe0f", "\u061c"])
def test_a_name_with_an_invisible_character_is_not_the_friends(hidden):
    roster = Roster((Person("Hugo", (1,)),))

    assert roster.speaker_name(99, f"Hu{hidden}go") == "the other Hugo"
    assert clean_name(hidden) == "somebody"


@pytest.mark.parametrize(
    "wrong",
    [
        {"aliases": "Huguinho"},
        {"aliases": [7]},
        {"ids": [True]},
        {"ids": [2**70]},
        {"quiet": 1},
        {"quiet": "yes"},
        {"quiet": None},
    ],
    ids=str,
)
def test_a_field_of_the_wrong_type_is_refused(wrong):
    with pytest.raises(RosterError):
        roster_from_json({"people": [{"name": "Hugo", "ids": [1], **wrong}]})


TRAINED = Roster((SILVA, JOAO, Person("Eva", (6,), learn="no")), bots=frozenset({8}))
LEARNED = ("Hugo Silva", "João")


def test_a_newer_roster_becomes_the_model_s_roster():
    newer = Roster(
        (
            Person("João", (3, 33), names=("J.",), aliases=("j",), imitate="yes"),
            replace(SILVA, learn="no"),
            Person("Eva", (6,), learn="no"),
        ),
        bots=frozenset({8, 9}),
    )

    roster = apply_new_roster(TRAINED, newer, LEARNED)

    assert roster.people[:2] == newer.people[:2]
    assert roster.bots == {8, 9}
    assert [person.name for person in roster.voices] == ["João"]


@pytest.mark.parametrize(
    "person",
    [Person("Zé", (99,), imitate="yes"), Person("Eva", (6,), learn="yes", imitate="yes")],
    ids=["a newcomer", "who said no at the training"],
)
def test_people_whose_voice_was_not_learned_become_quiet(person):
    everybody = {p.name: p for p in (*TRAINED.people, person)}

    roster = apply_new_roster(TRAINED, Roster(tuple(everybody.values())), LEARNED)

    assert roster.find_by_name(person.name) == replace(person, quiet=True)
    assert person.name not in {voice.name for voice in roster.voices}


def test_a_person_who_withdraws_a_no_is_a_voice_again():
    said_no = Roster((replace(SILVA, learn="no", imitate="no"), *TRAINED.people[1:]))

    silenced = apply_new_roster(TRAINED, said_no, LEARNED)
    again = apply_new_roster(silenced, TRAINED, LEARNED)

    assert SILVA.name not in {voice.name for voice in silenced.voices}
    assert SILVA in again.voices


def test_a_learned_voice_is_not_quiet_whatever_the_roster_file_says():
    file = Roster((replace(SILVA, quiet=True), *TRAINED.people[1:]))

    assert SILVA in apply_new_roster(TRAINED, file, LEARNED).voices


@pytest.mark.parametrize(
    ("people", "says"),
    [
        ((SILVA, TRAINED.people[2]), "João is missing from this roster"),
        (
            (SILVA, TRAINED.people[2], Person("Johnny", (3,))),
            "João is called Johnny in this roster",
        ),
        (
            (SILVA, TRAINED.people[2], Person("joao", (3,))),
            "João is called joao in this roster",
        ),
        (
            (replace(SILVA, ids=(1, 3)), TRAINED.people[2]),
            "João is missing from this roster",
        ),
    ],
    ids=["missing", "renamed", "written otherwise", "made one with another"],
)
def test_nobody_in_a_model_s_roster_may_be_missing_or_renamed(people, says):
    with pytest.raises(RosterError, match=says) as caught:
        apply_new_roster(TRAINED, Roster(people), LEARNED)

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("role", ["bots", "understudies"])
def test_a_friend_with_a_bots_id_is_refused(role):
    with pytest.raises(RosterError, match="id 1 is listed for Hugo and for a bot"):
        Roster((Person("Hugo", (1,)),), **{role: frozenset({1})})


def test_names_that_telegram_showed_for_an_id_stay_in_a_newer_roster():
    trained = Roster((Person("Dora", (1,), names=("Dora", "Dorinha"), learn="no"),))
    file = Roster((Person("Dora", (1,), names=("D.",), learn="no"),))

    for roster in (apply_new_roster(trained, file, ()), merge_stricter(trained, file)):
        assert roster.people[0].names == ("D.", "Dora", "Dorinha")
        assert roster.is_withheld_name("dorinha")


def test_a_merged_roster_keeps_every_optout():
    first, second = (Decision(7, "optout", datetime(2024, 1, day, tzinfo=UTC)) for day in (1, 2))
    excluded = Person("Zé", (7,), imitate="no")
    silent = replace(excluded, opted_out=(first,))

    merged = merge_stricter(Roster((silent,), optouts=(second,)), Roster((excluded,)))

    assert (merged.people, merged.optouts) == ((excluded,), (second, first))
