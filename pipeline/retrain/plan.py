"""Build the dataset for retraining, and decide what to train on and what to hold out."""

import hashlib
import random
import shutil
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime

from model.artifacts.artifact import Artifact
from model.artifacts.commands import models_option, quote
from model.artifacts.registry import Registry
from model.chat.conversation import Window
from model.errors import TrainingError
from pipeline.dataset.build import build_chat
from pipeline.dataset.pairs import BuildOptions, ChatMessages, Pair
from pipeline.dataset.review import Review
from pipeline.dataset.roster_file import ROSTER_FILE
from pipeline.dataset.split import TEST, VALIDATION
from pipeline.dataset.storage import Dataset, load_dataset
from pipeline.retrain.intake import CurrentVersion, Intake
from pipeline.retrain.request import RetrainDependencies, RetrainRequest
from pipeline.terminal import SILENT, print_indented
from pipeline.training.bases import DEFAULT
from pipeline.training.hyperparameters import Hyperparameters
from pipeline.training.run import Start
from pipeline.versions.erasure import BUILDING
from pipeline.versions.lineage import DATASETS, explain_why_not_continue

_CONTINUED_RATE = 1 / 3
"""The factor on the learning rate when training continues from a version.

At the full rate, the version's knowledge fades (docs/development/experiments.md).
"""
_CHOSEN_BY_BASE = {"example_type", "batch_size", "learning_rate", "lora"}
"""Hyperparameters that suit one base: another base does not inherit them."""

_TEST_SHARE_OF_NEW = 0.25
_VALIDATION_SHARE_OF_NEW = 0.1
_MAX_TEST_SHARE = 0.5
_NAME_DIGITS = 12  # hexadecimal, of a dataset's name


@dataclass(frozen=True, slots=True)
class RetrainPlan:
    """A dataset and how to train on it.

    `replayed` counts the old pairs in the training set; it is None if training uses all pairs.
    """

    dataset: Dataset
    start: Start
    hyperparameters: Hyperparameters
    replayed: int | None


def make_plan(
    request: RetrainRequest,
    dependencies: RetrainDependencies,
    current: CurrentVersion,
    intake: Intake,
) -> RetrainPlan:
    """Build the dataset and decide how to train on it.

    The test split is newer than everything that the current version was trained on.

    Raises:
        TrainingError: The hyperparameters or the base cannot be used.
        DatasetError: There is too little text.
    """
    card = current.artifact.card if current.artifact else None
    stored = card.provenance.get("requested", {}) if card else {}
    inherited = {field.name for field in fields(Hyperparameters)}
    if card and request.base not in {None, card.base}:
        inherited -= _CHOSEN_BY_BASE
    hyperparameters = Hyperparameters(
        **{
            **{key: value for key, value in stored.items() if key in inherited},
            "canaries": False,
            **request.hyperparameters,
        }
    )
    start = _choose_start(request, dependencies, current, intake)
    dataset = _build_dataset(request, dependencies, current, intake)
    replayed = None
    if (record := current.record) is not None:
        if isinstance(start.base, Artifact):
            pairs, replayed = select_pairs(
                dataset.train,
                record.held_out_since,
                start.base.card.learned,
                request.replay,
                hyperparameters.seed,
            )
            start = replace(start, only=pairs)
        has_enough = intake.new >= request.min_new_messages
        since = record.through if has_enough else record.held_out_since
        if fresh := tuple(pair for pair in dataset.test if pair.sent_at > since):
            dataset = replace(dataset, test=fresh)
    return RetrainPlan(dataset, start, hyperparameters, replayed)


def select_pairs(
    pairs: Sequence[Pair], since: datetime, learned: Collection[str], replay: float, seed: int
) -> tuple[tuple[Pair, ...], int]:
    """Return the new pairs with randomly chosen old sessions, and the number of old pairs.

    A pair is new if it was sent since `since`, or if the version has not `learned` its voice. The
    chosen sessions contain `replay` times as many old pairs as there are new ones, because a
    version that sees only new text forgets what it learned. Without new pairs, all old pairs are
    returned.
    """

    def is_new(pair: Pair) -> bool:
        return pair.sent_at >= since or pair.voice not in learned

    new = sum(map(is_new, pairs))
    old_pairs = Counter(pair.session for pair in pairs if not is_new(pair))
    sessions, wanted = list(old_pairs), replay * new if new else old_pairs.total()
    random.Random(seed).shuffle(sessions)
    chosen: set[int] = set()
    count = 0
    for session in sessions:
        if count >= wanted:
            break
        chosen.add(session)
        count += old_pairs[session]
    selected = tuple(pair for pair in pairs if is_new(pair) or pair.session in chosen)
    return selected, len(selected) - new


def _choose_start(
    request: RetrainRequest,
    dependencies: RetrainDependencies,
    current: CurrentVersion,
    intake: Intake,
) -> Start:
    """Return the base or version to start from; never weights with words to unlearn."""
    if current.artifact is None:
        return Start(request.base or DEFAULT)
    base, name = current.artifact.card.base, current.artifact.path.name
    is_other_base = request.base not in {None, base}
    if is_other_base and request.start_from == "current":
        raise TrainingError(
            f"--set from=current continues from {base}, but --base is {request.base}: omit one of "
            "them"
        )
    if is_other_base or request.start_from == "base":
        return Start(request.base or base)
    reason = explain_why_not_continue(Registry(request.root), name, intake.merged.ledger)
    if reason is None and request.start_from is None and not current.artifact.weights.is_dir():
        reason = "has no weights to continue from"
    if reason:
        print_indented(
            f"{name} {reason}: training starts from the base", dependencies.watch.console
        )
        return Start(base)
    has_rate = "learning_rate" in request.hyperparameters
    return Start(current.artifact, learning_rate_factor=1.0 if has_rate else _CONTINUED_RATE)


def _build_dataset(
    request: RetrainRequest,
    dependencies: RetrainDependencies,
    current: CurrentVersion,
    intake: Intake,
) -> Dataset:
    """Build the dataset in a folder named after its content.

    A quarter of the new messages is held out for testing and a tenth for validation. With too few
    new messages, the test split is everything that the current version was not trained on.
    """
    merged = intake.merged
    card = current.artifact.card if current.artifact else None
    options = BuildOptions(
        window=card.window if card else Window(),
        min_messages=request.min_messages,
        public=bool(card and card.public),
        processes=0,
    )
    if current.record and intake.new >= request.min_new_messages:
        new_share = intake.new / intake.total
        options = replace(
            options,
            test_share=_TEST_SHARE_OF_NEW * new_share,
            validation_share=_VALIDATION_SHARE_OF_NEW * new_share,
        )
    elif current.record:
        share = intake.untrained / intake.total if intake.untrained else TEST
        options = replace(
            options, test_share=min(share, _MAX_TEST_SHARE), validation_share=VALIDATION
        )
    building = request.root / DATASETS / BUILDING
    messages = ChatMessages(merged.spool, merged.chat, intake.people.roster, options)
    authors = merged.spool.authors(merged.chat.chat_id)
    review = Review(intake.removed_pairs, is_wanted=False)
    exports = merged.header.exports
    summary = build_chat(messages, authors, building, review, exports, SILENT)
    file = intake.roster_file
    command = f"understudy models roster current {quote(file)}{models_option(request.root)}"
    watch = dependencies.watch
    dependencies.print_summary(summary, watch.console, str(file), command, verbose=watch.verbose)
    content = summary.content_hash + (building / ROSTER_FILE).read_text("utf-8")
    folder = building.with_name(hashlib.sha256(content.encode()).hexdigest()[:_NAME_DIGITS])
    if folder.exists():
        shutil.rmtree(folder)
    building.rename(folder)
    return load_dataset(folder)
