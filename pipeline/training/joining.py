"""Fit and measure the model of when a voice joins a conversation unprompted."""

import argparse
import random
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from model.chat.roster import Roster
from model.errors import DatasetError, UnderstudyError
from model.joining import (
    ANSWER_TIME_LIMIT,
    FEATURES,
    LEVELS,
    LOOKBACK_LINES,
    MAX_JOIN_RATE,
    STRANGER,
    LineFacts,
    Propensity,
    VoiceWeights,
    compute_features,
    write_propensity,
)
from pipeline.dataset.split import SPLITS, SplitName
from pipeline.dataset.storage import Dataset, load_dataset, read_conversations

LATEST = 200_000
"""Training lines to learn from, the latest: habits change, and more makes no better weights."""

FEWEST = 5
"""Answers of a voice below which its habits are unknown: it never joins."""

_DIGITS = 6
_ROUNDS = 1_000


@dataclass(frozen=True, slots=True)
class Occasion:
    """A line that could be answered, with what stands before it, and who answered it, if anybody.

    `answered_by` is None too where a stranger did.
    """

    conversation: Sequence[LineFacts]
    answered_by: str | None

    @property
    def newest(self) -> LineFacts:
        """Return the line."""
        return self.conversation[-1]


def occasions(conversation: Sequence[LineFacts]) -> Iterator[Occasion]:
    """Yield the occasions of a conversation.

    What our bot said, and what its author repeats, is none; nor is what our bot answered: nobody
    knows who would have.
    """
    for place, said in enumerate(conversation):
        following = conversation[place + 1] if place + 1 < len(conversation) else None
        if following and following.at - said.at > ANSWER_TIME_LIMIT:
            following = None
        if said.may_be_answered and not (following and following.ours):
            answerer = following.by if following and following.by != said.by else None
            yield Occasion(conversation[max(0, place + 1 - LOOKBACK_LINES) : place + 1], answerer)


def learn(conversations: Iterable[Sequence[LineFacts]], roster: Roster) -> Propensity:
    """Fit one regression a voice; whoever answered too seldom has none."""
    found = [one for conversation in _latest(conversations) for one in occasions(conversation)]
    friends = [person.name for person in roster.people if person.learn == "yes"]
    fitted = {
        person.name: weights
        for person in roster.voices
        if (weights := _fitted(person.name, found, [*friends, STRANGER]))
    }
    return Propensity(fitted)


def save_propensity(dataset: Dataset, folder: Path) -> bool:
    """Learn from a dataset's training conversations into an artifact's folder.

    False where an earlier version built the dataset, without its conversations.
    """
    conversations = read_conversations(dataset.folder, dataset.roster)
    if conversations is None:
        return False
    write_propensity(learn(conversations["train"], dataset.roster), folder)
    return True


def _latest(conversations: Iterable[Sequence[LineFacts]]) -> list[Sequence[LineFacts]]:
    kept: list[Sequence[LineFacts]] = []
    lines = 0
    for conversation in reversed(list(conversations)):
        if lines >= LATEST:
            break
        kept.append(conversation)
        lines += len(conversation)
    return kept[::-1]


def _fitted(voice: str, found: Iterable[Occasion], authors: Sequence[str]) -> VoiceWeights | None:
    """Return a voice's weights, None where there is too little to learn them from."""
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    others = [one for one in found if one.newest.by != voice]
    answered = np.array([one.answered_by == voice for one in others])
    if answered.sum() < FEWEST or answered.all():
        return None
    met = {one.newest.by or STRANGER for one in others}
    authors = [name for name in authors if name in met]
    columns = {name: number for number, name in enumerate(authors, len(FEATURES))}
    rows = np.zeros((len(others), len(FEATURES) + len(authors)), dtype=np.float32)
    for row, one in zip(rows, others, strict=True):
        row[: len(FEATURES)] = compute_features(one.conversation, voice)
        row[columns[one.newest.by or STRANGER]] = 1.0
    # No class weights: the chances must be as often right as they say, not as often as they can.
    fit = LogisticRegression(max_iter=_ROUNDS).fit(rows, answered)
    weights = [round(float(weight), _DIGITS) for weight in fit.coef_[0]]
    return VoiceWeights(
        bias=round(float(fit.intercept_[0]), _DIGITS),
        features=tuple(weights[: len(FEATURES)]),
        after=dict(zip(authors, weights[len(FEATURES) :], strict=True)),
        thresholds=_bars(fit.predict_proba(rows)[:, 1], int(answered.sum())),
    )


def _bars(chances: Iterable[float], answers: int) -> tuple[float, ...]:
    """Return for each level the chance that as many occasions reach as the level lets join."""
    falling = sorted(map(float, chances), reverse=True)
    shares = (level / LEVELS[-1] * MAX_JOIN_RATE for level in LEVELS)
    return tuple(round(falling[max(1, int(share * answers)) - 1], _DIGITS) for share in shares)


REPORTED_LEVELS = (25, 50, 100)
_BINS = 10


@dataclass(frozen=True, slots=True)
class Joined:
    """At one level: how often a voice joins, and how often its friend had answered right there."""

    level: int
    times: int
    hits: int


@dataclass(frozen=True, slots=True)
class VoiceJoining:
    """One voice on held-out talk.

    `occasions` are lines of others, `answers` those that the friend answered; `auc` tells them
    apart, `auc_present` among those where the friend had spoken lately. `foreseen` is the chances'
    sum, `error` how far they are off on average, in ten bins of one width. `present` are the
    answers a line among the occasions where the friend had spoken lately.
    """

    name: str
    occasions: int
    answers: int
    foreseen: float
    auc: float
    auc_present: float
    error: float
    present: float
    joined: tuple[Joined, ...]

    @property
    def rate(self) -> float:
        """Return how often joining at random would hit."""
        return self.answers / self.occasions


def measure(
    propensity: Propensity, found: Sequence[Occasion], seed: int = 0
) -> tuple[VoiceJoining, ...]:
    """Let each voice foresee held-out occasions and join them; those that never answer are left."""
    joins = {level: list(_joins(propensity, found, level, seed)) for level in REPORTED_LEVELS}
    answered = {one.answered_by for one in found}
    return tuple(
        _voice(propensity, found, name, joins) for name in propensity.voices if name in answered
    )


def _joins(
    propensity: Propensity, found: Iterable[Occasion], level: int, seed: int
) -> Iterator[str | None]:
    """Yield who joins each occasion, None for nobody."""
    chance = random.Random(seed)
    for one in found:
        chances = {
            name: propensity.probability(one.conversation, name) for name in propensity.voices
        }
        yield propensity.choose_joiner(chances, level, chance)


def _voice(
    propensity: Propensity,
    found: Sequence[Occasion],
    name: str,
    joins: dict[int, list[str | None]],
) -> VoiceJoining:
    from sklearn.metrics import roc_auc_score

    others = [one for one in found if one.newest.by != name]
    chances = [propensity.probability(one.conversation, name) for one in others]
    answered = [one.answered_by == name for one in others]
    here = [any(said.by == name for said in one.conversation) for one in others]
    answered_here = [answer for answer, is_here in zip(answered, here, strict=True) if is_here]
    chances_here = [likely for likely, is_here in zip(chances, here, strict=True) if is_here]
    nan = float("nan")
    return VoiceJoining(
        name=name,
        occasions=len(others),
        answers=sum(answered),
        foreseen=sum(chances),
        auc=float(roc_auc_score(answered, chances)),
        auc_present=(
            float(roc_auc_score(answered_here, chances_here)) if len({*answered_here}) > 1 else nan
        ),
        error=_error(chances, answered),
        present=sum(answered_here) / len(answered_here) if answered_here else nan,
        joined=tuple(_joined(level, found, name, by) for level, by in joins.items()),
    )


def _joined(level: int, found: Iterable[Occasion], name: str, by: Sequence[str | None]) -> Joined:
    at = [one for one, joiner in zip(found, by, strict=True) if joiner == name]
    return Joined(level, len(at), sum(one.answered_by == name for one in at))


def _error(chances: Iterable[float], answered: Iterable[bool]) -> float:
    """Return the expected calibration error: |foreseen - answered| by bin, a line."""
    off: Counter[int] = Counter()
    sums = dict.fromkeys(range(_BINS), 0.0)
    for likely, answer in zip(chances, answered, strict=True):
        place = min(int(likely * _BINS), _BINS - 1)
        off[place] += 1
        sums[place] += likely - answer
    return sum(map(abs, sums.values())) / off.total()


def report(found: Sequence[VoiceJoining]) -> str:
    """Return the figures as Markdown; "present" is where the friend spoke recently."""
    lines = [
        "| voice | lines of others | answered | expected | AUC | AUC, present | error |",
        "|---|---|---|---|---|---|---|",
        *(
            f"| {one.name} | {one.occasions:,} | {one.answers:,} | {one.foreseen:,.0f} "
            f"| {one.auc:.2f} | {one.auc_present:.2f} | {one.error:.3f} |"
            for one in found
        ),
        "",
        "| voice | level | joins | answered | joins / answered | hits | random | random, present |",
        "|---|---|---|---|---|---|---|---|",
        *(_row(one, joined) for one in found for joined in one.joined),
        *(_whole(found, level) for level in REPORTED_LEVELS),
    ]
    return "\n".join(lines) + "\n"


def _row(one: VoiceJoining, joined: Joined) -> str:
    hits = f"{joined.hits / joined.times:.0%}" if joined.times else "–"
    return (
        f"| {one.name} | {joined.level} | {joined.times:,} | {one.answers:,} "
        f"| {joined.times / one.answers:.2f} | {hits} | {one.rate:.0%} | {one.present:.0%} |"
    )


def _whole(found: Sequence[VoiceJoining], level: int) -> str:
    """Return the row of all voices; joining at random shares the joins among them as they did."""
    joined = [next(j for j in one.joined if j.level == level) for one in found]
    times, answers = sum(j.times for j in joined), sum(one.answers for one in found)
    hits, most = sum(j.hits for j in joined), max(1, times)
    luck = sum(j.times * one.rate for j, one in zip(joined, found, strict=True)) / most
    here = sum(j.times * one.present for j, one in zip(joined, found, strict=True)) / most
    return (
        f"| all of them | {level} | {times:,} | {answers:,} | {times / answers:.2f} "
        f"| {hits / most:.0%} | {luck:.0%} | {here:.0%} |"
    )


def main() -> None:
    """Learn from a dataset's training part and print how voices would join a held-out one."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.training.joining", description=__doc__
    )
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--split", choices=SPLITS[1:], default="test")
    asked = parser.parse_args()
    try:
        sys.stdout.write(report(measure_dataset(asked.dataset, asked.split)))
    except UnderstudyError as error:
        sys.exit(f"chatty: {error}")


def measure_dataset(folder: Path, split: SplitName) -> tuple[VoiceJoining, ...]:
    """Learn from a dataset's training part and measure on a held-out one.

    Raises:
        DatasetError: An earlier version built it, without its conversations.
    """
    dataset = load_dataset(folder)
    conversations = read_conversations(folder, dataset.roster)
    if conversations is None:
        raise DatasetError(f"{folder} does not say who answered whom: build the dataset again")
    propensity = learn(conversations["train"], dataset.roster)
    return measure(propensity, [one for c in conversations[split] for one in occasions(c)])


if __name__ == "__main__":
    main()
