"""Learn who answers whom, when and after what: a dataset's conversations into propensity.json."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from model.occasions import FEATURES, MEMORY, Said, features
from model.propensity import HORIZON, LEVELS, MOST, STRANGER, Propensity, Weights, save
from model.roster import Roster
from pipeline.dataset import Dataset
from pipeline.occasions import read_occasions

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

    conversation: Sequence[Said]
    answered_by: str | None

    @property
    def newest(self) -> Said:
        """Return the line."""
        return self.conversation[-1]


def occasions(conversation: Sequence[Said]) -> Iterator[Occasion]:
    """Yield the occasions of a conversation.

    What our bot said, and what its author repeats, is none; nor is what our bot answered: nobody
    knows who would have.
    """
    for place, said in enumerate(conversation):
        following = conversation[place + 1] if place + 1 < len(conversation) else None
        if following and following.at - said.at > HORIZON:
            following = None
        if said.wakes and not (following and following.ours):
            answerer = following.by if following and following.by != said.by else None
            yield Occasion(conversation[max(0, place + 1 - MEMORY) : place + 1], answerer)


def learn(conversations: Iterable[Sequence[Said]], roster: Roster) -> Propensity:
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
    conversations = read_occasions(dataset.folder, dataset.roster)
    if conversations is None:
        return False
    save(learn(conversations["train"], dataset.roster), folder)
    return True


def _latest(conversations: Iterable[Sequence[Said]]) -> list[Sequence[Said]]:
    kept: list[Sequence[Said]] = []
    lines = 0
    for conversation in reversed(list(conversations)):
        if lines >= LATEST:
            break
        kept.append(conversation)
        lines += len(conversation)
    return kept[::-1]


def _fitted(voice: str, found: Iterable[Occasion], authors: Sequence[str]) -> Weights | None:
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
        row[: len(FEATURES)] = features(one.conversation, voice)
        row[columns[one.newest.by or STRANGER]] = 1.0
    # No class weights: the chances must be as often right as they say, not as often as they can.
    fit = LogisticRegression(max_iter=_ROUNDS).fit(rows, answered)
    weights = [round(float(weight), _DIGITS) for weight in fit.coef_[0]]
    return Weights(
        bias=round(float(fit.intercept_[0]), _DIGITS),
        features=tuple(weights[: len(FEATURES)]),
        after=dict(zip(authors, weights[len(FEATURES) :], strict=True)),
        bars=_bars(fit.predict_proba(rows)[:, 1], int(answered.sum())),
    )


def _bars(chances: Iterable[float], answers: int) -> tuple[float, ...]:
    """Return for each level the chance that as many occasions reach as the level lets join."""
    falling = sorted(map(float, chances), reverse=True)
    shares = (level / LEVELS[-1] * MOST for level in LEVELS)
    return tuple(round(falling[max(1, int(share * answers)) - 1], _DIGITS) for share in shares)
