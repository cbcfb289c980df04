"""What a retraining trains on, and what it begins with."""

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from model.artifact import Artifact
from model.base import DEFAULT
from model.conversation import Window
from model.errors import TrainingError
from model.hyperparameters import Hyperparameters
from model.registry import Registry
from pipeline.build import build_chat
from pipeline.dataset import ROSTER, Dataset, load_dataset
from pipeline.pairing import Choices, Pairing
from pipeline.report import print_summary
from pipeline.retrain.account import Facts, facts_of
from pipeline.retrain.erasure import BUILDING
from pipeline.retrain.holding import shares, with_replay
from pipeline.retrain.intake import Current, Intake
from pipeline.retrain.known import DATASETS, to_unlearn
from pipeline.retrain.wish import Tools, Wish
from pipeline.review import Review
from pipeline.start import Start

_GENTLY = 1 / 3  # of the rate: at the whole of it what is known fades (docs/experiments.md)
_NAME = 12  # hex digits of a dataset's name


@dataclass(frozen=True, slots=True)
class Plan:
    """A dataset and what to train on it; `replayed` counts old pairs, None where all are there."""

    dataset: Dataset
    facts: Facts
    start: Start
    settings: Hyperparameters
    replayed: int | None


def plan_of(wish: Wish, tools: Tools, current: Current, intake: Intake) -> Plan:
    """Build the dataset and decide how to train on it.

    What tests is newer than all that the current version was trained on.

    Raises:
        TrainingError: The hyperparameters, or the base, cannot be used.
        DatasetError: Too little is said.
    """
    card = current.artifact.card if current.artifact else None
    known = card.provenance.get("hyperparameters", {}) if card else {}
    settings = _settings(known, wish.settings)
    start = _start(wish, tools, current, intake)
    dataset = _build(wish, tools, current, intake)
    facts = facts_of(intake, dataset)
    replayed = None
    if current.seen and isinstance(start.base, Artifact):
        since = current.seen.held_out_since
        known = start.base.card.learned
        train, replayed = with_replay(dataset.train, since, known, wish.replay, settings.seed)
        start = replace(start, only=train)
    if current.seen:
        since = current.seen.through
        if intake.new < wish.least_new:
            since = current.seen.held_out_since
        if fresh := tuple(pair for pair in dataset.test if pair.sent_at > since):
            dataset = replace(dataset, test=fresh)
    return Plan(dataset, facts, start, settings, replayed)


def _settings(known: Mapping[str, Any], given: Mapping[str, Any]) -> Hyperparameters:
    """Return the current version's hyperparameters, with those that were given in their place."""
    names = {field.name for field in fields(Hyperparameters)}
    kept = {key: value for key, value in known.items() if key in names}
    return Hyperparameters(**{**kept, "canaries": False, **given})


def _start(wish: Wish, tools: Tools, current: Current, intake: Intake) -> Start:
    """Return what training begins with: never weights that know what must be unlearned."""
    if current.artifact is None:
        return Start(wish.base or DEFAULT)
    base, name = current.artifact.card.base, current.artifact.path.name
    is_other = wish.base not in {None, base}
    if is_other and wish.begin == "current":
        raise TrainingError(
            f"--from current goes on with {base}, and --base says {wish.base}: leave one out"
        )
    if is_other or wish.begin == "base":
        return Start(wish.base or base)
    why = to_unlearn(Registry(wish.root), name, intake.whole.ledger)
    if why is None and wish.begin is None and not current.artifact.weights.is_dir():
        why = "came without weights to train on from"
    if why:
        tools.watch.console.print(f"  {name} {why}: training begins with the base")
        return Start(base)
    return Start(current.artifact, pace=1.0 if "learning_rate" in wish.settings else _GENTLY)


def _build(wish: Wish, tools: Tools, current: Current, intake: Intake) -> Dataset:
    """Build the dataset, named by what it holds."""
    whole, roster = intake.whole, intake.people.roster
    card = current.artifact.card if current.artifact else None
    held = shares(intake.total, intake.new, intake.untrained, wish.least_new)
    choices = Choices(
        window=card.window if card else Window(),
        min_messages=wish.min_messages,
        public=bool(card and card.public),
    )
    if current.seen:
        choices = replace(choices, test_share=held.test, validation_share=held.validation)
    place = wish.root / DATASETS / BUILDING
    pairing = Pairing(whole.spool, whole.chat, roster, choices)
    authors = whole.spool.authors(whole.chat.chat_id, own_words=True)
    review = Review(intake.struck, is_wanted=False)
    summary = build_chat(pairing, authors, place, review, whole.head.exports, lambda _: None)
    file = intake.roster_file
    hint = f"{file}, then understudy models roster current {file}"
    print_summary(summary, tools.watch.console, hint)
    about = summary.content_hash + (place / ROSTER).read_text("utf-8")
    named = place.with_name(hashlib.sha256(about.encode()).hexdigest()[:_NAME])
    if named.exists():
        shutil.rmtree(named)
    place.rename(named)
    return load_dataset(named)
