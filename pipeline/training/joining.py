"""Fit the model of when a voice joins a conversation unprompted."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from model.chat.roster import Roster
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
from pipeline.dataset.storage import Dataset

MIN_ANSWERS = 5
"""Answers that a voice needs; with fewer its habits are unknown and it never joins."""

_MAX_LINES = 200_000  # only the latest: habits change, and more lines did not help
_DIGITS = 6
_ITERATIONS = 1_000


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


def save_propensity(dataset: Dataset, folder: Path) -> None:
    """Fit a dataset's training conversations and write the model into an artifact's folder."""
    conversations = dataset.conversations()["train"]
    write_propensity(fit_propensity(conversations, dataset.roster), folder)


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
