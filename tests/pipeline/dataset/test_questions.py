import pytest

from model.chat.person import Person
from model.chat.roster import Roster
from pipeline.dataset.roster_file import find_questions, make_roster
from pipeline.export.merging import Author


def author(number, *names, **more):
    return Author(number, names, 1000 - number, **more)


def asked(*wrote, known=None):
    """Return each person's questions as one text."""
    found = find_questions(make_roster(wrote, known).people, wrote)
    return {name: " ".join(said) for name, said in found.items()}


def test_nothing_is_asked_about_people_who_cannot_be_taken_for_each_other():
    assert asked(author(7, "Hugo Silva"), author(8, "Ana"), author(9, "李雷")) == {}


def test_two_of_one_name_may_be_one_person_with_two_accounts():
    assert asked(author(7, "Hugo"), author(8, "hugo")) == {
        "Hugo": "Two people are called Hugo (ids 7, 8). One person with two accounts? "
        "Then write ids = [7, 8] in one of them and delete the other."
    }


def test_many_of_one_name_are_asked_about_once():
    said = asked(*(author(n, "Hugo") for n in (1, 2, 3)))

    assert list(said) == ["Hugo"]
    assert "3 people are called Hugo (ids 1, 2, 3)" in said["Hugo"]
    assert "delete the others" in said["Hugo"]


def test_a_name_that_somebody_had_before_counts_too():
    said = asked(author(7, "João", "H."), author(8, "João"))

    assert "Two people are or were called João (ids 7, 8)" in said["H."]


def test_a_name_that_is_part_of_another_may_mean_the_same_person():
    said = asked(author(7, "Hugo"), author(8, "Hugo Silva"), author(9, "Ana Silva"))

    assert said == {
        "Hugo": "Is Hugo the same person as Hugo Silva (id 8)? "
        "Then write both ids in one of them and delete the other."
    }


def test_a_name_inside_a_word_is_no_part_of_it():
    assert (
        asked(author(7, "Ana"), author(8, "Anabela Silva"), author(9, "李"), author(10, "李雷"))
        == {}
    )


def test_a_first_name_that_two_share_is_asked_about_and_how_to_tell_them_apart():
    said = asked(author(7, "Hugo Silva"), author(8, "Hugo Sá"))

    assert (
        "Two people have the first name Hugo: Hugo Silva (id 7) and Hugo Sá (id 8)."
        in (said["Hugo Silva"])
    )
    assert "write ids = [7, 8] in one of them" in said["Hugo Silva"]
    assert "alias" in said["Hugo Silva"]


def test_a_question_names_five_people_and_counts_the_others():
    said = asked(*(author(n, f"Maria {chr(64 + n)}") for n in range(1, 9)))

    assert "8 people have the first name Maria" in said["Maria A"]
    assert "Maria E (id 5) and 3 more" in said["Maria A"]
    assert "Maria F" not in said["Maria A"]


@pytest.mark.parametrize(
    ("wrote", "name", "question"),
    [
        (author(7), "somebody", "A deleted account: who was it?"),
        (author(7, "Hugo", by_name=True), "Hugo", "Known only by name"),
        (
            author(-1007, "Friends"),
            "Friends",
            "The group or a channel, used by an anonymous admin",
        ),
        (author(7, "GifBot"), "GifBot", "Is this a bot? Then add 7 to bots above"),
        (
            author(7, "+351 912 345 678"),
            "somebody",
            "The name in Telegram cannot be used",
        ),
    ],
    ids=["a deleted account", "a name alone", "the group", "a bot's name", "a phone number"],
)
def test_an_account_that_may_be_anybodys_is_asked_about(wrote, name, question):
    assert question in asked(wrote, author(8, "Ana"))[name]


def test_deleted_accounts_are_not_taken_for_each_other():
    said = asked(author(7), author(8))

    assert list(said) == ["somebody", "somebody 2"]
    assert not any("Two people" in text or "same person" in text for text in said.values())


def test_a_bot_that_is_known_as_one_is_not_asked_about():
    assert asked(author(7, "GifBot", is_bot=True), author(8, "Ana")) == {}


@pytest.mark.parametrize(
    "known",
    [
        Person("Rita", (7,)),
        Person("Hugo Sá", (7,), names=("Hugo",)),
        Person("Hugo", (7,), aliases=("Huguinho",)),
        Person("Hugo", (7, 8, -1009), names=("Hugo",)),
    ],
    ids=["who it was", "another name", "an alias", "accounts put together"],
)
def test_what_an_admin_has_answered_is_not_asked_again(known):
    wrote = [author(7, *known.names), author(8, "Hugo"), author(-1009, "Group")]

    said = find_questions(make_roster(wrote, Roster((known,))).people, wrote)

    assert known.name not in said
    assert not any("Two people" in text for texts in said.values() for text in texts)
