"""Ask who the people of a chat are and who agreed, and write roster.toml."""

import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from model.chat.names import (
    ANYONE_WORDS,
    clean_name,
    fold,
    make_printable,
    make_printable_name,
)
from model.chat.person import Imitate, Person
from model.chat.roster import Roster
from model.errors import RosterError
from pipeline.dataset.roster_file import (
    MIN_MESSAGES,
    RosterQuestion,
    list_questions,
    make_roster,
    mark_quiet,
    read_roster,
    total_messages,
    write_roster,
)
from pipeline.export.merging import Author, count_messages
from pipeline.start.asking import Asker, allow_back, join_names, number_lines
from pipeline.start.request import NamedConsent

_LOWER_MINIMUMS = (100, 50, 20, 10)
_MIN_VOICES = _TWO = 2
_MAX_SHOWN = 5  # people with examples before a question
_CONSENT = """
May the bot speak as them? Telegram's terms ask for their consent.
  y      they have agreed
  -      not asked yet: silent until they send /optin to the bot
  n      never
  x      never, and the model must not learn from their messages
  Enter  the answer in brackets"""
_STRICTEST: tuple[Imitate, ...] = ("no", "ask", "yes")
_AGREED, _NOT_YET, _NEVER, _EXCLUDED = "y", "", "n", "x"
_EXAMPLES, _MAX_EXAMPLE = 2, 70
"""Messages that show who owns an account, and their maximum characters."""
_CONSENT_WORDS = {"-": "", "not yet": "", "yes": "y", "s": "y", "sim": "y", "no": "n", "não": "n"}


ShowExamples = Callable[[Person], None]
"""Prints the last messages of a person's accounts."""


def choose_minimum(authors: Iterable[Author], wanted: int = 0) -> int:
    """Return the minimum messages for a voice: the given number, or one that two people reach."""
    if wanted:
        return wanted
    counts = sorted((author.messages for author in authors if not author.is_bot), reverse=True)
    second = counts[_MIN_VOICES - 1] if len(counts) >= _MIN_VOICES else 0
    return next((n for n in (MIN_MESSAGES, *_LOWER_MINIMUMS) if n <= second), MIN_MESSAGES)


def ask_people(  # noqa: PLR0913  about whom to ask, where to write, and how to continue
    asker: Asker,
    authors: Sequence[Author],
    file: Path,
    beside: Path,
    min_messages: int,
    consent: NamedConsent,
    *,
    recent_texts: Callable[[int, int], Iterable[str]] = lambda _author, _count: (),
    answered: int | None = None,
    on_stop: Callable[[int], object] = lambda _: None,
) -> Roster:
    """Write a roster with the person's answers about each author, and return it.

    People without an answer are not imitated. If there is already a roster, in `file` or `beside`
    the export, the person may keep it unchanged, or its answers are the defaults of the questions.
    `recent_texts` returns the last texts of an account.

    Ctrl-C among the questions about consent writes the answers so far, and `on_stop` gets their
    number. With this number as `answered`, the questions continue there.

    Raises:
        GoBack: The answer to the first question was `back`.
        RosterError: A roster is invalid, or an option names nobody.
    """
    known = next((path for path in (file, beside) if path.is_file()), None)
    existing = read_roster(known) if known else None
    roster = make_roster(authors, existing, min_messages)
    _print_people(asker, roster, authors)

    def ask(asker: Asker) -> Roster:
        show = partial(_show_examples, asker, recent_texts)
        if existing and answered is not None and not asker.takes_defaults:
            asker.say(f"Continuing with the answers in {file}.")
            return _ask_consent(asker, roster, authors, show, keep, answered)
        if (existing and _may_keep(asker, existing, known)) or asker.takes_defaults:
            return roster
        named = mark_quiet(_ask_identities(asker, roster, authors, show), authors, min_messages)
        return _ask_consent(asker, named, authors, show, keep)

    def keep(unfinished: Roster, count: int) -> None:
        write_roster(unfinished, file, authors)
        on_stop(count)

    finished = apply_consent(roster, consent) if consent.is_given else allow_back(asker, ask)
    write_roster(finished, file, authors)
    return finished


def apply_consent(roster: Roster, consent: NamedConsent) -> Roster:
    """Return a roster with the answers that options give.

    Raises:
        RosterError: A name is not in the roster.
    """
    people = {person.name: person for person in roster.people}
    for names, change in (
        (consent.agreed, {"imitate": "yes"}),
        (consent.never, {"imitate": "no"}),
        (consent.excluded, {"learn": "no", "imitate": "no"}),
    ):
        for name in names:
            person = roster.find_by_name(name)
            if person is None:
                everybody = join_names(person.name for person in roster.people)
                raise RosterError(f"nobody is called {name!r}: the people are {everybody}")
            people[person.name] = replace(people[person.name], **change)  # type: ignore[arg-type]  # checked by Person
    return replace(roster, people=tuple(people.values()))


def describe_consent(roster: Roster) -> str:
    """Return who agreed, who must never be imitated and whose messages are not used."""
    groups = {
        "never": [p.name for p in roster.people if p.imitate == "no" and p.learn == "yes"],
        "messages not used": [p.name for p in roster.people if p.learn == "no"],
    }
    agreed = [person.name for person in roster.people if person.imitate == "yes"]
    parts = [f"agreed: {join_names(agreed)}" if agreed else "nobody has agreed yet"]
    parts += [f"{title}: {join_names(names)}" for title, names in groups.items() if names]
    return "; ".join(parts)


def merge_people(roster: Roster, same: Sequence[Person]) -> Roster:
    """Return a roster in which these people are merged into the first of them.

    A "no" from any of them is kept. Their other names stay as aliases.
    """
    first, *others = same
    names = dict.fromkeys(name for person in same for name in person.names)
    aliases = dict.fromkeys(name for person in same for name in (person.name, *person.aliases))
    answers = {person.imitate for person in same}
    imitate = next(answer for answer in _STRICTEST if answer in answers)
    merged = replace(
        first,
        ids=tuple(dict.fromkeys(number for person in same for number in person.ids)),
        names=tuple(names),
        aliases=tuple(name for name in aliases if fold(name) != fold(first.name)),
        learn="no" if any(person.learn == "no" for person in same) else "yes",
        imitate=imitate,
    )
    gone = {other.name for other in others}
    people = (merged if person.name == first.name else person for person in roster.people)
    return replace(roster, people=tuple(person for person in people if person.name not in gone))


def _print_people(asker: Asker, roster: Roster, authors: Iterable[Author]) -> None:
    counts = count_messages(authors)
    loud = [person for person in roster.people if not person.quiet]
    quiet = [person.name for person in roster.people if person.quiet]
    width = max((len(one.name) for one in loud), default=0)
    rows = [f"{one.name:{width}}  {total_messages(one, counts):>7,} messages" for one in loud]
    asker.say(number_lines(rows))
    if quiet:
        asker.say(f"Too few messages to be a voice: {join_names(quiet)}", "dim")


def _show_examples(
    asker: Asker, recent_texts: Callable[[int, int], Iterable[str]], person: Person
) -> None:
    """Print the last messages of a person's accounts."""
    lines = []
    for number in person.ids:
        lines.append(f"{person.name} (id {number})")
        for text in recent_texts(number, _EXAMPLES):
            words = " ".join(make_printable(text).split())
            lines.append(f"  {words if len(words) <= _MAX_EXAMPLE else f'{words[:_MAX_EXAMPLE]}…'}")
    asker.say("\n".join(lines), "dim")


def _find_namesakes(people: Iterable[Person]) -> set[str]:
    """Return the names in prompts of people whom Telegram shows under the same name."""
    shown = {person.name: {fold(name) for name in person.names[-1:]} for person in people}
    counts = Counter(name for names in shown.values() for name in names)
    return {name for name, own in shown.items() if any(counts[one] > 1 for one in own)}


def _may_keep(asker: Asker, existing: Roster, file: Path | None) -> bool:
    asker.say(f"{file} says who they are; {describe_consent(existing)}.")
    return asker.confirm("Keep these answers?", default=True)


def _ask_identities(
    asker: Asker, roster: Roster, authors: Sequence[Author], show: ShowExamples
) -> Roster:
    """Ask the questions about accounts, then whether the names are right."""
    asked: set[tuple[str, Collection[int]]] = set()
    while True:
        open_ones = (
            one
            for one in list_questions(roster.people, authors)
            if (one.kind, frozenset(n for p in one.people for n in p.ids)) not in asked
        )
        question = next(open_ones, None)
        if question is None:
            break
        asked.add((question.kind, frozenset(n for p in question.people for n in p.ids)))
        for person in question.people[:_MAX_SHOWN]:
            show(person)
        roster = _ask_identity(asker, roster, question)
    if asker.confirm("Are these the names to use after /as?", default=True):
        return roster
    namesakes = _find_namesakes(roster.people)
    for person in [one for one in roster.people if not one.quiet]:
        if person.name in namesakes:
            show(person)
        name = _ask_name(asker, f"{_describe(person)}: name", person.name)
        roster = _renamed(asker, roster, person, name)
    return roster


def _ask_identity(asker: Asker, roster: Roster, question: RosterQuestion) -> Roster:
    """Ask one question about who somebody is, and return the roster with the answer."""
    first = question.people[0]
    match question.kind:
        case "same":
            if len(same := _ask_same(asker, question)) > 1:
                return merge_people(roster, same)
        case "bot":
            if asker.confirm(f"{_describe(first)}: is this a bot?", default=True):
                people = tuple(person for person in roster.people if person.name != first.name)
                return replace(roster, people=people, bots=roster.bots | set(first.ids))
        case "who":
            asker.say(f"{_describe(first)}: {question.text}")
            answer = _ask_name(asker, "A name from the list above, or a new one", first.name)
            if (known := roster.find_by_name(answer)) and known.name != first.name:
                return merge_people(roster, (known, first))
            return _renamed(asker, roster, first, answer)
    return roster


def _ask_same(asker: Asker, question: RosterQuestion) -> list[Person]:
    """Return which of these people are one person; none or one if they are all different."""
    people = list(question.people)
    if len(people) == _TWO:
        return people if asker.confirm(question.text, default=False) else []
    asker.say(question.text)
    asker.say(number_lines([_describe(person) for person in people]))
    while True:
        answer = asker.ask("Numbers of those who are the same person, such as 1 3", "none")
        numbers = [] if answer == "none" else answer.replace(",", " ").split()
        if all(n.isdecimal() and 1 <= int(n) <= len(people) for n in numbers):
            return [people[n - 1] for n in dict.fromkeys(map(int, numbers))]
        asker.say(f"Type numbers from 1 to {len(people)}.", "yellow")


def _renamed(asker: Asker, roster: Roster, person: Person, name: str) -> Roster:
    """Return a roster with another name for a person; ask again while it cannot be used."""
    while True:
        new = clean_name(name)
        other = roster.find_by_name(new)
        if fold(new) in ANYONE_WORDS:
            asker.say(
                f"/as {new} lets the model choose who speaks: choose a different name.", "yellow"
            )
        elif other is None or other.name == person.name:
            renamed = replace(person, name=new, aliases=_keep_name(roster, person, new))
            people = (renamed if p.name == person.name else p for p in roster.people)
            return replace(roster, people=tuple(people))
        else:
            asker.say(f"There is another {new}: choose a different name.", "yellow")
        name = _ask_name(asker, f"{_describe(person)}: name", person.name)


def _ask_name(asker: Asker, question: str, default: str) -> str:
    """Return a name; one of punctuation only, such as a ? that asks for help, is asked again."""
    while True:
        answer = asker.ask(question, default)
        if answer == default or any(unicodedata.category(one)[0] not in "PZ" for one in answer):
            return answer
        asker.say(f"{answer} is not a name: type one, or press Enter to keep {default}.", "yellow")


def _keep_name(roster: Roster, person: Person, new: str) -> tuple[str, ...]:
    """Return the aliases of a person with a new name: friends may still type the old one.

    They do not if it was the name of several, which a number distinguished.
    """
    is_shared = person.name in _find_namesakes(roster.people)
    names = person.aliases if is_shared else (*person.aliases, person.name)
    return tuple(name for name in dict.fromkeys(names) if fold(name) != fold(new))


def _ask_consent(
    asker: Asker,
    roster: Roster,
    authors: Sequence[Author],
    show: ShowExamples,
    keep: Callable[[Roster, int], None],
    answered: int = 0,
) -> Roster:
    """Ask about each person who could be a voice, then about the others together.

    The first `answered` people were asked before. `keep` stores the answers if Ctrl-C stops it.
    """
    asker.say(_CONSENT)
    counts, namesakes = count_messages(authors), _find_namesakes(roster.people)
    people = sorted(roster.people, key=lambda one: -total_messages(one, counts))  # as in the file
    try:
        for person in people[answered:]:
            if not person.quiet:
                if person.name in namesakes:
                    show(person)
                people[answered] = _ask_about(asker, person, total_messages(person, counts))
            answered += 1
        quiet = [one for one in people if one.quiet and one.learn == "yes"]
        text = f"May the model learn from the {len(quiet)} who wrote less? They get no voice."
        if quiet and not asker.confirm(text, default=True):
            people = [replace(one, learn="no") if one.quiet else one for one in people]
    except (EOFError, KeyboardInterrupt):
        keep(replace(roster, people=tuple(people)), answered)
        raise
    return replace(roster, people=tuple(people))


def _ask_about(asker: Asker, person: Person, messages: int) -> Person:
    now = {"yes": "y", "no": "n", "ask": ""}[person.imitate] if person.learn == "yes" else "x"
    keys: dict[str, Imitate] = {_AGREED: "yes", _NOT_YET: "ask", _NEVER: "no"}
    shown = {_AGREED: "y", _NOT_YET: "not yet", _NEVER: "n", _EXCLUDED: "x"}[now]
    while True:
        typed = asker.ask(f"{person.name} ({messages:,} messages)", shown).casefold()
        answer = _CONSENT_WORDS.get(typed, typed)
        if answer == _EXCLUDED:
            return replace(person, learn="no", imitate="no")
        if answer in keys:
            return replace(person, learn="yes", imitate=keys[answer])
        asker.say("Type y, -, n or x, or just press Enter.", "yellow")


def _describe(person: Person) -> str:
    known = [make_printable_name(name) for name in person.names if fold(name) != fold(person.name)]
    also = f", also {join_names(known, 3)}" if known else ""
    return f"{person.name}{also}"
