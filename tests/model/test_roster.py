import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.errors import RosterError, VoiceError
from model.roster import (
    MAX_NAME,
    Person,
    Roster,
    clean_name,
    find_voice,
    fold,
    from_json,
    match_voice,
    nearest_names,
    to_json,
)

SILVA = Person("Hugo Silva", (1,))
SA = Person("Hugo Sá", (2,))
JOAO = Person("João", (3,), aliases=("Johnny B", "jb"))
LI = Person("李雷", (4,))
ANA = Person("Ana Sofia", (5,))
EVERYBODY = (SILVA, SA, JOAO, LI, ANA)


@pytest.mark.parametrize(
    ("words", "person", "rest"),
    [
        ("Hugo Silva what now?", SILVA, "what now?"),
        ("hugo sá what now?", SA, "what now?"),
        ("HUGO SA, what now?", SA, "what now?"),
        ("Hugo Sa\u0301 hello", SA, "hello"),
        ("joao", JOAO, ""),
        ("JOÃO: hello", JOAO, "hello"),
        ("johnny b is here", JOAO, "is here"),
        ("jb\nhello", JOAO, "hello"),
        ("李雷 你好", LI, "你好"),
        ("李雷", LI, ""),
        ("ana hello", ANA, "hello"),
        ("Ana Sofia hello", ANA, "hello"),
        ("  Ana   hello ", ANA, "hello"),
        ("ana sofia", ANA, ""),
        ("ana sofía, sofia!", ANA, "sofia!"),
    ],
)
def test_the_longest_name_at_the_start_is_meant_whatever_its_case_and_accents(words, person, rest):
    assert match_voice(words, EVERYBODY) == (person, rest)


@pytest.mark.parametrize(
    "words",
    ["", "   ", "hugo", "hugo what now?", "hugo silvana", "joaozinho", "anabela", "李", "johnny",
     "what about Ana", "sofia", "jb's"],
)  # fmt: skip
def test_no_part_of_a_word_no_shared_first_name_and_no_later_word_is_meant(words):
    assert match_voice(words, EVERYBODY) is None


def test_an_alias_wins_over_a_first_name_and_a_longer_name_over_both():
    rui = Person("Rui", (6,), aliases=("Ana",))
    ana_maria = Person("Ana Maria", (7,))

    assert match_voice("ana hello", [ana_maria, rui]) == (rui, "hello")
    assert match_voice("ana maria hello", [ana_maria, rui]) == (ana_maria, "hello")


@given(person=st.sampled_from(EVERYBODY), words=st.text(max_size=20))
def test_a_full_name_before_any_words_finds_its_owner(person, words):
    found = match_voice(f"{person.name.upper()}, {words}", EVERYBODY)

    assert found is not None
    assert found[0] == person


def test_a_voice_is_found_by_exactly_its_name():
    assert find_voice("hugo sa", EVERYBODY) == SA


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("hugo", "did you mean Hugo Silva or Hugo Sá"),
        ("jaoo", "did you mean João"),
        ("Hugo Sliva", "did you mean Hugo Silva"),
        ("xyz", "there is Hugo Silva, Hugo Sá, João, 李雷, Ana Sofia"),
        ("joão who", "no voice is called"),
    ],
)
def test_an_unknown_voice_names_the_nearest_or_all(words, hint):
    with pytest.raises(VoiceError, match=hint):
        find_voice(words, EVERYBODY)


def test_with_nobody_to_speak_as_it_says_so():
    with pytest.raises(VoiceError, match="there is nobody"):
        find_voice("hugo", [])


def test_the_nearest_names_are_three_at_most_and_the_best_first():
    people = [Person(f"Mari{end}", (n,)) for n, end in enumerate("aeouz")]

    near = nearest_names("mariz how are you", people)

    assert near[0] == "Mariz"
    assert len(near) == 3
    assert nearest_names("", people) == []


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("Hugo: Silva", "Hugo Silva"),
        ("[bot] Ana\n", "bot Ana"),
        ("🎭 Hugo", "Hugo"),
        ("▁Hugo", "Hugo"),
        ("  ", "somebody"),
        ("", "somebody"),
        ("Joa\u0303o", "João"),
        ("李雷", "李雷"),
        ("x" * 99, "x" * MAX_NAME),
        ("x" * 39 + " y", "x" * 39),
    ],
)
def test_a_name_becomes_one_that_can_begin_a_line(name, clean):
    assert clean_name(name) == clean


@given(name=st.text(max_size=60))
def test_a_clean_name_stays_as_it_is_and_holds_nothing_that_ends_a_label(name):
    clean = clean_name(name)

    assert clean_name(clean) == clean
    assert clean
    assert not set(clean) & set(":[]\n\r🎭\u2581")
    assert Person(clean, (1,)).name == clean


def test_case_and_accents_do_not_tell_names_apart():
    assert fold("JOÃO") == fold("joao") == fold(unicodedata.normalize("NFD", "João")) == "joao"


@pytest.mark.parametrize(
    ("people", "says"),
    [
        ([Person("Hugo", (1,)), Person("Ana", (1,))], "id 1 belongs to two people"),
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
        ({"name": "Hugo: hi"}, "cannot stand in a prompt: write 'Hugo hi'"),
        ({"learn": "ask"}, 'learn is "yes" or "no"'),
        ({"imitate": "never"}, 'imitate "yes", "no" or "ask"'),
    ],
)
def test_a_person_that_cannot_be_is_refused(options, says):
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
def test_a_voice_is_somebody_who_may_be_learned_from_and_did_not_say_no(learn, imitate, voice):
    person = Person("Hugo", (1,), learn=learn, imitate=imitate)

    assert Roster((person,)).voices == ((person,) if voice else ())


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
def test_friends_go_by_their_name_and_strangers_by_their_first(author, shown, called):
    assert Roster(EVERYBODY).speaker_name(author, shown) == called


def test_one_friend_may_have_two_accounts():
    hugo = Person("Hugo", (1, 8))

    assert [Roster((hugo,)).person(n) for n in (1, 8, 9)] == [hugo, hugo, None]


def test_a_roster_learns_its_own_bots_id_and_stays_the_same_otherwise():
    roster = Roster(EVERYBODY, bots=frozenset({6}))

    assert roster.with_understudy(7) == Roster(EVERYBODY, frozenset({6}), frozenset({7}))
    assert roster.with_understudy(7).person(2) == SA


def test_a_roster_survives_json():
    roster = Roster(EVERYBODY, frozenset({6}), frozenset({7, 8}))

    assert from_json(to_json(roster)) == roster
    assert from_json({}) == Roster()


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
def test_a_roster_of_another_make_is_refused(value):
    with pytest.raises(RosterError):
        from_json(value)


@pytest.mark.parametrize("hidden", ["\u200b", "\u2060", "\u00ad", "\u202e", "\ufe0f", "\u061c"])
def test_a_stranger_with_an_unseen_character_is_not_the_friend(hidden):
    roster = Roster((Person("Hugo", (1,)),))

    assert roster.speaker_name(99, f"Hu{hidden}go") == "the other Hugo"
    assert clean_name(hidden) == "somebody"


def test_the_longest_message_is_compared_by_its_beginning_alone(monkeypatch):
    compared = []
    monkeypatch.setattr("model.roster._likeness", lambda said, name: compared.append(said) or 0.0)

    nearest_names("a " * 2000, [Person(f"Friend {n}", (n,)) for n in range(3)])

    assert max(map(len, compared)) < 100
    assert len(set(compared)) <= 5


@pytest.mark.parametrize(
    "wrong", [{"aliases": "Huguinho"}, {"aliases": [7]}, {"ids": [True]}, {"ids": [2**70]}]
)
def test_a_field_of_the_wrong_kind_is_refused(wrong):
    with pytest.raises(RosterError):
        from_json({"people": [{"name": "Hugo", "ids": [1], **wrong}]})
