"""How likely each friend is to answer the newest message, and whether the bot joins unasked.

A friend answers a message where theirs is the next one, within `HORIZON`; its own author never
does. The chance is a logistic regression over `model.occasions.features` and over who wrote the
message, one for each voice, learned by the pipeline. The bot joins where it is highest.
"""

import json
import math
import random
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from model.conversation import Message
from model.eligible import lines_of
from model.errors import ArtifactError
from model.files import write_text
from model.occasions import FEATURES, Said, conversations, features, is_heard
from model.roster import Roster

PROPENSITY = "propensity.json"
HORIZON = timedelta(minutes=2)
"""What is said later answers no more: the chat had fallen silent."""

STRANGER = ""
"""Stands among the names of those answered for anybody who is no friend."""

LEVELS = tuple(range(5, 101, 5))
"""How chatty the bot may be: at each level a voice joins in so many percent of `MOST`."""

MOST = 0.6
"""A voice joins at most so often as its friend answers.

Not 1: people change, and in talk that they were not learned from some reach a bar half again as
often (docs/chatty.md). Nobody minds a bot that talks too little.
"""

_FORMAT = 1
_HEAVIEST = 1_000


@dataclass(frozen=True, slots=True)
class Weights:
    """One voice's regression: in the order of `FEATURES`, and by whose message it is.

    `bars` are what its chance must reach, in the order of `LEVELS`.
    """

    bias: float
    features: tuple[float, ...]
    after: Mapping[str, float]
    bars: tuple[float, ...]

    def chance(self, values: Sequence[float], author: str) -> float:
        """Return the probability at these features, after a message of this author."""
        products = (a * b for a, b in zip(self.features, values, strict=True))
        score = self.bias + self.after.get(author, 0.0) + sum(products)
        return 1 / (1 + math.exp(-max(-50.0, min(50.0, score))))


@dataclass(frozen=True, slots=True)
class Propensity:
    """The voices' regressions by name."""

    voices: Mapping[str, Weights]

    def chance(self, conversation: Sequence[Said], voice: str) -> float:
        """Return how likely this friend is the one who answers the newest line.

        0 for whoever wrote it, for one whose habits are unknown, and for what wakes nobody.
        """
        newest, weights = conversation[-1], self.voices.get(voice)
        if weights is None or newest.by == voice or not newest.wakes:
            return 0.0
        return weights.chance(features(conversation, voice), newest.by or STRANGER)

    def chances(
        self, messages: Sequence[Message], roster: Roster, gap: timedelta
    ) -> dict[str, float]:
        """Return each voice's chance to answer the last of one chat and topic's messages.

        The last `MEMORY` that are heard, and all between, are enough. Empty where the newest is
        not: a command, a forward, another bot's, or of somebody who may not be learned from.
        """
        if not messages or not is_heard(messages[-1], roster):
            return {}
        *_, conversation = conversations(lines_of(messages, roster), roster, gap)
        return {person.name: self.chance(conversation, person.name) for person in roster.voices}

    def would_join(
        self, chances: Mapping[str, float], chatty: float, chance: random.Random
    ) -> str | None:
        """Return who joins now, None for nobody: of those over their bar the likeliest.

        At level 0 nobody ever does. Between two levels the upper one's bar holds, and of those who
        reach it so many are drawn that all in all the level's share joins.

        Raises:
            ValueError: The level is not from 0 to 100.
        """
        if not 0 <= chatty <= LEVELS[-1]:
            raise ValueError(f"a level of {chatty} is not from 0 (never) to 100 (most)")
        step = bisect_left(LEVELS, chatty)
        known = {voice: likely for voice, likely in chances.items() if voice in self.voices}
        reach = [voice for voice in known if 0 < known[voice] >= self.voices[voice].bars[step]]
        if not reach or chance.random() * LEVELS[step] >= chatty:
            return None
        return max(reach, key=known.__getitem__)


def save(propensity: Propensity, folder: Path) -> None:
    """Write propensity.json into an artifact's folder."""
    voices = {
        name: {
            "bias": weights.bias,
            "features": dict(zip(FEATURES, weights.features, strict=True)),
            "after": dict(weights.after),
            "bars": list(weights.bars),
        }
        for name, weights in propensity.voices.items()
    }
    value = {"format": _FORMAT, "voices": voices}
    write_text(folder / PROPENSITY, json.dumps(value, ensure_ascii=False, indent=1) + "\n")


def load(folder: Path) -> Propensity | None:
    """Read an artifact's propensity.json; None where it has none, as older ones.

    Raises:
        ArtifactError: It is damaged, or of another version.
    """
    path = folder / PROPENSITY
    try:
        return _propensity(json.loads(path.read_text("utf-8")))
    except FileNotFoundError:
        return None
    except (
        AttributeError, KeyError, OSError, OverflowError, RecursionError, TypeError, ValueError,
    ) as error:  # fmt: skip
        raise ArtifactError(f"{path} is damaged ({error}): train again") from error


def _propensity(value: Mapping[str, Any]) -> Propensity:
    if value["format"] != _FORMAT:
        raise ValueError(f"format {value['format']!r} is not {_FORMAT}")
    _check_keys(value, {"format", "voices"})
    return Propensity({name: _weights(read) for name, read in value["voices"].items()})


def _weights(value: Mapping[str, Any]) -> Weights:
    _check_keys(value, {"bias", "features", "after", "bars"})
    _check_keys(value["features"], set(FEATURES))
    return Weights(
        bias=_number(value["bias"]),
        features=tuple(_number(value["features"][name]) for name in FEATURES),
        after={name: _number(weight) for name, weight in value["after"].items()},
        bars=_bars(value["bars"]),
    )


def _bars(value: Any) -> tuple[float, ...]:  # noqa: ANN401  JSON's border
    bars = tuple(map(_number, value))
    if len(bars) != len(LEVELS) or list(bars) != sorted(bars, reverse=True):
        raise ValueError(f"bars are {len(LEVELS)} falling chances, {value!r} is not")
    return bars


def _check_keys(value: Mapping[str, Any], wanted: set[str]) -> None:
    if wrong := set(value) ^ wanted:
        raise ValueError(f"{min(wrong)!r} is missing or unknown")


def _number(value: Any) -> float:  # noqa: ANN401  JSON's border
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not -_HEAVIEST <= value <= _HEAVIEST:
        raise TypeError(f"a weight is a number from {-_HEAVIEST} to {_HEAVIEST}, {value!r} is not")
    return float(value)
