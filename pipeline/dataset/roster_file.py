"""Write and read roster.toml, with questions where identities are ambiguous."""

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
from typing import Any

from model.chat.names import JOINERS, MAX_NAME, UNKNOWN_NAME, clean_name, fold
from model.chat.roster import Person, Roster, find_unknown_key, roster_from_json
from model.errors import RosterError, describe_error
from model.files import write_text
from model.redaction.redact import redact
from pipeline.export.merging import Author, count_messages

_NAMED = 5
"""A question names so many people at most, and counts the others."""

_TWO = 2
_ELSE = "If it is somebody else here, put the id among theirs and delete this one."


@dataclass(frozen=True, slots=True)
class _Someone:
    """A person, their accounts, and the names they had, oldest first, each clean."""

    person: Person
    accounts: tuple[Author, ...]
    shown: tuple[str, ...]

    @property
    def called(self) -> str:
        """Return the name that Telegram showed last."""
        return self.shown[-1] if self.shown else self.person.name

    @property
    def words(self) -> tuple[str, ...]:
        """Return the words of that name, for comparing; none for a deleted account."""
        return tuple(fold(self.called).split()) if self.shown else ()

    @property
    def is_settled(self) -> bool:
        """Whether an admin has said who it is: by a name of theirs, or by an alias."""
        name = fold(self.person.name)
        first, _, number = name.rpartition(" ")
        automatic = {fold(UNKNOWN_NAME), *map(fold, self.shown)}
        return bool(self.person.aliases) or not (
            name in automatic or (number.isdecimal() and first in automatic)
        )

    def __str__(self) -> str:
        return f"{self.person.name} (id {_numbers([self])})"


def questions(people: Iterable[Person], authors: Iterable[Author]) -> dict[str, list[str]]:
    """Return what to ask, by the name of the person beside whom it is asked.

    What concerns several is asked once, beside the first of them. Nothing is asked about those to
    whom an admin gave a name or an alias.
    """
    by_id = {author.author_id: author for author in authors}
    everybody = (_someone(person, by_id) for person in people)
    unsettled = [who for who in everybody if not who.is_settled]
    asked: dict[str, list[str]] = {}
    for find in (_alone, _of_one_name, _parts, _of_one_first_name):
        for who, question in find(unsettled):
            asked.setdefault(who.person.name, []).append(question)
    return asked


def _someone(person: Person, by_id: Mapping[int, Author]) -> _Someone:
    accounts = tuple(by_id[number] for number in person.ids if number in by_id)
    names = [*person.names, *(name for account in accounts for name in account.names)]
    latest_first = dict.fromkeys(map(clean_name, reversed(names)))
    return _Someone(person, accounts, tuple(reversed(latest_first)))


def _alone(people: Iterable[_Someone]) -> Iterator[tuple[_Someone, str]]:
    """Ask about accounts that may be anybody's."""
    for who in people:
        by_name = bool(who.accounts) and all(account.by_name for account in who.accounts)
        if not who.shown:
            yield who, f"A deleted account: who was it? Write their name. {_ELSE}"
        elif UNKNOWN_NAME not in who.shown and fold(who.person.name).startswith(UNKNOWN_NAME):
            yield who, f"Telegram shows what is no name for prompts: who is it? {_ELSE}"
        if by_name:
            yield who, f"Known by name alone, from an old export without ids: who is it? {_ELSE}"
        elif who.person.ids and max(who.person.ids) < 0:
            yield who, f"The group itself or a channel: an anonymous admin, and who? {_ELSE}"
        if fold(who.called).endswith("bot"):
            yield who, f"Is it a bot? Then add {_numbers([who])} to bots above and delete this one."


def _of_one_name(people: Iterable[_Someone]) -> Iterator[tuple[_Someone, str]]:
    """Ask whether people who have or had the same name are one."""
    sharing: dict[str, list[_Someone]] = {}
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
            are = "are" if all(fold(who.called) == name for who in several) else "are or were"
            how_many = f"{_count(several)} {are} called {called} (ids {_numbers(several)})."
            yield several[0], f"{how_many} {_one_person(several)}"


def _parts(people: Sequence[_Someone]) -> Iterator[tuple[_Someone, str]]:
    """Ask whether somebody whose name is part of another's is that other."""
    longer: dict[tuple[str, ...], list[_Someone]] = {}
    for who in people:
        ends = combinations(range(len(who.words) + 1), 2)
        for part in {who.words[start:end] for start, end in ends} - {who.words}:
            longer.setdefault(part, []).append(who)
    for words, who in {who.words: who for who in reversed(people)}.items():
        if others := longer.get(words):
            same = f"Is {who.called} the same person as {_named(others, 'or')}?"
            yield who, f"{same} Then write both ids in one of them and delete the other."


def _of_one_first_name(people: Iterable[_Someone]) -> Iterator[tuple[_Someone, str]]:
    """Ask whether people who share a first name are one, and how to tell them apart."""
    sharing: dict[str, dict[tuple[str, ...], _Someone]] = {}
    for person in people:
        if len(person.words) > 1:
            sharing.setdefault(person.words[0], {}).setdefault(person.words, person)
    for by_words in sharing.values():
        several = list(by_words.values())
        if len(several) > 1:
            first = several[0].called.split(" ")[0]
            who = f"{_count(several)} have the first name {first}: {_named(several, 'and')}."
            hint = "If not, an alias tells them apart after /as."
            yield several[0], f"{who} {_one_person(several)} {hint}"


def _one_person(several: Sequence[_Someone]) -> str:
    accounts, others = ("two", "other") if len(several) == _TWO else ("several", "others")
    return (
        f"One person with {accounts} accounts? Then write ids = [{_numbers(several)}] "
        f"in one of them and delete the {others}."
    )


def _count(several: Sequence[_Someone]) -> str:
    return "Two people" if len(several) == _TWO else f"{len(several)} people"


def _named(several: Sequence[_Someone], conjunction: str) -> str:
    rest = len(several) - _NAMED
    names = [*map(str, several[:_NAMED]), *([f"{rest} more"] if rest > 0 else ())]
    return f" {conjunction} ".join(names)


def _numbers(several: Iterable[_Someone]) -> str:
    return ", ".join(str(number) for who in several for number in who.person.ids)


ROSTER_FILE = "roster.toml"
MIN_MESSAGES = 200
"""Who wrote fewer is too quiet to be a voice."""

_WIDTH = 80
_UNSEEN = {"Cc", "Cf", "Zl", "Zp"}
_SHORT = 0xFFFF  # TOML writes what is beyond with eight digits
_HEAD = """\
# Who is who in this chat. Edit it, then build and train again.
#
# name     what they are called in prompts and after /as, without a colon and
#          without the brackets [ and ]
# ids      their Telegram ids; list all accounts of one person together:
#          ids = [7, 8]
# names    the names that Telegram showed for them
# aliases  what else they may be called after /as: aliases = ["Huguinho"]
# learn    "yes": the model learns from their messages; "no": it sees […] in
#          place of them
# imitate  "yes": the bot may speak as them; "ask": silent until they agree and
#          you write "yes"; "no": never
# quiet    true: they wrote too little to be a voice
#
# Above some people there is a question (?) that only you can answer. You may
# leave it as it is. To delete a person, delete their lines from [[people]]
# to imitate or quiet.

# Ids of other bots: their messages are left out.
bots = {bots}

# Ids of our own bot: its messages count as those of the friend it imitated,
# and are not learned from.
understudies = {understudies}
"""


def read_roster(path: Path) -> Roster:
    """Read a roster.toml, as UTF-8 or, with a byte order mark, as UTF-16.

    Raises:
        RosterError: It cannot be read, or is not consistent.
    """
    text = _text_of(path)
    try:
        value = tomllib.loads(text)
        try:
            return roster_from_json(value)
        except RosterError as error:
            raise RosterError(f"{_line_of_unknown_key(value, text)}{error}") from error
    except (RecursionError, ValueError, RosterError) as error:  # TOML's own errors are ValueErrors
        raise RosterError(f"{path}: {describe_error(error)}") from error


def _text_of(path: Path) -> str:
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


def _line_of_unknown_key(value: Mapping[str, Any], text: str) -> str:
    """Return the place of an unknown key, such as "line 12: ", or ""."""
    people = value.get("people")
    found = find_unknown_key(people) if isinstance(people, list) else None
    if found is None:
        return ""
    place, key = found
    key_line = re.compile(rf"""\s*["']?{re.escape(key)}["']?\s*=""")
    seen = -1
    for number, line in enumerate(text.split("\n"), 1):
        seen += line.strip().startswith("[[people]]")
        if seen == place and key_line.match(line):
            return f"line {number}: "
    return ""


def write_roster(roster: Roster, path: Path, authors: Iterable[Author] = ()) -> None:
    """Write a roster.toml that `read_roster` reads back and a person can edit.

    With its authors, who wrote most comes first, and comments say how much each wrote and ask what
    only a person can know.
    """
    authors = tuple(authors)
    counts = count_messages(authors)
    people = sorted(roster.people, key=lambda person: -_total(person, counts))
    asked = questions(people, authors) if authors else {}
    tables = []
    for person in people:
        said = [_how_much(person, _total(person, counts))] if authors else []
        tables.append(_table(person, [*said, *asked.get(person.name, ())]))
    head = _HEAD.format(
        bots=_listed(sorted(roster.bots)), understudies=_listed(sorted(roster.understudies))
    )
    write_text(path, head + "".join(tables))


def add_people(path: Path, people: Iterable[Person], comments: Mapping[str, str]) -> None:
    """Write people, each with a comment, behind those of a roster.toml; its own lines stay."""
    tables = "".join(_table(person, [comments[person.name]]) for person in people)
    if tables:
        write_text(path, _text_of(path).rstrip("\n") + "\n" + tables)


def make_roster(
    authors: Iterable[Author], known: Roster | None = None, min_messages: int = MIN_MESSAGES
) -> Roster:
    """Return the people among these authors: learned from, silent until they agree.

    Each is called by the name that Telegram showed last; who wrote most comes first. Who is `known`
    stays as they are, but for names not seen before. Who wrote fewer than `min_messages` is quiet.
    """
    authors = tuple(authors)
    known = known or Roster()
    strangers = [author for author in authors if not _is_known(author, known)]
    strangers.sort(key=lambda author: -author.messages)
    shown = {author.author_id: author.names for author in authors}
    people = [_with_names(person, shown) for person in known.people]
    taken = {fold(person.name) for person in people}
    for author in (author for author in strangers if not author.is_bot):
        name = _distinct(_name_of(author), taken)
        taken.add(fold(name))
        people.append(Person(name, (author.author_id,), author.names))
    bots = known.bots | {author.author_id for author in strangers if author.is_bot}
    return mark_quiet(replace(known, people=tuple(people), bots=bots), authors, min_messages)


def assign_nameless_authors(roster: Roster, authors: Iterable[Author]) -> Roster:
    """Return a roster that knows the authors of exports without ids by the names people had.

    A name that several had is theirs who said no, if one did: nobody's words are to leak.
    """
    ids: dict[str, list[int]] = {}
    for author in authors:
        if author.by_name and not _is_known(author, roster):
            ids.setdefault(fold(author.names[-1]), []).append(author.author_id)
    people = list(roster.people)
    for number, person in sorted(enumerate(people), key=lambda item: item[1].learn != "no"):
        own = {fold(name) for name in (person.name, *person.names, *person.aliases)}
        found = [one for name in own for one in ids.pop(name, ())]
        people[number] = replace(person, ids=(*person.ids, *sorted(found)))
    return replace(roster, people=tuple(people))


def mark_quiet(roster: Roster, authors: Iterable[Author], min_messages: int) -> Roster:
    """Return a roster in which they are quiet who wrote too little, and nobody else is."""
    counts = count_messages(authors)
    people = (replace(p, quiet=_total(p, counts) < min_messages) for p in roster.people)
    return replace(roster, people=tuple(people))


def _is_known(author: Author, roster: Roster) -> bool:
    number = author.author_id
    is_person = roster.find_by_id(number) is not None
    return is_person or number in roster.bots or number in roster.understudies


def _with_names(person: Person, shown: Mapping[int, tuple[str, ...]]) -> Person:
    seen = (name for number in person.ids for name in shown.get(number, ()))
    return replace(person, names=tuple(dict.fromkeys((*person.names, *seen))))


def _total(person: Person, counts: Mapping[int, int]) -> int:
    return sum(counts[number] for number in person.ids if number in counts)


def _name_of(author: Author) -> str:
    """Return what prompts call somebody: nobody's phone number or address."""
    shown = author.names[-1] if author.names else ""
    name = clean_name(shown)
    return name if (redact(shown), redact(name)) == (shown, name) else UNKNOWN_NAME


def _distinct(name: str, taken: set[str]) -> str:
    """Return the name, with a number after it where somebody is called so already."""
    distinct, number = name, 1
    while fold(distinct) in taken:
        number += 1
        distinct = f"{name[: MAX_NAME - len(str(number)) - 1].rstrip()} {number}"
    return distinct


def _how_much(person: Person, messages: int) -> str:
    said = f"{messages:,} message{'s' if messages != 1 else ''}."
    return f"{said} That is too little to be a voice: quiet." if person.quiet else said


def _table(person: Person, comments: Iterable[str]) -> str:
    """Return somebody's lines; comments hold clean names alone, so that none can end a line."""
    fields = {
        "name": _quoted(person.name),
        "ids": _listed(person.ids),
        "names": _listed(person.names),
        "aliases": _listed(person.aliases),
        "learn": _quoted(person.learn),
        "imitate": _quoted(person.imitate),
        **({"quiet": "true  # build decides this anew each time"} if person.quiet else {}),
    }
    lines = [
        *(f"# {line}" for comment in comments for line in _wrapped(comment)),
        "[[people]]",
        *(f"{key} = {value}" for key, value in fields.items()),
    ]
    return "\n" + "".join(f"{line}\n" for line in lines)


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH - 2, break_long_words=False, break_on_hyphens=False)


def _listed(values: Iterable[int | str]) -> str:
    """Return a list, on several lines where one would be too long."""
    items = [_quoted(value) if isinstance(value, str) else str(value) for value in values]
    line = f"[{', '.join(items)}]"
    if len(line) <= _WIDTH - len("understudies = "):
        return line
    return "[\n" + "".join(f"  {item},\n" for item in items) + "]"


def _quoted(text: str) -> str:
    """Return a basic string: JSON's escapes are TOML's; what cannot be seen is escaped too.

    Half of a surrogate pair, which a damaged export may hold and no TOML can, becomes "�".
    """
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return "".join(map(_escaped, json.dumps(whole, ensure_ascii=False)))


def _escaped(character: str) -> str:
    if unicodedata.category(character) not in _UNSEEN or character in JOINERS:
        return character
    number = ord(character)
    return f"\\u{number:04X}" if number <= _SHORT else f"\\U{number:08X}"
