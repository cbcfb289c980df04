"""What about a chat's people no program can know: asked of their admin, never guessed."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from model.naming import NOBODY, clean_name, fold
from model.roster import Person
from pipeline.authors import Author

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
        automatic = {fold(NOBODY), *map(fold, self.shown)}
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
        elif NOBODY not in who.shown and fold(who.person.name).startswith(NOBODY):
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
            if name != NOBODY:
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
