"""What is known about a chat between retraining runs: people's decisions and forgotten messages."""

import json
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from model.artifacts.artifact import Card, load_artifact
from model.artifacts.consent import load_facts, load_people, name_source, store_facts, store_people
from model.artifacts.database import read_database
from model.artifacts.registry import Registry
from model.chat.permissions import Facts, permissions
from model.chat.person import Decision, Person
from model.chat.telegram_ids import is_copy_id
from model.errors import ArtifactError
from pipeline.export.files import ExportFile

BOT_ID_OFFSET = 2**40
"""Added to the message ids that the bot uses for a basic group; Telegram's own are below 2^31.

The bot and the account that exports number a basic group's messages differently.
"""


@dataclass(frozen=True, slots=True)
class DumpNotes:
    """The decisions, the ids of forgotten messages and people's names in a dump of one chat."""

    file: ExportFile
    chat_id: int
    written_at: datetime
    decisions: tuple[Decision, ...] = ()
    forgotten: tuple[int, ...] = ()
    names: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class WithdrawnPerson:
    """A person whose messages must not be used; `since` is None if only the roster says so."""

    name: str
    ids: tuple[int, ...]
    since: datetime | None = None

    @property
    def reason(self) -> str:
        """Return how the person withdrew, as a sentence without a full stop."""
        if self.since:
            return f"{self.name} sent /optout to the bot on {self.since:%Y-%m-%d}"
        return f'{self.name} is excluded (learn = "no" in the roster)'


@dataclass(frozen=True, slots=True)
class Ledger:
    """People's decisions, forgotten messages, and the bot's ids.

    `people` are those of the models folder, as in the admin's last roster; `facts` holds what they
    decided themselves. `deleted` counts the messages that were deleted in Telegram after they were
    stored. `aliases` maps the ids that the bot gave to a basic group's messages to the ids in
    exports. `forgotten_words` are the forgotten ids that belong to people's messages. The other
    forgotten ids belong to the bot's own messages, or to messages that are in no export and no
    dump.
    """

    facts: Facts = field(default_factory=Facts)
    people: tuple[Person, ...] = ()
    forgotten: frozenset[int] = frozenset()
    understudies: frozenset[int] = frozenset()
    deleted: int = 0
    aliases: Mapping[int, int] = field(default_factory=dict)
    forgotten_words: frozenset[int] = frozenset()

    @property
    def withdrawn(self) -> list[WithdrawnPerson]:
        """Return the people whose messages must not be used."""
        return [
            WithdrawnPerson(
                person.name, person.ids, found.optouts[-1].at if found.optouts else None
            )
            for person, found in permissions(self.people, self.facts)
            if found.learn == "no"
        ]

    @property
    def opted_out(self) -> frozenset[int]:
        """Return the ids of users whose `/optout` counts."""
        users = {one.user_id for told in self.facts.sources.values() for one in told}
        accounts = [Person("x", (number,)) for number in users]
        found = permissions(accounts, self.facts)
        return frozenset(account.ids[0] for account, own in found if own.optouts)

    def add_dumps(self, dumps: Iterable[DumpNotes]) -> "Ledger":
        """Return this ledger with the decisions and forgotten messages of dumps."""
        facts, forgotten = self.facts, self.forgotten
        for dump in dumps:
            description = f"the dump of {dump.written_at:%Y-%m-%d}"
            facts = facts.with_source(name_source(description, dump.decisions), dump.decisions)
            forgotten = forgotten.union(dump.forgotten)
        return replace(self, facts=facts, forgotten=forgotten)

    def keep_excluded(self, person: Person) -> Person:
        """Return a person with `learn = "no"` if an earlier roster excluded them."""
        excluded = (one.ids for one in self.people if one.learn == "no")
        if any(not set(ids).isdisjoint(person.ids) for ids in excluded):
            return replace(person, learn="no")
        return person


def load_people_and_facts(root: Path, current: Card | None) -> tuple[tuple[Person, ...], Facts]:
    """Return the people of a models folder, and what is known about them in its chats.

    `current` is the card of its current version, which names more chats.

    Raises:
        ArtifactError: The database is damaged.
    """
    chats = {chat.chat_id for chat in current.chats} if current else set()
    with read_database(root) as connection:
        chats.update(number for (number,) in connection.execute("SELECT chat_id FROM chats"))
        people = load_people(connection)
        return people, load_facts(connection, chats, people)


def load_withdrawn(registry: Registry) -> list[WithdrawnPerson]:
    """Return the people of a models folder whose messages must not be used.

    Raises:
        ArtifactError: The database is damaged.
    """
    current = None
    with suppress(ArtifactError):
        current = load_current_card(registry)
    people, facts = load_people_and_facts(registry.root, current)
    return Ledger(facts, people).withdrawn


def load_current_card(registry: Registry) -> Card | None:
    """Return the card of the current version, with its roster as stored; None if there is none.

    Raises:
        ArtifactError: It cannot be used.
    """
    name = registry.current
    return load_artifact(registry.root / "versions" / name).card if name else None


def has_bot_id(number: int) -> bool:
    """Whether an id includes `BOT_ID_OFFSET`; the bot's id may be negative."""
    return number > BOT_ID_OFFSET // 2


def split_id(number: int) -> tuple[str, int]:
    """Return who numbered a message, "bot" or "export", and its number there."""
    if has_bot_id(number) and not is_copy_id(number):
        return "bot", number - BOT_ID_OFFSET
    return "export", number


def join_id(space: str, number: int) -> int:
    """Return the id that `split_id` divided."""
    return number + BOT_ID_OFFSET if space == "bot" else number


def load_ledger(connection: sqlite3.Connection, chat_id: int) -> Ledger:
    """Return what is known about a chat."""
    chat = connection.execute(
        "SELECT understudies, deleted FROM chats WHERE chat_id = ?", (chat_id,)
    ).fetchone()
    forgotten = connection.execute(
        "SELECT number, is_word FROM forgotten WHERE chat_id = ?", (chat_id,)
    ).fetchall()
    people = load_people(connection)
    aliases = connection.execute(
        "SELECT bot_number, space, number FROM aliases WHERE chat_id = ?", (chat_id,)
    )
    return Ledger(
        load_facts(connection, [chat_id], people),
        people,
        forgotten=frozenset(number for number, _ in forgotten),
        understudies=frozenset(json.loads(chat[0])) if chat else frozenset(),
        deleted=chat[1] if chat else 0,
        aliases={bots: join_id(space, number) for bots, space, number in aliases},
        forgotten_words=frozenset(number for number, is_word in forgotten if is_word),
    )


def store_ledger(connection: sqlite3.Connection, chat_id: int, ledger: Ledger) -> None:
    """Store what is known about a chat, except what is in its row in `chats`."""
    store_facts(connection, ledger.facts)
    store_people(connection, ledger.people)
    connection.execute("DELETE FROM forgotten WHERE chat_id = ?", (chat_id,))
    connection.executemany(
        "INSERT INTO forgotten VALUES (?, ?, ?)",
        ((chat_id, number, number in ledger.forgotten_words) for number in ledger.forgotten),
    )
    connection.execute("DELETE FROM aliases WHERE chat_id = ?", (chat_id,))
    connection.executemany(
        "INSERT INTO aliases VALUES (?, ?, ?, ?)",
        ((chat_id, bots, *split_id(number)) for bots, number in ledger.aliases.items()),
    )
