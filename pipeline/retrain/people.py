"""Update the roster from exports and dumps: newcomers and decisions."""

import re
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import orjson

from model.chat.eligibility import parse_voice_header
from model.chat.roster import Decision, DecisionKind, Person, Roster, remove_decisions
from model.errors import ExportError, describe_error
from pipeline.dataset.roster_file import (
    add_people,
    assign_nameless_authors,
    make_roster,
    mark_quiet,
    read_roster,
    write_roster,
)
from pipeline.export.entries import Flag
from pipeline.export.merging import Author, count_messages
from pipeline.retrain.merge import Merged
from pipeline.versions.consent import Notes

_KEY = re.compile(rb'"understudy"\s*:')
_CHUNK = 1 << 20
_KEY_LENGTH = 64  # more than the key and the spaces after it


def notes_of(file: Path) -> Notes | None:
    """Return what a dump notes; None for a file that is no dump of the bot's.

    Raises:
        ExportError: It is one, and damaged: nobody's no may get lost.
    """
    if not _is_dump(file):
        return None
    try:
        value = orjson.loads(file.read_bytes().removeprefix(BOM_UTF8))
        return _notes(file, value["understudy"])
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise ExportError(
            f"{file} is a damaged dump ({describe_error(error)}): "
            "write it again with `understudy-bot dump`"
        ) from error


def _is_dump(file: Path) -> bool:
    """Whether the key stands anywhere in the file: exports are too large to be parsed for it.

    Within a message's text its quotes would be escaped, and Telegram has no such key.
    """
    rest = b""
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            if _KEY.search(rest + chunk):
                return True
            rest = chunk[-_KEY_LENGTH:]
    return False


def _notes(file: Path, value: Mapping[str, Any]) -> Notes:
    return Notes(
        file=file,
        chat_id=_whole(value["chat_id"]),
        written_at=_moment(value["written_at"]),
        decisions=tuple(map(_decision, value["decisions"])),
        forgotten=tuple(map(_whole, value["forgotten"])),
    )


def _decision(value: Mapping[str, Any]) -> Decision:
    if value["decision"] not in get_args(DecisionKind):
        raise ValueError(f"what is {value['decision']!r}?")
    return Decision(_whole(value["user_id"]), value["decision"], _moment(value["at"]))


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{value!r} is no id")
    return value


def _moment(value: object) -> datetime:
    moment = datetime.fromisoformat(str(value))
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


_MOSTLY = 2  # half of what somebody says, or more, has the bot's marker: it is our bot
_QUESTION = (
    "New here, {messages:,} message{s}: learned from, and no voice yet. ? May the bot speak as "
    'them? Then write imitate = "ask", or "yes" if you have their word; if they do not even want '
    'to be learned from, learn = "no".'
)

_SAID_NO = (
    "An earlier roster said no for them, and this one does not name them, {messages:,} "
    'message{s}: not learned from. ? Have they changed their mind? Then write learn = "yes".'
)


@dataclass(frozen=True, slots=True)
class People:
    """The roster with everyone's decisions, the roster as its admin wrote it, and new people.

    `is_made` says whether its file was created now.
    """

    roster: Roster
    written: Roster
    newcomers: tuple[Person, ...]
    is_made: bool


def people_of(
    whole: Merged,
    file: Path,
    beside: Sequence[Path],
    trained: Roster | None,
    min_messages: int,
) -> People:
    """Return who is who in a chat; the roster's file is made, or newcomers are added to it.

    Where there is no file it is made of the one beside an export, of the one that the current
    model was `trained` with, or of all who wrote.

    Raises:
        RosterError: A roster says something impossible.
    """
    authors = whole.spool.authors(whole.chat.chat_id, own_words=True)
    known = _known(file, beside, trained)
    ours = _ours(whole, known or Roster())
    if known is None:
        roster = make_roster(authors, _without(Roster(), ours), min_messages)
        write_roster(roster, file, authors)
        decided = _decided(whole, roster, authors, min_messages)
        return People(decided, roster, (), is_made=True)
    if not file.is_file():
        known = replace(known, people=tuple(map(whole.ledger.still_out, known.people)))
        write_roster(known, file, authors)
    known = assign_nameless_authors(_without(_renamed(known, trained), ours), authors)
    before = {person.ids for person in known.people}
    found = make_roster(authors, known, min_messages)
    newcomers = tuple(
        whole.ledger.still_out(replace(person, imitate="no"))
        for person in found.people
        if person.ids not in before
    )
    add_people(file, newcomers, _questions(newcomers, authors))
    roster = replace(known, people=(*known.people, *newcomers), bots=found.bots)
    decided = _decided(whole, roster, authors, min_messages)
    return People(decided, roster, newcomers, is_made=False)


def _decided(whole: Merged, roster: Roster, authors: Sequence[Author], min_messages: int) -> Roster:
    """Return a roster as people's own decisions have it; the ledger takes note of it."""
    roster = mark_quiet(whole.ledger.over(roster), authors, min_messages)
    whole.ledger = replace(whole.ledger, understudies=roster.understudies).noting(roster)
    return roster


def _known(file: Path, beside: Sequence[Path], trained: Roster | None) -> Roster | None:
    if file.is_file():
        return read_roster(file)
    if trained is not None:
        return remove_decisions(trained)  # the ledger holds people's own decisions
    found = next((path for path in beside if path.is_file()), None)
    return read_roster(found) if found else None


def _renamed(roster: Roster, trained: Roster | None) -> Roster:
    """Return a roster that knows what the current model calls people, as one alias more.

    Under that name the bot has spoken as them, whatever their name is now; unless it is now
    somebody else's.
    """
    if trained is None:
        return roster
    people = []
    for person in roster.people:
        was = [one for number in person.ids if (one := trained.find_by_id(number))]
        names = [name for one in was for name in (one.name, *one.aliases)]
        names = [name for name in names if not roster.find_by_name(name)]
        people.append(replace(person, aliases=tuple(dict.fromkeys([*person.aliases, *names]))))
    return replace(roster, people=tuple(people))


def _ours(whole: Merged, roster: Roster) -> frozenset[int]:
    """Return the ids of our own bot: those known, and whoever speaks with its marker."""
    said, marked = Counter[int](), Counter[int]()
    for one in whole.entries():
        if one.is_message and not one.flags & Flag.FORWARD:  # friends forward the bot's lines
            said[one.author] += 1
            marked[one.author] += parse_voice_header(one.text) is not None
    found = {one for one, times in marked.items() if times and times * _MOSTLY >= said[one]}
    return frozenset(found | whole.played) | whole.ledger.understudies | roster.understudies


def _without(roster: Roster, ours: Collection[int]) -> Roster:
    """Return a roster that takes these ids for our bot's, whoever had them in it."""
    people = (
        replace(person, ids=tuple(number for number in person.ids if number not in ours))
        for person in roster.people
    )
    was = {person.name for person in roster.people if not person.ids}
    kept = tuple(person for person in people if person.ids or person.name in was)
    return replace(
        roster, people=kept, bots=roster.bots - frozenset(ours), understudies=frozenset(ours)
    )


def _questions(people: Sequence[Person], authors: Sequence[Author]) -> dict[str, str]:
    counts = count_messages(authors)
    questions = {}
    for person in people:
        total = sum(counts[number] for number in person.ids)
        text = _SAID_NO if person.learn == "no" else _QUESTION
        questions[person.name] = text.format(messages=total, s="" if total == 1 else "s")
    return questions
