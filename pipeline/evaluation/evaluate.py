"""Evaluate a version on held-out conversations."""

import hashlib
import json
import random
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from model.artifacts.artifact import SCORECARD, Artifact
from model.errors import DatasetError
from model.files import make_folder, make_private, temporary_folder, write_text
from pipeline.dataset.pairs import Pair
from pipeline.dataset.split import HeldOutSplit
from pipeline.dataset.storage import Dataset, load_dataset
from pipeline.evaluation import memorization
from pipeline.evaluation.attribution import train_character_classifier
from pipeline.evaluation.generation import (
    OnStep,
    ShowProgress,
    Size,
    generate_answers,
    measure_costs,
    measure_losses,
    take_first,
)
from pipeline.evaluation.heldout import Turn, list_lines, make_real_answers
from pipeline.evaluation.likelihood import repeat_under_names
from pipeline.evaluation.paired import Evaluation, collect_outcomes
from pipeline.evaluation.scorecard import Evidence, compute_scorecard
from pipeline.terminal import clock, step
from pipeline.training import run
from pipeline.training.encoding import encode
from pipeline.training.run import sample_evenly
from pipeline.versions.lineage import explain_missing_dataset, find_dataset

FORMAT = 1
_CHECKED_PAIRS = 8  # on which the base and its conversion must agree
_PARTS = 7  # four conditions of replies, and three ways of scoring real turns
_DECOYS = 63  # texts to compare a canary with: exposure up to 6 bits

FULL = Size(generated=60, unranked=120, swapped=80, base=30, scored=24)
QUICK = Size(generated=8, unranked=8, swapped=8, base=5, scored=4, quick=True)
GATE = Size(generated=24, unranked=4, swapped=4, base=4, scored=12, quick=True)
"""The size for the gate, which needs generated replies and right voice most."""
MIN_REPLIES = 2_020
"""Replies in a full run, so that at least 2,000 lines are checked for private data."""


def evaluate(
    artifact: Artifact,
    dataset: Dataset,
    cache: Path,
    size: Size,
    seed: int,
    console: Console,
    *,
    split: HeldOutSplit = HeldOutSplit.TEST,
    place: Path | None = None,
) -> dict[str, Any]:
    """Evaluate a version on held-out conversations, and write and return its scorecard.

    It is written to the file `place`, or to the version's own scorecard.json. The version speaks
    with the decoding settings in its card.

    Raises:
        DatasetError: The dataset has no held-out replies in this split.
        BaseError: The base, which is evaluated too, cannot be loaded.
    """
    evaluation = evaluate_turns(artifact, dataset, cache, size, seed, console, split=split)
    card = dict(evaluation.card)
    text = json.dumps(card, ensure_ascii=False, indent=1)
    write_text(place or artifact.path / SCORECARD, text + "\n")
    return card


def evaluate_turns(
    artifact: Artifact,
    dataset: Dataset,
    cache: Path,
    size: Size,
    seed: int,
    console: Console,
    *,
    split: HeldOutSplit = HeldOutSplit.TEST,
    on_progress: Callable[[float], object] = lambda _: None,
) -> Evaluation:
    """Return the scorecard and the outcome of each turn; write nothing.

    `on_progress` receives the finished share, 0 to 1.

    Raises:
        DatasetError, BaseError: See `evaluate`.
    """
    pairs = dataset.test if split is HeldOutSplit.TEST else dataset.validation
    held_out, training = _make_turns(pairs), _make_turns(dataset.train)
    with_replies = {t.voice for t in held_out} & {t.voice for t in training}
    voices = tuple(sorted(with_replies & {one.name for one in artifact.card.roster.voices}))
    if with_replies and not voices:
        raise DatasetError(
            f"nobody with replies in {dataset.folder} may be imitated: see "
            f"`understudy models show {artifact.path.name.split('-')[0]}`"
        )
    if not voices:
        raise DatasetError(
            f"{dataset.folder} has no {split} replies of its voices: build it from a longer chat"
        )
    base = _load_base(artifact, dataset, cache, console)
    chosen = _make_turns(sample_evenly(pairs, size.turns_per_voice, seed))
    asked = [turn for turn in chosen if turn.voice in voices]
    finished_parts = 0

    def on_part_progress(share: float) -> None:
        nonlocal finished_parts
        on_progress(min(1.0, (finished_parts + share) / _PARTS))
        finished_parts += share >= 1

    show_progress = partial(_show_progress, console, on_part_progress)
    arms = generate_answers(artifact, base, asked, size, seed, show_progress)
    scored = take_first(asked, size.scored)
    measured = measure_losses(artifact, base, scored, voices, show_progress)
    canaries = [canary["text"] for canary in artifact.card.provenance.get("canaries") or ()]
    exposures = _measure_exposures(artifact, canaries, voices, seed, show_progress)
    with step(console, "Scoring"):
        evidence = Evidence(
            voices, tuple(training), tuple(t for t in held_out if t.voice in voices), arms,
            measured, artifact.card.decoding.candidates, tuple(canaries), exposures,
        )  # fmt: skip
        classifier = train_character_classifier(list_lines(make_real_answers(training)))
        card = {
            "format": FORMAT,
            "understudy": version("understudy"),
            "artifact": artifact.path.name,
            "base": artifact.card.base,
            "dataset": dataset.content_hash,
            "held_out": str(split),
            "decoding": asdict(artifact.card.decoding),
            "quick": size.quick,
            "seed": seed,
            **compute_scorecard(evidence, seed, classifier),
        }
        return Evaluation(card, collect_outcomes(evidence, classifier))


def load_evaluation_dataset(artifact: Artifact, folder: str | None) -> Dataset:
    """Load the dataset in a folder, by default the one that a version was trained on.

    Raises:
        DatasetError: The dataset is missing, or is another one. The held-out turns of another
            dataset may be in the version's training set.
    """
    trained_on = artifact.card.provenance.get("dataset", {})
    place = folder or find_dataset(artifact)
    if not place or not Path(place).is_dir():
        if folder:
            raise DatasetError(f"there is no dataset {folder}: name another with --data")
        raise DatasetError(f"{explain_missing_dataset(artifact)}; name a copy of it with --data")
    dataset = load_dataset(Path(place))
    if trained_on.get("sha256") not in {None, dataset.content_hash}:
        raise DatasetError(
            f"{place} is not the dataset that {artifact.path.name} was trained on: the model may "
            "have learned its held-out turns; name the right one with --data"
        )
    return dataset


def _make_turns(pairs: Iterable[Pair]) -> list[Turn]:
    return [Turn(pair.voice, pair.context, pair.target, pair.seen, pair.session) for pair in pairs]


def _measure_exposures(
    artifact: Artifact,
    canaries: Sequence[str],
    voices: Sequence[str],
    seed: int,
    show_progress: ShowProgress,
) -> tuple[float, ...]:
    """Return the exposure of each canary in bits, under the name that gives the lowest loss."""
    if not canaries:
        return ()
    chance = random.Random(seed)
    texts = []
    for canary in canaries:
        name = next(name for name in run.CANARY_NAMES if f" {name} " in canary)
        texts += [canary, *(run.make_secret(name, chance) for _ in range(_DECOYS))]
    turns = repeat_under_names([Turn("", (), (text,)) for text in texts], voices)
    with show_progress("Planted canaries and decoys", len(turns)) as on_step:
        nats = [each.nats for each in measure_costs(artifact, turns, on_step)]
    best = [min(nats[at : at + len(voices)]) for at in range(0, len(nats), len(voices))]
    rows = [best[at : at + _DECOYS + 1] for at in range(0, len(best), _DECOYS + 1)]
    return tuple(memorization.compute_exposure(row[0], row[1:]) for row in rows)


def _load_base(artifact: Artifact, dataset: Dataset, cache: Path, console: Console) -> Artifact:
    """Return the untuned base in CTranslate2's form; it is converted once for each dataset."""
    name = artifact.card.base
    key = hashlib.sha256(f"{name}\0{dataset.content_hash}".encode()).hexdigest()[:12]
    place = cache / "converted" / key
    if not (place / "tokenizer.json").is_file():
        with step(console, f"Converting the untuned {name}, once"):
            _convert_base(name, dataset, cache, place, artifact.card.max_prompt_tokens)
    untuned = Artifact(place, artifact.card)
    if artifact.copy_index.is_file() and not untuned.copy_index.is_file():
        shutil.copy(artifact.copy_index, untuned.copy_index)  # applies the same copy filter
    return untuned


def _convert_base(name: str, dataset: Dataset, cache: Path, place: Path, limit: int) -> None:
    from pipeline.training.bases import open_base
    from pipeline.training.convert import convert

    base = open_base(name, cache, dataset.texts())
    pairs = dataset.test[:_CHECKED_PAIRS]
    limits = (limit, limit)
    checked = [encode(base.codec, p.voice, p.context, p.target, limits) for p in pairs]
    make_folder(place.parent)
    with temporary_folder(place.parent, "new") as temporary:
        folder = make_folder(temporary / "base")
        convert(base, folder / "engine", checked)
        base.codec.save(folder / "tokenizer.json")
        make_private(folder)
        folder.rename(place)


@contextmanager
def _show_progress(
    console: Console, on_progress: Callable[[float], None], title: str, total: int
) -> Iterator[OnStep]:
    """Show a bar for `total` steps, then a line with the time they took."""
    started = time.monotonic()
    columns = (TextColumn("  {task.description}"), BarColumn(20), MofNCompleteColumn())
    bar = Progress(
        *columns, console=console, transient=True, auto_refresh=False,
        disable=not console.is_terminal,
    )  # fmt: skip
    task = bar.add_task(title, total=total)

    def advance() -> None:
        bar.advance(task)
        bar.refresh()
        on_progress(bar.tasks[task].percentage / 100)

    with bar:
        yield advance
    took = clock(time.monotonic() - started)
    console.print(Text.assemble(f"  {title}: {total:,} ", (f"({took})", "dim")))
