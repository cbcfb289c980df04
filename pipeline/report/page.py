"""Render the report as one HTML file that needs nothing else."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

import jinja2
import numpy as np
import pandas as pd

from model.artifacts.artifact import Artifact, Scorecard
from model.chat.names import make_printable, make_printable_lines, make_printable_name
from pipeline.dataset.storage import Dataset
from pipeline.evaluation.view import has_bags, list_notes, list_scores, list_voices
from pipeline.report import charts
from pipeline.report.figures import OTHERS, ChatFigures, PersonFigures
from pipeline.report.version import Sample, TrainingCurve
from pipeline.terminal import clock

_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_HABITS = {
    "question": "ask something",
    "exclamation": "use an exclamation mark",
    "laughter": "laugh",
    "capital_first": "begin with a capital",
    "full_stop": "end with a full stop",
    "dots": "contain …",
}
"""The habits shown: what a share of a person's messages do."""
_MAX_PEOPLE = 10
"""People in the reply graph; with more, arrows cannot be told apart."""
_LEAST_SHARE = 0.005


@dataclass(frozen=True, slots=True)
class VersionReport:
    """What is shown of a version; None and () are left out."""

    artifact: Artifact
    curve: TrainingCurve | None
    scorecard: Scorecard | None
    samples: tuple[Sample, ...]


def render_report(
    dataset: Dataset | None,
    figures: ChatFigures | None,
    version: VersionReport | None,
    agreed: Collection[str],
    missing: str = "",
) -> str:
    """Return the report's HTML; `missing` says why there is no dataset."""
    title = dataset.chats[0].title if dataset else ""
    if version and not title:
        title = version.artifact.card.chats[0].title if version.artifact.card.chats else ""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(
        name=make_printable_name, line=make_printable, lines=make_printable_lines
    )
    template = environment.from_string(
        files("pipeline.report").joinpath("report.html.j2").read_text("utf-8")
    )
    return template.render(
        title=title,
        written=datetime.now(UTC),
        chat=_describe_chat(dataset, figures, agreed) if dataset and figures else None,
        missing=missing,
        version=_describe_version(version, agreed) if version else None,
    )


def _describe_chat(
    dataset: Dataset, figures: ChatFigures, agreed: Collection[str]
) -> Mapping[str, Any]:
    summary = dataset.summary
    named = [person for person in figures.people if person.name != OTHERS]
    colours = charts.colour_people([person.name for person in named])
    colours[OTHERS] = charts.COLOURS[7]
    shown = [person.name for person in figures.people][:_MAX_PEOPLE]
    replies = {
        (by, to): count
        for (by, to), count in figures.replies.items()
        if by in shown and to in shown
    }
    busiest = divmod(int(figures.hours.argmax()), 24)
    splits = {
        str(part.name): (
            pd.Timestamp(part.first).tz_localize(None),
            pd.Timestamp(part.last).tz_localize(None),
        )
        for part in summary.splits
    }
    return {
        "summary": summary,
        "messages": figures.messages,
        "zone": figures.zone,
        "drawn": len(shown),
        "busiest": f"{_WEEKDAYS[busiest[0]]}, {busiest[1]}:00 to {busiest[1] + 1}:00",
        "heat_map": charts.draw_heat_map(figures.hours),
        "timeline": charts.draw_timeline(figures.days, splits),
        "graph": charts.draw_reply_graph(
            {person.name: person.messages for person in figures.people if person.name in shown},
            replies,
            colours,
        ),
        "replies": sorted(replies.items(), key=lambda item: -item[1])[:5],
        "people": [
            _describe_person(person, colours[person.name])
            for person in figures.people
            if person.name in agreed
        ],
        "others": [person for person in figures.people if person.name not in agreed],
        "redacted": sorted(summary.redacted.items(), key=lambda item: -item[1]),
    }


def _describe_person(person: PersonFigures, colour: str) -> Mapping[str, Any]:
    habits = person.habits
    largest = max((word.score for word in habits.words), default=1) if habits else 1
    return {
        "figures": person,
        "colour": colour,
        "hours": charts.draw_hours(person.hours, colour),
        "rates": [
            (title, habits.rates[key])
            for key, title in _HABITS.items()
            if habits.rates[key] >= _LEAST_SHARE
        ]
        if habits
        else [],
        "words": [(word, 0.85 + 0.75 * (word.score / largest) ** 0.7) for word in habits.words]
        if habits
        else [],
    }


def _describe_version(version: VersionReport, agreed: Collection[str]) -> Mapping[str, Any]:
    artifact, curve, scorecard = version.artifact, version.curve, version.scorecard
    kept = artifact.card.provenance.get("kept_step")
    return {
        "name": artifact.path.name,
        "facts": list(_list_facts(artifact)),
        "curve": curve and charts.draw_training_curve(curve.training, curve.validation, kept),
        "has_validation": bool(curve and curve.validation),
        "losses": list(_list_losses(artifact, agreed)),
        "scores": _describe_scores(scorecard, agreed) if scorecard else None,
        "samples": version.samples,
    }


def _list_facts(artifact: Artifact) -> Iterator[tuple[str, str]]:
    card, source = artifact.card, artifact.card.provenance
    yield "base", f"{card.base} ({card.family})"
    if at := source.get("trained_at"):
        yield "trained", f"{str(at)[:16].replace('T', ' ')} UTC"
    if isinstance(seconds := source.get("seconds"), int | float):
        yield "training time", f"{clock(seconds)}, {source.get('steps', 0):,} steps"
    yield "context", f"{card.window.size} messages"


def _list_losses(artifact: Artifact, agreed: Collection[str]) -> Iterator[tuple[str, float, float]]:
    """Yield a voice or "all", and the losses before and after training."""
    nats = artifact.card.scores.get("nats_per_character", {})
    for name, own in {**nats.get("voices", {}), "all": nats.get("whole", {})}.items():
        if (name in agreed or name == "all") and {"untuned", "tuned"} <= own.keys():
            yield name, own["untuned"], own["tuned"]


def _describe_scores(card: Scorecard, agreed: Collection[str]) -> Mapping[str, Any]:
    rows = list_scores(card)
    right = card["right_voice"]
    return {
        "card": card,
        "rows": rows,
        "voices": [row for row in list_voices(card) if row.voice in agreed],
        "picture": charts.draw_scores(rows) if rows else None,
        "notes": list_notes(card, agreed),
        "confusion": _draw_confusion(card, agreed) if has_bags(card) else None,
        "right_voice": right["absent"],
        "habits": _list_habits(card, agreed),
    }


def _draw_confusion(card: Scorecard, agreed: Collection[str]) -> str | None:
    """Draw the rows of people who agreed; the answers that name other people are one column."""
    voices = card["attribution"]["voices"]
    shares = np.asarray(card["attribution"]["confusion"]["generated"], float)
    is_shown = np.array([voice in agreed for voice in voices], bool)
    names = [voice for voice in voices if voice in agreed]
    if not names:
        return None
    cells, answers = shares[is_shown][:, is_shown], names
    if not is_shown.all():
        others = shares[is_shown][:, ~is_shown].sum(1, keepdims=True)
        cells, answers = np.hstack([cells, others]), [*names, OTHERS]
    return charts.draw_confusion(names, answers, cells.tolist())


def _list_habits(card: Scorecard, agreed: Collection[str]) -> Sequence[tuple[str, float, float]]:
    """Return each voice's messages per turn, real and generated."""
    return [
        (voice, own["burst"]["real"], own["burst"]["generated"])
        for voice, own in card["habits"]["voices"].items()
        if voice in agreed and "burst" in own
    ]
