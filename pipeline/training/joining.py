"""Fit and measure the model of when a voice joins a conversation unprompted."""

import argparse
import random
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
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

MIN_ANSWERS = 5
"""Answers that a voice needs; with fewer its habits are unknown and it never joins."""

REPORTED_LEVELS = (25, 50, 100)

_MAX_LINES = 200_000  # only the latest: habits change, and more lines did not help
_DIGITS = 6
_ITERATIONS = 1_000
_BINS = 10


@dataclass(frozen=True, slots=True)
class Occasion:
    """A line that could be answered, the lines before it, and who answered it.

    `answered_by` is None if nobody or a stranger did.
    """

    conversation: Sequence[LineFacts]
    answered_by: str | None

    @property
    def newest(self) -> LineFacts:
        """Return the line itself."""
        return self.conversation[-1]


@dataclass(frozen=True, slots=True)
class LevelResult:
    """How often a voice joins at one level, and how often its friend answered then."""

    level: int
    joins: int
    hits: int


@dataclass(frozen=True, slots=True)
class VoiceResult:
    """Figures of one voice on held-out conversations.

    `occasions` counts lines of others, `answers` those that the friend answered. `auc` is the area
    under the ROC curve for predicting these, `auc_present` the same where the friend spoke
    recently. `expected` is the sum of the predicted probabilities, `error` their expected
    calibration error in ten bins of equal width. `present_rate` is the share of occasions that the
    friend answered where the friend spoke recently.
    """

    name: str
    occasions: int
    answers: int
    expected: float
    auc: float
    auc_present: float
    error: float
    present_rate: float
    levels: tuple[LevelResult, ...]

    @property
    def rate(self) -> float:
        """Return the share of occasions that the friend answered."""
        return self.answers / self.occasions


def find_occasions(conversation: Sequence[LineFacts]) -> Iterator[Occasion]:
    """Yield the occasions of a conversation.

    Lines of our bot, and lines after which their author writes again, are not occasions. Neither
    are lines that our bot answered, because nobody knows who would have answered instead.
    """
    for index, line in enumerate(conversation):
        following = conversation[index + 1] if index + 1 < len(conversation) else None
        if following and following.at - line.at > ANSWER_TIME_LIMIT:
            following = None
        if line.may_be_answered and not (following and following.ours):
            answerer = following.by if following and following.by != line.by else None
            yield Occasion(conversation[max(0, index + 1 - LOOKBACK_LINES) : index + 1], answerer)


def fit_propensity(conversations: Iterable[Sequence[LineFacts]], roster: Roster) -> Propensity:
    """Fit one logistic regression per voice with at least MIN_ANSWERS answers."""
    latest: list[Sequence[LineFacts]] = []
    lines = 0
    for conversation in reversed(list(conversations)):
        if lines >= _MAX_LINES:
            break
        latest.append(conversation)
        lines += len(conversation)
    found = [
        occasion for conversation in reversed(latest) for occasion in find_occasions(conversation)
    ]
    friends = [person.name for person in roster.people if person.learn == "yes"]
    fitted = {
        person.name: weights
        for person in roster.voices
        if (weights := _fit_voice(person.name, found, [*friends, STRANGER]))
    }
    return Propensity(fitted)


def save_propensity(dataset: Dataset, folder: Path) -> bool:
    """Fit a dataset's training conversations and write the model into an artifact's folder.

    Return False if an earlier version built the dataset, without its conversations.
    """
    conversations = read_conversations(dataset.folder, dataset.roster)
    if conversations is None:
        return False
    write_propensity(fit_propensity(conversations["train"], dataset.roster), folder)
    return True


def measure_dataset(folder: Path, split: SplitName) -> tuple[VoiceResult, ...]:
    """Fit the model on a dataset's training split and measure it on a held-out split.

    Raises:
        DatasetError: An earlier version built it, without its conversations.
    """
    dataset = load_dataset(folder)
    conversations = read_conversations(folder, dataset.roster)
    if conversations is None:
        raise DatasetError(f"{folder} does not say who answered whom: build the dataset again")
    propensity = fit_propensity(conversations["train"], dataset.roster)
    found = [occasion for c in conversations[split] for occasion in find_occasions(c)]
    return measure_joining(propensity, found)


def measure_joining(
    propensity: Propensity, found: Sequence[Occasion], seed: int = 0
) -> tuple[VoiceResult, ...]:
    """Compare predictions and joins with the answers; leave out voices that never answer."""
    probabilities = [
        {name: propensity.probability(occasion.conversation, name) for name in propensity.voices}
        for occasion in found
    ]
    joiners: dict[int, list[str | None]] = {}
    for level in REPORTED_LEVELS:
        rng = random.Random(seed)
        joiners[level] = [propensity.choose_joiner(p, level, rng) for p in probabilities]
    answered = {occasion.answered_by for occasion in found}
    return tuple(
        _measure_voice(name, found, probabilities, joiners)
        for name in propensity.voices
        if name in answered
    )


def format_report(results: Sequence[VoiceResult]) -> str:
    """Return the figures as Markdown; "present" is where the friend spoke recently."""
    lines = [
        "| voice | lines of others | answered | expected | AUC | AUC, present | error |",
        "|---|---|---|---|---|---|---|",
        *(
            f"| {one.name} | {one.occasions:,} | {one.answers:,} | {one.expected:,.0f} "
            f"| {one.auc:.2f} | {one.auc_present:.2f} | {one.error:.3f} |"
            for one in results
        ),
        "",
        "| voice | level | joins | answered | joins / answered | hits | random | random, present |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in results:
        for at in one.levels:
            hits = f"{at.hits / at.joins:.0%}" if at.joins else "–"
            lines.append(
                f"| {one.name} | {at.level} | {at.joins:,} | {one.answers:,} "
                f"| {at.joins / one.answers:.2f} | {hits} | {one.rate:.0%} "
                f"| {one.present_rate:.0%} |"
            )
    for index, level in enumerate(REPORTED_LEVELS):  # random joins with each voice's number of them
        joined = [(result.levels[index].joins, result) for result in results]
        joins, answers = (
            sum(count for count, _ in joined),
            sum(result.answers for result in results),
        )
        hits_of_all = sum(result.levels[index].hits for result in results)
        random_hits = sum(count * one.rate for count, one in joined)
        random_present = sum(count * one.present_rate for count, one in joined)
        shares = (count / max(1, joins) for count in (hits_of_all, random_hits, random_present))
        lines.append(
            f"| all of them | {level} | {joins:,} | {answers:,} | {joins / answers:.2f} "
            f"| {' | '.join(f'{share:.0%}' for share in shares)} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Fit a dataset's training split and print how voices would join a held-out split."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.training.joining", description=main.__doc__
    )
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--split", choices=SPLITS[1:], default="test")
    given = parser.parse_args()
    try:
        sys.stdout.write(format_report(measure_dataset(given.dataset, given.split)))
    except UnderstudyError as error:
        sys.exit(f"chatty: {error}")


def _fit_voice(
    voice: str, found: Iterable[Occasion], authors: Sequence[str]
) -> VoiceWeights | None:
    """Return a voice's weights; None if it answered too rarely, or always."""
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    others = [occasion for occasion in found if occasion.newest.by != voice]
    answered = np.array([other.answered_by == voice for other in others])
    answers = int(answered.sum())
    if answers < MIN_ANSWERS or answered.all():
        return None
    present = {other.newest.by or STRANGER for other in others}
    authors = [name for name in authors if name in present]
    columns = {name: number for number, name in enumerate(authors, len(FEATURES))}
    rows = np.zeros((len(others), len(FEATURES) + len(authors)), dtype=np.float32)
    for row, one in zip(rows, others, strict=True):
        row[: len(FEATURES)] = compute_features(one.conversation, voice)
        row[columns[one.newest.by or STRANGER]] = 1.0
    # No class weights: they would raise all probabilities, which must stay calibrated.
    fit = LogisticRegression(max_iter=_ITERATIONS).fit(rows, answered)
    weights = [round(float(weight), _DIGITS) for weight in fit.coef_[0]]
    # As many training occasions reach a level's threshold as the voice may join at that level.
    descending = sorted(map(float, fit.predict_proba(rows)[:, 1]), reverse=True)
    counts = (int(level / LEVELS[-1] * MAX_JOIN_RATE * answers) for level in LEVELS)
    return VoiceWeights(
        bias=round(float(fit.intercept_[0]), _DIGITS),
        features=tuple(weights[: len(FEATURES)]),
        after=dict(zip(authors, weights[len(FEATURES) :], strict=True)),
        thresholds=tuple(round(descending[max(1, count) - 1], _DIGITS) for count in counts),
    )


def _measure_voice(
    name: str,
    found: Sequence[Occasion],
    probabilities: Sequence[Mapping[str, float]],
    joiners: Mapping[int, Sequence[str | None]],
) -> VoiceResult:
    import numpy as np
    from sklearn.metrics import roc_auc_score

    indices = [index for index, one in enumerate(found) if one.newest.by != name]
    predicted = np.array([probabilities[index][name] for index in indices])
    answered = np.array([found[index].answered_by == name for index in indices])
    present = np.array([any(line.by == name for line in found[p].conversation) for p in indices])
    has_both = len(set(answered[present])) > 1
    bins = np.minimum((predicted * _BINS).astype(int), _BINS - 1)
    joined = {
        level: [found[index] for index, joiner in enumerate(chosen) if joiner == name]
        for level, chosen in joiners.items()
    }
    return VoiceResult(
        name=name,
        occasions=len(indices),
        answers=int(answered.sum()),
        expected=float(predicted.sum()),
        auc=float(roc_auc_score(answered, predicted)),
        auc_present=(
            float(roc_auc_score(answered[present], predicted[present])) if has_both else np.nan
        ),
        error=float(np.abs(np.bincount(bins, predicted - answered)).sum() / len(indices)),
        present_rate=float(answered[present].mean()) if present.any() else np.nan,
        levels=tuple(
            LevelResult(level, len(own), sum(occasion.answered_by == name for occasion in own))
            for level, own in joined.items()
        ),
    )


if __name__ == "__main__":
    main()
