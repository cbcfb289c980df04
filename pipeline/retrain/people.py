"""Read the decisions in the bot's dumps, and update the roster with them and with new people."""

from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import orjson

from model.artifacts.consent import keep_refusals
from model.chat.eligibility import parse_voice_header
from model.chat.permissions import apply_to_training, permissions
from model.chat.person import Learn, Person
from model.chat.roster import Roster, decision_from_json, id_from_json, remove_decisions
from model.errors import ExportError, describe_error
from pipeline.dataset.roster_file import (
    add_people,
    make_roster,
    mark_quiet,
    match_authors,
    read_roster,
    write_roster,
)
from pipeline.export.entries import Flag
from pipeline.export.files import ExportFile
from pipeline.export.merging import Author, count_messages
from pipeline.retrain.merge import MergedChat
from pipeline.versions.ledger import DumpNotes

_MIN_VOICE_SHARE = 0.5
"""An author with at least this share of messages in a voice is our bot."""

_NEWCOMER = (
    "New, {messages:,} message{s}: used for training, but not a voice yet. ? May the bot speak as "
    'them? Then write imitate = "ask", or "yes" if they have agreed. If their messages must not be '
    'used either, write learn = "no".'
)
_EXCLUDED = (
    "An earlier roster excluded them, and this one does not list them, {messages:,} "
    'message{s}: not used. ? Have they changed their mind? Then write learn = "yes".'
)


@dataclass(frozen=True, slots=True)
class People:
    """A chat's roster with everyone's decisions applied.

    `is_new` is true if the roster file was created in this run.
    """

    roster: Roster
    newcomers: tuple[Person, ...]
    is_new: bool


def read_dump_notes(file: ExportFile) -> DumpNotes | None:
    """Return the decisions and forgotten messages in a dump, or None for any other file.

    Raises:
        ExportError: The dump is damaged. Ignoring it could lose somebody's `/optout`.
    """
    if not file.index().is_dump:
        return None
    try:
        value = orjson.loads(file.path.read_bytes().removeprefix(BOM_UTF8))["understudy"]
        written_at = datetime.fromisoformat(str(value["written_at"]))
        if written_at.tzinfo is None:
            written_at = written_at.replace(tzinfo=UTC)
        chat_id = id_from_json(value["chat_id"])
        told = map(decision_from_json, value["decisions"])
        return DumpNotes(
            file=file,
            chat_id=chat_id,
            written_at=written_at.astimezone(UTC),
            decisions=tuple(replace(one, chat_id=chat_id) for one in told),
            forgotten=tuple(map(id_from_json, value["forgotten"])),
            names=tuple((id_from_json(one), str(name)) for one, name in value.get("names", ())),
        )
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise ExportError(
            f"{file} is a damaged dump ({describe_error(error)}): "
            "write it again with `understudy-bot dump`"
        ) from error


def update_people(
    merged: MergedChat,
    file: Path,
    beside: Sequence[Path],
    trained: Roster | None,
    min_messages: int,
    names: Iterable[tuple[int, str]] = (),
) -> People:
    """Return the people of a chat; create the roster file, or add new people to it.

    Without a file, the roster is the one that the current model was `trained` with, the first
    existing file of `beside`, or everyone who wrote. The ledger records who is excluded.
    `names` are those that dumps show for user ids, the latest last.

    Raises:
        RosterError: A roster is invalid.
    """
    authors = merged.spool.authors(merged.chat.chat_id)
    existing = _load_roster(file, beside, trained)
    bots = _find_bot_ids(merged, existing or Roster())
    newcomers: tuple[Person, ...] = ()
    if existing is None:
        written = make_roster(authors, _exclude_bots(Roster(), bots), min_messages)
        write_roster(written, file, authors)
    else:
        if not file.is_file():
            kept = tuple(map(merged.ledger.keep_excluded, existing.people))
            existing = replace(existing, people=kept)
            write_roster(existing, file, authors)
        existing = _exclude_bots(_add_trained_names(existing, trained), bots)
        existing = match_authors(existing, authors)
        earlier_ids = {person.ids for person in existing.people}
        found = make_roster(authors, existing, min_messages)
        newcomers = tuple(
            merged.ledger.keep_excluded(replace(person, imitate="no"))
            for person in found.people
            if person.ids not in earlier_ids
        )
        newcomers = _recognise(newcomers, merged.ledger.people, existing)
        add_people(file, newcomers, _write_questions(newcomers, authors))
        written = replace(existing, people=(*existing.people, *newcomers), bots=found.bots)
    shown: dict[int, list[str]] = {}
    for number, name in names:
        shown.setdefault(number, []).append(name)
    written = written.with_shown_names(shown)
    ledger = merged.ledger
    decided = mark_quiet(apply_to_training(written, ledger.facts), authors, min_messages)
    refusals = (
        person
        for person, own in permissions(ledger.people, ledger.facts)
        if person.has_no or own.learn == "no"
    )
    people = keep_refusals(written.people, refusals)
    merged.ledger = replace(ledger, people=people, understudies=decided.understudies)
    return People(decided, newcomers, is_new=existing is None)


def _recognise(
    newcomers: Iterable[Person], earlier: Iterable[Person], roster: Roster
) -> tuple[Person, ...]:
    """Return new people with the accounts and names that an earlier roster knew of them.

    Accounts of one earlier person become one person, so that all of them stay excluded together.
    """
    people = list(newcomers)
    for known in earlier:
        same = [person for person in people if not set(known.ids).isdisjoint(person.ids)]
        if not same:
            continue
        ids = dict.fromkeys((*same[0].ids, *known.ids, *(n for one in same for n in one.ids)))
        free = (number for number in ids if roster.find_by_id(number) is None)
        names = (name for one in (known, *same) for name in (one.name, *one.aliases))
        aliases = (name for name in names if not roster.find_by_name(name))
        learn: Learn = "no" if any(one.learn == "no" for one in same) else "yes"
        merged = replace(
            same[0],
            ids=tuple(free),
            learn=learn,
            aliases=tuple(dict.fromkeys(name for name in aliases if name != same[0].name)),
        ).with_names(name for one in (known, *same) for name in one.names)
        people = [merged if one is same[0] else one for one in people if one not in same[1:]]
    return tuple(people)


def _load_roster(file: Path, beside: Sequence[Path], trained: Roster | None) -> Roster | None:
    if file.is_file():
        return read_roster(file)
    if trained is not None:
        return remove_decisions(trained)  # the ledger holds people's own decisions
    found = next((path for path in beside if path.is_file()), None)
    return read_roster(found) if found else None


def _add_trained_names(roster: Roster, trained: Roster | None) -> Roster:
    """Return a roster with the names that the current model uses for people, as aliases.

    The bot has spoken as them under these names. A name that now belongs to somebody else is left
    out. The names that Telegram showed for them stay, too.
    """
    if trained is None:
        return roster
    people = []
    for person in roster.people:
        earlier = [one for number in person.ids if (one := trained.find_by_id(number))]
        names = [name for former in earlier for name in (former.name, *former.aliases)]
        names = [name for name in names if not roster.find_by_name(name)]
        aliases = tuple(dict.fromkeys([*person.aliases, *names]))
        shown = (name for former in earlier for name in former.names)
        people.append(replace(person, aliases=aliases).with_names(shown))
    return replace(roster, people=tuple(people))


def _find_bot_ids(merged: MergedChat, roster: Roster) -> frozenset[int]:
    """Return the ids of our own bot: those on record, and authors who mostly speak in voices.

    Somebody whose messages must not be used never counts as the bot, whatever they write.
    """
    messages, spoken = Counter[int](), Counter[int]()
    for entry in merged.entries():
        # friends forward the bot's messages
        if entry.is_message and not entry.flags & Flag.FORWARD:
            messages[entry.author] += 1
            spoken[entry.author] += parse_voice_header(entry.text) is not None
    found = {
        author
        for author, count in spoken.items()
        if count and count >= _MIN_VOICE_SHARE * messages[author]
    }
    suspected = (found | merged.bots) - roster.excluded_ids
    return frozenset(suspected) | merged.ledger.understudies | roster.understudies


def _exclude_bots(roster: Roster, bots: Collection[int]) -> Roster:
    """Return a roster that lists these ids as our bot's, and not as anybody else's."""
    people = []
    for person in roster.people:
        ids = tuple(number for number in person.ids if number not in bots)
        if ids or not person.ids:
            people.append(replace(person, ids=ids))
    understudies = frozenset(bots)
    return replace(
        roster, people=tuple(people), bots=roster.bots - understudies, understudies=understudies
    )


def _write_questions(people: Sequence[Person], authors: Sequence[Author]) -> dict[str, str]:
    """Return a comment for the roster file for each new person, by name."""
    counts = count_messages(authors)
    questions = {}
    for person in people:
        total = sum(counts[number] for number in person.ids)
        text = _EXCLUDED if person.learn == "no" else _NEWCOMER
        questions[person.name] = text.format(messages=total, s="" if total == 1 else "s")
    return questions
