"""What people mean by the words after `/as` and `/simulate`: whom, how often, about what."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from bot.access import Access
from bot.replies import NOTHING_MORE, Wish
from bot.texts.wording import Wording
from model.naming import fold, nearest_names
from model.roster import Person, Roster

USUAL_TURNS = 5
MOST_TURNS = 20

_ANYONE = re.compile(r"(anyone|anybody|algu(?:[eé]|e\u0301)m|qualquer)(?=[\s,:]|$)", re.IGNORECASE)
_ABOUT = re.compile(r"(?:^|(?<=[\s,]))(?:about|sobre)(?=[\s,:]|$)", re.IGNORECASE)
_JOINING = re.compile(r"(?:[\s,;&]+|(?:and|with|e|com|turns|vezes)(?=[\s,]|$))+", re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?\d+(?=[\s,;]|$)")


@dataclass(frozen=True, slots=True)
class Scene:
    """What is asked of a simulation; without names it is everybody's."""

    turns: int = USUAL_TURNS
    people: tuple[Person, ...] = ()
    about: str = ""


class TurnsError(ValueError):
    """So many turns are never played."""


class WhoError(ValueError):
    """It is not clear who is meant; its text is what was said of them."""


def wish_as(said: str, words: str, command: int) -> Wish:
    """Return what `/as NAME` wishes for: after a colon, that the reply begins with the words.

    They are put into a friend's mouth then, and are not the asker's own line before that reply.
    """
    return Wish(words, command) if _is_forced(said.strip(), words) else NOTHING_MORE


def anyone(said: str, command: int) -> Wish | None:
    """Return what `/as anyone` wishes for, None where `/as` says something else.

    The words after it stand in this one prompt: the rule of `model.eligible` knows friends alone.
    """
    words = said.strip()
    found = _ANYONE.match(words)
    if not found:
        return None
    rest = words[found.end() :].lstrip(" ,:\n\t")
    return Wish(rest, command) if _is_forced(words, rest) else Wish("", command, rest)


def scene_of(words: str, roster: Roster) -> Scene:
    """Return what `/simulate` asks for: turns and names in any order, then `about` what.

    Raises:
        TurnsError: The number of turns is not from 1 to 20.
        WhoError: A name fits nobody or several people, or there are more names than turns.
    """
    turns, people = None, list[Person]()
    found = _ABOUT.search(words)
    left, about = (words[: found.start()], words[found.end() :]) if found else (words, "")
    while left := left[_end(_JOINING, left) :].strip():
        if number := _NUMBER.match(left):
            turns, left = _turns(number[0], turns), left[number.end() :]
        elif len(people) < MOST_TURNS and (named := roster.named(left)):
            people, left = [*people, named[0]], named[1]
        else:
            raise WhoError(left)
    return Scene(turns or USUAL_TURNS, tuple(dict.fromkeys(people)), about.strip(" \t\n:,"))


def why_silent(person: Person, access: Access, texts: Wording) -> str | None:
    """Return why the bot does not speak as somebody, None where it may."""
    if access.may_imitate(person):
        return None
    if access.may_still_agree(person):
        return texts.not_agreed.format(name=person.name)
    return (texts.too_quiet if person.is_only_quiet else texts.said_no).format(name=person.name)


def question(said: str, access: Access, texts: Wording) -> tuple[str, tuple[Person, ...]]:
    """Return what to ask where `/as` names nobody, and the voices to offer as buttons."""
    voices = access.voices
    if not voices:
        return texts.no_voices, ()
    if not said.strip():
        return texts.choose_voice, voices
    near = nearest_names(said, voices)
    fitting = tuple(p for name in near for p in voices if fold(p.name) == fold(name))
    if _have_the_name(said, access.roster.people) > 1:
        return texts.several_have_it, fitting
    if not near:
        return texts.nobody_called_that([person.name for person in voices]), ()
    return (
        texts.did_you_mean.format(name=near[0]) if len(near) == 1 else texts.several_fit
    ), fitting


def _have_the_name(said: str, people: Sequence[Person]) -> int:
    """Return how many friends, voices or not, have the first name that `said` begins with."""
    first = re.split(r"[\s,:]", fold(said), maxsplit=1)[0]
    return sum(fold(person.name).split(" ")[0] == first for person in people)


def _turns(number: str, earlier: int | None) -> int:
    wrong = not number.isascii() or not number.isdecimal() or len(number) > len(str(MOST_TURNS))
    if wrong or earlier is not None or not 1 <= int(number) <= MOST_TURNS:
        raise TurnsError(number)
    return int(number)


def _end(pattern: re.Pattern[str], text: str) -> int:
    found = pattern.match(text)
    return found.end() if found else 0


def _is_forced(said: str, words: str) -> bool:
    """Whether a colon stands before the words."""
    return bool(words) and said[: -len(words)].rstrip().endswith(":")
