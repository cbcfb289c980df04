"""Whose voice may be used, and where the bot may speak."""

import pytest

from bot.services.access import Access
from model.chat.permissions import Facts, permissions
from model.chat.person import Person
from model.chat.roster import Roster

HUGO = Person("Hugo", (7,), imitate="yes")


def access(*people, consent="ask"):
    return Access(
        Roster(people), frozenset({-5}), frozenset({7}), consent,
        permissions={person.name: own for person, own in permissions(people, Facts())},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("options", "consent", "may"),
    [
        ({"imitate": "yes"}, "ask", True),
        ({"imitate": "ask"}, "ask", False),
        ({"imitate": "ask"}, "roster", True),
        ({"imitate": "no"}, "roster", False),
        ({"imitate": "yes", "learn": "no"}, "roster", False),
        ({"imitate": "yes", "quiet": True}, "ask", False),
        ({"imitate": "ask", "quiet": True}, "roster", False),
    ],
    ids=["who agreed", "who was not asked", "who was not asked, with their word given",
         "who said no", "who is not learned from", "who is quiet and agreed",
         "who is quiet, with their word given"],
)  # fmt: skip
def test_a_voice_is_used_only_where_its_person_agreed_and_wrote_enough(options, consent, may):
    person = Person("Rita", (8,), **options)

    allowed = access(HUGO, person, consent=consent)

    assert allowed.may_imitate(person) is may
    assert allowed.voices == ((HUGO, person) if may else (HUGO,))


@pytest.mark.parametrize(("chat", "speaks"), [(-5, True), (7, True), (8, False), (-6, False)])
def test_the_bot_speaks_in_the_chat_it_learned_and_with_its_admins(chat, speaks):
    assert access(HUGO).may_speak_in(chat) is speaks
