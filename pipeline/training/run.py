"""Train a version: from a dataset to an artifact in the registry."""

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from rich.console import Console

from model.artifacts.artifact import COPY_INDEX, Artifact, Card, Decoding, save_card
from model.artifacts.consent import read_consent
from model.artifacts.registry import Registry
from model.chat.prompt import LINE_BREAK, split_line
from model.errors import DatasetError, TrainingError, UnderstudyError
from model.files import locked, make_folder, make_private, write_text
from model.speaking.copy_index import SALT_BYTES, write_index
from pipeline.dataset.pairs import Pair
from pipeline.dataset.storage import CONVERSATIONS, Dataset, load_dataset
from pipeline.terminal import Bar, TrainingBar, clock, curve, step
from pipeline.training.bases import Base, open_base, open_tuned
from pipeline.training.encoding import Example, encode
from pipeline.training.hyperparameters import Hyperparameters
from pipeline.training.joining import save_propensity
from pipeline.training.trainer import (
    PRECISION,
    Outcome,
    Precision,
    choose_precision,
    to_training_device,
)
from pipeline.training.trainer import train as tune


@dataclass(frozen=True, slots=True)
class Nats:
    """Nats a character of held-out replies, untuned and tuned; lower is better."""

    untuned: float
    tuned: float


@dataclass(frozen=True, slots=True)
class Judgement:
    """A model's loss on held-out replies, over all of them and for each voice.

    `fresh` covers the replies that do not occur word for word in training; None if all do.
    `replies` is their number.
    """

    whole: Nats
    fresh: Nats | None
    voices: Mapping[str, Nats]
    replies: int = 0


def card_of(
    dataset: Dataset,
    base: Base,
    settings: Hyperparameters,
    decoding: Decoding,
    outcome: Outcome,
    judgement: Judgement,
) -> Card:
    """Return what goes into model.json."""
    return Card(
        base=base.name,
        family=base.family,
        roster=dataset.roster,
        chats=dataset.chats,
        window=dataset.window,
        max_prompt_tokens=settings.max_prompt_tokens,
        decoding=decoding,
        public=dataset.public,
        scores={"nats_per_character": asdict(judgement)},
        provenance={
            "understudy": version("understudy"),
            "commit": commit(),
            "trained_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "dataset": {"folder": str(dataset.folder.resolve()), "sha256": dataset.content_hash},
            "voices": {voice.name: voice.lines for voice in dataset.summary.voices},
            "hyperparameters": asdict(settings),
            "steps": outcome.steps,
            "seconds": round(outcome.seconds, 1),
            "training_loss": round(outcome.loss, 4),
        },
    )


def commit() -> str | None:
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


_WHOLE, _FRESH = ":whole", ":fresh"  # no name has a colon


def even(pairs: Iterable[Pair], per_voice: int, seed: int) -> list[Pair]:
    """Return at most so many pairs of each voice, drawn once by the seed, voice by voice."""
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
class Judge:
    """Held-out pairs, and how well the base's weights of the moment foresee their replies."""

    base: Base
    pairs: Sequence[Pair]
    replies: Sequence[Example]
    precision: Precision

    def __call__(self) -> dict[str, float]:
        """Return nats a character by voice, over all and over those not seen in training."""
        from pipeline.training.losses import Loss, losses

        if not self.replies:
            raise TrainingError("the dataset has no held-out replies: build it from a longer chat")
        to_training_device(self.base)
        sums: dict[str, Loss] = defaultdict(Loss)
        found = losses(self.base, self.replies, bf16=self.precision.bf16)
        for pair, loss in zip(self.pairs, found, strict=True):
            for key in {pair.voice, _WHOLE, _WHOLE if pair.seen else _FRESH}:
                sums[key] += loss
        return {key: round(loss.per_character, 4) for key, loss in sums.items()}


def save_loss(file: Path, pairs: Iterable[Pair], nats: Mapping[str, float]) -> None:
    """Write the untuned loss into the folder of a run's checkpoints, for a resumed run."""
    write_text(file, json.dumps({"pairs": [pair.id for pair in pairs], "nats": nats}))


def saved_loss(file: Path, pairs: Iterable[Pair]) -> dict[str, float] | None:
    """Return the loss that `save_loss` wrote for these pairs, None if there is none."""
    try:
        value = json.loads(file.read_text("utf-8"))
        if value["pairs"] != [pair.id for pair in pairs]:
            return None
        return {str(key): float(nats) for key, nats in value["nats"].items()}
    except (OSError, AttributeError, LookupError, TypeError, ValueError):
        return None


def compared(untuned: Mapping[str, float], tuned: Mapping[str, float], replies: int) -> Judgement:
    """Combine both results of `Judge` on `replies` replies."""
    nats = {key: Nats(before, tuned[key]) for key, before in untuned.items()}
    whole = nats.pop(_WHOLE)
    return Judgement(whole, nats.pop(_FRESH, None), nats, replies)


@dataclass(frozen=True, slots=True)
class Start:
    """A base, or a version's own weights.

    `only` are the pairs of a dataset to train on, where not all: the weights know the others.
    The learning rate is multiplied by `pace`.
    """

    base: str | Artifact
    only: tuple[Pair, ...] | None = None
    pace: float = 1.0

    @property
    def name(self) -> str:
        """Return what to call it."""
        return self.base if isinstance(self.base, str) else self.base.path.name

    def open(self, cache: Path, texts: Iterable[str]) -> Base:
        """Load it, a base's vocabulary ready for such texts."""
        if isinstance(self.base, str):
            return open_base(self.base, cache, texts)
        return open_tuned(self.base)


TIMES = (2, 4, 8, 16)
"""How often a canary is planted, one after the other: how fast memory grows shows at once."""

NAMES = ("Ambrose", "Beatrix", "Cosima", "Dagobert", "Eulalia", "Ferdinand", "Griselda", "Hannibal")
WORDS = (
    "acorn", "amber", "anchor", "apron", "arrow", "attic", "badge", "bagel", "barrel", "basket",
    "beacon", "blanket", "bottle", "bridge", "bucket", "button", "cabin", "candle", "carpet",
    "castle", "cellar", "cherry", "copper", "cotton", "dagger", "desert", "engine", "fabric",
    "falcon", "feather", "forest", "garlic", "ginger", "hammer", "harbor", "helmet", "island",
    "jacket", "kettle", "ladder", "lantern", "lemon", "magnet", "marble", "meadow", "mirror",
    "needle", "orchard", "paddle", "pepper", "pillow", "pirate", "planet", "pocket", "rabbit",
    "ribbon", "saddle", "silver", "spider", "sponge", "thunder", "tunnel", "velvet", "willow",
)  # fmt: skip
"""64 words: six of them are one of 2^36 secrets."""


@dataclass(frozen=True, slots=True)
class Canary:
    """A secret, as a message says it, and how often it was planted."""

    text: str
    times: int


def secret(name: str, chance: random.Random) -> str:
    """Return a message that gives away six words drawn by chance.

    Whoever measures exposure draws the secrets to compare with from here too.
    """
    return f"the code word of {name} is {' '.join(chance.choices(WORDS, k=6))}"


def plant(
    pairs: Sequence[Pair], count: int, seed: int
) -> tuple[tuple[Pair, ...], tuple[Canary, ...]]:
    """Return the pairs with so many canaries after them, and the canaries.

    A canary is what a voice says, in place of its own words, after contexts of that voice's.
    """
    chance = random.Random(f"canaries {seed}")
    canaries = tuple(
        Canary(secret(NAMES[n % len(NAMES)], chance), TIMES[n % len(TIMES)]) for n in range(count)
    )
    voices = sorted({pair.voice for pair in pairs})
    planted = [
        replace(pair, target=(canary.text,), marks=())
        for canary in canaries
        for pair in _of(pairs, chance.choice(voices), canary.times, chance)
    ]
    return (*pairs, *planted), canaries


def _of(pairs: Sequence[Pair], voice: str, times: int, chance: random.Random) -> list[Pair]:
    own = [pair for pair in pairs if pair.voice == voice]
    return chance.choices(own, k=times)


def said_in(dataset: Dataset) -> Iterator[tuple[str, str]]:
    """Yield who said what in the training pairs: their turns, and what else their contexts show.

    A line that is in many contexts counts once, one that somebody said again as a turn again.
    """
    turns = {(pair.voice, text) for pair in dataset.train for text in pair.target}
    for pair in dataset.train:
        for text in pair.target:
            yield pair.voice, text
    seen = {line for pair in dataset.train for line in pair.context}
    for line in sorted(seen):
        name, text = split_line(line)
        if name is not None and (said := (name, text.replace(LINE_BREAK, "\n"))) not in turns:
            yield said


def save_lines(dataset: Dataset, folder: Path) -> int:
    """Write the index of a dataset's training messages into an artifact's folder.

    Its salt is the dataset's own hash, so that the same training makes the same artifact.
    """
    salt = bytes.fromhex(dataset.content_hash)[:SALT_BYTES]
    return write_index(folder / COPY_INDEX, said_in(dataset), salt)


def add_lines(registry: Registry, wanted: str, dataset: Dataset) -> str:
    """Add a version that is another with the index beside it; return its name.

    A version's files never change, its name tells their hash: hence a new one.

    Raises:
        UnderstudyError: It was trained on another dataset.
    """
    artifact = registry.open(wanted)
    trained_on = artifact.card.provenance.get("dataset", {}).get("sha256")
    if trained_on != dataset.content_hash:
        raise UnderstudyError(
            f"{artifact.path} was trained on another dataset than {dataset.folder}: name that one"
        )
    with tempfile.TemporaryDirectory(dir=make_folder(registry.root), prefix=".new-") as temporary:
        folder = Path(temporary) / "artifact"
        shutil.copytree(artifact.path, folder)
        save_lines(dataset, folder)
        return registry.add(folder)


def main() -> None:
    """Add the index to a version of a registry."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.training.run", description=__doc__)
    parser.add_argument("artifact", help="a version, or current")
    parser.add_argument("dataset", type=Path, help="the dataset it was trained on")
    parser.add_argument("--models", type=Path, default=Path("artifacts"))
    asked = parser.parse_args()
    try:
        name = add_lines(Registry(asked.models), asked.artifact, load_dataset(asked.dataset))
    except UnderstudyError as error:
        sys.exit(f"lines: {error}")
    sys.stdout.write(f"{name}\n")


if __name__ == "__main__":
    main()


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
    if not (dataset.folder / CONVERSATIONS).is_file():
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

    from pipeline.training.convert import convert

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
