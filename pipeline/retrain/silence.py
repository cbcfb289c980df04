"""Voices that the roster gives no longer: silent in every version, whichever serves next."""

from dataclasses import replace

from model.registry import Registry
from model.roster import Person, Roster
from pipeline.retrain.known import artifacts, ledgers
from pipeline.retrain.ledger import Ledger
from pipeline.roster_file import FILE, read_roster


def silence_known(registry: Registry) -> None:
    """Silence in all versions whom the folder's own roster says no of, where there is one.

    Raises:
        RosterError: The roster cannot be read.
        DatasetError: A ledger is damaged.
    """
    file = registry.root / FILE
    if file.is_file():
        roster = read_roster(file)
        for ledger in [*ledgers(registry.root)] or [Ledger()]:
            silence(registry, roster, ledger)


def silence(registry: Registry, roster: Roster, ledger: Ledger) -> None:
    """Let no version speak as whom the roster says no of, so that a rollback brings nobody back.

    Who told the bot no themselves can tell it yes again there, without any retraining.
    """
    out = {
        number
        for person in roster.people
        if "no" in {person.learn, person.imitate} and ledger.opted_out.isdisjoint(person.ids)
        for number in person.ids
    }

    def silent(person: Person) -> Person:
        return person if out.isdisjoint(person.ids) else replace(person, imitate="no")

    for artifact in artifacts(registry):
        known = artifact.card.roster
        now = replace(known, people=tuple(map(silent, known.people)))
        if now != known:
            registry.change_roster(artifact.path.name, now)
