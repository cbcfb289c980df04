"""Decide which messages may appear in a prompt or become a target; the 🎭 header."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from model.chat.conversation import Message, strip_media_word
from model.chat.names import MAX_NAME, clean_name
from model.chat.quotes import strip_copies, strip_quotes
from model.chat.roster import Roster
from model.redaction import numbers
from model.redaction.redact import redact, redact_beginning

VOICE_EMOJI = "🎭"

WITHHELD = "[…]"
"""Replaces the turn of somebody whose messages must not be used."""

LONG_TEXT = "[long text]"
"""Replaces the rest of a very long message."""

MAX_CHARACTERS = 1_500
"""Longer messages were pasted, and would fill a model's whole window."""

_SHOWN_OF_LONG_TEXT = 200  # characters, cut back to a whole word
_MAX_PRIVATE_PART = 500  # characters of one part of private data that contains spaces
_CACHE_SIZE = 1024
"""Number of cached redactions: a bot builds many prompts from the same messages."""
_COMMAND = re.compile(r"/[A-Za-z0-9_]{1,64}(@[A-Za-z0-9_]{1,64})?(?=\s|$)")
_AS = re.compile(r"/as(@[A-Za-z0-9_]{1,64})?(?=\s|$)", re.IGNORECASE)
_BRACKETED = re.compile(r"\[[^\[\]\n]{1,60}\]")


@dataclass(frozen=True, slots=True)
class Line:
    """A message as a prompt shows it; `speaker` is None if it is withheld.

    `reply_to` is not in the prompt; `model.joining` uses it.
    """

    message_id: int
    author_id: int
    speaker: str | None
    text: str
    sent_at: datetime
    is_target: bool = False
    reply_to: int | None = None


def add_voice_header(name: str, words: str) -> str:
    """Return the text that the bot sends: a line that names the voice, then the words."""
    return f"{VOICE_EMOJI} {name}\n{words}"


def parse_voice_header(text: str) -> tuple[str, str] | None:
    """Return the voice and the words of a text from `add_voice_header`, None for other texts."""
    head, newline, words = text.partition("\n")
    name = head.removeprefix(VOICE_EMOJI).strip()
    if len(name) > MAX_NAME or not newline or not head.startswith(VOICE_EMOJI):
        return None
    return (name, words) if name == clean_name(name) and words.strip() else None


def make_line(message: Message, roster: Roster) -> Line | None:
    """Return the message's line in a conversation, or None if it has none.

    Commands, other bots' messages, forwards, quotes and empty messages have no line. The words
    after `/as NAME` are a line of their author, because they are said to the friends. The words
    after `/as NAME:` have no line, because the reply begins with them. Our own bot's messages are
    lines of the voice it used, and never targets. The lines of people with learn = "no" are `[…]`.
    Private data is replaced with placeholders, and a very long message is cut to its beginning.
    """
    if message.is_forward:
        return None
    author, is_target = message.author_id, False
    speaker: str | None
    if author in roster.understudies:
        if not (parsed := parse_voice_header(message.text)):
            return None
        speaker, words = parsed
        if roster.is_withheld_name(speaker):
            speaker, text = None, WITHHELD
        else:
            text = _strip_others(words, roster)
    elif message.is_from_bot or author in roster.bots:
        return None
    else:
        if not (text := _extract_words(message.text, roster)):
            return None
        if person := roster.find_by_id(author):
            author = person.ids[0]  # two accounts of one friend are one speaker
            speaker, is_target = person.name, person.may_be_target
            if person.learn == "no":
                speaker, text = None, WITHHELD
        else:
            speaker = roster.speaker_name(author, _hide_private_name(message.author_name))
    if not text:
        return None
    shown = text if speaker is None else _make_presentable(text)
    return Line(
        message.message_id, author, speaker, shown, message.sent_at, is_target, message.reply_to
    )


def make_lines(messages: Iterable[Message], roster: Roster) -> list[Line]:
    """Return the lines of messages, in their order."""
    return [line for message in messages if (line := make_line(message, roster))]


def target_text(line: Line) -> str | None:
    """Return the part of a line that a model may learn to say, or None.

    A caption may be learned without its `[photo]`. Another bracketed word, or a command as a
    caption, excludes the line.
    """
    if not line.is_target:
        return None
    text = line.text
    if "[" in text:
        text = strip_media_word(text)
        if not text or _BRACKETED.search(text) or _COMMAND.match(text):
            return None
    return text


def begins_reply(command: str, words: str) -> bool:
    """Whether these last words of an `/as` command follow a colon: the reply begins with them."""
    return bool(words) and command[: -len(words)].rstrip().endswith(":")


def is_speakable(text: str) -> bool:
    """Whether the bot may say this: it is not blank and has nothing in square brackets."""
    return bool(text.strip()) and not _BRACKETED.search(text)


def strip_other_authors(text: str, roster: Roster) -> str:
    """Return a message's text without quotes or copies; it gives the same line as before."""
    own = _strip_others(text, roster)
    command = _AS.match(own)
    found = roster.match_voice(own[command.end() :]) if command else None
    if found is None:
        return own
    return own.removesuffix(found[1]) + _strip_others(found[1], roster)


def withhold_words(message: Message, roster: Roster) -> str:
    """Return a message's text for storage, without excluded people's words.

    Quotes and copies are removed. What our own bot said in an excluded person's voice is `[…]`.
    """
    is_own = message.author_id in roster.understudies
    spoken = parse_voice_header(message.text) if is_own else None
    if spoken is None:
        return strip_other_authors(message.text, roster)
    voice, words = spoken
    own = WITHHELD if roster.is_withheld_name(voice) else strip_other_authors(words, roster)
    return message.text if own == words else add_voice_header(voice, own)


def clear_caches() -> None:
    """Drop all cached texts and names, so that no erased words stay in memory."""
    for cached in (_redact_cached, _shorten, _hide_private_name):
        cached.cache_clear()
    numbers.clear_cache()


def _extract_words(text: str, roster: Roster) -> str:
    """Return a message's own words: all of it, or the words after `/as NAME`.

    Words after `/as NAME:` are the beginning of the reply, not words of the person who asks.
    """
    words = _strip_others(text, roster)
    if command := _AS.match(words):
        found = roster.match_voice(words[command.end() :])
        if found is None or not found[0].may_be_target or begins_reply(words, found[1]):
            return ""
        return _strip_others(found[1], roster)
    return "" if _COMMAND.match(words) else words


def _strip_others(text: str, roster: Roster) -> str:
    """Return text without quotes and without copies of excluded people's messages."""
    return strip_copies(strip_quotes(_normalize_breaks(text)), roster.copy_labels).strip()


def _normalize_breaks(text: str) -> str:
    """Return text stripped, with newlines as its only line breaks."""
    return text.replace("\r\n", "\n").replace("\r", "\n").strip()


def _make_presentable(text: str) -> str:
    """Return words that a prompt may contain: redacted, and shortened if very long."""
    return _redact_cached(text) if len(text) <= MAX_CHARACTERS else _shorten(text[:MAX_CHARACTERS])


@lru_cache(_CACHE_SIZE)
def _redact_cached(text: str) -> str:
    return redact(text)


@lru_cache(_CACHE_SIZE)
def _shorten(text: str) -> str:
    """Return the beginning of a very long message, given its first `MAX_CHARACTERS` characters.

    Private data at the cut is dropped whole, so that no half of it is shown.
    """
    read = text.rsplit(maxsplit=1)[0]
    head = redact_beginning(read, MAX_CHARACTERS - _MAX_PRIVATE_PART)[:_SHOWN_OF_LONG_TEXT]
    return f"{head.rsplit(maxsplit=1)[0] if ' ' in head else ''} {LONG_TEXT}".strip()


@lru_cache(4096)
def _hide_private_name(name: str | None) -> str | None:
    """Return a stranger's name, or None if it is private data, such as a phone number."""
    return name if name is None or redact(name) == name else None
