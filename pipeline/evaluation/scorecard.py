"""Compute every score of the scorecard from generated and real replies."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import pandas as pd

from pipeline.evaluation import attribution, habits, memorization
from pipeline.evaluation.attribution import SIZES, Attribution, VoiceClassifier
from pipeline.evaluation.baselines import answer_by_markov_chain, answer_by_nearest_context
from pipeline.evaluation.heldout import (
    Answer,
    Line,
    Turn,
    list_lines,
    make_real_answers,
    map_to_next_voice,
)
from pipeline.evaluation.intervals import Estimate
from pipeline.evaluation.likelihood import (
    Cost,
    compute_perplexity,
    measure_likelihood,
    measure_right_voice,
)
from pipeline.evaluation.text_metrics import measure_diversity, measure_overlap, split_words

GENERATED, UNRANKED, SWAPPED, BASE = "generated", "unranked", "swapped", "base"
MARKOV, NEAREST, CEILING, UNSEEN = "markov", "nearest", "ceiling", "ceiling_unseen"
TUNED = (GENERATED, UNRANKED, SWAPPED)
"""The conditions in which the tuned model speaks."""
_COMPARED = (GENERATED, UNRANKED, BASE, MARKOV, NEAREST)
"""The conditions that are compared with the real replies."""

Figures = Mapping[str, Any]
"""Estimates, dataclasses and plain values, keyed by their names in scorecard.json."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Losses of held-out turns, in the order of `turns`; `names` has every name for each turn."""

    turns: tuple[Turn, ...]
    tuned: tuple[Cost, ...]
    base: tuple[Cost, ...]
    no_context: tuple[Cost, ...]
    names: tuple[Cost, ...]


@dataclass(frozen=True, slots=True)
class Evidence:
    """Real turns, generated answers of the four conditions (`arms`), and losses.

    `exposures` are the exposures of planted canaries in bits; empty without canaries.
    """

    voices: tuple[str, ...]
    training: tuple[Turn, ...]
    held_out: tuple[Turn, ...]
    arms: Mapping[str, tuple[Answer, ...]]
    measured: Measured
    candidates: int
    canaries: tuple[str, ...] = ()
    exposures: tuple[float, ...] = ()


def compute_scorecard(
    evidence: Evidence, seed: int, classifier: VoiceClassifier | None = None
) -> dict[str, Any]:
    """Return all scores as JSON values; one object has all intervals by the scores' dotted names.

    The classifiers are trained on real training lines only. `classifier` is the character
    classifier of the training lines, if it is already trained.
    """
    voices, asked = evidence.voices, [answer.asked for answer in evidence.arms[GENERATED]]
    arms = {
        **evidence.arms,
        MARKOV: tuple(answer_by_markov_chain(evidence.training, asked, seed)),
        NEAREST: tuple(answer_by_nearest_context(evidence.training, asked)),
        CEILING: tuple(make_real_answers(evidence.held_out)),
        UNSEEN: tuple(make_real_answers(turn for turn in evidence.held_out if not turn.seen)),
    }
    lines = {arm: list_lines(answers) for arm, answers in arms.items()}
    texts = {arm: [line.text for line in own] for arm, own in lines.items()}
    training_lines = list_lines(make_real_answers(evidence.training))
    measured = evidence.measured
    classifier = classifier or attribution.train_character_classifier(training_lines)
    by_characters = _measure_attributions(classifier, lines, seed)
    by_words = _measure_attributions(attribution.train_word_classifier(training_lines), lines, seed)
    index = memorization.index_training_lines(evidence.training)
    names = {CEILING: "real", UNSEEN: "real_unseen"}
    copies = {
        names.get(arm, arm): memorization.measure_copies(index, own, seed)
        for arm, own in texts.items()
    }
    costs = {"tuned": measured.tuned, "base": measured.base, "no_context": measured.no_context}
    least = min(
        sum(len(split_words(text)) for text in own) for arm, own in texts.items() if arm != UNSEEN
    )
    overlaps = {arm: measure_overlap(arms[arm], seed) for arm in _COMPARED}
    unseen_answers = [answer for answer in arms[GENERATED] if not answer.asked.seen]
    realism = {
        arm: attribution.measure_realism(texts[CEILING], texts[arm], seed) for arm in _COMPARED
    }
    scores = {
        "replies": _count_replies(arms),
        "attribution": {
            **_summarize_attribution(by_characters, voices),
            "words_and_habits": _select_f1(by_words),
        },
        "ranking": {  # the ranked replies compared with single candidates
            "candidates": evidence.candidates,
            **{
                f"bags_of_{size}": {"ranked": own[GENERATED].f1, "one_candidate": own[UNRANKED].f1}
                for size, own in by_characters.items()
            },
            "copied": {"ranked": copies[GENERATED], "one_candidate": copies[UNRANKED]},
        },
        "right_voice": measure_right_voice(measured.turns, voices, measured.names, seed),
        "nats_per_char": measure_likelihood(measured.turns, costs, seed),
        "perplexity": {
            **{arm: compute_perplexity(own) for arm, own in costs.items()},
            "voices": {
                voice: compute_perplexity(
                    [
                        cost
                        for turn, cost in zip(measured.turns, measured.tuned, strict=True)
                        if turn.voice == voice
                    ]
                )
                for voice in voices
            },
        },
        "habits": _compare_habits(arms, evidence.training, seed),
        "diversity": {  # over the same number of words in every condition
            arm: measure_diversity(own, least, seed) for arm, own in texts.items() if arm != UNSEEN
        },
        "chrf": overlaps[GENERATED].chrf,
        "rouge": overlaps[GENERATED].rouge,
        "overlap": {**overlaps, "unseen": measure_overlap(unseen_answers, seed)},
        "copied": copies,
        **_measure_leaks(evidence, [text for arm in TUNED for text in texts[arm]]),
        "real_or_not_auc": realism[GENERATED],
        "real_or_not": {
            **realism,
            "unseen": attribution.measure_realism(texts[UNSEEN], texts[GENERATED], seed),
        },
    }
    intervals: dict[str, list[float]] = {}
    return {**_to_json(scores, "", intervals), "intervals": intervals}


def _to_json(value: Any, name: str, intervals: dict[str, list[float]]) -> Any:  # noqa: ANN401  JSON's border
    """Return a value for JSON, and add the interval of each estimate in it to `intervals`."""
    if isinstance(value, Estimate):
        intervals[name] = [round(value.low, 4), round(value.high, 4)]
        return round(value.value, 4)
    if is_dataclass(value):
        value = {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, Mapping):
        prefix = f"{name}." if name else ""
        return {key: _to_json(item, f"{prefix}{key}", intervals) for key, item in value.items()}
    return round(value, 4) if isinstance(value, float) else value


def _count_replies(arms: Mapping[str, Sequence[Answer]]) -> Figures:
    """Count the replies, those without messages, and the lines of each condition."""
    table = pd.DataFrame(
        [(arm, len(answer.messages)) for arm, own in arms.items() for answer in own],
        columns=["arm", "lines"],
    )
    counts = table.groupby("arm")["lines"].agg(
        replies="count", speechless=lambda lines: (lines == 0).sum(), lines="sum"
    )
    counts = counts.reindex(list(arms), fill_value=0)
    return {
        str(arm): {key: int(count) for key, count in row.items()} for arm, row in counts.iterrows()
    }


def _measure_attributions(
    classifier: VoiceClassifier, lines: Mapping[str, Sequence[Line]], seed: int
) -> dict[int, dict[str, Attribution]]:
    """Return the attribution by bag size and condition."""
    found = {
        arm: attribution.measure_attribution(classifier, own, seed) for arm, own in lines.items()
    }
    return {size: {arm: sizes[size] for arm, sizes in found.items()} for size in SIZES}


def _summarize_attribution(
    found: Mapping[int, Mapping[str, Attribution]], voices: Sequence[str]
) -> Figures:
    largest = found[SIZES[-1]]
    ceiling = largest[CEILING].f1.value
    return {
        "chance": 1 / len(voices),
        "share_of_ceiling": largest[GENERATED].f1.value / ceiling if ceiling else 0.0,
        **_select_f1(found),
        "bags_of_a_voice": {
            f"bags_of_{size}": {arm: one.bags for arm, one in arms.items()}
            for size, arms in found.items()
        },
        "voices": sorted(voices),
        "confusion": {
            f"bags_of_{size}": {arm: one.confusion for arm, one in arms.items()}
            for size, arms in found.items()
        },
    }


def _select_f1(found: Mapping[int, Mapping[str, Attribution]]) -> Figures:
    return {
        f"bags_of_{size}": {arm: one.f1 for arm, one in arms.items()}
        for size, arms in found.items()
    }


def _compare_habits(
    arms: Mapping[str, Sequence[Answer]], training: Sequence[Turn], seed: int
) -> Figures:
    """Return the distance of each condition from the held-out lines, with two reference points.

    `training`: real training turns of the same voices (the lower bound). `others`: held-out turns
    of other voices (the upper bound).
    """
    held_out, count = arms[CEILING], len(arms[GENERATED])
    names = sorted({answer.asked.voice for answer in held_out})
    after = map_to_next_voice(names)
    others = [Answer(replace(a.asked, voice=after[a.asked.voice]), a.messages) for a in held_out]

    def sample(answers: Sequence[Answer]) -> list[Answer]:
        """Return about `count` of the answers, evenly over the voices."""
        chance, each = random.Random(seed), max(1, count // len(names))
        by_voice = [[answer for answer in answers if answer.asked.voice == one] for one in names]
        return [one for own in by_voice for one in chance.sample(own, min(each, len(own)))]

    compared = {
        **{arm: own for arm, own in arms.items() if arm not in {CEILING, UNSEEN}},
        "training": sample(make_real_answers(training)),
        "others": sample(others),
    }
    found = {
        arm: habits.measure_habit_distance(held_out, own, seed) for arm, own in compared.items()
    }
    distances = {arm: each.mean for arm, each in found.items()}
    return {"distance": distances, "voices": found[GENERATED].voices}


def _measure_leaks(evidence: Evidence, spoken: Sequence[str]) -> Figures:
    """Count private data and canaries in the lines of the tuned model."""
    exposures = evidence.exposures
    return {
        "personal_data": memorization.count_private_lines(spoken),
        "personal_data_lines": len(spoken),
        "canaries": {
            "planted": len(exposures),
            "said": memorization.count_spoken_canaries(evidence.canaries, spoken),
            "exposure_mean": sum(exposures) / len(exposures) if exposures else None,
            "exposure_most": max(exposures, default=None),
        },
    }
