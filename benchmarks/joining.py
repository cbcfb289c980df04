"""Measure how well the model of joining unprompted predicts who answers held-out lines.

`python -m benchmarks.joining demo/dataset` prints the figures of docs/development/experiments.md.
With `--models-dir artifacts` it compares the current version's own choice of who speaks next.
"""

import argparse
import math
import random
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from model.artifacts.registry import Registry
from model.chat.conversation import context_before, split_sessions
from model.chat.eligibility import Line
from model.chat.prompt import render_context
from model.errors import UnderstudyError
from model.joining import Propensity
from model.speaking.speaker import Speaker, open_speaker
from pipeline.dataset.split import SPLITS, SplitName
from pipeline.dataset.storage import Dataset, load_dataset
from pipeline.evaluation.intervals import Estimate, Numbers, resample_sessions
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
    conversations = dataset.conversations()
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


@dataclass(frozen=True, slots=True)
class Prediction:
    """An occasion of a session, and both models' probabilities that each voice answers it.

    `seconds` is the time that the version needed.
    """

    session: int
    occasion: Occasion
    fitted: Mapping[str, float]
    own: Mapping[str, float]
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class JoiningComparison:
    """The AUC of the fitted model and of the version's own distribution, with their difference."""

    name: str
    present: bool
    occasions: int
    answers: int
    fitted: Estimate
    own: Estimate
    difference: Estimate


def predict_occasions(dataset: Dataset, split: SplitName, speaker: Speaker) -> list[Prediction]:
    """Return both models' predictions for the occasions of a held-out split."""
    conversations = dataset.conversations()
    propensity = fit_propensity(conversations["train"], dataset.roster)
    said = [
        lines
        for session in dataset.sessions(split)
        for lines in split_sessions(
            (line for line in session.lines if line.speaker is not None), dataset.window.gap
        )
    ]
    said.sort(key=lambda lines: lines[0].sent_at)
    window = speaker.artifact.card.window
    earlier: list[Line] = []
    found = []
    for session, (conversation, lines) in enumerate(zip(conversations[split], said, strict=True)):
        ends = {id(line): end for end, line in enumerate(conversation, len(earlier) + 1)}
        earlier += lines
        for occasion in find_occasions(conversation):
            until = earlier[: ends[id(occasion.newest)]]
            context = render_context(context_before(until, occasion.newest.at, window))
            begun = time.perf_counter()
            own = predict_speaker(speaker, context, list(propensity.voices))
            seconds = time.perf_counter() - begun
            fitted = {name: propensity.probability(occasion.conversation, name) for name in own}
            found.append(Prediction(session, occasion, fitted, own, seconds))
    return found


def predict_speaker(
    speaker: Speaker, context: Sequence[str], names: Sequence[str]
) -> dict[str, float]:
    """Return the version's probability that each of these people speaks next."""
    prompt = speaker.codec.prompt_ids(context, speaker.artifact.card.max_prompt_tokens)
    labels = [speaker.codec.label_ids(name) for name in names]
    weights = [math.exp(sum(row)) for row in speaker.engine.scores(prompt, (), labels)]
    return {name: weight / sum(weights) for name, weight in zip(names, weights, strict=True)}


def compare(predictions: Sequence[Prediction], seed: int = 0) -> list[JoiningComparison]:
    """Compare both models for each voice and for all, on all lines and where the friend is present.

    The intervals resample whole sessions.
    """
    names = list(predictions[0].own)
    return [
        _compare(label, predictions, own, seed, present=present)
        for present in (False, True)
        for label, own in [*((name, [name]) for name in names), ("all of them", names)]
    ]


def _compare(
    label: str,
    predictions: Sequence[Prediction],
    names: Sequence[str],
    seed: int,
    *,
    present: bool,
) -> JoiningComparison:
    rows = [
        (one.session, one.occasion.answered_by == name, one.fitted[name], one.own[name])
        for name in names
        for one in predictions
        if one.occasion.newest.by != name
        and not (present and all(line.by != name for line in one.occasion.conversation))
    ]
    sessions = [row[0] for row in rows]
    answered, fitted, own = (np.array([row[column] for row in rows]) for column in (1, 2, 3))

    def measure(predicted: NDArray[np.float64], chosen: Numbers) -> float:
        """Return the AUC, much faster than sklearn: there are thousands of resamples."""
        hit = answered[chosen]
        yes, no = predicted[chosen][hit], np.sort(predicted[chosen][~hit])
        if not len(yes) or not len(no):
            return 0.5
        below = np.searchsorted(no, yes) + np.searchsorted(no, yes, "right")
        return float(below.mean() / (2 * len(no)))

    def subtract(chosen: Numbers) -> float:
        return measure(own, chosen) - measure(fitted, chosen)

    return JoiningComparison(
        name=label,
        present=present,
        occasions=len(rows),
        answers=int(answered.sum()),
        fitted=resample_sessions(sessions, partial(measure, fitted), seed),
        own=resample_sessions(sessions, partial(measure, own), seed),
        difference=resample_sessions(sessions, subtract, seed),
    )


def format_comparison(
    comparisons: Iterable[JoiningComparison], predictions: Sequence[Prediction]
) -> str:
    """Return the comparison as Markdown, with the time of one decision."""
    lines = [
        (
            "| voice | lines | of others | answered | AUC, regression | AUC, model "
            "| model − regression |"
        ),
        "|---|---|---|---|---|---|---|",
        *(
            f"| {one.name} | {'present' if one.present else 'all'} | {one.occasions:,} "
            f"| {one.answers:,} | {_format(one.fitted)} | {_format(one.own)} "
            f"| {_format(one.difference, '+')} |"
            for one in comparisons
        ),
        "",
        f"The version's median time: {1_000 * median(p.seconds for p in predictions):,.0f} ms.",
    ]
    return "\n".join(lines) + "\n"


def _format(one: Estimate, sign: str = "") -> str:
    return f"{one.value:{sign}.3f} ({one.low:{sign}.3f} to {one.high:{sign}.3f})"


def main() -> None:
    """Fit a dataset's training split and print how voices would join a held-out split."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.joining", description=main.__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--split", choices=SPLITS[1:], default="test")
    parser.add_argument("--models-dir", type=Path, help="compare with the current version here")
    given = parser.parse_args()
    try:
        if given.models_dir is None:
            sys.stdout.write(format_report(measure_dataset(given.dataset, given.split)))
        else:
            speaker = open_speaker(Registry(given.models_dir).open("current"))
            found = predict_occasions(load_dataset(given.dataset), given.split, speaker)
            sys.stdout.write(format_comparison(compare(found), found))
    except UnderstudyError as error:
        sys.exit(f"joining: {error}")


if __name__ == "__main__":
    main()
