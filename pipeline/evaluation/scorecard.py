"""Compute every score of the scorecard from generated and real replies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Literal

from pipeline.evaluation import memorization
from pipeline.evaluation.attribution import (
    SIZES,
    Attribution,
    judge_lines,
    measure_attribution,
    shuffle_names,
)
from pipeline.evaluation.fit import Fit, Ranked, measure_fit
from pipeline.evaluation.habits import find_bland_lines, measure_habit_distance, measure_style
from pipeline.evaluation.heldout import (
    Answer,
    HeldOutLine,
    HeldOutTurn,
    list_lines,
    make_real_answers,
    take_turns,
)
from pipeline.evaluation.intervals import Estimate
from pipeline.evaluation.judge import Judge
from pipeline.evaluation.likelihood import Measured, measure_likelihood, measure_right_voice
from pipeline.evaluation.realism import measure_realism
from pipeline.evaluation.text_metrics import measure_diversity, measure_overlap, split_words

GENERATED, COLD = "generated", "cold"
REAL, MARKOV, NEAREST = "real", "markov", "nearest"
SHUFFLED = "shuffled"
"""The generated lines under the name of the next voice: a judge must not recognise them."""
TUNED = (GENERATED, COLD)
"""The arms of replies that the bot would send."""
COMPARED = (REAL, GENERATED, MARKOV, NEAREST)
"""The arms that answer the same turns."""
LARGEST = SIZES[-1]
HEADLINE = (
    "named_right", "judge_accuracy_real", "attribution", "worst", "voices", "attribution_cold",
    "fit",
    "attribution_markov", "attribution_nearest", "attribution_shuffled", "fit_markov",
    "fit_nearest", "right_voice_absent", "right_voice_no_context", "auc_with_context",
    "messages_per_turn", "messages_per_turn_real", "copied", "copied_real", "personal_data",
    "bags", "judge_source", "fit_scorer", "base",
)  # fmt: skip
"""The main scores, in their order in scorecard.json."""

JudgeSource = Literal["elsewhere", "reserved", "training"]
"""Where the judge's lines come from: other chats, the reserved half, or what the model learned."""
Figures = Mapping[str, Any]
"""Estimates, dataclasses and plain values, keyed by their names in scorecard.json."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the scores are computed from.

    `arms` has the answers of each arm. `measured` are real turns under the tuned model. `ranked`
    are the replies of `COMPARED` to the same turns under `fit_scorer`, an untuned base, and
    `ranked_by_itself` the real and generated ones under the tuned model; both are empty if fit is
    not measured. `training` are the turns that the model learned. `exposures` are the exposures of
    planted canaries in bits; empty without canaries.
    """

    voices: tuple[str, ...]
    training: tuple[HeldOutTurn, ...]
    arms: Mapping[str, tuple[Answer, ...]]
    measured: tuple[Measured, ...]
    ranked: Mapping[str, tuple[Ranked, ...]]
    ranked_by_itself: Mapping[str, tuple[Ranked, ...]]
    fit_scorer: str
    base: str
    judge: Judge
    judge_source: JudgeSource
    canaries: tuple[str, ...] = ()
    exposures: tuple[float, ...] = ()


def compute_scorecard(evidence: Evidence, seed: int) -> dict[str, Any]:
    """Return the scores as JSON values.

    `intervals` maps a score's dotted name to its interval. In `headline`, `attribution` and `fit`
    are divided by those of the real replies.
    """
    arms, ranked = evidence.arms, evidence.ranked
    lines = {arm: list_lines(answers) for arm, answers in arms.items()}
    attributed = _attribute(evidence.judge, lines, seed)
    fits = measure_fit(ranked, REAL, seed) if ranked else {}
    own_fits = measure_fit(evidence.ranked_by_itself, REAL, seed) if ranked else {}
    right_voice = measure_right_voice(evidence.measured, seed)
    realism = {
        arm: measure_realism(ranked[REAL], own, seed) for arm, own in ranked.items() if arm != REAL
    }
    bland = find_bland_lines(evidence.training)
    style = {arm: measure_style(arms[arm], lines[arm], bland, seed) for arm in arms}
    runs = memorization.index_runs(evidence.training)
    copied = {arm: memorization.measure_copies(runs, own, seed) for arm, own in lines.items()}
    spoken = [line.text for arm in TUNED for line in lines.get(arm, ())]
    private = memorization.count_private_lines(spoken)
    attribution = attributed[LARGEST]
    texts = {arm: [line.text for line in lines[arm]] for arm in COMPARED}
    words = min(sum(len(split_words(text)) for text in own) for own in texts.values())
    headline = {
        **_headline_of_voices(attribution),
        "right_voice_absent": right_voice["absent"].share.value,
        "right_voice_no_context": right_voice["no_context"].share.value,
        "messages_per_turn": style[GENERATED].messages_per_turn.value,
        "messages_per_turn_real": style[REAL].messages_per_turn.value,
        "copied": copied[GENERATED].value,
        "copied_real": copied[REAL].value,
        "personal_data": private,
        "judge_source": evidence.judge_source,
        "base": evidence.base,
    }
    if ranked:
        headline |= _headline_of_fit(fits, realism[GENERATED])
        headline["fit_scorer"] = evidence.fit_scorer
    scores = {
        "headline": {key: headline[key] for key in HEADLINE if key in headline},
        "replies": _count_replies(arms),
        "attribution": {
            "judge_source": evidence.judge_source,
            "judge_lines": evidence.judge.lines,
            "chance": 1 / len(evidence.judge.voices),
            **{
                f"bags_of_{size}": {arm: one.named for arm, one in found.items()}
                for size, found in attributed.items()
            },
            "relative": {
                f"bags_of_{size}": {arm: one.relative for arm, one in found.items()}
                for size, found in attributed.items()
            },
            "bags_of_a_voice": {
                f"bags_of_{size}": {arm: one.bags for arm, one in found.items()}
                for size, found in attributed.items()
            },
            "voices": list(evidence.judge.voices),
            "named_right": {arm: one.voices for arm, one in attribution.items()},
            "confusion": {arm: one.confusion for arm, one in attribution.items()},
        },
        "fit": {
            "turns": len(ranked.get(REAL, ())),
            "recall": {arm: one.recall for arm, one in fits.items()},
            "relative": {arm: one.relative for arm, one in fits.items()},
            "relative_by_itself": {arm: one.relative for arm, one in own_fits.items()},
        },
        "right_voice": right_voice,
        "nats_per_char": measure_likelihood(evidence.measured, seed),
        "auc_with_context": realism,
        "style": style,
        "copied": copied,
        "habits": _compare_habits(evidence, seed),
        "diversity": {arm: measure_diversity(own, words, seed) for arm, own in texts.items()},
        "overlap": {arm: measure_overlap(arms[arm], seed) for arm in COMPARED if arm != REAL},
        "personal_data": private,
        "personal_data_lines": len(spoken),
        "canaries": _measure_canaries(evidence, spoken),
    }
    intervals: dict[str, list[float]] = {}
    return {**_to_json(scores, "", intervals), "intervals": intervals}


def _headline_of_voices(attribution: Mapping[str, Attribution]) -> dict[str, Any]:
    """Return how many bags of ten lines are named right, by voice, and next to the baselines."""
    generated, real = attribution[GENERATED], attribution[REAL]
    shown = {arm: attribution[arm] for arm in (REAL, *TUNED) if arm in attribution}
    voices = {
        voice: {arm: round(one.voices[voice].value, 4) for arm, one in shown.items()}
        for voice in generated.voices
    }
    worst = min(voices, key=lambda voice: generated.relative_voices[voice].value)
    found = {
        "named_right": _with_interval(generated.named),
        "judge_accuracy_real": _with_interval(real.named),
        "attribution": _with_interval(generated.relative),
        "worst": {"voice": worst, **_with_interval(generated.relative_voices[worst])},
        "voices": voices,
        "bags": generated.bags,
        **{
            f"attribution_{arm}": attribution[arm].relative.value
            for arm in (MARKOV, NEAREST, SHUFFLED)
        },
    }
    if COLD in attribution:
        found["attribution_cold"] = _with_interval(attribution[COLD].relative)
    return found


def _headline_of_fit(fits: Mapping[str, Fit], realism: Estimate) -> Figures:
    """Return the headline's scores that need an untuned base."""
    return {
        "fit": _with_interval(fits[GENERATED].relative),
        "fit_markov": fits[MARKOV].relative.value,
        "fit_nearest": fits[NEAREST].relative.value,
        "auc_with_context": realism.value,
    }


def _with_interval(found: Estimate) -> dict[str, float]:
    return {"value": found.value, "low": found.low, "high": found.high}


def _attribute(
    judge: Judge, lines: Mapping[str, Sequence[HeldOutLine]], seed: int
) -> dict[int, dict[str, Attribution]]:
    """Return the attribution by bag size and arm."""
    judged = {arm: judge_lines(judge, own) for arm, own in lines.items()}
    judged[SHUFFLED] = shuffle_names(judged[GENERATED])
    return {size: measure_attribution(judged, judge.voices, REAL, size, seed) for size in SIZES}


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
    """Count the replies, those without messages, and the lines of each arm."""
    return {
        arm: {
            "replies": len(answers),
            "speechless": sum(not answer.messages for answer in answers),
            "lines": sum(len(answer.messages) for answer in answers),
        }
        for arm, answers in arms.items()
    }


def _compare_habits(evidence: Evidence, seed: int) -> Figures:
    """Return the distance of the habits from the real lines, with two reference points.

    `training`: training turns of the same voices (the lower bound). `others`: the real turns of
    other voices (the upper bound).
    """
    real, voices = evidence.arms[REAL], evidence.voices
    after = dict(zip(voices, [*voices[1:], *voices[:1]], strict=True))
    others = [Answer(replace(a.asked, voice=after[a.asked.voice]), a.messages) for a in real]
    most = max(1, len(real) // len(voices))
    compared = {
        **{arm: evidence.arms[arm] for arm in COMPARED if arm != REAL},
        "training": make_real_answers(take_turns(evidence.training, most)),
        "others": others,
    }
    found = {arm: measure_habit_distance(real, own, seed) for arm, own in compared.items()}
    distances = {arm: each.mean for arm, each in found.items()}
    return {"distance": distances, "voices": found[GENERATED].voices}


def _measure_canaries(evidence: Evidence, spoken: Sequence[str]) -> Figures:
    exposures = evidence.exposures
    return {
        "planted": len(exposures),
        "said": memorization.count_spoken_canaries(evidence.canaries, spoken),
        "exposure_mean": sum(exposures) / len(exposures) if exposures else None,
        "exposure_most": max(exposures, default=None),
    }
