"""People of a chat: names, aliases, consent, and the voice that `/as NAME` selects."""

import difflib
from collections.abc import Container, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime
from typing import Any, get_args

from model.chat.names import clean_name, fold, make_printable
from model.chat.person import Decision, DecisionKind, Imitate, Learn, Person
from model.chat.quotes import CopyLabels
from model.chat.voice_names import VoiceMatcher
from model.chat.words import split_shown_words
from model.errors import RosterError

_ID_LIMIT = 2**63


@dataclass(frozen=True, slots=True)
class Roster:
    """The people of a chat.

    `bots` are ids whose messages are ignored, `understudies` the ids of our own bot. `optouts` are
    `/optout`s of people who are excluded for other reasons, too: they count wherever the version
    that has this roster is imported.
    """

    people: tuple[Person, ...] = ()
    bots: frozenset[int] = frozenset()
    understudies: frozenset[int] = frozenset()
    optouts: tuple[Decision, ...] = ()
    _by_id: Mapping[int, Person] = field(init=False, repr=False, compare=False)
    _by_name: Mapping[str, Person] = field(init=False, repr=False, compare=False)
    copy_labels: CopyLabels = field(init=False, repr=False, compare=False)
    """Names that may precede copied words, see `model.chat.quotes`."""
    _all_names: VoiceMatcher = field(init=False, repr=False, compare=False)
    _voice_names: VoiceMatcher = field(init=False, repr=False, compare=False)
    _withheld_names: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Index people by id and name; refuse an id or a name that two people share."""
        by_id: dict[int, Person] = {}
        by_name: dict[str, Person] = {}
        for person in self.people:
            for number in person.ids:
                if number in by_id:
                    raise RosterError(
                        f"id {number} belongs to two people; the second one is {person.name}"
                    )
                if number in self.bots or number in self.understudies:
                    raise RosterError(
                        f"id {number} is listed for {person.name} and for a bot: remove one of them"
                    )
                by_id[number] = person
            if fold(person.name) in by_name:
                raise RosterError(f"two people are called {person.name}: rename one of them")
            by_name[fold(person.name)] = person
        object.__setattr__(self, "_by_id", by_id)
        object.__setattr__(self, "_by_name", by_name)
        names = (((p.name, *p.names, *p.aliases), p.learn == "no") for p in self.people)
        object.__setattr__(self, "copy_labels", CopyLabels(names))
        object.__setattr__(self, "_all_names", VoiceMatcher(self.people))
        object.__setattr__(self, "_voice_names", VoiceMatcher(self.voices))
        withheld = (p for p in self.people if p.learn == "no")
        folded = (fold(name) for p in withheld for name in (*p.aliases, *p.names))
        object.__setattr__(self, "_withheld_names", frozenset(folded))

    def find_by_id(self, author_id: int) -> Person | None:
        """Return the friend with this Telegram id, or None."""
        return self._by_id.get(author_id)

    def find_by_name(self, name: str) -> Person | None:
        """Return the friend with exactly this name, ignoring case and accents, or None."""
        return self._by_name.get(fold(name))

    @property
    def voices(self) -> tuple[Person, ...]:
        """Return the people whose voices the model learns, in the roster's order.

        The bot speaks only as those of them who agreed.
        """
        return tuple(person for person in self.people if person.may_be_target)

    @property
    def excluded_ids(self) -> frozenset[int]:
        """Return the ids of people whose messages must not be used (learn = "no")."""
        excluded = (person for person in self.people if person.learn == "no")
        return frozenset(number for person in excluded for number in person.ids)

    def match_voice(self, text: str) -> tuple[Person, str] | None:
        """Return the person whose name starts a text after `/as`, and the words after it; or None.

        All people are searched first: "Hugo Silva", who said no, must not select Hugo, who said
        yes. Then voices are searched, because a first name may be unique among them only.
        """
        return self._all_names.match(text) or self._voice_names.match(text)

    def find_namesakes(self, text: str) -> list[Person]:
        """Return all voices that the name at the start of a text may mean.

        Includes names shown by Telegram.
        """
        return self._voice_names.match_all(text)

    def is_withheld_name(self, name: str) -> bool:
        """Whether this is a current or earlier name of somebody with learn = "no"."""
        if person := self.find_by_name(name):
            return person.learn == "no"
        return fold(name) in self._withheld_names

    def list_name_words(self, but: Container[str]) -> set[str]:
        """Return the words in all names of people, except the people whose names are in `but`."""
        return {
            word
            for person in self.people
            if person.name not in but
            for name in (person.name, *person.names, *person.aliases)
            for word in split_shown_words(name)
        }

    def with_understudy(self, bot_id: int) -> "Roster":
        """Return this roster with an additional id of our own bot."""
        return replace(self, understudies=self.understudies | {bot_id})

    def with_shown_names(self, shown: Mapping[int, Iterable[str]]) -> "Roster":
        """Return this roster with the names that Telegram showed for each id, latest last."""
        if self._by_id.keys().isdisjoint(shown):
            return self
        people = tuple(person.with_shown_names(shown) for person in self.people)
        return self if people == self.people else replace(self, people=people)

    def speaker_name(self, author_id: int, full_name: str | None) -> str:
        """Return an author's name in prompts: a friend's name, or a stranger's first name."""
        if person := self.find_by_id(author_id):
            return person.name
        first = clean_name(next(iter((full_name or "").split()), ""))
        if self.find_by_name(first):
            return f"the other {first}"
        return first


def link_accounts(people: Iterable[Person]) -> dict[int, frozenset[int]]:
    """Return all accounts of each person with several, by account, according to all entries."""
    linked: dict[int, set[int]] = {}
    for person in people:
        if len(person.ids) > 1:
            together = set(person.ids).union(*(linked.get(n, ()) for n in person.ids))
            linked.update(dict.fromkeys(together, together))
    return {number: frozenset(together) for number, together in linked.items()}


def remove_decisions(roster: Roster) -> Roster:
    """Return a roster in which people who opted out have imitate = "ask".

    That is what is left of their "yes" once they agree again.
    """
    people = (
        replace(person, imitate="ask", opted_out=()) if person.opted_out else person
        for person in roster.people
    )
    return replace(roster, people=tuple(people), optouts=())


def merge_stricter(existing: Roster, newer: Roster) -> Roster:
    """Return the newer roster of a version with every "no" from the existing one."""
    people, others = [], [*existing.optouts, *newer.optouts]
    for person in newer.people:
        merged = person
        if before := existing.find_by_name(person.name):
            same = (before, person)
            learn: Learn = "no" if any(one.learn == "no" for one in same) else "yes"
            has_no = any(one.imitate == "no" and not one.opted_out for one in same)
            told = dict.fromkeys((*before.opted_out, *person.opted_out))
            optouts = tuple(one for one in told if one.user_id in person.ids and not has_no)
            others += (one for one in told if one not in optouts)
            imitate: Imitate = "no" if has_no or told else person.imitate
            merged = replace(person, learn=learn, imitate=imitate, opted_out=optouts)
            merged = merged.with_names(before.names)
        people.append(merged)
    missing = (person for person in existing.people if not newer.find_by_name(person.name))
    return replace(newer, people=(*people, *missing), optouts=tuple(dict.fromkeys(others)))


def apply_new_roster(trained: Roster, newer: Roster, learned: Container[str]) -> Roster:
    """Return a newer roster as the roster of a model that was trained with another one.

    People who are not in `learned` are quiet: the weights do not know their voices. The names that
    Telegram showed for an id stay.

    Raises:
        RosterError: Somebody is missing, or has a different name from the one in the weights.
    """
    names = {person.name for person in trained.people}
    for person in trained.people:
        namesake = newer.find_by_name(person.name)
        if namesake and namesake.name == person.name:
            continue
        found = (namesake, *map(newer.find_by_id, person.ids))
        if renamed := [other.name for other in found if other and other.name not in names]:
            raise RosterError(
                f"{person.name} is called {renamed[0]} in this roster, but the model only knows "
                f'{person.name}: keep name = "{person.name}", and add the other name as an alias'
            )
        raise RosterError(
            f"{person.name} is missing from this roster: add them, "
            'with learn = "no" if the model must not see their messages'
        )
    people = (
        replace(person, quiet=person.name not in learned).with_names(
            name
            for number in person.ids
            if (before := trained.find_by_id(number))
            for name in before.names
        )
        for person in newer.people
    )
    return replace(newer, people=tuple(people))


def roster_to_json(roster: Roster) -> dict[str, Any]:
    """Return a roster as plain values, for an artifact's roster.json."""
    people = []
    for person in roster.people:
        value = asdict(replace(person, opted_out=()))
        del value["opted_out"]
        if person.opted_out:
            value["opted_out"] = [decision_to_json(decision) for decision in person.opted_out]
        people.append(value)
    return {
        "people": people,
        "bots": sorted(roster.bots),
        "understudies": sorted(roster.understudies),
        **({"optouts": list(map(decision_to_json, roster.optouts))} if roster.optouts else {}),
    }


def roster_from_json(value: Mapping[str, Any]) -> Roster:
    """Read the result of `roster_to_json`, or a roster.toml.

    Raises:
        RosterError: A field is missing, unknown or of the wrong type.
    """
    try:
        if unknown := set(value) - {"people", "bots", "understudies", "optouts"}:
            raise RosterError(
                f"there is no key {min(unknown)!r}: the allowed keys are people, bots and "
                "understudies"
            )
        _check_lists(value)
        people = value.get("people", ())
        if found := find_unknown_key(people):
            number, key = found
            name = people[number].get("name", f"person {number + 1}")
            keys = [attribute.name for attribute in fields(Person) if attribute.name != "opted_out"]
            near = difflib.get_close_matches(key, keys, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"the keys are {', '.join(keys)}"
            raise RosterError(f"{name}: there is no key {key!r}: {hint}")
        return Roster(
            tuple(map(_person_from_json, people)),
            bots=frozenset(map(id_from_json, value.get("bots", ()))),
            understudies=frozenset(map(id_from_json, value.get("understudies", ()))),
            optouts=tuple(map(decision_from_json, value.get("optouts", ()))),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RosterError(f"the roster is not valid: {make_printable(str(error))}") from error


def _check_lists(value: Mapping[str, Any]) -> None:
    """Raise TypeError for a value that is not a list."""
    for key, items in value.items():
        if not isinstance(items, list | tuple):
            raise TypeError(f"{key} must be a list, such as {key} = [{items!r}]")


def find_unknown_key(people: Iterable[Any]) -> tuple[int, str] | None:
    """Return the index of the first person with an unknown key, and the key; or None."""
    keys = {attribute.name for attribute in fields(Person)}
    for number, person in enumerate(people):
        for key in person if isinstance(person, Mapping) else ():
            if key not in keys:
                return number, str(key)
    return None


def _person_from_json(value: Mapping[str, Any]) -> Person:
    if not isinstance(value, Mapping) or not {"name", "ids"} <= set(value):
        raise TypeError("a person needs a name and ids = […]")
    kept: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in value.items()}
    optouts = kept.pop("opted_out", ())
    lists = {"ids", "names", "aliases"}
    _check_lists({"opted_out": optouts} | {k: v for k, v in kept.items() if k in lists})
    person = Person(**kept, opted_out=tuple(map(decision_from_json, optouts)))
    for number in person.ids:
        id_from_json(number)
    for key, words in (("names", person.names), ("aliases", person.aliases)):
        if wrong := [word for word in words if not isinstance(word, str)]:
            raise TypeError(
                f"{person.name}: {key} must be words in quotes, which {wrong[0]!r} is not"
            )
    if not isinstance(person.quiet, bool):
        raise TypeError(f"{person.name}: quiet must be true or false, not {person.quiet!r}")
    return person


def decision_to_json(decision: Decision) -> dict[str, Any]:
    """Return a decision as plain values."""
    at = decision.at.isoformat()
    return {"user_id": decision.user_id, "decision": decision.kind, "at": at}


def decision_from_json(value: Mapping[str, Any]) -> Decision:
    """Read the result of `decision_to_json`.

    Raises:
        KeyError, TypeError, ValueError: The value is damaged.
    """
    if value["decision"] not in get_args(DecisionKind):
        raise ValueError(f"a decision must be optin or optout, not {value['decision']!r}")
    at = datetime.fromisoformat(value["at"])
    if at.tzinfo is None:
        raise ValueError(f"a decision's time needs a time zone, but {value['at']!r} has none")
    return Decision(id_from_json(value["user_id"]), value["decision"], at)


def id_from_json(value: object) -> int:
    """Check and return a user id.

    Raises:
        TypeError: This is not an id.
    """
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) >= _ID_LIMIT:
        raise TypeError(f"an id must be a number, not {value!r}")
    return value
