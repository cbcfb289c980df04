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
from pipeline.dataset.split import (
    HeldOutSplit,
)
from pipeline.dataset.storage import Dataset, load_dataset
from pipeline.evaluation import memorization
from pipeline.evaluation.attribution import by_characters
from pipeline.evaluation.generation import (
    OnStep,
    ShowProgress,
    Size,
    cost,
    first,
    measure,
    speak,
)
from pipeline.evaluation.heldout import Turn, lines_of_turns
from pipeline.evaluation.likelihood import under_every_name
from pipeline.evaluation.paired import Judged, outcomes
from pipeline.evaluation.scorecard import Evidence, score
from pipeline.terminal import clock, step
from pipeline.training import run
from pipeline.training.encoding import encode
from pipeline.training.run import sample_evenly
from pipeline.versions.lineage import dataset_of, missing_dataset

FORMAT = 1
_CHECKED = 8  # pairs that the base's conversion must agree on
_PARTS = 7  # four arms speak, real turns are scored in three ways
_LIKE_IT = 63  # secrets to compare a canary with: exposure up to 6 bits

FULL = Size(generated=60, unranked=120, swapped=80, base=30, scored=24)
QUICK = Size(generated=8, unranked=8, swapped=8, base=5, scored=4, quick=True)
GATE = Size(generated=24, unranked=4, swapped=4, base=4, scored=12, quick=True)
"""What decides whether a version serves: how it speaks, and whose its real turns are to it."""
SPOKEN = 2_020
"""Replies of a full run, so that private data is looked for in 2,000 lines or more."""


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
    """Judge a version, as its card says it speaks, on held-out talk; return the scorecard.

    It is written into the file `place`, the version's own scorecard.json unless given.

    Raises:
        DatasetError: The dataset has no held-out replies in this split.
        BaseError: The base, which is judged beside it, cannot be had.
    """
    card = dict(judge(artifact, dataset, cache, size, seed, console, split=split).card)
    write_text(
        place or artifact.path / SCORECARD, json.dumps(card, ensure_ascii=False, indent=1) + "\n"
    )
    return card


def judge(
    artifact: Artifact,
    dataset: Dataset,
    cache: Path,
    size: Size,
    seed: int,
    console: Console,
    *,
    split: HeldOutSplit = HeldOutSplit.TEST,
    told: Callable[[float], object] = lambda _: None,
) -> Judged:
    """Return the scorecard and the outcomes turn by turn; `told` gets the share that is done.

    Writes nothing.

    Raises:
        DatasetError, BaseError: See `evaluate`.
    """
    pairs = dataset.test if split is HeldOutSplit.TEST else dataset.validation
    held_out, training = _turns(pairs), _turns(dataset.train)
    known = {t.voice for t in held_out} & {t.voice for t in training}
    voices = tuple(sorted(known & {person.name for person in artifact.card.roster.voices}))
    if known and not voices:
        raise DatasetError(
            f"nobody with replies in {dataset.folder} may be imitated: see "
            f"`understudy models show {artifact.path.name.split('-')[0]}`"
        )
    if not voices:
        raise DatasetError(
            f"{dataset.folder} has no {split} replies of its voices: build it from a longer chat"
        )
    untuned = _untuned(artifact, dataset, cache, console)
    asked = [
        turn
        for turn in _turns(sample_evenly(pairs, size.turns_per_voice, seed))
        if turn.voice in voices
    ]
    watch = partial(_counted, console, _shares(told))
    arms = speak(artifact, untuned, asked, size, seed, watch)
    measured = measure(artifact, untuned, first(asked, size.scored), voices, watch)
    planted = [canary["text"] for canary in artifact.card.provenance.get("canaries") or ()]
    exposures = _exposures(artifact, planted, voices, seed, watch)
    with step(console, "Judging"):
        evidence = Evidence(
            voices, tuple(training), tuple(t for t in held_out if t.voice in voices), arms,
            measured, artifact.card.decoding.candidates, tuple(planted), exposures,
        )  # fmt: skip
        about = _about(artifact, dataset, size, seed, split)
        fitted = by_characters(lines_of_turns(training))
        card = {**about, **score(evidence, seed, fitted).to_json()}
        return Judged(card, outcomes(evidence, fitted))


def dataset_for(artifact: Artifact, folder: str | None) -> Dataset:
    """Load the named dataset, else the one that a version was trained on, where it was then.

    Raises:
        DatasetError: It is not there, or another one: its held-out talk may be in training here.
    """
    trained_on = artifact.card.provenance.get("dataset", {})
    where = folder or dataset_of(artifact)
    if not where or not Path(where).is_dir():
        if folder:
            raise DatasetError(f"there is no dataset {folder}: name another with --data")
        raise DatasetError(f"{missing_dataset(artifact)}; name a copy of it with --data")
    dataset = load_dataset(Path(where))
    if trained_on.get("sha256") not in {None, dataset.content_hash}:
        raise DatasetError(
            f"{where} is not the dataset that {artifact.path.name} was trained on: what it holds "
            "out may be what the model learned; name the right one with --data"
        )
    return dataset


def _turns(pairs: Iterable[Pair]) -> list[Turn]:
    return [Turn(pair.voice, pair.context, pair.target, pair.seen, pair.session) for pair in pairs]


def _exposures(
    artifact: Artifact,
    planted: Sequence[str],
    voices: Sequence[str],
    seed: int,
    watch: ShowProgress,
) -> tuple[float, ...]:
    """Return each planted canary's bits; it and its like count under the name that fits best."""
    if not planted:
        return ()
    chance = random.Random(seed)
    texts = []
    for canary in planted:
        name = next(name for name in run.CANARY_NAMES if f" {name} " in canary)
        texts += [canary, *(run.make_secret(name, chance) for _ in range(_LIKE_IT))]
    turns = under_every_name([Turn("", (), (text,)) for text in texts], voices)
    with watch("Planted canaries and others like them", len(turns)) as told:
        nats = [each.nats for each in cost(artifact, turns, told)]
    best = [min(nats[at : at + len(voices)]) for at in range(0, len(nats), len(voices))]
    rows = [best[at : at + _LIKE_IT + 1] for at in range(0, len(best), _LIKE_IT + 1)]
    return tuple(memorization.exposure(row[0], row[1:]) for row in rows)


def _untuned(artifact: Artifact, dataset: Dataset, cache: Path, console: Console) -> Artifact:
    """Return the base as the tuned model is served, converted once a dataset and then kept."""
    name = artifact.card.base
    key = hashlib.sha256(f"{name}\0{dataset.content_hash}".encode()).hexdigest()[:12]
    place = cache / "converted" / key
    if not (place / "tokenizer.json").is_file():
        with step(console, f"Converting the untuned {name}, once"):
            _convert(name, dataset, cache, place, artifact.card.max_prompt_tokens)
    untuned = Artifact(place, artifact.card)
    if artifact.copy_index.is_file() and not untuned.copy_index.is_file():
        shutil.copy(artifact.copy_index, untuned.copy_index)  # so that it may copy as little
    return untuned


def _convert(name: str, dataset: Dataset, cache: Path, place: Path, limit: int) -> None:
    from pipeline.training.bases import open_base
    from pipeline.training.convert import convert

    base = open_base(name, cache, dataset.texts())
    pairs = dataset.test[:_CHECKED]
    limits = (limit, limit)
    checked = [encode(base.codec, p.voice, p.context, p.target, limits) for p in pairs]
    make_folder(place.parent)
    with temporary_folder(place.parent, "new") as temporary:
        folder = make_folder(temporary / "base")
        convert(base, folder / "engine", checked)
        base.codec.save(folder / "tokenizer.json")
        make_private(folder)
        folder.rename(place)


def _about(
    artifact: Artifact, dataset: Dataset, size: Size, seed: int, split: HeldOutSplit
) -> dict[str, Any]:
    """Return what a scorecard's figures are of."""
    return {
        "format": FORMAT,
        "understudy": version("understudy"),
        "artifact": artifact.path.name,
        "base": artifact.card.base,
        "dataset": dataset.content_hash,
        "held_out": str(split),
        "decoding": asdict(artifact.card.decoding),
        "quick": size.quick,
        "seed": seed,
    }


def _shares(told: Callable[[float], object]) -> Callable[[float], None]:
    """Return what hears the share of a part, and tells that of the whole: all parts count alike."""
    ended = 0

    def hear(share: float) -> None:
        nonlocal ended
        told(min(1.0, (ended + share) / _PARTS))
        ended += share >= 1

    return hear


@contextmanager
def _counted(
    console: Console, told: Callable[[float], None], title: str, total: int
) -> Iterator[OnStep]:
    """Show a bar while so many replies are made, then a line with the time they took."""
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
        told(bar.tasks[task].percentage / 100)

    with bar:
        yield advance
    took = clock(time.monotonic() - started)
    console.print(Text.assemble(f"  {title}: {total:,} ", (f"({took})", "dim")))
