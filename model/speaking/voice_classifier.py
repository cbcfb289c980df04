"""Classify whose turn a text could be: a linear model of hashed character n-grams and habits."""

import math
import re

_EMOJI = re.compile("[\u2600-\u27bf\U0001f1e6-\U0001f1ff\U0001f300-\U0001faff]")
_SMILEY = re.compile(r"(?:^|\s)[:;=xX8][-']?[)(DPpOo3/|]+(?=\s|$)")
_LAUGHTER = re.compile(
    r"\b(?:a?(?:ha){2,}h?|(?:he){2,}|(?:hi){2,}|(?:ja){2,}|lol+|lmf?ao|rofl|k{3,}|(?:rs){2,}|w{3,})\b"
    r"|(?:ха){2,}|哈{2,}|ㅋ{2,}|[😂🤣😹]",
    re.IGNORECASE,
)
LINE_HABITS = (
    "length", "emoji", "laughter", "capital_first", "capitals", "full_stop", "exclamation",
    "question", "dots", "comma", "apostrophe",
)  # fmt: skip
"""Habits counted in each line; `length` is ln(1 + characters), the others are rates."""


def measure_habits(text: str) -> tuple[float, ...]:
    """Return the values of LINE_HABITS for a line."""
    letters = [char for char in text if char.isalpha()]
    capitals = sum(char.isupper() for char in letters) / max(1, len(letters))
    end = text.rstrip()
    return (
        math.log1p(len(text)),
        float(len(_EMOJI.findall(text)) + len(_SMILEY.findall(text))),
        float(_LAUGHTER.search(text) is not None),
        float(bool(letters) and letters[0].isupper()),
        capitals,
        float(end.endswith((".", "。")) and not end.endswith("..")),
        float("!" in text or "！" in text),
        float("?" in text or "？" in text),
        float(".." in text or "…" in text),
        float("," in text or "，" in text or "、" in text),
        float("'" in text or "’" in text),
    )
