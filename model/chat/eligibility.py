"""Decide which messages may appear in a prompt or become a target; the 🎭 line."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from model.chat import quotes
from model.chat.conversation import Message, strip_media_word
from model.chat.names import MAX_NAME, clean_name
from model.chat.quotes import strip_copies, strip_quotes
from model.chat.roster import Roster
from model.redaction import numbers
from model.redaction.redact import redact, redact_beginning

VOICE_EMOJI = "🎭"


def add_voice_header(name: str, words: str) -> str:
    """Return what the bot sends: a line that names the voice, then the words."""
    return f"{VOICE_EMOJI} {name}\n{words}"


def parse_voice_header(text: str) -> tuple[str, str] | None:
    """Return the voice and the words of what `add_voice_header` wrote, None for any other text."""
    head, newline, words = text.partition("\n")
    name = head.removeprefix(VOICE_EMOJI).strip()
    if len(name) > MAX_NAME:
        return None
    if (
        not newline
        or not head.startswith(VOICE_EMOJI)
        or name != clean_name(name)
        or not words.strip()
    ):
        return None
    return name, words


WITHHELD = "[…]"
"""Stands for the turn of somebody who may not be learned from."""

LONG_TEXT = "[long text]"
"""Stands for what was cut of a pasted wall."""

MAX_CHARACTERS = 1_500
"""Characters: what is longer was pasted, not said, and would fill a model's whole view."""

_SHOWN_OF_WALL = 200  # characters, cut back to a whole word
_LONGEST_PART = 500  # characters of one part of private data that contains spaces
_CACHE_SIZE = 1024
"""Number of cached redactions: a bot builds many prompts from the same messages."""
_COMMAND = re.compile(r"/[A-Za-z0-9_]{1,64}(@[A-Za-z0-9_]{1,64})?(?=\s|$)")
_AS = re.compile(r"/as(@[A-Za-z0-9_]{1,64})?(?=\s|$)", re.IGNORECASE)
_BRACKETED = re.compile(r"\[[^\[\]\n]{1,60}\]")


@dataclass(frozen=True, slots=True)
class Line:
    """What of one message stands in a prompt; `speaker` is None where it is withheld.

    `reply_to` stands in no prompt: who will answer hangs on it.
    """

    message_id: int
    author_id: int
    speaker: str | None
    text: str
    sent_at: datetime
    is_target: bool = False
    reply_to: int | None = None


def make_line(message: Message, roster: Roster) -> Line | None:
    """Return the message's line in a conversation, or None if it has none.

    Commands, other bots' messages, forwards, quotes and empty messages have none. The words after
    `/as NAME` have one: they are said to the friends. Our own bot's messages are lines of the voice
    it used, never targets. The lines of people whom the roster withholds are `[…]`. Private data is
    replaced by placeholders, and a very long message is cut to its beginning.
    """
    if message.is_forward:
        return None
    if message.author_id in roster.understudies:
        return _played(message, roster)
    if message.is_from_bot or message.author_id in roster.bots:
        return None
    text = _words(message.text, roster)
    return _said(message, text, roster) if text else None


def make_lines(messages: Iterable[Message], roster: Roster) -> list[Line]:
    """Return the lines of messages, in their order."""
    return [line for message in messages if (line := make_line(message, roster))]


def clear_caches() -> None:
    """Drop all cached texts and names, so that no erased words stay in memory."""
    for cached in (_redact_cached, _beginning, _presentable_name):
        cached.cache_clear()
    quotes.clear_cache()
    numbers.clear_cache()


def strip_other_authors(text: str, roster: Roster) -> str:
    """Return a message's text without quotes and copies; it still gives the same line."""
    own = _own(text, roster)
    asked = _AS.match(own)
    found = roster.match_voice(own[asked.end() :]) if asked else None
    if found is None:
        return own
    return own.removesuffix(found[1]) + _own(found[1], roster)


def target_text(line: Line) -> str | None:
    """Return what of a line a model may learn to say, None if nothing.

    A caption may be learned without its `[photo]`; any other bracketed word rules a line out, and
    so does a command as a caption.
    """
    if not line.is_target:
        return None
    text = line.text
    if "[" in text:
        text = strip_media_word(text)
        if not text or _BRACKETED.search(text) or _COMMAND.match(text):
            return None
    return text


def is_speakable(text: str) -> bool:
    """Whether the bot may say this: some words, and no bracketed one among them."""
    return bool(text.strip()) and not _BRACKETED.search(text)


def _said(message: Message, text: str, roster: Roster) -> Line:
    """Return the line of a person's own words."""
    person = roster.find_by_id(message.author_id)
    if person is None:
        name = roster.speaker_name(message.author_id, _presentable_name(message.author_name))
        return _line(message, message.author_id, name, _presentable(text))
    author = person.ids[0]  # two accounts of one friend are one speaker
    if person.learn == "no":
        return _line(message, author, None, WITHHELD)
    words, is_target = _presentable(text), person.may_be_target
    return _line(message, author, person.name, words, is_target=is_target)


def _line(
    message: Message, author: int, speaker: str | None, text: str, *, is_target: bool = False
) -> Line:
    at, replied = message.sent_at, message.reply_to
    return Line(message.message_id, author, speaker, text, at, is_target, replied)


def _presentable(text: str) -> str:
    """Return words that a prompt may hold: no private data, of a wall its beginning."""
    return (
        _redact_cached(text) if len(text) <= MAX_CHARACTERS else _beginning(text[:MAX_CHARACTERS])
    )


@lru_cache(_CACHE_SIZE)
def _redact_cached(text: str) -> str:
    return redact(text)


@lru_cache(_CACHE_SIZE)
def _beginning(text: str) -> str:
    """Return the beginning of a very long message, given its first `MAX_CHARACTERS` characters.

    Only parts that end well before the last of these are shown, so that no part is cut in two.
    """
    read = text.rsplit(maxsplit=1)[0]
    head = redact_beginning(read, MAX_CHARACTERS - _LONGEST_PART)[:_SHOWN_OF_WALL]
    return f"{head.rsplit(maxsplit=1)[0] if ' ' in head else ''} {LONG_TEXT}".strip()


@lru_cache(4096)
def _presentable_name(name: str | None) -> str | None:
    """Return a stranger's name, None where it is private data, such as a phone number."""
    return name if name is None or redact(name) == name else None


def _played(message: Message, roster: Roster) -> Line | None:
    played = parse_voice_header(message.text)
    if not played:
        return None
    name, words = played
    if roster.is_withheld_name(name):
        return _line(message, message.author_id, None, WITHHELD)
    text = _own(words, roster)
    return _line(message, message.author_id, name, _presentable(text)) if text else None


def _words(text: str, roster: Roster) -> str:
    """Return a message's own words: all of it, or what follows `/as NAME`."""
    words = _own(text, roster)
    if asked := _AS.match(words):
        found = roster.match_voice(words[asked.end() :])
        return _own(found[1], roster) if found and found[0].may_be_target else ""
    return "" if _COMMAND.match(words) else words


def _own(text: str, roster: Roster) -> str:
    """Return text without quotes and without copies of excluded people's messages."""
    return strip_copies(strip_quotes(_tidy(text)), roster.labels).strip()


def _tidy(text: str) -> str:
    """Return text stripped, its line breaks all alike."""
    return text.replace("\r\n", "\n").replace("\r", "\n").strip()
