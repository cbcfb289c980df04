"""A dataset into a version in the registry: load a base, tune, judge, convert, add."""

import random
import shutil
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console

from model.artifact import Card, Decoding, save_card
from model.base import Base, open_base
from model.errors import TrainingError
from model.examples import Example, encode
from model.files import make_folder, make_private
from model.registry import Registry
from model.training import Hyperparameters, Outcome, choose_precision
from model.training import train as tune
from pipeline.dataset import Dataset
from pipeline.pairs import Pair
from pipeline.progress import TrainingBar, clock, step

_JUDGED_PER_VOICE = 40
_CHECKED = 16


@dataclass(frozen=True, slots=True)
class Trained:
    """A new version and what its held-out loss was, voice by voice, before and after."""

    name: str
    promoted: bool
    before: Mapping[str, float]
    after: Mapping[str, float]


def train(
    dataset: Dataset,
    base_name: str,
    registry: Registry,
    settings: Hyperparameters,
    decoding: Decoding,
    console: Console,
    *,
    resume: bool = False,
) -> Trained | None:
    """Train on a dataset; return None if somebody stopped it with Ctrl-C.

    The new version is promoted only where none serves yet.
    """
    work = registry.root / "training" / f"{dataset.content_hash[:8]}-{_slug(base_name)}"
    if not resume and work.is_dir():
        shutil.rmtree(work)
    with step(console, f"Loading {base_name}"):
        base = open_base(base_name, registry.root / "bases", _texts(dataset))
        encoder = _Encoder(base, settings)
        examples = encoder(dataset.train)
        judged = encoder(even(dataset.test, _JUDGED_PER_VOICE, settings.seed))
    precision = choose_precision()
    console.print(f"  Precision: {precision.reason}", highlight=False)
    with step(console, f"Loss of the untuned base on {len(judged)} held-out replies"):
        before = _per_character(base, judged, bf16=precision.bf16)
    make_folder(work)
    outcome = _tune(base, examples, settings, work, console, resume=resume)
    if outcome.interrupted:
        return None
    with step(console, "Loss of the tuned model on the same replies"):
        after = _per_character(base, judged, bf16=precision.bf16)
    scores = {"nats_per_character": {"before": before, "after": after}}
    with step(console, "Converting for the bot, checked against the original"):
        provenance = _provenance(dataset, settings, outcome)
        card = _card(dataset, base, settings, decoding, scores, provenance)
        checked = encoder(even(dataset.validation or dataset.test, _CHECKED, settings.seed))
        name = _add(registry, base, card, checked[:_CHECKED])
    _keep_records(registry, work, name)
    if promoted := registry.current is None:
        registry.promote(name)
    return Trained(name, promoted, before, after)


def even(pairs: Iterable[Pair], per_voice: int, seed: int) -> list[Pair]:
    """Return at most so many pairs of each voice, drawn once by the seed, in order."""
    by_voice: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        by_voice[pair.voice].append(pair)
    chance = random.Random(seed)
    return [
        pair
        for _, own in sorted(by_voice.items())
        for pair in chance.sample(own, min(per_voice, len(own)))
    ]


@dataclass(frozen=True, slots=True)
class _Encoder:
    base: Base
    settings: Hyperparameters

    def __call__(self, pairs: Iterable[Pair]) -> list[Example]:
        limits = (self.settings.max_prompt_tokens, self.settings.max_reply_tokens)
        codec = self.base.codec
        return [encode(codec, pair.voice, pair.context, pair.target, limits) for pair in pairs]


def _tune(
    base: Base,
    examples: Sequence[Example],
    settings: Hyperparameters,
    work: Path,
    console: Console,
    *,
    resume: bool,
) -> Outcome:
    limit = f", for {settings.minutes:g} min" if settings.minutes else ""
    console.print(f"  Training on {len(examples)} pairs{limit}", highlight=False)
    bar = TrainingBar(console)
    try:
        outcome = tune(
            base, examples, settings, work,
            precision=choose_precision(), resume=resume, watch=bar,
        )  # fmt: skip
    finally:
        bar.close()
    seen = outcome.steps * settings.batch_size
    console.print(
        f"  {'Stopped after' if outcome.interrupted else 'Trained'} {outcome.steps} steps, "
        f"{seen} pairs, {clock(outcome.seconds)}",
        highlight=False,
    )
    return outcome


def _per_character(base: Base, examples: Sequence[Example], *, bf16: bool) -> dict[str, float]:
    from model.losses import losses_by_voice

    if not examples:
        raise TrainingError("the dataset has no held-out replies: build it from a longer chat")
    losses = losses_by_voice(base, examples, bf16=bf16)
    return {voice: round(loss.per_character, 4) for voice, loss in losses.items()}


def _card(
    dataset: Dataset,
    base: Base,
    settings: Hyperparameters,
    decoding: Decoding,
    scores: Mapping[str, Any],
    provenance: Mapping[str, Any],
) -> Card:
    return Card(
        base=base.name,
        family=base.family,
        roster=dataset.roster,
        chats=dataset.chats,
        window=dataset.window,
        max_prompt_tokens=settings.max_prompt_tokens,
        decoding=decoding,
        public=dataset.public,
        scores=scores,
        provenance=provenance,
    )


def _provenance(dataset: Dataset, settings: Hyperparameters, outcome: Outcome) -> dict[str, Any]:
    return {
        "understudy": version("understudy"),
        "commit": _commit(),
        "trained_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "dataset": {"folder": str(dataset.folder.resolve()), "sha256": dataset.content_hash},
        "hyperparameters": asdict(settings),
        "steps": outcome.steps,
        "seconds": round(outcome.seconds, 1),
        "training_loss": round(outcome.loss, 4),
    }


def _add(registry: Registry, base: Base, card: Card, checked: Sequence[Example]) -> str:
    """Write the artifact beside the registry's versions, then move it in."""
    import torch

    from model.conversion import convert

    with tempfile.TemporaryDirectory(dir=registry.root, prefix=".new-") as temporary:
        folder = make_folder(Path(temporary) / "artifact")
        convert(base, folder / "engine", checked)
        base.codec.save(folder / "tokenizer.json")
        base.weights.to(torch.bfloat16).save_pretrained(folder / "weights")
        save_card(card, folder)
        return registry.add(folder)


def _keep_records(registry: Registry, work: Path, name: str) -> None:
    """Keep TensorBoard's records under the version's name; checkpoints hold the chat: they go."""
    records = make_folder(registry.root / "tensorboard")
    make_private(work / "tensorboard")
    shutil.move(work / "tensorboard", records / name)
    shutil.rmtree(work)


def _texts(dataset: Dataset) -> Iterable[str]:
    for pair in dataset.train:
        yield from pair.context[-1:]
        yield from pair.target
    yield from (person.name for person in dataset.roster.people)


def _slug(name: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in name)[-40:].strip("-")


def _commit() -> str | None:
    """Return the commit of the code that trains, None outside a checkout."""
    here = Path(__file__).parent
    try:
        said = subprocess.run(  # noqa: S603  words of our own
            ["git", "-C", str(here), "rev-parse", "HEAD"],  # noqa: S607  whichever git there is
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return None
    return said.stdout.strip()
