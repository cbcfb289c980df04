"""Replace private data in a text with placeholders."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from model.redaction import addresses, links, national_ids, numbers, secrets, wallets
from model.redaction.spans import MASK, Span, mask, normalize

PrivateKind = Literal[
    "phone",
    "email",
    "link",
    "card",
    "iban",
    "id",
    "wallet",
    "key",
    "password",
    "code",
    "address",
    "place",
]

_KINDS = "|".join(get_args(PrivateKind))
PLACEHOLDER = re.compile(rf"\[({_KINDS})\]")
"""The word that replaces a private part; its group is the part's kind."""

_TRIGGER_SIGN = re.compile(r"[0-9@/:=_(\[{#$%&*+^~→\x1a]")
_TRIGGER_PAIR = re.compile(r"[?!.]\w|-----|-(?<=\s-)\s|–(?<=\s–)\s|—(?<=\s—)\s")
_SPELLED_SIGNS = ("arroba", "arobase", "собака", " dot ")
"""No rule finds anything in a text without these signs and words, a long word or a seed phrase."""
_MIN_KEY = 16
_INNER_CAPITAL = re.compile(r"[A-Z](?<=\S[A-Z])")
_LONG_WORD = re.compile(rf"(?<!\S)\S{{{_MIN_KEY}}}")
"""Keys without a digit or sign: 3 in 100 of Amazon's have neither. Random letters have capitals."""
_MIN_SEED = 12  # words
_DIGIT = re.compile(r"[0-9]")
_MAX_ROUNDS = 4
"""If the last round still finds something, the whole text is hidden: each round takes time."""


@dataclass(frozen=True, slots=True)
class PrivatePart:
    """A private part of a text, from `start` up to `end`."""

    kind: PrivateKind
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Rule:
    """A rule, and the conditions that a text must meet before the rule runs.

    What a rule without a kind finds stays visible, and later rules skip it.
    """

    kind: PrivateKind | None
    find: Callable[[str], Iterator[Span]]
    min_digits: int = 0
    min_longest_word: int = 0
    min_words: int = 0
    any_of: tuple[str, ...] = ()


_RULES = (
    _Rule("key", secrets.find_key_blocks, any_of=("-----begin",)),
    _Rule("link", links.find_private_links, any_of=("/", "?")),
    _Rule("wallet", wallets.find_wallets, min_digits=1, min_longest_word=14),
    _Rule("wallet", wallets.find_seed_phrases, min_words=_MIN_SEED),
    _Rule("key", secrets.find_keys, min_longest_word=_MIN_KEY),
    _Rule("key", secrets.find_named_keys, min_longest_word=12),
    _Rule(None, links.find_links, any_of=("/", "?")),
    _Rule("email", links.find_emails, any_of=("@", "(", "[", "{", " at ", *_SPELLED_SIGNS)),
    _Rule("iban", numbers.find_ibans, min_digits=2, min_longest_word=4),
    _Rule("id", national_ids.find_pans, min_digits=4, min_longest_word=10),
    _Rule("id", national_ids.find_national_ids, min_digits=6),
    _Rule("place", numbers.find_coordinates, min_digits=2),
    _Rule("card", numbers.find_cards, min_digits=12),
    _Rule("address", addresses.find_addresses, any_of=("s/n", *"0123456789")),
    _Rule("phone", numbers.find_phones, min_digits=7),
    _Rule("password", secrets.find_passwords),
    _Rule("code", secrets.find_codes, min_digits=2),
)


def redact(text: str) -> str:
    """Replace each private part of a text with a bracketed word; idempotent."""
    return redact_beginning(text, len(text))


def redact_beginning(text: str, length: int) -> str:
    """Redact the first `length` characters; a part that starts in them is replaced completely."""
    parts = find_private_parts(text)
    if not parts:
        return text[:length]
    pieces = []
    at = 0
    for part in parts:
        if part.start >= length:
            break
        pieces += [text[at : part.start], f"[{part.kind}]"]
        at = part.end
    return "".join([*pieces, text[at:length]])


def find_private_parts(text: str) -> list[PrivatePart]:
    """Return the private parts of a text in order, without overlaps."""
    text, positions = normalize(text)
    if not _may_have_private_parts(text):
        return []
    hidden = mask(text, (match.span() for match in PLACEHOLDER.finditer(text)))
    parts: list[PrivatePart] = []
    # Hiding a part can make an adjacent one recognisable: repeat until nothing more is found.
    for _ in range(_MAX_ROUNDS):
        found, hidden = _apply_rules(hidden)
        parts += found
        if not found:
            break
    else:
        parts = [PrivatePart(parts[0].kind, 0, len(text))]
    return [
        PrivatePart(part.kind, positions[part.start], positions[part.end - 1] + 1)
        for part in sorted(parts, key=lambda part: part.start)
    ]


def _may_have_private_parts(text: str) -> bool:
    """Whether any rule could find anything; false for most messages of a chat."""
    if _TRIGGER_SIGN.search(text) or _TRIGGER_PAIR.search(text):
        return True
    if _INNER_CAPITAL.search(text) and _LONG_WORD.search(text):
        return True
    if text.count(" ") >= _MIN_SEED - 1 and wallets.may_have_seed_phrase(text.split()):
        return True
    lower = text.lower()
    for word in _SPELLED_SIGNS:  # noqa: SIM110  any() of a generator takes twice as long
        if word in lower:
            return True
    return False


def _apply_rules(hidden: str) -> tuple[list[PrivatePart], str]:
    """Apply each rule once; return what they find, and the text with that masked too."""
    parts: list[PrivatePart] = []
    digits = len(_DIGIT.findall(hidden))
    words, lower = hidden.split(), hidden.lower()
    longest_word = max(map(len, words), default=0)
    for rule in _RULES:
        if digits < rule.min_digits or longest_word < rule.min_longest_word:
            continue
        if len(words) < rule.min_words:
            continue
        if rule.any_of and not any(sign in lower for sign in rule.any_of):
            continue
        spans: list[Span] = []
        # Of spans that overlap, keep the first, and of those with one start the longest.
        for start, end in sorted(rule.find(hidden), key=lambda span: (span[0], -span[1])):
            is_free = start >= (spans[-1][1] if spans else 0)
            if is_free and start < end and MASK not in hidden[start:end]:
                spans.append((start, end))
        if spans:
            hidden = mask(hidden, spans)
            lower = hidden.lower()
            if rule.kind:
                parts += [PrivatePart(rule.kind, start, end) for start, end in spans]
    return parts, hidden
