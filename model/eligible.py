"""What of a message may stand in a prompt, and what of it a model may learn to say."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from model.conversation import Message
from model.marker import parse_spoken
from model.roster import Roster

WITHHELD = "[…]"
"""Stands for the turn of somebody who may not be learned from."""

_COMMAND = re.compile(r"/[A-Za-z0-9_]{1,64}(@[A-Za-z0-9_]{1,64})?(?=\s|$)")
_AS = re.compile(r"/as(@[A-Za-z0-9_]{1,64})?(?=\s|$)", re.IGNORECASE)
_BRACKETED = re.compile(r"\[[^\[\]\n]{1,60}\]")


@dataclass(frozen=True, slots=True)
class Line:
    """What of one message stands in a prompt; `speaker` is None where it is withheld."""

    message_id: int
    author_id: int
    speaker: str | None
    text: str
    sent_at: datetime
    is_target: bool = False


def line_of(message: Message, roster: Roster) -> Line | None:
    """Return the message's line in a conversation, None where it is no part of one.

    Commands, other bots' messages, forwards and empty messages are no part. The words after
    `/as NAME` are: they are said to the friends. What our own bot says is a line of the voice it
    plays, never a target. Somebody whom the roster withholds stands as `[…]`.
    """
    if message.is_forward:
        return None
    if message.author_id in roster.understudies:
        return _played(message, roster)
    if message.is_from_bot or message.author_id in roster.bots:
        return None
    text = _words(message.text, roster)
    if not text:
        return None
    person = roster.person(message.author_id)
    if person and person.learn == "no":
        return Line(message.message_id, message.author_id, None, WITHHELD, message.sent_at)
    name = roster.speaker_name(message.author_id, message.author_name)
    is_target = person is not None and person.may_be_target
    return Line(message.message_id, message.author_id, name, text, message.sent_at, is_target)


def lines_of(messages: Iterable[Message], roster: Roster) -> list[Line]:
    """Return the lines of messages, in their order."""
    return [line for message in messages if (line := line_of(message, roster))]


def target_text(line: Line) -> str | None:
    """Return what of a line a model may learn to say, None if nothing.

    A caption may be learned without its `[photo]`; any other bracketed word rules a line out.
    """
    if not line.is_target:
        return None
    text = line.text
    if head := _BRACKETED.match(text):
        text = text[head.end() :].strip()
    return text if text and not _BRACKETED.search(text) else None


def is_speakable(text: str) -> bool:
    """Whether the bot may say this: some words, and no bracketed one among them."""
    return bool(text.strip()) and not _BRACKETED.search(text)


def _played(message: Message, roster: Roster) -> Line | None:
    played = parse_spoken(message.text)
    if not played:
        return None
    name, words = played
    person = roster.called(name)
    if person and person.learn == "no":
        return Line(message.message_id, message.author_id, None, WITHHELD, message.sent_at)
    return Line(message.message_id, message.author_id, name, _tidy(words), message.sent_at)


def _words(text: str, roster: Roster) -> str:
    """Return a message's own words: all of it, or what follows `/as NAME`."""
    words = text.strip()
    if asked := _AS.match(words):
        found = roster.named(words[asked.end() :])
        return _tidy(found[1]) if found and found[0].may_be_target else ""
    return "" if _COMMAND.match(words) else _tidy(words)


def _tidy(text: str) -> str:
    """Return text stripped, its line breaks all alike."""
    return text.replace("\r\n", "\n").replace("\r", "\n").strip()
