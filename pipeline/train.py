"""A dataset into a version in the registry: load a base, tune, judge, convert, add."""

import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rich.console import Console

from model.artifact import Card, Decoding, save_card
from model.base import Base
from model.consent import read_consent
from model.errors import DatasetError, TrainingError
from model.examples import Example, encode
from model.files import locked, make_folder, make_private
from model.hyperparameters import Hyperparameters
from model.precision import Precision, choose_precision
from model.registry import Registry
from model.training import PRECISION, Outcome
from model.training import train as tune
from pipeline.canaries import Canary, plant
from pipeline.card import Judgement, card_of
from pipeline.dataset import Dataset
from pipeline.judge import Judge, compared, even, save_loss, saved_loss
from pipeline.lines import save_lines
from pipeline.occasions import OCCASIONS
from pipeline.pairs import Pair
from pipeline.progress import Bar, TrainingBar, clock, curve, step
from pipeline.propensity import save_propensity
from pipeline.start import Start

_JUDGED_PER_VOICE = 40
_NEW = ".new-"
_UNTUNED = "untuned.json"
_CHECKED = 16  # held-out pairs that the conversion must agree on, over all voices


@dataclass(frozen=True, slots=True)
class Trained:
    """A new version, whether it serves, and how well it foresees held-out replies."""

    name: str
    promoted: bool
    judgement: Judgement


def train(
    dataset: Dataset,
    base: str,
    registry: Registry,
    settings: Hyperparameters,
    decoding: Decoding,
    console: Console,
    *,
    resume: bool = False,
) -> Trained:
    """Train on a dataset; promote the new version only if there is no current one.

    A version with planted canaries is never promoted.

    Raises:
        DatasetError: It holds words of somebody who withdrew.
        TrainingError: See `make_version`.
    """
    _check_consent(dataset, registry)
    bar = TrainingBar(console)
    name, judgement = make_version(
        dataset, Start(base), registry, settings, decoding, bar, resume=resume
    )
    if promoted := registry.current is None and not settings.canaries:
        registry.promote(name)
    return Trained(name, promoted, judgement)


def _check_consent(dataset: Dataset, registry: Registry) -> None:
    consent = read_consent(registry.root)
    people = (one for one in dataset.roster.people if one.learn == "yes")
    if out := [one.name for one in people if consent.has_withdrawn(one)]:
        raise DatasetError(
            f'{dataset.folder} holds words of {", ".join(out)}, who withdrew: write learn = "no" '
            "for them in its roster.toml and build it again"
        )


def make_version(
    dataset: Dataset,
    start: Start,
    registry: Registry,
    settings: Hyperparameters,
    decoding: Decoding,
    bar: Bar,
    *,
    resume: bool = False,
) -> tuple[str, Judgement]:
    """Train on a dataset; return the new version's name, and its losses beside the start's.

    Raises:
        TrainingError: Somebody stopped it with Ctrl-C, and a checkpoint is kept; or another
            training goes on in the same folder of models.
    """
    with locked(registry.root / "training.lock", wait=False) as is_alone:
        if not is_alone:
            raise TrainingError(f"another training goes on in {registry.root}: wait for its end")
        for stale in registry.root.glob(f"{_NEW}*"):  # of a run that was killed
            shutil.rmtree(stale)
        return _make(dataset, start, registry, settings, decoding, bar, resume=resume)


def checkpoint_of(dataset: Dataset, start: Start, registry: Registry) -> Path | None:
    """Return the newest checkpoint of a stopped training; None if there is none."""
    found = work_folder(dataset, start, registry).glob("checkpoint-*")
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


def may_resume(
    checkpoint: Path | None, ask: Callable[[str], bool], *, resume: bool, restart: bool
) -> bool:
    """Return whether to continue from a checkpoint; ask without --resume or --restart.

    Raises:
        TrainingError: There is a checkpoint, and no terminal to ask what to do with it.
    """
    if restart or resume or checkpoint is None:
        return resume
    if ask(f"A stopped training left {checkpoint}. Resume it?"):
        return True
    raise TrainingError(
        f"a stopped training left {checkpoint}: use --resume to continue from it, or "
        "--restart to discard it and start again"
    )


def work_folder(dataset: Dataset, start: Start, registry: Registry) -> Path:
    """Return where a training keeps its checkpoints."""
    return registry.root / "training" / f"{dataset.content_hash[:8]}-{_slug(start.name)}"


def _make(
    dataset: Dataset,
    start: Start,
    registry: Registry,
    settings: Hyperparameters,
    decoding: Decoding,
    bar: Bar,
    *,
    resume: bool,
) -> tuple[str, Judgement]:
    console = bar.console
    _warn(dataset, console)
    work = work_folder(dataset, start, registry)
    dataset, canaries = _planted(dataset, settings)
    with step(console, f"Loading {start.name}"):
        base = start.open(registry.root / "bases", dataset.texts())
        encoder = _Encoder(base, settings)
        examples = encoder(dataset.train if start.only is None else start.only)
    precision = choose_precision(settings.precision, work / PRECISION if resume else None)
    console.print(f"  Precision: {precision.reason}", highlight=False)
    judged = even(dataset.test, _JUDGED_PER_VOICE, settings.seed)
    judge = Judge(base, judged, encoder(judged), precision)
    if not resume:
        shutil.rmtree(work, ignore_errors=True)
    make_folder(work)
    before = saved_loss(work / _UNTUNED, judged) if resume else None
    if before is None:
        untuned = "the untuned base" if isinstance(start.base, str) else start.name
        with step(console, f"Loss of {untuned} on {len(judged)} held-out replies"):
            before = judge()
        save_loss(work / _UNTUNED, judged, before)
    voices = max(1, len(dataset.roster.voices))
    watched = even(dataset.validation, max(1, settings.validation_pairs // voices), settings.seed)
    paced = replace(settings, learning_rate=settings.rate(base.family) * start.pace)
    outcome = _tune(base, examples, encoder(watched), paced, work, precision, bar, resume=resume)
    with step(console, "Loss of the tuned model on the same replies"):
        judgement = compared(before, judge(), len(judged))
    with step(console, "Converting for the bot, checked against the original"):
        card = _with_run(
            card_of(dataset, base, settings, decoding, outcome, judgement), start, outcome, canaries
        )
        per_voice = max(1, _CHECKED // voices)
        checked = even(dataset.validation or dataset.test, per_voice, settings.seed)
        name = _add(registry, base, card, encoder(checked), dataset)
    _keep_records(registry, work, name)
    return name, judgement


def _warn(dataset: Dataset, console: Console) -> None:
    """Say what the version will not do for want of what an earlier build left out."""
    if not (dataset.folder / OCCASIONS).is_file():
        console.print(
            "  This dataset does not say who answers whom, so the bot will not join unasked"
        )


def _planted(dataset: Dataset, settings: Hyperparameters) -> tuple[Dataset, tuple[Canary, ...]]:
    """Return a dataset with canaries in it, and those; unless they are wanted it has none."""
    if not settings.canaries:
        return dataset, ()
    planted, canaries = plant(dataset.train, settings.canary_count, settings.seed)
    return replace(dataset, train=planted), canaries


@dataclass(frozen=True, slots=True)
class _Encoder:
    """Pairs as the base's ids."""

    base: Base
    settings: Hyperparameters

    def __call__(self, pairs: Iterable[Pair]) -> list[Example]:
        limits = (self.settings.max_prompt_tokens, self.settings.max_reply_tokens)
        codec = self.base.codec
        return [encode(codec, pair.voice, pair.context, pair.target, limits) for pair in pairs]


def _with_run(card: Card, start: Start, outcome: Outcome, canaries: Iterable[Canary]) -> Card:
    """Return a card that says what it began with, how it went, and which secrets were planted."""
    run = {
        "began_with": start.name,
        "pace": start.pace,
        "held_out": [asdict(point) for point in outcome.curve],
        "kept_step": outcome.kept.step if outcome.kept else outcome.steps,
        "canaries": [asdict(canary) for canary in canaries],
    }
    return replace(card, provenance={**card.provenance, **run})


def _tune(
    base: Base,
    examples: Sequence[Example],
    held_out: Sequence[Example],
    settings: Hyperparameters,
    work: Path,
    precision: Precision,
    bar: Bar,
    *,
    resume: bool,
) -> Outcome:
    """Tune the weights, with a bar."""
    console = bar.console
    limit = f", for {settings.minutes:g} min" if settings.minutes else ""
    console.print(f"  Training on {len(examples):,} pairs{limit}", highlight=False)
    try:
        outcome = tune(
            base, examples, settings, work,
            precision=precision, held_out=held_out, resume=resume, watch=bar,
        )  # fmt: skip
    finally:
        bar.close()
    seen = f"{outcome.steps} steps, {outcome.pairs:,} pairs"
    if outcome.interrupted:
        raise TrainingError(
            f"stopped after {seen}; a checkpoint is kept: the same command with --resume goes on"
        )
    console.print(f"  Trained {seen}, {clock(outcome.seconds)}", highlight=False)
    if outcome.curve:
        console.print(curve(outcome.curve, outcome.kept), highlight=False)
    return outcome


def _add(
    registry: Registry, base: Base, card: Card, checked: Sequence[Example], dataset: Dataset
) -> str:
    """Write the artifact beside the registry's versions, then move it in.

    `weights/` is for training on from this version; the bot needs it not.
    """
    import torch

    from model.conversion import convert

    with tempfile.TemporaryDirectory(dir=registry.root, prefix=_NEW) as temporary:
        folder = make_folder(Path(temporary) / "artifact")
        drift = convert(base, folder / "engine", checked)
        base.codec.save(folder / "tokenizer.json")
        base.weights.to(torch.bfloat16).save_pretrained(folder / "weights")
        nats = {"exact": round(drift.exact, 6), "int8": round(drift.quantized, 4)}
        save_card(replace(card, scores={**card.scores, "drift_per_token": nats}), folder)
        save_lines(dataset, folder)
        save_propensity(dataset, folder)
        return registry.add(folder)


def _keep_records(registry: Registry, work: Path, name: str) -> None:
    """Keep TensorBoard's records under the version's name; checkpoints hold the chat: they go."""
    records = make_folder(registry.root / "tensorboard")
    make_private(work / "tensorboard")
    shutil.move(work / "tensorboard", records / name)
    shutil.rmtree(work)


def _slug(name: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in name)[-40:].strip("-")
