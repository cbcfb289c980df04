"""Voices that the roster gives no longer: silent in every version, whichever serves next."""

from model.registry import Registry
from model.roster import Roster, without_voices
from pipeline.retrain.known import artifacts
from pipeline.roster_file import FILE, read_roster


def silence_known(registry: Registry) -> None:
    """Silence in all versions whom the folder's own roster says no of, where there is one.

    Raises:
        RosterError: The roster cannot be read.
    """
    file = registry.root / FILE
    if file.is_file():
        silence(registry, read_roster(file))


def silence(registry: Registry, roster: Roster) -> None:
    """Disable people with a "no" in the roster in every version, also after a rollback.

    `roster` is as the admin wrote it: each `/optout` is in the ledger, which applies to every
    version that is opened, and an `/optin` cancels it without retraining.
    """
    out = {
        number
        for person in roster.people
        if "no" in {person.learn, person.imitate}
        for number in person.ids
    }
    for artifact in artifacts(registry):
        known = artifact.card.roster
        now = without_voices(known, out)
        if now != known:
            registry.change_roster(artifact.path.name, now)
