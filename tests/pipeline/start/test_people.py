"""Who the people are, and who agreed, asked one by one."""

from contextlib import suppress

import pytest

from model.chat.person import Person
from model.chat.roster import Roster
from model.errors import RosterError
from pipeline.dataset.roster_file import MIN_MESSAGES, read_roster
from pipeline.export.merging import Author
from pipeline.start.asking import GoBack
from pipeline.start.people import NamedConsent, ask_people, choose_minimum, merge_people

HUGO, ANA, OTHER = Author(7, ("Hugo",), 900), Author(8, ("Ana",), 400), Author(9, ("Zoe",), 30)


@pytest.fixture
def ask(tmp_path, script):
    """Ask about authors with these answers; return the roster file and what was printed."""

    def run(*answers, authors=(HUGO, ANA, OTHER), consent=None, texts=None, **more):
        typed = script(*answers, **more)
        file = tmp_path / "roster.toml"
        beside = tmp_path / "export" / "roster.toml"
        ask_people(
            typed.asker, authors, file, beside, MIN_MESSAGES, consent or NamedConsent(),
            recent_texts=lambda number, count: (texts or {}).get(number, ())[-count:],
        )  # fmt: skip
        assert not typed.left
        return read_roster(file), typed

    return run


def test_only_enter_imitates_nobody(ask):
    roster, typed = ask("", "", "", "")

    assert {person.imitate for person in roster.people} == {"ask"}
    assert "Hugo      900 messages" in typed.said
    assert "Too few messages to be a voice: Zoe" in typed.said


def test_each_answer_is_written(ask):
    roster, _ = ask("", "y", "n", "n")

    found = {person.name: (person.learn, person.imitate) for person in roster.people}
    assert found == {"Hugo": ("yes", "yes"), "Ana": ("yes", "no"), "Zoe": ("no", "ask")}


def test_a_person_may_be_left_out_and_a_wrong_answer_is_asked_again(ask):
    roster, typed = ask("", "what", "x", "y", "")

    assert (roster.find_by_name("Hugo").learn, roster.find_by_name("Hugo").imitate) == ("no", "no")
    assert roster.find_by_name("Ana").imitate == "yes"
    assert "Type y, -, n or x" in typed.said


def test_names_are_changed_one_by_one(ask):
    roster, typed = ask("n", "Huguinho", "huguinho", "Anita", "", "", "")

    assert [person.name for person in roster.people] == ["Huguinho", "Anita", "Zoe"]
    assert "There is another huguinho" in typed.said


def test_back_returns_to_the_previous_question_and_keeps_the_answers_before(ask):
    answers = ("n", "Hugo", "Bia", "y", "back", "x", "back", "back", "Bea", "y", "n", "")

    roster, typed = ask(*answers)

    asked = [question.split(" [")[0] for question in typed.questions]
    hugo, ana = "Hugo (900 messages)", "Bia (400 messages)"
    assert asked[3:8] == [hugo, ana, hugo, ana, hugo]
    assert asked[8:] == ["Ana: name", "Hugo (900 messages)", "Bea (400 messages)", asked[-1]]
    found = {person.name: person.imitate for person in roster.people}
    assert found == {"Hugo": "yes", "Bea": "no", "Zoe": "ask"}


def test_after_an_invalid_answer_back_returns_to_the_previous_question(ask):
    _, typed = ask("", "y", "what", "back", "x", "n", "")

    asked = [question.split(" [")[0] for question in typed.questions]
    hugo, ana = "Hugo (900 messages)", "Ana (400 messages)"
    assert asked[1:6] == [hugo, ana, ana, hugo, ana]


def test_the_old_name_of_a_renamed_person_still_works(ask):
    roster, _ = ask("n", "Huguinho", "Ana", "", "", "")

    assert roster.match_voice("hugo are you there?")[0].name == "Huguinho"
    assert roster.find_by_name("Ana").aliases == ()


TOMS = (Author(7, ("Tom",), 900), Author(8, ("Tom",), 400))


def test_two_with_one_name_are_told_apart_by_their_last_messages(ask):
    texts = {7: ["old", "at nine\x1b[31m\nthen", "x" * 99], 8: ["\u202eno idea", "so?"]}

    _, typed = ask("n", "n", "Tom Berg", "Tom Hill", "", "", authors=TOMS, texts=texts)

    berg = f"  Tom (id 7)\n    at nine[31m then\n    {'x' * 70}…\n"
    hill = "  Tom 2 (id 8)\n    no idea\n    so?\n"
    said = "".join(f"{line.rstrip()}\n" for line in typed.said.splitlines())
    assert said.split("  Two people are called Tom")[0].endswith(berg + hill)
    assert f"{berg}  Tom: name [Tom]: Tom Berg\n{hill}  Tom 2, also Tom: name" in said
    assert f"{hill.replace('Tom 2', 'Tom Hill')}  Tom Hill (400 messages)" in said
    assert "old" not in said
    assert "\x1b" not in said


def test_a_name_of_two_is_no_alias_of_either(ask):
    roster, _ = ask("n", "n", "Tom Berg", "Hill", "", "", authors=TOMS)

    assert [person.aliases for person in roster.people] == [(), ()]
    assert roster.match_voice("Tom, hello") is None


def test_a_question_mark_is_no_name(ask):
    deleted = Author(6, (), 600)

    roster, typed = ask("?", "Hugo", "n", "??", "", "", "", "", authors=(HUGO, ANA, deleted))

    assert [(one.name, one.ids) for one in roster.people] == [("Hugo", (7, 6)), ("Ana", (8,))]
    assert typed.said.count("? is not a name: type one, or press Enter to keep ") == 2


def test_ctrl_c_among_the_questions_about_consent_keeps_the_answers(script, tmp_path):
    file, stopped = tmp_path / "roster.toml", []

    def ask(*answers, **more):
        typed = script(*answers)
        with suppress(EOFError):
            ask_people(
                typed.asker, (HUGO, ANA, OTHER), file, tmp_path / "none", MIN_MESSAGES,
                NamedConsent(), on_stop=stopped.append, **more,
            )  # fmt: skip
        return typed, [(person.learn, person.imitate) for person in read_roster(file).people]

    _, first = ask("", "y")
    second, then = ask("x", answered=1)
    third, last = ask("n", answered=3)

    assert stopped == [1, 3]
    assert first == [("yes", "yes"), ("yes", "ask"), ("yes", "ask")]
    assert then == [("yes", "yes"), ("no", "no"), ("yes", "ask")]
    assert last == [("yes", "yes"), ("no", "no"), ("no", "ask")]
    assert [question.split(" (")[0] for question in second.questions] == ["Ana", "[Y/n]"]
    assert len(third.questions) == 1


def test_back_at_the_first_question_leaves_the_dialogue(ask):
    with pytest.raises(GoBack):
        ask("", "back", "back")


def test_back_returns_to_the_question_before_about_accounts(ask):
    second = Author(70, ("Hugo Silva",), 300)

    roster, typed = ask("y", "back", "n", "", "", "", "", authors=(HUGO, ANA, second))

    assert typed.questions[0] == typed.questions[2]
    assert [person.name for person in roster.people] == ["Hugo", "Ana", "Hugo Silva"]


@pytest.mark.parametrize("name", ["Anyone", "alguém"])
def test_a_name_that_lets_the_model_choose_is_refused(ask, name):
    roster, typed = ask("n", name, "Hugo", "Ana", "", "", "")

    assert [person.name for person in roster.people] == ["Hugo", "Ana", "Zoe"]
    assert "lets the model choose" in typed.said


def test_a_long_question_is_wrapped_between_words(ask):
    second = Author(70, ("Hugo " + "Silva " * 12,), 300)

    _, typed = ask("", "", "", "", "", authors=(HUGO, ANA, second))

    assert max(map(len, typed.said.splitlines())) <= 80
    assert typed.questions[0].endswith("[y/N]")
    assert " ".join(typed.said.split()).count("Is Hugo the same person as Hugo Silva Silva")


def test_two_accounts_become_one_person(ask):
    second = Author(70, ("Hugo Silva",), 300)

    roster, typed = ask("y", "", "y", "", authors=(HUGO, ANA, second))

    assert typed.questions[0] == "Is Hugo the same person as Hugo Silva (id 70)? [y/N]"
    hugo = roster.find_by_name("Hugo")
    assert hugo.ids == (7, 70)
    assert "Hugo Silva" in hugo.names
    assert [person.name for person in roster.people] == ["Hugo", "Ana"]
    assert "Hugo (1,200 messages)" in " ".join(typed.questions)


def test_of_three_with_one_name_some_are_one_person(ask):
    others = [Author(70 + n, ("Hugo",), 300 - n) for n in (1, 2)]

    roster, _ = ask("1 4", "1 3", *[""] * 3, authors=(HUGO, *others))

    assert sorted(person.ids for person in roster.people) == [(7, 72), (71,)]


def test_a_bot_is_no_person(ask):
    roster, _ = ask("", "", "", authors=(HUGO, Author(5, ("Quiz bot",), 500)))

    assert roster.bots == {5}
    assert [person.name for person in roster.people] == ["Hugo"]


def test_a_deleted_account_is_given_to_somebody(ask):
    roster, _ = ask("Hugo", "", "", "", authors=(HUGO, ANA, Author(6, (), 600)))

    assert roster.find_by_name("Hugo").ids == (7, 6)


def test_an_existing_roster_is_kept_or_its_answers_are_the_defaults(ask):
    ask("", "y", "n", "")

    kept, _ = ask("")
    changed, typed = ask("n", "", "", "y", "")

    assert [person.imitate for person in kept.people] == ["yes", "no", "ask"]
    assert [person.imitate for person in changed.people] == ["yes", "yes", "ask"]
    assert "agreed: Hugo" in typed.said
    assert any(question.endswith("[y]:") for question in typed.questions)


def test_options_answer_without_a_question(ask):
    roster, _ = ask(consent=NamedConsent(agreed=("hugo",), never=("Ana",), excluded=("Zoe",)))

    found = [(person.learn, person.imitate) for person in roster.people]
    assert found == [("yes", "yes"), ("yes", "no"), ("no", "no")]


def test_an_option_that_names_nobody_lists_the_people(ask):
    with pytest.raises(RosterError, match="nobody is called 'Hugoo': the people are Hugo, Ana"):
        ask(consent=NamedConsent(agreed=("Hugoo",)))


def test_with_defaults_only_nobody_is_imitated(ask):
    roster, typed = ask(takes_defaults=True)

    assert {person.imitate for person in roster.people} == {"ask"}
    assert typed.questions == []


@pytest.mark.parametrize(
    ("messages", "wanted", "minimum"),
    [((900, 400), 0, 200), ((900, 120), 0, 100), ((60, 30), 0, 20), ((9, 3), 0, 200), ((9,), 5, 5)],
)
def test_two_people_must_reach_the_minimum(messages, wanted, minimum):
    authors = [Author(number, ("x",), count) for number, count in enumerate(messages)]

    assert choose_minimum(authors, wanted) == minimum


@pytest.mark.parametrize("order", [1, -1])
def test_a_merged_person_keeps_every_no(order):
    people = (Person("Hugo", (7,), imitate="yes"), Person("Huguinho", (9,), (), (), "no", "no"))
    people = people[::order]

    [merged] = merge_people(Roster(people), people).people

    assert (merged.learn, merged.imitate) == ("no", "no")
    assert {merged.name, *merged.aliases} == {"Hugo", "Huguinho"}
    assert set(merged.ids) == {7, 9}
