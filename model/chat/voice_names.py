"""Find the person whose name starts a text, and names that are similar to it."""

import difflib
from collections import defaultdict
from collections.abc import Iterable

from model.chat.names import ANYONE_WORDS, MAX_NAME, clean_name, fold, fold_character
from model.chat.person import Person
from model.errors import VoiceError

_NAME_ENDS = " ,:\n\t"
_MAX_SUGGESTIONS = 3
_MAX_SUGGESTION_WORDS = 5
_MIN_SIMILARITY = 0.6  # difflib's default cut-off for close matches


class VoiceMatcher:
    """Matches the start of a text with the names of people; indexes the names once.

    The longest name or alias wins, ignoring case and accents; a first name counts if only one
    person has it. A name ends at a space, a comma, a colon or the end. An alias or first name that
    is also another person's name in Telegram belongs to both.
    """

    def __init__(self, people: Iterable[Person]) -> None:
        self._owners: dict[str, list[Person]] = {}
        for label, person in _list_labels(list(people)):
            owners = self._owners.setdefault(label, [])
            if person not in owners:
                owners.append(person)
        self._longest = max(map(len, self._owners), default=0)

    def match(self, text: str) -> tuple[Person, str] | None:
        """Return the person whose name starts a text, and the words after it; or None.

        If several people have this name, return the one whose name in prompts it is, or None.
        """
        label, rest = self._find_label(text)
        owners = self._owners.get(label, [])
        if len(owners) == 1 or (owners and fold(owners[0].name) == label):
            return owners[0], rest
        return None

    def match_all(self, text: str) -> list[Person]:
        """Return everybody who has the name that starts a text."""
        return self._owners.get(self._find_label(text)[0], [])

    def _find_label(self, text: str) -> tuple[str, str]:
        """Return the longest name that starts a text, folded, and the words after it.

        It reads only as many characters as the longest name has.
        """
        words = text.strip()
        best = ("", 0)
        read = ""
        for at, character in enumerate(words[: 4 * self._longest], 1):
            read += fold_character(character)
            label = read.strip()
            if len(label) > self._longest:
                break
            if at < len(words) and words[at] not in _NAME_ENDS:
                continue
            if len(label) > len(best[0]) and label in self._owners:
                best = (label, at)
        return best[0], words[best[1] :].lstrip(_NAME_ENDS)


def find_voice(name: str, people: Iterable[Person]) -> Person:
    """Return the person with exactly this name, alias or unique first name.

    Raises:
        VoiceError: There is none; the message suggests similar names.
    """
    everybody = list(people)
    found = VoiceMatcher(everybody).match(name)
    if found and not found[1]:
        return found[0]
    similar = find_similar_names(name, everybody)
    if similar:
        hint = f"did you mean {' or '.join(similar)}?"
    elif everybody:
        hint = f"the voices are {', '.join(person.name for person in everybody)}"
    else:
        hint = "there are no voices"
    raise VoiceError(f"no voice is called {name!r}: {hint}")


def find_similar_names(text: str, people: Iterable[Person]) -> list[str]:
    """Return at most three names that are similar to the start of a text, best first."""
    words = fold(text[: 2 * MAX_NAME]).split()[:_MAX_SUGGESTION_WORDS]  # a message may be long
    if not words:
        return []
    starts = [" ".join(words[:n]) for n in range(1, len(words) + 1)]
    similarities: dict[str, float] = {}
    for label, person in _list_labels(list(people)):
        best = max(_compute_similarity(start, label) for start in starts)
        similarities[person.name] = max(best, similarities.get(person.name, 0.0))
    similar = [name for name, similarity in similarities.items() if similarity >= _MIN_SIMILARITY]
    return sorted(similar, key=lambda name: -similarities[name])[:_MAX_SUGGESTIONS]


def _compute_similarity(text: str, label: str) -> float:
    """Return 0 to 1; 1 if the text is the start of the label, or its first word."""
    if label.startswith(text) or text == label.split(" ", maxsplit=1)[0]:
        return 1.0
    if 2 * min(len(text), len(label)) < _MIN_SIMILARITY * (len(text) + len(label)):
        return 0.0  # these lengths cannot reach the minimum, and the ratio takes 100 times as long
    matcher = difflib.SequenceMatcher(None, text, label)
    return matcher.ratio() if matcher.quick_ratio() >= _MIN_SIMILARITY else 0.0


def _list_labels(people: list[Person]) -> list[tuple[str, Person]]:
    """Return every folded name, then aliases, then the first names that only one person has.

    Then these names again for each other person whom Telegram showed under them. Names in prompts
    are repeated for the last shown name only: anybody may have joked with a friend's name once.
    Words that let the model choose who speaks are left out.
    """
    names = {fold(person.name) for person in people}
    labels = [(fold(person.name), person) for person in people]
    labels += [(fold(alias), person) for person in people for alias in person.aliases]
    by_first_name: dict[str, list[Person]] = defaultdict(list)
    for person in people:
        by_first_name[fold(person.name).split(" ")[0]].append(person)
    taken = {label for label, _ in labels}
    labels += [
        (first, owners[0])
        for first, owners in by_first_name.items()
        if len(owners) == 1 and first not in taken
    ]
    others = {label for label, _ in labels} - names
    for person in people:
        shown = [fold(clean_name(name)) for name in person.names]
        shared = {*others.intersection(shown), *names.intersection(shown[-1:])}
        labels += [(label, person) for label in shared]
    return [(label, person) for label, person in labels if label and label not in ANYONE_WORDS]
