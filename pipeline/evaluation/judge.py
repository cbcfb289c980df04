"""Judge who wrote a line, with character language models of what people wrote.

The judge shares neither data nor method with what it judges: the model under test is a transformer,
and the chooser of replies is a logistic regression on n-grams.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import log
from pathlib import Path
from typing import Any

import numpy as np
from nltk.lm import Vocabulary, WittenBellInterpolated
from nltk.lm.preprocessing import padded_everygrams
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from model.errors import DatasetError
from pipeline.evaluation.heldout import HeldOutLine, HeldOutTurn

ORDERS = (1, 2, 3)
"""Characters per n-gram, of one model each; chosen on real validation lines (docs/scorecard.md)."""

_CALIBRATION = 4
"""One in this many lines of a person calibrates the judge instead of training its models."""
_MIN_TIMES = 2  # a character that occurs less often counts as unknown
_LOWEST = 1e-9

Table = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Judge:
    """Character language models of each voice, and a calibration of their likelihoods.

    A model that learned from more lines finds every line likelier. The calibration, a logistic
    regression on the log-likelihoods of other lines, corrects that. `lines` counts both.
    """

    voices: tuple[str, ...]
    lines: int
    models: tuple[tuple["_CharacterModel", ...], ...]  # by order and voice
    calibration: Any  # scikit-learn ships no types; None with a single voice

    def score(self, lines: Sequence[HeldOutLine]) -> Table:
        """Return natural log-probabilities of the voices, [lines, voices]."""
        table = np.zeros((len(lines), len(self.voices)))
        if len(lines) and self.calibration is not None:
            likelihoods = _tabulate(self.models, [line.text for line in lines])
            found = self.calibration.predict_proba(likelihoods)
            table[:] = np.log(np.maximum(found, _LOWEST))
        return table


def train_judge(lines: Iterable[HeldOutLine]) -> Judge:
    """Train a judge on real lines of each voice."""
    own: dict[str, list[str]] = {}
    for line in lines:
        own.setdefault(line.voice, []).append(line.text)
    voices = tuple(sorted(own))
    characters = Counter(
        character for texts in own.values() for text in texts for character in text
    )
    vocabulary = Vocabulary(characters, unk_cutoff=_MIN_TIMES)
    # With fewer lines than that, all of them serve for both.
    kept = {
        voice: [text for number, text in enumerate(texts) if number % _CALIBRATION] or texts
        for voice, texts in own.items()
    }
    models = tuple(
        tuple(_CharacterModel(kept[voice], order, vocabulary) for voice in voices)
        for order in ORDERS
    )
    calibration = None
    if len(voices) > 1:
        texts = [text for voice in voices for text in own[voice][::_CALIBRATION]]
        owners = [n for n, voice in enumerate(voices) for _ in own[voice][::_CALIBRATION]]
        regression = LogisticRegression(class_weight="balanced", max_iter=1_000)
        calibration = regression.fit(_tabulate(models, texts), owners)
    return Judge(voices, sum(map(len, own.values())), models, calibration)


def read_judge_turns(path: Path, voices: Collection[str]) -> list[HeldOutTurn]:
    """Read turns that the voices wrote in other chats.

    Each line of the file is a JSON object with `name`, `messages` (a list of texts) and
    `conversation` (a number).

    Raises:
        DatasetError: The file cannot be read, or contains no turn by a voice.
    """
    turns = []
    try:
        with path.open(encoding="utf-8") as rows:
            for number, row in enumerate(rows, 1):
                turns.append(_parse_turn(row, f"{path}, line {number}"))
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} cannot be read: {error}") from error
    missing = sorted(set(voices) - {turn.voice for turn in turns})
    if missing:
        raise DatasetError(f"{path} contains no turns by {', '.join(missing)}")
    return [turn for turn in turns if turn.voice in voices]


def _parse_turn(row: str, place: str) -> HeldOutTurn:
    try:
        value = json.loads(row)
        name, messages, conversation = (value[key] for key in ("name", "messages", "conversation"))
        is_valid = isinstance(name, str) and isinstance(conversation, int) and bool(messages)
        if is_valid and all(isinstance(message, str) for message in messages):
            return HeldOutTurn(name, (), tuple(messages), session=conversation)
    except (KeyError, RecursionError, TypeError, ValueError):
        pass
    raise DatasetError(
        f'{place}: expected {{"name": "Hugo", "messages": ["a text"], "conversation": 1}}'
    )


class _CharacterModel:
    """A Witten–Bell model of the characters of a person's lines."""

    def __init__(self, texts: Sequence[str], order: int, vocabulary: Vocabulary) -> None:
        model = WittenBellInterpolated(order, vocabulary=vocabulary)
        model.fit(padded_everygrams(order, text) for text in texts)
        self._before = order - 1
        self._score = lru_cache(maxsize=None)(model.score)

    def log_likelihood(self, text: str) -> float:
        """Return the log-likelihood of a text and its end, in nats."""
        characters = ["<s>"] * self._before + [*text, "</s>"]
        return sum(
            log(
                max(self._score(characters[at], tuple(characters[at - self._before : at])), _LOWEST)
            )
            for at in range(self._before, len(characters))
        )


def _tabulate(models: Sequence[Sequence[_CharacterModel]], texts: Sequence[str]) -> Table:
    """Return the log-likelihoods of texts, for each order without their mean, [texts, models]."""
    tables = [
        np.asarray([[model.log_likelihood(text) for model in own] for text in texts])
        for own in models
    ]
    return np.hstack([table - table.mean(1, keepdims=True) for table in tables])
