"""Compute every figure of the scorecard from generated and real replies."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

from pipeline.evaluation import attribution, baselines, habits, memorization, text_metrics
from pipeline.evaluation import attribution as reality
from pipeline.evaluation.attribution import SIZES, Attribution, Judge
from pipeline.evaluation.heldout import (
    Answer,
    Line,
    Turn,
    lines_of_answers,
    lines_of_turns,
    next_voices,
    real_answers,
)
from pipeline.evaluation.intervals import Estimate
from pipeline.evaluation.likelihood import Cost, Likelihood, likelihood, perplexity, right_voice
from pipeline.evaluation.text_metrics import Diversity, Overlap, overlap

Figures = Mapping[str, Any]
"""Estimates, dataclasses and plain values, keyed by their names in scorecard.json."""


@dataclass(frozen=True, slots=True)
class Scorecard:
    """All figures, by section."""

    sections: Figures

    def to_json(self) -> dict[str, Any]:
        """Return plain values, with all intervals in one object keyed by dotted names."""
        intervals: dict[str, list[float]] = {}
        plain = _plain(self.sections, "", intervals)
        return {**plain, "intervals": intervals}


def _plain(value: Any, name: str, intervals: dict[str, list[float]]) -> Any:  # noqa: ANN401  JSON's border
    """Return a value for JSON, and add the interval of each estimate in it to `intervals`."""
    if isinstance(value, Estimate):
        intervals[name] = [round(value.low, 4), round(value.high, 4)]
        return round(value.value, 4)
    if is_dataclass(value):
        value = {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, Mapping):
        prefix = f"{name}." if name else ""
        return {key: _plain(item, f"{prefix}{key}", intervals) for key, item in value.items()}
    return round(value, 4) if isinstance(value, float) else value


GENERATED, UNRANKED, SWAPPED, BASE = "generated", "unranked", "swapped", "base"
MARKOV, NEAREST, CEILING, UNSEEN = "markov", "nearest", "ceiling", "ceiling_unseen"
TUNED = (GENERATED, UNRANKED, SWAPPED)
"""The conditions in which the tuned model speaks."""


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
    """Real turns, generated answers of the four conditions, and losses.

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


def score(evidence: Evidence, seed: int, judge: Judge | None = None) -> Scorecard:
    """Compute all figures; the classifiers train on real training lines only.

    `judge`: `attribution.by_characters` of the training lines, if it is already trained.
    """
    voices, asked = evidence.voices, [answer.asked for answer in evidence.arms[GENERATED]]
    arms = {
        **evidence.arms,
        MARKOV: tuple(baselines.markov(evidence.training, asked, seed)),
        NEAREST: tuple(baselines.nearest(evidence.training, asked)),
        CEILING: tuple(real_answers(evidence.held_out)),
        UNSEEN: tuple(real_answers(turn for turn in evidence.held_out if not turn.seen)),
    }
    said = {arm: lines_of_answers(answers) for arm, answers in arms.items()}
    texts = {arm: [line.text for line in lines] for arm, lines in said.items()}
    measured = evidence.measured
    taught = lines_of_turns(evidence.training)
    characters = _attributions(judge or attribution.by_characters(taught), said, seed)
    copies = _copies(evidence, texts, seed)
    return Scorecard(
        {
            "replies": {arm: _count(answers) for arm, answers in arms.items()},
            "attribution": {
                **_attribution(characters, voices),
                "words_and_habits": _f1(
                    _attributions(attribution.by_words_and_habits(taught), said, seed)
                ),
            },
            "ranking": _ranking(characters, copies, evidence.candidates),
            "right_voice": right_voice(measured.turns, voices, measured.names, seed),
            "nats_per_char": _likelihood(measured, seed),
            "perplexity": _perplexities(measured, voices),
            "habits": _habits(arms, evidence.training, seed),
            "diversity": _diversities(texts, seed),
            **_overlaps(arms, seed),
            "copied": copies,
            **_given_away(evidence, texts),
            **_reality(texts, seed),
        }
    )


def _attributions(
    judge: Judge, said: Mapping[str, Sequence[Line]], seed: int
) -> dict[int, dict[str, Attribution]]:
    found = {arm: attribution.attribute(judge, lines, seed) for arm, lines in said.items()}
    return {size: {arm: sizes[size] for arm, sizes in found.items()} for size in SIZES}


def _attribution(found: Mapping[int, Mapping[str, Attribution]], voices: Sequence[str]) -> Figures:
    largest = found[SIZES[-1]]
    ceiling = largest[CEILING].f1.value
    return {
        "chance": 1 / len(voices),
        "share_of_ceiling": largest[GENERATED].f1.value / ceiling if ceiling else 0.0,
        **_f1(found),
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


def _f1(found: Mapping[int, Mapping[str, Attribution]]) -> Figures:
    return {
        f"bags_of_{size}": {arm: one.f1 for arm, one in arms.items()}
        for size, arms in found.items()
    }


def _ranking(
    found: Mapping[int, Mapping[str, Attribution]], copies: Figures, candidates: int
) -> Figures:
    """Compare the ranked replies with single candidates."""
    return {
        "candidates": candidates,
        **{
            f"bags_of_{size}": {"ranked": arms[GENERATED].f1, "one_candidate": arms[UNRANKED].f1}
            for size, arms in found.items()
        },
        "copied": {"ranked": copies[GENERATED], "one_candidate": copies[UNRANKED]},
    }


def _likelihood(measured: Measured, seed: int) -> Likelihood:
    costs = {
        "tuned": measured.tuned,
        "base": measured.base,
        "no_context": measured.no_context,
    }
    return likelihood(measured.turns, costs, seed)


def _perplexities(measured: Measured, voices: Sequence[str]) -> Figures:
    pairs = list(zip(measured.turns, measured.tuned, strict=True))
    return {
        "tuned": perplexity(measured.tuned),
        "base": perplexity(measured.base),
        "no_context": perplexity(measured.no_context),
        "voices": {
            voice: perplexity([cost for turn, cost in pairs if turn.voice == voice])
            for voice in voices
        },
    }


def _habits(arms: Mapping[str, Sequence[Answer]], training: Sequence[Turn], seed: int) -> Figures:
    """Return the distance of each condition from the held-out lines, with two reference points.

    `training`: real training turns of the same voices (the lower bound). `others`: held-out turns
    of other voices (the upper bound).
    """
    held_out, count = arms[CEILING], len(arms[GENERATED])
    names = sorted({answer.asked.voice for answer in held_out})
    after = next_voices(names)
    others = [Answer(replace(a.asked, voice=after[a.asked.voice]), a.messages) for a in held_out]
    compared = {
        **{arm: own for arm, own in arms.items() if arm not in {CEILING, UNSEEN}},
        "training": _few(real_answers(training), names, count, seed),
        "others": _few(others, names, count, seed),
    }
    found = {arm: habits.distance(held_out, own, seed) for arm, own in compared.items()}
    distances = {arm: each.whole for arm, each in found.items()}
    return {"distance": distances, "voices": found[GENERATED].voices}


def _few(answers: Sequence[Answer], voices: Sequence[str], count: int, seed: int) -> list[Answer]:
    """Return about `count` of the answers, evenly over the voices."""
    chance, each = random.Random(seed), max(1, count // len(voices))
    own = [[answer for answer in answers if answer.asked.voice == voice] for voice in voices]
    return [answer for some in own for answer in chance.sample(some, min(each, len(some)))]


def _diversities(texts: Mapping[str, Sequence[str]], seed: int) -> dict[str, Diversity]:
    """Measure the same number of words in every condition, so that they compare."""
    arms = {arm: lines for arm, lines in texts.items() if arm != UNSEEN}
    least = min(text_metrics.count_words(lines) for lines in arms.values())
    return {arm: text_metrics.diversity(lines, least, seed) for arm, lines in arms.items()}


def _overlaps(arms: Mapping[str, Sequence[Answer]], seed: int) -> Figures:
    found: dict[str, Overlap] = {
        arm: overlap(arms[arm], seed) for arm in (GENERATED, UNRANKED, BASE, MARKOV, NEAREST)
    }
    unseen = overlap([answer for answer in arms[GENERATED] if not answer.asked.seen], seed)
    whole = found[GENERATED]
    return {"chrf": whole.chrf, "rouge": whole.rouge, "overlap": {**found, "unseen": unseen}}


def _copies(evidence: Evidence, texts: Mapping[str, Sequence[str]], seed: int) -> Figures:
    trained = memorization.memory_of(evidence.training)
    names = {CEILING: "real", UNSEEN: "real_unseen"}
    return {
        names.get(arm, arm): memorization.copied(trained, lines, seed)
        for arm, lines in texts.items()
    }


def _given_away(evidence: Evidence, texts: Mapping[str, Sequence[str]]) -> Figures:
    spoken = [text for arm in TUNED for text in texts[arm]]
    exposures = evidence.exposures
    canaries = {
        "planted": len(exposures),
        "said": memorization.said_canaries(evidence.canaries, spoken),
        "exposure_mean": sum(exposures) / len(exposures) if exposures else None,
        "exposure_most": max(exposures, default=None),
    }
    return {
        "personal_data": memorization.private_lines(spoken),
        "personal_data_lines": len(spoken),
        "canaries": canaries,
    }


def _reality(texts: Mapping[str, Sequence[str]], seed: int) -> Figures:
    """Return the area under the ROC curve of each condition against the held-out lines."""
    arms = (GENERATED, UNRANKED, BASE, MARKOV, NEAREST)
    found = {arm: reality.real_or_not(texts[CEILING], texts[arm], seed) for arm in arms}
    unseen = reality.real_or_not(texts[UNSEEN], texts[GENERATED], seed)
    return {"real_or_not_auc": found[GENERATED], "real_or_not": {**found, "unseen": unseen}}


def _count(answers: Sequence[Answer]) -> Figures:
    return {
        "replies": len(answers),
        "speechless": sum(not answer.messages for answer in answers),
        "lines": sum(len(answer.messages) for answer in answers),
    }
