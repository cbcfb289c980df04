import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.chat.person import Person
from model.chat.voice_names import VoiceMatcher, find_similar_names, find_voice
from model.errors import VoiceError

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
def test_the_longest_name_at_the_start_matches_in_any_case_and_accents(words, person, rest):
    assert VoiceMatcher(EVERYBODY).match(words) == (person, rest)


@pytest.mark.parametrize(
    "words",
    ["", "   ", "hugo", "hugo what now?", "hugo silvana", "joaozinho", "anabela", "李", "johnny",
     "what about Ana", "sofia", "jb's"],
)  # fmt: skip
def test_parts_of_words_shared_first_names_and_later_words_do_not_match(words):
    assert VoiceMatcher(EVERYBODY).match(words) is None


def test_an_alias_wins_over_a_first_name_and_a_longer_name_over_both():
    rui = Person("Rui", (6,), aliases=("Ana",))
    ana_maria = Person("Ana Maria", (7,))

    assert VoiceMatcher([ana_maria, rui]).match("ana hello") == (rui, "hello")
    assert VoiceMatcher([ana_maria, rui]).match("ana maria hello") == (ana_maria, "hello")


BERG = Person("Tom Berg", (8,), names=("Tom",), aliases=("Tom", "Tommy"))
HILL = Person("Hill", (9,), names=("Tom", "T. Hill"))
TOM, TOM_2 = Person("Tom", (8,), names=("Tom",)), Person("Tom 2", (9,), names=("Hill", "Tom"))


def test_an_alias_or_first_name_that_telegram_shows_for_two_matches_nobody():
    no_alias = Person("Tom Berg", (8,), names=("Tom",))

    assert VoiceMatcher([BERG, HILL]).match("tom hello") is None
    assert VoiceMatcher([BERG, HILL]).match_all("tom hello") == [BERG, HILL]
    assert VoiceMatcher([BERG, HILL]).match("tommy hello") == (BERG, "hello")
    assert VoiceMatcher([BERG, ANA]).match("tom hello") == (BERG, "hello")
    assert VoiceMatcher([no_alias, HILL]).match("tom hello") is None


def test_a_name_in_prompts_matches_its_owner_although_telegram_shows_it_for_two():
    matcher = VoiceMatcher([TOM, TOM_2])

    assert (matcher.match("tom hi"), matcher.match("tom 2 hi")) == ((TOM, "hi"), (TOM_2, "hi"))
    assert (matcher.match_all("tom hi"), matcher.match_all("tom 2")) == ([TOM, TOM_2], [TOM_2])
    assert VoiceMatcher([TOM, HILL]).match_all("tom") == [TOM]  # Hill was called Tom once


def test_an_alias_of_two_matches_nobody():
    other = Person("Rui", (6,), aliases=("jb",))

    assert VoiceMatcher([JOAO, other]).match("jb hello") is None


@given(person=st.sampled_from(EVERYBODY), words=st.text(max_size=20))
def test_a_full_name_before_any_words_matches_its_owner(person, words):
    found = VoiceMatcher(EVERYBODY).match(f"{person.name.upper()}, {words}")

    assert found is not None
    assert found[0] == person


def test_a_voice_is_found_by_its_exact_name():
    assert find_voice("hugo sa", EVERYBODY) == SA


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("hugo", "did you mean Hugo Silva or Hugo Sá"),
        ("jaoo", "did you mean João"),
        ("Hugo Sliva", "did you mean Hugo Silva"),
        ("xyz", "the voices are Hugo Silva, Hugo Sá, João, 李雷, Ana Sofia"),
        ("joão who", "no voice is called"),
    ],
)
def test_an_unknown_voice_is_refused_with_similar_or_all_names(words, hint):
    with pytest.raises(VoiceError, match=hint):
        find_voice(words, EVERYBODY)


def test_a_search_without_voices_is_refused():
    with pytest.raises(VoiceError, match="there are no voices"):
        find_voice("hugo", [])


def test_at_most_three_similar_names_are_suggested_best_first():
    people = [Person(f"Mari{end}", (n,)) for n, end in enumerate("aeouz")]

    near = find_similar_names("mariz how are you", people)

    assert near[0] == "Mariz"
    assert len(near) == 3
    assert find_similar_names("", people) == []


def test_only_the_beginning_of_a_long_message_is_compared(monkeypatch):
    compared = []
    monkeypatch.setattr(
        "model.chat.voice_names._compute_similarity",
        lambda said, name: compared.append(said) or 0.0,
    )

    find_similar_names("a " * 2000, [Person(f"Friend {n}", (n,)) for n in range(3)])

    assert max(map(len, compared)) < 100
    assert len(set(compared)) <= 5
