"""Remove quoted and copied words of other people from a message."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from model.chat.conversation import strip_media_word
from model.chat.names import fold

_QUOTED = re.compile(r"\s*>+(?:\s|$|[^\W_](?!<))")
"""A quotation mark as in e-mail, but not the faces `>_<`, `>:(` and `>o<`."""

_QUOTED_NAME = re.compile(r"\s*>\s*[^\s>:][^:]{0,80}:\s*")

_REACH = 160  # characters at the start of a line in which a name makes it a header
_MAX_NAMES = 8  # names in these characters that are considered, of those who are out and others
_MAX_WORDS = 4  # other words before a colon, as in Breton: "Skrivet eo bet gant Eva :"
_MAX_DATE = 32  # characters of a date after a name
_MAX_DATED_WORDS = 10  # with a date, as in "On Wed, Mar 12, 2025 at 10:11 AM Eva wrote:"
_TITLES = frozenset(
    "mr mrs ms miss dr dra sr sra prof the as os el la los las".split()  # noqa: SIM905
)
"""Titles, and articles in English, Portuguese and Spanish, which are not first names."""
_WORD = re.compile(r"[^\W\d_]+")
_NAME_WORD = re.compile(r"[^\W_]+")
_CLOCK = re.compile(r"\d[:.h]\d\d|\d[/.-] ?\d{1,2}[/.-] ?\d")
_DATE = re.compile(rf"{_CLOCK.pattern}|(?<!\d)\d{{4}}(?!\d)")
_ASIDE = re.compile(r"<[^<>]*>|\([^()]*\)|\[[^\[\]]*\]")
_SEPARATOR = re.compile(
    r"(?:(?<!\d):|:(?!\d))(?!//|[-'^]?[()\[\]{}dpoxsc3/\\|$@>]+(?!\w))|[៖\"“„«「『]"
)
"""A colon or the start of a quotation; not the colon of a time, an address or a face."""
_CLOSED = re.compile(r"[\s*_~`]*(?:[>›»|\]](?![_.<:])|[-–—]+(?=\s)|,? ?[\[(][^\])]*\d)")
"""What only follows the name in a header: `<Eva> hi`, `Eva | hi`, `Eva — 10:11`, `Eva [10:11]`."""
_MARKUP = re.compile(r"[\s*_~`@<>\[\]“”\"]*")
_AFTER_QUOTATION = re.compile(r"[\"“”»][\s.]*[-–—~(][-–—~(\s]*$")
_DASHES = re.compile(r"\s*[-–—~][-–—~\s]*")
_ENDS_QUOTATION = ('"', "“", "”", "»")


class QuoteHeader(NamedTuple):
    """A line that begins somebody's copied words.

    `from_app` if it looks like an app's: with a date or time, or above the words. Apps put an
    empty line between the messages of one person. `is_certain` if it has no words but a name.
    """

    is_excluded: bool
    from_app: bool
    is_certain: bool


class CopyLabels:
    """The names of people that may precede copied words, and whether these must be removed.

    A first name counts too: the first word that is neither a title nor an abbreviation. If several
    people share a name, copies under it are removed if those of any of them must be.
    """

    def __init__(self, people: Iterable[tuple[Iterable[str], bool]]) -> None:
        labels: dict[str, bool] = {}
        for names, is_excluded in people:
            for name in names:
                if words := fold(name).split():
                    for label in (" ".join(words), _find_first_name(words)):
                        labels[label] = labels.get(label, False) or is_excluded
        # names by their first word, with the emoji or signs before it
        self._by_word: dict[str, list[tuple[str, str, bool]]] = {}
        self._unspaced: list[str] = []  # of excluded people: emoji, and scripts without spaces
        for label in sorted(labels, key=len, reverse=True):
            word = _NAME_WORD.search(label)
            if word:
                entry = label[word.start() :], label[: word.start()], labels[label]
                self._by_word.setdefault(word[0], []).append(entry)
            if labels[label] and (not word or (len(label) > 1 and label.lower() == label.upper())):
                self._unspaced.append(label)
        self._words = {  # with which a name of somebody excluded begins
            word for word, names in self._by_word.items() if any(is_out for *_, is_out in names)
        }

    def may_match(self, text: str) -> bool:
        """Whether a text has a word that can begin an excluded person's name."""
        if not self._words and not self._unspaced:
            return False
        folded = fold(text)
        has_word = not self._words.isdisjoint(_NAME_WORD.findall(folded))
        return has_word or any(label in folded for label in self._unspaced)

    def find_header(self, line: str, *, has_more: bool) -> QuoteHeader | None:
        """Return the header that a line is, if any; `has_more` lines of the message follow."""
        head = _fold_line(strip_media_word(line)[:_REACH])
        certain = None
        considered = Counter[bool]()
        for start, end, is_excluded in self._find_names(head):
            considered[is_excluded] += 1
            if considered[is_excluded] > _MAX_NAMES:
                if is_excluded:  # a header may follow
                    return QuoteHeader(is_excluded, from_app=True, is_certain=False)
                continue
            header = _read_header(head, start, end, is_excluded=is_excluded, has_more=has_more)
            if header and is_excluded:
                return header
            if header and header.is_certain:
                certain = certain or header
        return certain

    def find_source(self, line: str) -> str | None:
        """Return what precedes an excluded person's name at the end of a line, or None."""
        tail = _fold_line(line[-_REACH:])
        for start, end, is_excluded in self._find_names(tail):
            if is_excluded and not _WORD.search(tail, end):
                return tail[:start]
        return None

    def _find_names(self, text: str) -> Iterator[tuple[int, int, bool]]:
        """Yield start and end of each name, the longest of those that begin at one place."""
        reached = 0
        for word in _NAME_WORD.finditer(text):
            for name, signs, is_excluded in self._by_word.get(word[0], ()):
                start, end = word.start(), word.start() + len(name)
                is_whole = text.startswith(name, start) and not text[end : end + 1].isalnum()
                if is_whole and start >= reached:
                    has_signs = text.endswith(signs, 0, start)
                    yield start - len(signs) * has_signs, end, is_excluded
                    reached = end
                    break
        for label in self._unspaced:
            if (start := text.find(label)) >= 0:
                yield start, start + len(label), True


def _find_first_name(words: Sequence[str]) -> str:
    """Return the first word that is neither a title nor an abbreviation, or else the first."""
    spelt = [word for word in words if any(map(str.isalpha, word))]
    names = (
        word for word in spelt
        if word not in _TITLES and not word.endswith(".") and (len(word) > 1 or not word.isascii())
    )  # fmt: skip
    return next(names, (spelt or words)[0])


def strip_quotes(text: str) -> str:
    """Return text without lines that start with a quotation mark as in e-mail, such as `> hi`.

    What follows a line such as `> Eva:` is removed too: Telegram for macOS writes it above copied
    messages.
    """
    if ">" not in text:
        return text
    kept = []
    for line in text.split("\n"):
        if not _QUOTED.match(line):
            kept.append(line)
        elif _QUOTED_NAME.fullmatch(line):
            break
    return "\n".join(kept)


def strip_copies(text: str, labels: CopyLabels) -> str:
    """Return text without copied messages of people whose words must not be used.

    A header begins a copy, such as `Eva: words`, `<Eva> words` or `Eva, [12.03.2025 10:11]` above
    them. The following lines are removed too, up to an empty line or the header of another friend;
    after an app's header, only up to another one. A quotation before `— Eva` is removed too.
    """
    if not labels.may_match(text):
        return text
    lines = text.rstrip().split("\n")
    kept: list[str] = []
    copy: QuoteHeader | None = None
    for number, line in enumerate(lines):
        if not line.strip():
            copy = copy if copy and copy.from_app else None
        elif not copy and (start := _find_quotation(line, kept, labels)) is not None:
            del kept[start:]
            continue
        if header := labels.find_header(line, has_more=number + 1 < len(lines)):
            if header.is_excluded:
                copy = header
            elif copy and (header.from_app or not copy.from_app):
                copy = None
        if not copy:
            kept.append(line)
    return "\n".join(kept)


def _fold_line(line: str) -> str:
    """Return a part of a line as names are folded, with single spaces; a tab becomes a bar."""
    return " ".join(fold(line.replace("\t", " | ")).split())


def _find_quotation(line: str, above: Sequence[str], labels: CopyLabels) -> int | None:
    """Return which of the lines above begins a quotation that this line ends, as with `— Eva`.

    It is the number of lines if the quotation is on this line, and None if there is none.
    """
    before, start = labels.find_source(line), len(above)
    if before is None or _AFTER_QUOTATION.search(before):
        return None if before is None else start
    if not (_DASHES.fullmatch(before) and above and above[-1].rstrip().endswith(_ENDS_QUOTATION)):
        return None
    while start and above[start - 1].strip():
        start -= 1
    return start


def _read_header(
    head: str, start: int, end: int, *, is_excluded: bool, has_more: bool
) -> QuoteHeader | None:
    """Return the header that the name between these places makes of a line, if it is one."""
    before, after = _blank_asides(head[:start]), _blank_asides(head[end:])
    words_before = len(_WORD.findall(before))
    if not words_before or (words_before == 1 and before[0].lower() == before[0].upper()):
        if closed := _CLOSED.match(head, end):
            is_dated = _CLOCK.search(head, 0, closed.end() + _MAX_DATE) is not None
            is_certain = is_dated or not _DASHES.fullmatch(closed[0])
            return QuoteHeader(is_excluded, is_dated or closed.end() == len(head), is_certain)
        if _CLOCK.search(head, 0, start) and head[end : end + 1] in {"", " "}:
            return QuoteHeader(is_excluded, from_app=True, is_certain=False)
    separator = _SEPARATOR.search(after)
    between = after[: separator.start()] if separator else after
    words_between = len(_WORD.findall(between))
    words = words_before + words_between
    is_dated = _DATE.search(head, 0, end + len(between)) is not None
    if words > (_MAX_DATED_WORDS if is_dated else _MAX_WORDS):
        return None
    if separator:
        from_app = is_dated or not after[separator.end() :].strip()
        return QuoteHeader(is_excluded, from_app, is_certain=not words)
    is_sender = before.rstrip().endswith(":") and not words_between  # "From: Eva" of an e-mail
    is_forward = head[0] == "[" and head[-1] == "]"  # "[Forwarded from Eva]"
    is_name = _MARKUP.fullmatch(before) and _MARKUP.fullmatch(after)
    if has_more and (is_dated or is_sender or is_forward or is_name):
        return QuoteHeader(is_excluded, from_app=True, is_certain=False)
    return None


def _blank_asides(text: str) -> str:
    """Return text with spaces in place of what is in brackets, such as an address or a date."""
    return _ASIDE.sub(lambda aside: " " * len(aside[0]), text)
