"""Prepare a scorecard for people: the rows that the terminal and the report both show."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from model.artifacts.artifact import Scorecard
from pipeline.training.verdict import MIN_BAGS, TOO_FEW_LINES

_BASELINES = {"markov": "Markov chain", "nearest": "nearest turn"}


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """A main score relative to real replies, whose own is 1, with its 95 % interval.

    `short` is a title for axes. `baselines` are the same scores of simple methods.
    """

    title: str
    short: str
    value: float
    low: float
    high: float
    baselines: Mapping[str, float]

    @property
    def interval(self) -> tuple[float, float] | None:
        """Return the interval, or None if there were too few lines for one."""
        return (self.low, self.high) if self.low <= self.value <= self.high else None


@dataclass(frozen=True, slots=True)
class VoiceRow:
    """In what share of bags of ten lines the judge names this voice.

    `cold` are replies without the voice's own lines in view; None in a quick scorecard.
    """

    voice: str
    real: float
    generated: float
    cold: float | None


def list_scores(card: Scorecard) -> list[ScoreRow]:
    """Return the main scores; those of the voice only if there are enough bags of ten lines."""
    headline = card["headline"]
    rows = []
    for key, title, short in (
        ("attribution", "sounds like the friend", "voice"),
        ("attribution_cold", "the same without own lines in view", "voice, cold"),
        ("fit", "fits the conversation (first of ten)", "fit"),
    ):
        own = headline.get(key)  # `retrain` does not measure the fit
        if own is not None and (key == "fit" or has_bags(card)):
            baselines = {
                name: headline[f"{key}_{arm}"]
                for arm, name in _BASELINES.items()
                if f"{key}_{arm}" in headline
            }
            rows.append(ScoreRow(title, short, own["value"], own["low"], own["high"], baselines))
    return rows


def list_voices(card: Scorecard) -> list[VoiceRow]:
    """Return each voice's share of bags named right; none if there are too few bags."""
    if not has_bags(card):
        return []
    return [
        VoiceRow(voice, own["real"], own["generated"], own.get("cold"))
        for voice, own in card["headline"]["voices"].items()
    ]


def has_bags(card: Scorecard) -> bool:
    """Whether every voice has enough bags of ten lines to be judged by them."""
    return bool(card["headline"]["bags"] >= MIN_BAGS)


def list_notes(card: Scorecard, shown: Collection[str] | None = None) -> list[str]:
    """Return what explains the scores: the judge, the scorer of the fit, and the worst voice.

    The voice is named only if it is among `shown`, by default always.
    """
    headline = card["headline"]
    notes = [
        {
            "elsewhere": "The judge learned from what the friends wrote in other chats.",
            "reserved": "The judge learned from the half of the chat that the model never saw.",
            "training": "The judge and the model learned from the same lines: train with "
            "--set reserve-half=true to compare with people's other lines.",
        }[headline["judge_source"]]
    ]
    worst, voices = headline["worst"]["voice"], headline["voices"]
    if not has_bags(card):
        notes.append(f"{TOO_FEW_LINES}.")
    elif shown is None or worst in shown:
        shares = (f"{voices[worst][arm]:.0%}" for arm in ("generated", "real"))
        notes.append("Least recognisable: {}, {} against {}.".format(worst, *shares))
    if scorer := headline.get("fit_scorer"):
        same = ", the version's own base" if scorer == headline["base"] else ""
        notes.append(f"Fit is scored by {scorer}, untuned{same}.")
    return notes
