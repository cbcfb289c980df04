"""Read and store a models folder's people and their decisions, for every version in it."""

import hashlib
import json
import sqlite3
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import get_args

from model.artifacts.database import read_database, write_database
from model.chat.names import fold, make_printable
from model.chat.permissions import Facts
from model.chat.person import Decision, DecisionKind, Imitate, Learn, Person
from model.chat.roster import Roster, link_accounts, roster_from_json, roster_to_json
from model.errors import RosterError

_OTHER_IDS = """
WITH RECURSIVE same (chat_id) AS (
  SELECT value FROM json_each(?)
  UNION SELECT chats.former FROM chats JOIN same USING (chat_id) WHERE chats.former IS NOT NULL
  UNION SELECT chats.chat_id FROM chats JOIN same ON chats.former = same.chat_id
)
SELECT chat_id FROM same
"""
_FACTS = "SELECT source, user_id, kind, at, chat_id FROM facts ORDER BY source, place"


def read_facts(root: Path, chats: Iterable[int]) -> Facts:
    """Return what is stored in a models folder about people, as it applies to these chats.

    Raises:
        ArtifactError: The database is damaged.
    """
    with read_database(root) as connection:
        return load_facts(connection, chats, load_people(connection))


def load_facts(
    connection: sqlite3.Connection, chats: Iterable[int], people: Iterable[Person] = ()
) -> Facts:
    """Return the stored decisions, and what `people` say of ids: a "no", and whose they are.

    An `/optout` counts for all chats, an `/optin` only for the one in which it was sent, even after
    it became a supergroup.

    Raises:
        ArtifactError: A decision is damaged, so that nobody's consent is known.
    """
    own = {number for (number,) in connection.execute(_OTHER_IDS, (json.dumps([*chats]),))}
    sources: dict[str, list[Decision]] = {}
    for source, user_id, kind, at, chat_id in connection.execute(_FACTS):
        one = Decision(user_id, kind, _parse_time(at), chat_id)
        if kind not in get_args(DecisionKind):
            raise sqlite3.DatabaseError(f"{kind!r} is not a decision")
        if kind == "optout" or chat_id in own:
            sources.setdefault(source, []).append(one)
    people = tuple(people)
    no = [person for person in people if person.has_no]
    withheld = (person for person in no if person.learn == "no")
    return Facts(
        sources,
        not_learned=frozenset(number for person in withheld for number in person.ids),
        not_imitated=frozenset(number for person in no for number in person.ids),
        linked=link_accounts(people),
    )


def _parse_time(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except (TypeError, ValueError) as error:
        raise sqlite3.DatabaseError(f"{text!r} is not a time") from error
    if at.tzinfo is None:
        raise sqlite3.DatabaseError(f"{text!r} has no time zone")
    return at


def name_source(description: str, decisions: Iterable[Decision]) -> str:
    """Return the name of a source: its description, and a hash that tells it from others."""
    told = "".join(f"{one.user_id} {one.kind} {one.at} {one.chat_id}\n" for one in decisions)
    return f"{description}#{hashlib.sha256(told.encode()).hexdigest()[:8]}"


def store_facts(connection: sqlite3.Connection, facts: Facts) -> None:
    """Store the sources that are not stored yet."""
    rows = (
        (name, place, one.user_id, one.kind, one.at.isoformat(), one.chat_id)
        for name, told in facts.sources.items()
        for place, one in enumerate(told)
    )
    connection.executemany("INSERT OR IGNORE INTO facts VALUES (?, ?, ?, ?, ?, ?)", rows)


def store_imported(root: Path, roster: Roster, source: str) -> None:
    """Store the `/optout`s of an imported version's roster, for all versions in the folder."""
    if optouts := list_optouts(roster):
        name = name_source(f"the imported model {make_printable(Path(source).name)}", optouts)
        with write_database(root) as connection:
            store_facts(connection, Facts().with_source(name, optouts))


def list_optouts(roster: Roster) -> list[Decision]:
    """Return the `/optout`s in a version's roster."""
    return [*(one for person in roster.people for one in person.opted_out), *roster.optouts]


def load_people(connection: sqlite3.Connection) -> tuple[Person, ...]:
    """Return the people of a models folder, as the admin's last roster has them.

    Raises:
        ArtifactError: A person is damaged.
    """
    rows = connection.execute("SELECT person FROM people ORDER BY place").fetchall()
    try:
        rosters = [roster_from_json({"people": [json.loads(text)]}) for (text,) in rows]
    except (TypeError, ValueError, RosterError) as error:
        raise sqlite3.DatabaseError(str(error)) from error
    return tuple(person for roster in rosters for person in roster.people)


def store_people(connection: sqlite3.Connection, people: Iterable[Person]) -> None:
    """Replace the people of a models folder."""
    values = [roster_to_json(Roster((person,)))["people"][0] for person in people]
    connection.execute("DELETE FROM people")
    connection.executemany(
        "INSERT INTO people VALUES (?, ?)",
        ((place, json.dumps(value, ensure_ascii=False)) for place, value in enumerate(values)),
    )


def keep_refusals(people: Iterable[Person], refusals: Iterable[Person]) -> tuple[Person, ...]:
    """Add the people who refused earlier, with those of their accounts that `people` does not list.

    Only a roster entry that lists an account can change its "no".
    """
    people = list(people)
    ids = {number for person in people for number in person.ids}
    names = {fold(person.name) for person in people}
    for one in refusals:
        if left := tuple(number for number in one.ids if number not in ids):
            name = one.name if fold(one.name) not in names else f"{one.name} ({left[0]})"
            people.append(replace(one, name=name, ids=left, opted_out=()))
    return tuple(people)


def add_refusals(people: Iterable[Person], refusals: Iterable[Person]) -> tuple[Person, ...]:
    """Return people with every "no" from another roster."""
    refusals = tuple(one for one in refusals if one.has_no)
    stricter = []
    for person in people:
        same = [one for one in (person, *refusals) if not set(one.ids).isdisjoint(person.ids)]
        learn: Learn = "no" if any(one.learn == "no" for one in same) else "yes"
        imitate: Imitate = "no" if any(one.imitate == "no" for one in same) else person.imitate
        stricter.append(replace(person, learn=learn, imitate=imitate))
    return keep_refusals(stricter, refusals)
