"""Split text into words, and find the words that are characteristic of each person."""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

_KANA_AND_HAN = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_SOUTHEAST_ASIAN = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Myanmar, Khmer

UNSPACED = re.compile(f"[{_KANA_AND_HAN}{_SOUTHEAST_ASIAN}]")
"""A character of a script without spaces between words."""

_APOSTROPHES = re.compile(r"['’‘`´]")
_WORD = re.compile(rf"[{_KANA_AND_HAN}]|[^\W_{_KANA_AND_HAN}]+")

_PICTOGRAM = "[\u231a-\u23ff\u2600-\u27bf\u2b50\u2b55\U0001f000-\U0001faff]"
_STYLE = "[\ufe0f\U0001f3fb-\U0001f3ff]*"
EMOJI = re.compile(
    "[\U0001f1e6-\U0001f1ff]{2}"
    rf"|{_PICTOGRAM}{_STYLE}(?:\u200d[\u2640\u2642\u2695\u2696\u2708\u2764]?{_PICTOGRAM}?{_STYLE})*"
)
"""An emoji with its skin tone, or several joined ones that are shown as one; a flag."""

_SHOWN_WORD = re.compile(r"(?<![\w@/.])[^\W\d_]+(?:['’-][^\W\d_]+)*(?![\w/@])")

_LINK = re.compile(r"(?:https?://|www\.)\S+", re.IGNORECASE)

_PRIOR_WORDS, _PRIOR_SHARE = 1_000, 0.1
"""Size of the prior, in words and at most this share of all words; it dampens rare words."""
_SIGNIFICANT = 1.96  # standard deviations: two-sided 5 %
_MIN_RATIO = 1.5
"""Minimum odds ratio: a frequent word such as "the" is significant at a much smaller one."""


@dataclass(frozen=True, slots=True)
class Characteristic:
    """A word, how often a person used it, and how much more than the others (a z-score)."""

    word: str
    count: int
    score: float


def split_words(text: str) -> list[str]:
    """Return a text's words without case, accents, apostrophes and punctuation.

    A kana or Chinese character is one word. A Southeast Asian text is split at its vowel signs,
    because one character is much less than a word.
    """
    decomposed = unicodedata.normalize("NFKD", _APOSTROPHES.sub("", text).casefold())
    return _WORD.findall("".join(c for c in decomposed if not unicodedata.combining(c)))


def word_runs(words: Sequence[str], length: int) -> Iterator[str]:
    """Yield each run of `length` consecutive words, joined by spaces."""
    for start in range(len(words) - length + 1):
        yield " ".join(words[start : start + length])


def split_shown_words(text: str) -> list[str]:
    """Return a text's lower-case words as people write them; no numbers, links and @names."""
    found = (
        word
        for token in _SHOWN_WORD.findall(_LINK.sub(" ", text))
        for word in split_unspaced(token)
    )
    return [word.lower().replace("’", "'") for word in found]


def split_unspaced(token: str) -> list[str]:
    """Return a token, or its pairs of characters if its script has no spaces between words."""
    if not UNSPACED.search(token):
        return [token]
    return [first + second for first, second in pairwise(token)]


def find_characteristic_words(
    counts: Mapping[str, Mapping[str, int]], most: int, min_count: int
) -> dict[str, tuple[Characteristic, ...]]:
    """Return at most `most` words that each person uses more than all others together.

    `counts` are words by person. The score is the z-score of the log-odds ratio with an informative
    Dirichlet prior: Monroe, Colaresi and Quinn, "Fightin' Words", Political Analysis 16 (2008),
    equations 15, 16 and 22. The prior contains everybody's words. Words below 5 % significance,
    those with odds less than 1.5 times those of the others, and those that a person used fewer than
    `min_count` times are left out.
    """
    everybody: Counter[str] = Counter()
    for own in counts.values():
        everybody.update(own)
    total = everybody.total()
    prior_words = min(_PRIOR_WORDS, _PRIOR_SHARE * total)
    found = {}
    for name, own in counts.items():
        size = sum(own.values())
        rest = total - size
        scored = []
        for word, count in own.items():
            if count < min_count or not rest or len(everybody) == 1:
                continue  # nothing to compare with
            prior = prior_words * everybody[word] / total
            mine, theirs = count + prior, everybody[word] - count + prior
            ratio = math.log(mine / (size + prior_words - mine)) - math.log(
                theirs / (rest + prior_words - theirs)
            )
            score = ratio / math.sqrt(1 / mine + 1 / theirs)
            if score > _SIGNIFICANT and ratio > math.log(_MIN_RATIO):
                scored.append(Characteristic(word, count, score))
        scored.sort(key=lambda one: (-one.score, one.word))
        found[name] = tuple(scored[:most])
    return found
