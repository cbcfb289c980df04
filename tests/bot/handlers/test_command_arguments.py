"""Parsing of the arguments of `/as` and `/simulate`."""

import pytest

from bot.handlers.simulate import SimulationRequest, TurnsError, VoiceNameError, parse_simulation
from model.chat.person import Person
from model.chat.roster import Roster

HUGO, SA, ANA = Person("Hugo Silva", (1,)), Person("Hugo Sá", (2,)), Person("Ana", (3,))
ROSTER = Roster((HUGO, SA, ANA))


@pytest.mark.parametrize(
    ("words", "scene"),
    [
        ("", SimulationRequest(5)),
        ("1", SimulationRequest(1)),
        ("20 turns", SimulationRequest(20)),
        ("Ana", SimulationRequest(5, (ANA,))),
        ("7 Hugo Silva, Ana about the trip", SimulationRequest(7, (HUGO, ANA), "the trip")),
        (
            "hugo sa and ANA 7 about: the trip, 3 days",
            SimulationRequest(7, (SA, ANA), "the trip, 3 days"),
        ),
        ("Ana, 3, Hugo Sá", SimulationRequest(3, (ANA, SA))),
        ("with Ana & Hugo Silva", SimulationRequest(5, (ANA, HUGO))),
        ("Ana e Hugo Sá sobre a viagem", SimulationRequest(5, (ANA, SA), "a viagem")),
        ("About what is it about", SimulationRequest(5, (), "what is it about")),
        ("Ana, Ana", SimulationRequest(5, (ANA,))),
        ("about", SimulationRequest(5)),
    ],
)
def test_turns_names_and_a_subject_come_in_any_order(words, scene):
    assert parse_simulation(words, ROSTER) == scene


@pytest.mark.parametrize("words", ["Hugo", "Ana, Pedro", "5 please", "many", "Anastasia"])
def test_who_is_not_clear_is_asked_for(words):
    with pytest.raises(VoiceNameError):
        parse_simulation(words, ROSTER)


@pytest.mark.parametrize("words", ["0", "21", "+5", "٥", "3 4", "Ana 100 about 3"])
def test_a_number_that_is_none_of_turns_is_asked_for(words):
    with pytest.raises(TurnsError):
        parse_simulation(words, ROSTER)


def test_more_names_than_turns_are_not_read():
    roster = Roster(tuple(Person(f"Ana{n}", (n + 1,)) for n in range(3)))

    with pytest.raises(VoiceNameError):
        parse_simulation("Ana0 " * 21, roster)
    assert parse_simulation("Ana0 " * 20, roster).people == (roster.people[0],)
