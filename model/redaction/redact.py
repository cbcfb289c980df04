"""Replace private data in a text with placeholders."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from model.redaction import addresses, links, numbers, phones, secrets
from model.redaction.spans import MASK, Span, mask, normalize

Kind = Literal[
    "phone",
    "email",
    "link",
    "card",
    "iban",
    "wallet",
    "key",
    "password",
    "code",
    "address",
    "place",
]

_KINDS = "|".join(get_args(Kind))
PLACEHOLDER = re.compile(rf"\[({_KINDS})\]")
"""The word that stands for a private part; its group is the part's kind."""

_SIGN = re.compile(r"[0-9@/:=_(\[{#$%&*+^~→\x1a]|\?\w")
_SPELLED = ("arroba", "arobase", "собака", " dot ")
_WORDS = (*_SPELLED, *secrets.PASSWORD_SIGNS, "-----begin")
"""One of these or of the signs is in each text where any rule finds anything."""
_DIGIT = re.compile(r"[0-9]")
_MOST_ROUNDS = 4
"""If the last round still finds something, the whole text is hidden: each round takes time."""


@dataclass(frozen=True, slots=True)
class PrivatePart:
    """A private part of a text, from `start` up to `end`."""

    kind: Kind
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Rule:
    """A rule, and what a text must hold before it is worth asking.

    Without a kind, what it finds is shown, but no rule after it looks there.
    """

    kind: Kind | None
    spans: Callable[[str], Iterator[Span]]
    digits: int = 0
    longest_word: int = 0
    any_of: tuple[str, ...] = ()


_RULES = (
    _Rule("key", secrets.find_key_blocks, any_of=("-----begin",)),
    _Rule("link", links.find_private_links, any_of=("/", "?")),
    _Rule("key", secrets.find_keys, longest_word=12),
    _Rule(None, links.find_links, any_of=("/", "?")),
    _Rule("email", links.find_emails, any_of=("@", "(", "[", "{", *_SPELLED)),
    _Rule("wallet", secrets.find_wallets, digits=1, longest_word=14),
    _Rule("iban", numbers.find_ibans, digits=9),
    _Rule("place", numbers.find_coordinates, digits=2),
    _Rule("card", numbers.find_cards, digits=12),
    _Rule("address", addresses.find_addresses, any_of=("s/n", *"0123456789")),
    _Rule("phone", phones.find_phones, digits=7),
    _Rule("password", secrets.find_passwords, any_of=secrets.PASSWORD_SIGNS),
    _Rule("code", secrets.find_codes, digits=2),
)


def find_private_parts(text: str) -> list[PrivatePart]:
    """Return the private parts of a text, in order, none overlapping another."""
    if not text.isascii() or MASK in text:
        plain, places = normalize(text)
        return [
            PrivatePart(part.kind, places[part.start], places[part.end - 1] + 1)
            for part in _parts(plain)
        ]
    return _parts(text)


def _parts(text: str) -> list[PrivatePart]:
    if not _is_suspicious(text):
        return []
    hidden = mask(text, (match.span() for match in PLACEHOLDER.finditer(text)))
    parts: list[PrivatePart] = []
    # Hiding a part can make an adjacent one recognisable: repeat until nothing more is found.
    for _ in range(_MOST_ROUNDS):
        found, hidden = _found(hidden)
        parts += found
        if not found:
            return sorted(parts, key=lambda part: part.start)
    return [PrivatePart(parts[0].kind, 0, len(text))]


def redact(text: str) -> str:
    """Return the text with a bracketed word for each private part; twice does what once does."""
    return redact_beginning(text, len(text))


def redact_beginning(text: str, length: int) -> str:
    """Return the first `length` characters redacted; parts that start in them are hidden whole."""
    pieces = []
    at = 0
    for part in find_private_parts(text):
        if part.start >= length:
            break
        pieces += [text[at : part.start], f"[{part.kind}]"]
        at = part.end
    return "".join([*pieces, text[at:length]])


def _is_suspicious(text: str) -> bool:
    """Whether any rule could find anything: most messages of a chat end here."""
    if _SIGN.search(text):
        return True
    lower = text.lower()
    for word in _WORDS:  # noqa: SIM110  any() of a generator takes twice as long
        if word in lower:
            return True
    return False


def _found(hidden: str) -> tuple[list[PrivatePart], str]:
    """Return what one round of all rules finds, and the text with that hidden too."""
    parts: list[PrivatePart] = []
    digits = len(_DIGIT.findall(hidden))
    longest_word = max(map(len, hidden.split()), default=0)
    for rule in _RULES:
        if digits < rule.digits or longest_word < rule.longest_word:
            continue
        if rule.any_of and not _holds(hidden.lower(), rule.any_of):
            continue
        spans = list(_apart(rule.spans(hidden), hidden))
        if not spans:
            continue
        hidden = mask(hidden, spans)
        if rule.kind:
            parts += [PrivatePart(rule.kind, start, end) for start, end in spans]
    return parts, hidden


def _holds(text: str, words: tuple[str, ...]) -> bool:
    return any(word in text for word in words)


def _apart(spans: Iterable[Span], hidden: str) -> Iterator[Span]:
    """Yield spans in order, the longest first, none that overlaps another or holds a hidden one."""
    at = 0
    for start, end in sorted(spans, key=lambda span: (span[0], -span[1])):
        if start >= at and start < end and MASK not in hidden[start:end]:
            yield start, end
            at = end
