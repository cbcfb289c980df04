"""Measure how well the model of joining unprompted predicts who answers held-out lines.

`python -m benchmarks.joining demo/dataset` prints the figures of docs/chatty.md.
"""

import argparse
import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from model.errors import UnderstudyError
from model.joining import Propensity
from pipeline.dataset.split import SPLITS, SplitName
from pipeline.dataset.storage import load_dataset, read_conversations
from pipeline.training.joining import Occasion, find_occasions, fit_propensity

REPORTED_LEVELS = (25, 50, 100)

_BINS = 10


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


def measure_dataset(folder: Path, split: SplitName) -> tuple[VoiceResult, ...]:
    """Fit the model on a dataset's training split and measure it on a held-out split."""
    dataset = load_dataset(folder)
    conversations = read_conversations(folder, dataset.roster)
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


def main() -> None:
    """Fit a dataset's training split and print how voices would join a held-out split."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.joining", description=main.__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--split", choices=SPLITS[1:], default="test")
    given = parser.parse_args()
    try:
        sys.stdout.write(format_report(measure_dataset(given.dataset, given.split)))
    except UnderstudyError as error:
        sys.exit(f"joining: {error}")


if __name__ == "__main__":
    main()
