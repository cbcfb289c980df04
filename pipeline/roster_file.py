"""roster.toml: the people of a chat, as a file that their admin can edit."""

import json
import tomllib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from model.conversation import Message
from model.errors import RosterError
from model.files import write_text
from model.roster import MAX_NAME, Person, Roster, clean_name, fold, from_json

_HEAD = """\
# Who is who in this chat. Edit it, then build and train again.
#
# name     what they are called in prompts and after /as; no colon and no brackets in it
# ids      their Telegram ids; two accounts of one person stand together: ids = [7, 8]
# names    the names that Telegram showed for them
# aliases  what else they may be called after /as: aliases = ["Huguinho"]
# learn    "yes": the model learns from their messages; "no": they stand as […] in it
# imitate  "yes": the bot may speak as them; "ask": silent until you have
#          their word and write "yes"; "no": never

# Ids of other bots: what they write is left out.
bots = {bots}

# Ids of our own bot: what it wrote counts as said by the friend it played, and is not learned.
understudies = {understudies}
"""

_PERSON = """
[[people]]
name = {name}
ids = {ids}
names = {names}
aliases = {aliases}
learn = {learn}
imitate = {imitate}
"""


def read_roster(path: Path) -> Roster:
    """Read a roster.toml.

    Raises:
        RosterError: It cannot be read, or says something impossible.
    """
    try:
        return from_json(tomllib.loads(path.read_text("utf-8")))
    except FileNotFoundError as error:
        raise RosterError(f"there is no roster {path}") from error
    except OSError as error:
        raise RosterError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RosterError) as error:  # TOML's and UTF-8's own errors are ValueErrors
        raise RosterError(f"{path}: {error}") from error


def write_roster(roster: Roster, path: Path) -> None:
    """Write a roster.toml that `read_roster` reads back and a person can edit."""
    head = _HEAD.format(
        bots=_listed(sorted(roster.bots)), understudies=_listed(sorted(roster.understudies))
    )
    write_text(path, head + "".join(map(_table, roster.people)))


def roster_of(messages: Iterable[Message], known: Roster | None = None) -> Roster:
    """Return the people who wrote these messages: learned from, silent until they agree.

    Each is called by the name that Telegram showed last. Authors whose every message came by way
    of a bot are bots. Who is `known` stays as they are.
    """
    known = known or Roster()
    settled = known.bots | known.understudies
    names: dict[int, dict[str, None]] = {}
    people_too: set[int] = set()
    for message in messages:
        if known.person(message.author_id) or message.author_id in settled:
            continue
        shown = names.setdefault(message.author_id, {})
        if message.author_name:
            shown.pop(message.author_name, None)
            shown[message.author_name] = None
        if not message.is_from_bot:
            people_too.add(message.author_id)
    people = list(known.people)
    taken = {fold(person.name) for person in people}
    for number in (n for n in names if n in people_too):
        name = _distinct(clean_name(next(reversed(names[number]), "")), taken)
        taken.add(fold(name))
        people.append(Person(name, (number,), tuple(names[number])))
    return replace(known, people=tuple(people), bots=known.bots | (names.keys() - people_too))


def _distinct(name: str, taken: set[str]) -> str:
    """Return the name, with a number after it where somebody is called so already."""
    distinct, number = name, 1
    while fold(distinct) in taken:
        number += 1
        distinct = f"{name[: MAX_NAME - len(str(number)) - 1].rstrip()} {number}"
    return distinct


def _table(person: Person) -> str:
    return _PERSON.format(
        name=_quoted(person.name),
        ids=_listed(person.ids),
        names=_listed(person.names),
        aliases=_listed(person.aliases),
        learn=_quoted(person.learn),
        imitate=_quoted(person.imitate),
    )


def _listed(values: Iterable[int | str]) -> str:
    return f"[{', '.join(_quoted(v) if isinstance(v, str) else str(v) for v in values)}]"


def _quoted(text: str) -> str:
    """Return a basic string: JSON's escapes are TOML's, which forbids a bare DEL as well."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")
