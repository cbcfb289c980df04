"""Write and read roster.toml, with questions about ambiguous identities."""

import json
import re
import textwrap
import tomllib
import unicodedata
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

from model.chat.names import ANYONE_WORDS, JOINERS, MAX_NAME, UNKNOWN_NAME, clean_name, fold
from model.chat.person import Person
from model.chat.roster import Roster, find_unknown_key, roster_from_json
from model.errors import RosterError, describe_error
from model.files import write_text
from model.redaction.redact import redact
from pipeline.export.merging import Author, count_messages

ROSTER_FILE = "roster.toml"
MIN_MESSAGES = 200
"""People with fewer messages are too quiet to be a voice."""

_MAX_NAMED = 5
"""A question lists at most this many people, and counts the others."""

_TWO = 2
_IF_KNOWN = "If this is somebody else in this file, add the id to theirs and delete this entry."
_WIDTH = 80
_INVISIBLE = {"Cc", "Cf", "Zl", "Zp"}
_MAX_SHORT_ESCAPE = 0xFFFF  # TOML escapes larger code points with eight digits
_HEAD = """\
# Who is who in this chat. Edit it, then build and train again.
#
# name     their name in prompts and after /as, without a colon and without the
#          brackets [ and ]
# ids      their Telegram ids; list all accounts of one person together:
#          ids = [7, 8]
# names    the names that Telegram showed for them
# aliases  other names for them after /as: aliases = ["Huguinho"]
# learn    "yes": the model learns from their messages; "no": it sees […]
#          instead of them
# imitate  "yes": the bot may speak as them; "ask": not until they send /optin
#          to the bot, or you write "yes"; "no": never
# quiet    true: they wrote too few messages to be a voice
#
# Above some people there is a question (?) that only you can answer. You may
# ignore it. To remove a person, delete their lines from [[people]] to imitate
# or quiet.

# Ids of other bots: their messages are left out.
bots = {bots}

# Ids of our own bot: its messages count as those of the friend it imitated,
# and are not learned from.
understudies = {understudies}
"""


def read_roster(path: Path) -> Roster:
    """Read a roster.toml in UTF-8, or in UTF-16 with a byte-order mark.

    Raises:
        RosterError: It cannot be read, or it is inconsistent.
    """
    text = _read_text(path)
    try:
        value = tomllib.loads(text)
        try:
            return roster_from_json(value)
        except RosterError as error:
            raise RosterError(f"{_locate_unknown_key(value, text)}{error}") from error
    except (RecursionError, ValueError, RosterError) as error:  # TOML's own errors are ValueErrors
        raise RosterError(f"{path}: {describe_error(error)}") from error


def write_roster(roster: Roster, path: Path, authors: Iterable[Author] = ()) -> None:
    """Write a roster.toml for a person to edit.

    With `authors`, people are sorted by their number of messages, and comments give that number
    and the questions of `find_questions`.
    """
    authors = tuple(authors)
    counts = count_messages(authors)
    people = sorted(roster.people, key=lambda person: -total_messages(person, counts))
    questions = find_questions(people, authors) if authors else {}
    tables = []
    for person in people:
        comments = []
        if authors:
            messages = total_messages(person, counts)
            comment = f"{messages:,} message{'s' if messages != 1 else ''}."
            too_little = " Too few to be a voice." if person.quiet else ""
            comments = [comment + too_little, *questions.get(person.name, ())]
        tables.append(_table(person, comments))
    head = _HEAD.format(
        bots=_listed(sorted(roster.bots)), understudies=_listed(sorted(roster.understudies))
    )
    write_text(path, head + "".join(tables))


def add_people(path: Path, people: Iterable[Person], comments: Mapping[str, str]) -> None:
    """Append people to a roster.toml, each with a comment."""
    tables = "".join(_table(person, [comments[person.name]]) for person in people)
    if tables:
        write_text(path, _read_text(path).rstrip("\n") + "\n" + tables)


def make_roster(
    authors: Iterable[Author], existing: Roster | None = None, min_messages: int = MIN_MESSAGES
) -> Roster:
    """Return a roster of these authors, who are silent until they agree; their messages are used.

    New people get the name that Telegram showed last and are sorted by their number of messages.
    People in `existing` stay the same, apart from what `match_authors` adds. People with fewer
    than `min_messages` are quiet.
    """
    authors = tuple(authors)
    existing = match_authors(existing or Roster(), authors)
    new = [author for author in authors if not _is_in_roster(author, existing)]
    new.sort(key=lambda author: -author.messages)
    people = list(existing.people)
    taken = {fold(person.name) for person in people} | ANYONE_WORDS
    for author in (author for author in new if not author.is_bot):
        name = _distinct(_name_of(author), taken)
        taken.add(fold(name))
        people.append(Person(name, (author.author_id,), author.names))
    bots = existing.bots | {author.author_id for author in new if author.is_bot}
    return mark_quiet(replace(existing, people=tuple(people), bots=bots), authors, min_messages)


def match_authors(roster: Roster, authors: Iterable[Author]) -> Roster:
    """Return a roster in which people have all names that exports show for their ids.

    They also get the authors of exports without ids, matched by name. A name that several people
    had goes to one with learn = "no", if any, so that nothing leaks.
    """
    authors = tuple(authors)
    shown = {author.author_id: author.names for author in authors}
    ids: dict[str, list[int]] = {}
    for author in authors:
        if author.by_name and author.names and not _is_in_roster(author, roster):
            ids.setdefault(fold(author.names[-1]), []).append(author.author_id)
    people = list(roster.with_shown_names(shown).people)
    for number, person in sorted(enumerate(people), key=lambda item: item[1].learn != "no"):
        own = {fold(name) for name in (person.name, *person.names, *person.aliases)}
        found = [one for name in own for one in ids.pop(name, ())]
        people[number] = replace(person, ids=(*person.ids, *sorted(found)))
    return replace(roster, people=tuple(people))


def mark_quiet(roster: Roster, authors: Iterable[Author], min_messages: int) -> Roster:
    """Return a roster in which exactly the people with too few messages are quiet."""
    counts = count_messages(authors)
    people = (replace(p, quiet=total_messages(p, counts) < min_messages) for p in roster.people)
    return replace(roster, people=tuple(people))


def find_questions(people: Iterable[Person], authors: Iterable[Author]) -> dict[str, list[str]]:
    """Return the questions of `list_questions` as text, by the name of the person below them."""
    found: dict[str, list[str]] = {}
    for question in list_questions(people, authors):
        text = f"{question.text} {question.remedy}"
        found.setdefault(question.people[0].name, []).append(text)
    return found


@dataclass(frozen=True, slots=True)
class RosterQuestion:
    """A question to the admin about who somebody is; the first person is the main one.

    It asks whether people are the same person, who this is, or whether this is a bot. `remedy` says
    what to write into the file.
    """

    kind: Literal["same", "who", "bot"]
    people: tuple[Person, ...]
    text: str
    remedy: str


def list_questions(people: Iterable[Person], authors: Iterable[Author]) -> list[RosterQuestion]:
    """Return what only a person who knows the group can answer.

    A question about several people appears once. There are no questions about people whom an admin
    has given a name or an alias.
    """
    by_id = {author.author_id: author for author in authors}
    candidates = []
    for person in people:
        accounts = tuple(by_id[number] for number in person.ids if number in by_id)
        names = [*person.names, *(name for account in accounts for name in account.names)]
        latest_first = dict.fromkeys(map(clean_name, reversed(names)))
        candidate = _KnownAs(person, accounts, tuple(reversed(latest_first)))
        if not candidate.is_identified:
            candidates.append(candidate)
    ways = (_ask_about_accounts, _ask_about_names, _ask_about_parts, _ask_about_first_names)
    return [question for ask in ways for question in ask(candidates)]


@dataclass(frozen=True, slots=True)
class _KnownAs:
    """A person, their accounts, and the names that Telegram showed, oldest first, cleaned."""

    person: Person
    accounts: tuple[Author, ...]
    shown: tuple[str, ...]

    @property
    def latest_name(self) -> str:
        """Return the name that Telegram showed last."""
        return self.shown[-1] if self.shown else self.person.name

    @property
    def words(self) -> tuple[str, ...]:
        """Return the words of that name for comparison; none for a deleted account."""
        return tuple(fold(self.latest_name).split()) if self.shown else ()

    @property
    def is_identified(self) -> bool:
        """Whether an admin has given the person a name or an alias."""
        name = fold(self.person.name)
        first, _, number = name.rpartition(" ")
        automatic = {fold(UNKNOWN_NAME), *map(fold, self.shown)}
        return bool(self.person.aliases) or not (
            name in automatic or (number.isdecimal() and first in automatic)
        )

    def __str__(self) -> str:
        return f"{self.person.name} (id {_numbers([self])})"


def _ask_about_accounts(people: Iterable[_KnownAs]) -> Iterator[RosterQuestion]:
    """Ask about accounts whose owner is unclear."""
    for who in people:
        by_name = bool(who.accounts) and all(account.by_name for account in who.accounts)
        texts = []
        if not who.shown:
            texts.append("A deleted account: who was it? Enter their name.")
        elif UNKNOWN_NAME not in who.shown and fold(who.person.name).startswith(UNKNOWN_NAME):
            texts.append("The name in Telegram cannot be used in prompts: who is it?")
        if by_name:
            texts.append("Known only by name, from an old export without ids: who is it?")
        elif who.person.ids and max(who.person.ids) < 0:
            texts.append("The group or a channel, used by an anonymous admin: who?")
        yield from (RosterQuestion("who", (who.person,), text, _IF_KNOWN) for text in texts)
        if fold(who.latest_name).endswith("bot"):
            remedy = f"Then add {_numbers([who])} to bots above and delete this entry."
            yield RosterQuestion("bot", (who.person,), "Is this a bot?", remedy)


def _ask_about_names(people: Iterable[_KnownAs]) -> Iterator[RosterQuestion]:
    """Ask whether people who have or had the same name are one person."""
    sharing: dict[str, list[_KnownAs]] = {}
    for who in people:
        for name in dict.fromkeys(map(fold, who.shown)):
            if name != UNKNOWN_NAME:
                sharing.setdefault(name, []).append(who)
    asked = set()
    for name, several in sharing.items():
        together = tuple(who.person.name for who in several)
        if len(several) > 1 and together not in asked:
            asked.add(together)
            called = next(shown for shown in several[0].shown if fold(shown) == name)
            are = "are" if all(fold(who.latest_name) == name for who in several) else "are or were"
            how_many = f"{_count(several)} {are} called {called} (ids {_numbers(several)})."
            yield _ask_if_same(several, how_many)


def _ask_about_parts(people: Sequence[_KnownAs]) -> Iterator[RosterQuestion]:
    """Ask whether two people are one if the name of one is part of the other's."""
    longer: dict[tuple[str, ...], list[_KnownAs]] = {}
    for who in people:
        ends = combinations(range(len(who.words) + 1), 2)
        for part in {who.words[start:end] for start, end in ends} - {who.words}:
            longer.setdefault(part, []).append(who)
    for words, who in {who.words: who for who in reversed(people)}.items():
        if others := longer.get(words):
            yield RosterQuestion(
                "same",
                (who.person, *(other.person for other in others)),
                f"Is {who.latest_name} the same person as {_named(others, 'or')}?",
                "Then write both ids in one of them and delete the other.",
            )


def _ask_about_first_names(people: Iterable[_KnownAs]) -> Iterator[RosterQuestion]:
    """Ask whether people who share a first name are one person."""
    sharing: dict[str, dict[tuple[str, ...], _KnownAs]] = {}
    for person in people:
        if len(person.words) > 1:
            sharing.setdefault(person.words[0], {}).setdefault(person.words, person)
    for by_words in sharing.values():
        several = list(by_words.values())
        if len(several) > 1:
            first = several[0].latest_name.split(" ")[0]
            who = f"{_count(several)} have the first name {first}: {_named(several, 'and')}."
            hint = " If not, give them aliases to tell them apart after /as."
            yield _ask_if_same(several, who, hint)


def _ask_if_same(several: Sequence[_KnownAs], who: str, hint: str = "") -> RosterQuestion:
    accounts, others = ("two", "other") if len(several) == _TWO else ("several", "others")
    return RosterQuestion(
        "same",
        tuple(one.person for one in several),
        f"{who} One person with {accounts} accounts?",
        f"Then write ids = [{_numbers(several)}] in one of them and delete the {others}.{hint}",
    )


def _count(several: Sequence[_KnownAs]) -> str:
    return "Two people" if len(several) == _TWO else f"{len(several)} people"


def _named(several: Sequence[_KnownAs], conjunction: str) -> str:
    rest = len(several) - _MAX_NAMED
    names = [*map(str, several[:_MAX_NAMED]), *([f"{rest} more"] if rest > 0 else ())]
    return f" {conjunction} ".join(names)


def _numbers(several: Iterable[_KnownAs]) -> str:
    return ", ".join(str(number) for who in several for number in who.person.ids)


def _read_text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise RosterError(f"there is no roster {path}") from error
    except OSError as error:
        raise RosterError(f"{path} cannot be read: {error.strerror}") from error
    encoding = "utf-16" if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise RosterError(
            f"{path} is not UTF-8 text (byte {error.start:,}): save it as UTF-8 in your editor"
        ) from error
    return text.replace("\r\n", "\n")


def _locate_unknown_key(value: Mapping[str, Any], text: str) -> str:
    """Return the line of an unknown key in the form "line 12: ", or ""."""
    people = value.get("people")
    found = find_unknown_key(people) if isinstance(people, list) else None
    if found is None:
        return ""
    index, key = found
    key_line = re.compile(rf"""\s*["']?{re.escape(key)}["']?\s*=""")
    seen = -1
    for number, line in enumerate(text.split("\n"), 1):
        seen += line.strip().startswith("[[people]]")
        if seen == index and key_line.match(line):
            return f"line {number}: "
    return ""


def _is_in_roster(author: Author, roster: Roster) -> bool:
    number = author.author_id
    is_person = roster.find_by_id(number) is not None
    return is_person or number in roster.bots or number in roster.understudies


def total_messages(person: Person, counts: Mapping[int, int]) -> int:
    """Return the number of a person's messages; `counts` has those of each id."""
    return sum(counts[number] for number in person.ids if number in counts)


def _name_of(author: Author) -> str:
    """Return a name for prompts; a phone number or an address is not used as a name."""
    shown = author.names[-1] if author.names else ""
    name = clean_name(shown)
    return name if (redact(shown), redact(name)) == (shown, name) else UNKNOWN_NAME


def _distinct(name: str, taken: set[str]) -> str:
    """Return the name, followed by a number if the name is taken."""
    distinct, number = name, 1
    while fold(distinct) in taken:
        number += 1
        distinct = f"{name[: MAX_NAME - len(str(number)) - 1].rstrip()} {number}"
    return distinct


def _table(person: Person, comments: Iterable[str]) -> str:
    """Return the lines of a person. Names in comments are clean, so they cannot end a line."""
    fields = {
        "name": _quoted(person.name),
        "ids": _listed(person.ids),
        "names": _listed(person.names),
        "aliases": _listed(person.aliases),
        "learn": _quoted(person.learn),
        "imitate": _quoted(person.imitate),
        **({"quiet": "true  # set by each build"} if person.quiet else {}),
    }
    lines = [
        *(
            f"# {line}"
            for comment in comments
            for line in textwrap.wrap(
                comment, _WIDTH - 2, break_long_words=False, break_on_hyphens=False
            )
        ),
        "[[people]]",
        *(f"{key} = {value}" for key, value in fields.items()),
    ]
    return "\n" + "".join(f"{line}\n" for line in lines)


def _listed(values: Iterable[int | str]) -> str:
    """Return a list, on several lines if it is too long for one."""
    items = [_quoted(value) if isinstance(value, str) else str(value) for value in values]
    line = f"[{', '.join(items)}]"
    if len(line) <= _WIDTH - len("understudies = "):
        return line
    return "[\n" + "".join(f"  {item},\n" for item in items) + "]"


def _quoted(text: str) -> str:
    """Return a TOML basic string, whose escapes are JSON's, with invisible characters escaped.

    A lone surrogate, which a damaged export may contain and TOML cannot, becomes "�".
    """
    valid = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return "".join(map(_escape_invisible, json.dumps(valid, ensure_ascii=False)))


def _escape_invisible(character: str) -> str:
    if unicodedata.category(character) not in _INVISIBLE or character in JOINERS:
        return character
    number = ord(character)
    return f"\\u{number:04X}" if number <= _MAX_SHORT_ESCAPE else f"\\U{number:08X}"
