"""Who is who in a group, what they are called in prompts, and what they agreed to."""

import difflib
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, get_args

from model.errors import RosterError, VoiceError

Learn = Literal["yes", "no"]
Imitate = Literal["yes", "no", "ask"]

MAX_NAME = 40
"""A longer name is cut: each of its owner's lines in a prompt begins with it."""

_FORBIDDEN = re.compile(r"[\s:\[\]\u2581🎭]+")
_SUGGESTIONS = 3
_MOST_WORDS = 5
_JOINERS = "\u200c\u200d"
_ID_LIMIT = 2**63
_ALIKE = 0.6  # difflib's own cut-off for close matches


@dataclass(frozen=True, slots=True)
class Person:
    """A friend: `name` is what prompts call them, `names` what Telegram ever showed."""

    name: str
    ids: tuple[int, ...]
    names: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    learn: Learn = "yes"
    imitate: Imitate = "ask"

    def __post_init__(self) -> None:
        """Refuse a name that a prompt could not hold, or an answer nobody offers."""
        if self.name != clean_name(self.name):
            raise RosterError(
                f"the name {self.name!r} cannot stand in a prompt: write {clean_name(self.name)!r}"
            )
        if self.learn not in get_args(Learn) or self.imitate not in get_args(Imitate):
            raise RosterError(
                f'{self.name}: learn is "yes" or "no", imitate "yes", "no" or "ask"; '
                f'it says "{self.learn}" and "{self.imitate}"'
            )

    @property
    def may_be_target(self) -> bool:
        """Whether a model may learn to speak like them."""
        return self.learn == "yes" and self.imitate != "no"


@dataclass(frozen=True, slots=True)
class Roster:
    """The people of a chat; `bots` are left out, `understudies` are the ids of our own bot."""

    people: tuple[Person, ...] = ()
    bots: frozenset[int] = frozenset()
    understudies: frozenset[int] = frozenset()
    _by_id: Mapping[int, Person] = field(init=False, repr=False, compare=False)
    _by_name: Mapping[str, Person] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Index people by id; refuse an id or a name that two of them share."""
        by_id: dict[int, Person] = {}
        by_name: dict[str, Person] = {}
        for person in self.people:
            for number in person.ids:
                if number in by_id:
                    raise RosterError(f"id {number} belongs to two people: {person.name} is second")
                by_id[number] = person
            if fold(person.name) in by_name:
                raise RosterError(f"two people are called {person.name}: give one another name")
            by_name[fold(person.name)] = person
        object.__setattr__(self, "_by_id", by_id)
        object.__setattr__(self, "_by_name", by_name)

    def person(self, author_id: int) -> Person | None:
        """Return the friend with this Telegram id, None for a stranger."""
        return self._by_id.get(author_id)

    def called(self, name: str) -> Person | None:
        """Return the friend of this whole name, without regard to case or accents."""
        return self._by_name.get(fold(name))

    @property
    def voices(self) -> tuple[Person, ...]:
        """Return the friends that the model may speak as, in the roster's order."""
        return tuple(person for person in self.people if person.may_be_target)

    def named(self, said: str) -> tuple[Person, str] | None:
        """Return whom `/as` names and the words after it, None if nobody.

        Those who said no are looked for first: "Hugo Silva" must not be the other Hugo, who said
        yes. A first name that only one voice has still names that voice.
        """
        return match_voice(said, self.people) or match_voice(said, self.voices)

    def with_understudy(self, bot_id: int) -> "Roster":
        """Return this roster knowing one more id as our own bot's."""
        return replace(self, understudies=self.understudies | {bot_id})

    def speaker_name(self, author_id: int, full_name: str | None) -> str:
        """Return what a prompt calls this author: a friend's name, or a stranger's first name."""
        if person := self.person(author_id):
            return person.name
        first = clean_name(next(iter((full_name or "").split()), ""))
        if self.called(first):
            return f"the other {first}"
        return first


def clean_name(name: str) -> str:
    """Return a name that can begin a prompt's line: no colon, bracket or line break in it.

    Joiners, which Persian and Hindi names need, stay; other invisible characters go.
    """
    seen = "".join(c for c in name if c in _JOINERS or c.isspace() or not _is_invisible(c))
    cut = _FORBIDDEN.sub(" ", unicodedata.normalize("NFC", seen)).strip()[:MAX_NAME].strip()
    return cut if fold(cut) else "somebody"


def fold(text: str) -> str:
    """Return text without case, accents and invisible characters, for comparing names."""
    seen = "".join(c for c in text if c.isspace() or not _is_invisible(c))
    decomposed = unicodedata.normalize("NFKD", seen.casefold())
    return "".join(c for c in decomposed if not unicodedata.combining(c)).strip()


def _is_invisible(character: str) -> bool:
    """Whether this is a control, format or surrogate character, or selects a variation."""
    is_selector = "\ufe00" <= character <= "\ufe0f"
    return is_selector or unicodedata.category(character) in {"Cf", "Cc", "Cs"}


def match_voice(said: str, people: Iterable[Person]) -> tuple[Person, str] | None:
    """Return the person whose name begins `said`, and the words after it; None if nobody's does.

    The longest name or alias wins, without regard to case or accents; a first name counts if only
    one person has it. A name ends at a space, a comma, a colon or the end.
    """
    candidates = _labels(list(people))
    words = said.strip()
    best: tuple[int, Person, str] | None = None
    for label, person in candidates:
        end = _prefix_end(words, label)
        if end is not None and (best is None or len(label) > best[0]):
            best = (len(label), person, words[end:].lstrip(" ,:\n\t"))
    return (best[1], best[2]) if best else None


def find_voice(said: str, people: Iterable[Person]) -> Person:
    """Return the person called exactly `said`.

    Raises:
        VoiceError: Nobody is; the text names the nearest.
    """
    everybody = list(people)
    found = match_voice(said, everybody)
    if found and not found[1]:
        return found[0]
    near = nearest_names(said, everybody)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there is {_listed(everybody)}"
    raise VoiceError(f"no voice is called {said!r}: {hint}")


def nearest_names(said: str, people: Iterable[Person]) -> list[str]:
    """Return the names most like the beginning of `said`, best first, at most three."""
    words = fold(said[: 2 * MAX_NAME]).split()[:_MOST_WORDS]  # anybody may send 4,096 characters
    if not words:
        return []
    tries = [" ".join(words[:n]) for n in range(1, len(words) + 1)]
    likeness: dict[str, float] = {}
    for name, person in _labels(list(people)):
        best = max(_likeness(attempt, name) for attempt in tries)
        likeness[person.name] = max(best, likeness.get(person.name, 0.0))
    near = [name for name, ratio in likeness.items() if ratio >= _ALIKE]
    return sorted(near, key=lambda name: -likeness[name])[:_SUGGESTIONS]


def _likeness(said: str, name: str) -> float:
    """Return 0 to 1; a beginning of the name, or its first word, is as like as can be."""
    whole = name.startswith(said) or said == name.split(" ", maxsplit=1)[0]
    return 1.0 if whole else difflib.SequenceMatcher(None, said, name).ratio()


def _listed(people: list[Person]) -> str:
    return ", ".join(person.name for person in people) or "nobody"


def _labels(people: list[Person]) -> list[tuple[str, Person]]:
    """Return every folded name and alias, and the first names that only one person has."""
    labels = [
        (fold(label), person) for person in people for label in (person.name, *person.aliases)
    ]
    firsts: dict[str, list[Person]] = {}
    for person in people:
        firsts.setdefault(fold(person.name).split(" ")[0], []).append(person)
    taken = {label for label, _ in labels}
    alone = [(f, owners[0]) for f, owners in firsts.items() if len(owners) == 1 and f not in taken]
    return [(label, person) for label, person in labels + alone if label]


def _prefix_end(text: str, label: str) -> int | None:
    """Return where in `text` the folded `label` ends, None if it is not its beginning."""
    for end in range(1, min(len(text), 4 * len(label)) + 1):
        if fold(text[:end]) == label and (end == len(text) or text[end] in " ,:\n\t"):
            return end
    return None


def to_json(roster: Roster) -> dict[str, Any]:
    """Return the roster as plain values, for an artifact's model.json and for roster.toml."""
    return {
        "people": [asdict(person) for person in roster.people],
        "bots": sorted(roster.bots),
        "understudies": sorted(roster.understudies),
    }


def from_json(value: Mapping[str, Any]) -> Roster:
    """Read what `to_json` wrote, or a roster.toml.

    Raises:
        RosterError: A field is missing, of the wrong kind or unknown.
    """
    try:
        if unknown := set(value) - {"people", "bots", "understudies"}:
            raise RosterError(f"what is {min(unknown)!r}? A roster has people, bots, understudies")
        return Roster(
            tuple(map(_person, value.get("people", ()))),
            bots=frozenset(map(_id, value.get("bots", ()))),
            understudies=frozenset(map(_id, value.get("understudies", ()))),
        )
    except (TypeError, ValueError, AttributeError) as error:
        raise RosterError(f"a person needs a name and ids = […]: {error}") from error


def _person(value: Mapping[str, Any]) -> Person:
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in value.items()}
    person = Person(**fields)
    for number in _listed_under("ids", person.ids):
        _id(number)
    for key, words in (("names", person.names), ("aliases", person.aliases)):
        if wrong := [word for word in _listed_under(key, words) if not isinstance(word, str)]:
            raise TypeError(f"{person.name}: {key} are words in quotes, {wrong[0]!r} is not")
    return person


def _listed_under(key: str, value: object) -> tuple[Any, ...]:
    if not isinstance(value, tuple):
        raise TypeError(f"{key} is a list, such as {key} = [{value!r}]")
    return value


def _id(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) >= _ID_LIMIT:
        raise TypeError(f"an id is a number, {value!r} is not")
    return value
