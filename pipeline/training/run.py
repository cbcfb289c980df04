"""Train a version: from a dataset to an artifact in the registry."""

import math
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from model.artifacts.artifact import Artifact, Card, Decoding, save_card
from model.artifacts.consent import read_facts
from model.artifacts.registry import NEW_PREFIX, Registry
from model.chat.permissions import permissions
from model.chat.prompt import format_line
from model.errors import DatasetError, TrainingError
from model.files import make_folder, make_private
from model.version import VERSION
from pipeline.dataset.language import find_languages
from pipeline.dataset.pairs import Pair, SessionLine, sample_evenly, select_half, session_lines
from pipeline.dataset.split import is_judge_session
from pipeline.dataset.storage import Dataset
from pipeline.terminal import Progress, TrainingProgress, clock, curve, describe, print_indented
from pipeline.training.bases import Base, open_base, open_tuned, warn_about_language
from pipeline.training.canaries import Canary, plant_canaries
from pipeline.training.checkpoints import find_checkpoint
from pipeline.training.encoding import Example, encode, encode_pairs, encode_sessions
from pipeline.training.hyperparameters import Hyperparameters
from pipeline.training.indexes import save_copy_index, save_voice_table
from pipeline.training.joining import save_propensity
from pipeline.training.kinds import check_length
from pipeline.training.losses import HeldOutLoss, HeldOutReplies
from pipeline.training.machine import reuse_freed_memory
from pipeline.training.plan import Pace, TrainingPlan, describe_time
from pipeline.training.processes import SINGLE_PROCESS, Processes
from pipeline.training.repeats import learn_lines_once, learn_pairs_once
from pipeline.training.speaker_loss import SpeakerLoss

if TYPE_CHECKING:
    import datasets

    from pipeline.training.device import Precision
    from pipeline.training.trainer import Outcome


_TEST_PAIRS_PER_VOICE, _MIN_TEST_PAIRS_PER_VOICE = 20, 4
_KINDS = {"pairs": "pairs", "sessions": "pieces of sessions"}
_MAX_DRAWS = 8  # of the lines that each example hides; later epochs repeat them
_MIN_NAME_PASSES = 1.0
"""Passes over the data of a run with a speaker loss. Shorter runs need their time for the data."""
_CHECKED_PAIRS = 10  # held-out pairs for the check of the conversion, over all voices
_UNTUNED_LOSS = "untuned.json"


@dataclass(frozen=True, slots=True)
class Trained:
    """A new version, whether it was promoted, and its loss on held-out replies."""

    name: str
    promoted: bool
    loss: HeldOutLoss


@dataclass(frozen=True, slots=True)
class Start:
    """The weights that training starts from: a base, or an earlier version.

    `only` holds the pairs to train on if the weights have already learned the dataset's other
    pairs. The learning rate is multiplied by `learning_rate_factor`.
    """

    base: str | Artifact
    only: tuple[Pair, ...] | None = None
    learning_rate_factor: float = 1.0

    @property
    def name(self) -> str:
        """Return the name of the base or version."""
        return self.base if isinstance(self.base, str) else self.base.path.name

    @property
    def description(self) -> str:
        """Return the weights' name for a reader who follows the training."""
        return "the untuned base" if isinstance(self.base, str) else self.name

    def open(self, cache: Path, texts: Iterable[str]) -> Base:
        """Load the weights; a base's vocabulary is extended for these texts."""
        if isinstance(self.base, str):
            return open_base(self.base, cache, texts)
        return open_tuned(self.base)


def train(
    dataset: Dataset,
    base: str,
    registry: Registry,
    settings: Hyperparameters,
    decoding: Decoding,
    progress: Progress,
    *,
    resume: bool = False,
    processes: Processes = SINGLE_PROCESS,
) -> Trained:
    """Train on a dataset; promote the new version only if there is no current one.

    A version with canaries is never promoted.

    Raises:
        DatasetError: It contains messages of a person who opted out.
        TrainingError: Another training run is using the same models folder, or see `make_version`.
    """
    people = [person for person in dataset.roster.people if person.learn == "yes"]
    facts = read_facts(registry.root, (chat.chat_id for chat in dataset.chats))
    found = permissions(people, facts)
    if names := [person.name for person, own in found if own.learn == "no"]:
        raise DatasetError(
            f"{dataset.folder} contains messages of {', '.join(names)}, who withdrew: set learn = "
            '"no" for them in its roster.toml and build it again'
        )
    with registry.locked() if processes.is_main else nullcontext():
        name, loss = make_version(
            dataset, Start(base), registry, settings, decoding, progress,
            resume=resume, processes=processes,
        )  # fmt: skip

        def promote_first() -> bool:
            if is_first := registry.current is None and not settings.canaries:
                registry.promote(name)
            return is_first

        return Trained(name, processes.broadcast_from_main(promote_first), loss)


def make_version(
    dataset: Dataset,
    start: Start,
    registry: Registry,
    settings: Hyperparameters,
    decoding: Decoding,
    progress: Progress,
    *,
    resume: bool = False,
    processes: Processes = SINGLE_PROCESS,
) -> tuple[str, HeldOutLoss]:
    """Train on a dataset; return the new version's name and its loss before and after.

    The caller has locked the registry. All processes must see the same dataset and models folders.

    Raises:
        TrainingError: Ctrl-C stopped it and left a checkpoint, LoRA was requested with a divided
        model, or `pipeline.training.trainer.train` failed.
    """
    from pipeline.training.convert import check_conversion
    from pipeline.training.device import choose_precision
    from pipeline.training.trainer import PRECISION

    if settings.lora and processes.shards:
        raise TrainingError("--set shard=true cannot be combined with --lora: omit one of them")
    processes.wait()  # until the main process has locked the registry
    reuse_freed_memory()
    console, began = progress.console, time.monotonic()
    _print_warnings(dataset, start, console)
    with progress.step(f"Loading {start.name}"), processes.main_process_first():
        run = _prepare(dataset, start, registry, settings, processes)
        if processes.is_main and isinstance(start.base, str) and not resume:
            check_conversion(run.base, run.encode_checked(), registry.root)
    run = _divide_model(run, registry, console)
    precision = processes.broadcast_from_main(
        lambda: choose_precision(settings.precision, run.work / PRECISION if resume else None)
    )
    progress.detail(f"Precision: {precision.reason}")
    if processes.is_main:
        if not resume:
            shutil.rmtree(run.work, ignore_errors=True)
        make_folder(run.work)
    tested = sample_evenly(run.dataset.test, _count_tested(settings.minutes), settings.seed)
    replies, loaded = HeldOutReplies(tested, run.encode(tested)), time.monotonic()

    def measure(title: str) -> dict[str, float]:
        with progress.step(title) as show:
            return replies.measure(
                run.base, bf16=precision.bf16, on_share=show, processes=processes
            )

    before = processes.broadcast_from_main(
        lambda: replies.load(run.work / _UNTUNED_LOSS) if resume else None
    )
    if before is None:
        before = measure(f"Testing {start.description}")
        if processes.is_main:
            replies.save(before, run.work / _UNTUNED_LOSS)
        now = time.monotonic()
        pace = Pace(loaded - began, now - loaded, sum(one.length for one in replies.examples))
        seconds = pace.expect(
            run.settings, list(run.rows["length"]), run.draws, progress.evaluation_tokens
        )
        print_indented(describe_time(now - began + seconds, settings.minutes), console)
    outcome = _run_trainer(run, precision, progress, resume=resume)
    with _explain_interrupt():
        loss = replies.compare(before, measure("Testing the trained model"))
        run = _gather_model(run, registry)

        def add() -> str:
            with progress.step("Converting for the bot") as show:
                return _add_version(run, registry, _make_card(run, decoding, outcome, loss), show)

        name = processes.broadcast_from_main(add)
    if processes.is_main:
        _clean_up(run.work, make_folder(registry.root / "tensorboard") / name)
    return name, loss


def work_folder(dataset: Dataset, start: Start, registry: Registry) -> Path:
    """Return the folder for the checkpoints of a training run."""
    slug = "".join(c if c.isalnum() else "-" for c in start.name)[-40:].strip("-")
    return registry.root / "training" / f"{dataset.content_hash[:8]}-{slug}"


def checkpoint_of(dataset: Dataset, start: Start, registry: Registry) -> Path | None:
    """Return the last checkpoint of an interrupted run; None if there is none."""
    return find_checkpoint(work_folder(dataset, start, registry))


def choose_resume(
    dataset: Dataset,
    start: Start,
    registry: Registry,
    ask: Callable[[str], bool],
    *,
    resume: bool,
    restart: bool,
) -> bool:
    """Return whether to continue an interrupted run; ask without --resume or --restart.

    Raises:
        TrainingError: It left a checkpoint, and there is no terminal to ask what to do with it; or
            there is none, with --resume.
    """
    checkpoint = checkpoint_of(dataset, start, registry)
    if resume and checkpoint is None:
        raise TrainingError("there is no checkpoint to resume from: train without --resume")
    if restart or resume or checkpoint is None:
        return resume
    if ask(f"An interrupted training run left {checkpoint}. Resume it?"):
        return True
    raise TrainingError(
        f"an interrupted training run left {checkpoint}: use --resume to continue from it, or "
        "--restart to discard it and start again"
    )


def find_commit() -> str | None:
    """Return the commit of this code, None outside a checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603  a fixed command
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


@dataclass(frozen=True, slots=True)
class _TrainingRun:
    """A training run that is ready to start.

    `requested` holds the settings as they were given, `settings` with the choices that depend on
    the base. `rows` has `draws` versions of each example, each hiding different lines.
    """

    dataset: Dataset
    start: Start
    base: Base
    requested: Hyperparameters
    settings: Hyperparameters
    learned: Sequence[Pair]
    rows: "datasets.Dataset"
    draws: int
    canaries: tuple[Canary, ...]
    work: Path
    processes: Processes

    @property
    def example_name(self) -> str:
        """Return what examples are called."""
        return _KINDS[self.settings.example_type]

    def encode(self, pairs: Iterable[Pair]) -> list[Example]:
        """Encode pairs for the base, without hidden lines."""
        limits = (self.settings.max_prompt_tokens, self.settings.max_reply_tokens)
        return [encode(self.base.codec, p.voice, p.context, p.target, limits) for p in pairs]

    def encode_sample(self, pairs: Iterable[Pair], limit: int) -> list[Example]:
        """Encode at most about `limit` of these pairs, equally many for each voice."""
        per_voice = max(1, limit // max(1, len(self.dataset.roster.voices)))
        return self.encode(sample_evenly(pairs, per_voice, self.settings.seed))

    def encode_checked(self) -> list[Example]:
        """Encode the held-out pairs on which a conversion is checked."""
        return self.encode_sample(self.dataset.validation or self.dataset.test, _CHECKED_PAIRS)


def _print_warnings(dataset: Dataset, start: Start, console: Console) -> None:
    """Print what the version will lack because of its base."""
    if isinstance(start.base, str):
        own = (text for pair in dataset.train for text in pair.target)
        if warning := warn_about_language(start.base, find_languages(own)):
            print_indented(warning, console, "yellow")


def _prepare(
    dataset: Dataset,
    start: Start,
    registry: Registry,
    requested: Hyperparameters,
    processes: Processes,
) -> _TrainingRun:
    """Load the weights and encode what to train on."""
    work = work_folder(dataset, start, registry)
    dataset, canaries = _choose_training_pairs(dataset, requested)
    base = start.open(registry.root / "bases", dataset.texts())
    settings = requested.resolve(base.family, base.name)
    draws = min(_MAX_DRAWS, math.ceil(settings.epochs)) if settings.speaker_dropout else 1
    learned = learn_pairs_once(dataset.train if start.only is None else start.only)
    rows = _encode_examples(dataset, start, settings, base, learned, canaries, draws)
    return _TrainingRun(
        dataset=dataset,
        start=start,
        base=base,
        requested=requested,
        settings=settings,
        learned=learned,
        rows=rows,
        draws=draws,
        canaries=canaries,
        work=work,
        processes=processes,
    )


def _divide_model(run: _TrainingRun, registry: Registry, console: Console) -> _TrainingRun:
    """Return the run with a part of the model in each process, if they share it."""
    if not run.processes.shards:
        return run
    from pipeline.training import sharding

    with _shared_folder(registry, run.processes) as folder:
        weights = sharding.shard(run.base.weights, run.processes, folder)
    count, share = run.processes.count, sharding.held_share(weights)
    print_indented(f"Each of {count} processes has {share:.0%} of the weights", console)
    return replace(run, base=replace(run.base, weights=weights))


def _gather_model(run: _TrainingRun, registry: Registry) -> _TrainingRun:
    """Return the run with the whole model in the main process."""
    if not run.processes.shards:
        return run
    from pipeline.training import sharding

    with _shared_folder(registry, run.processes) as folder:
        weights = sharding.gather(run.base.weights, run.processes, folder)
    return replace(run, base=replace(run.base, weights=weights))


@contextmanager
def _shared_folder(registry: Registry, processes: Processes) -> Iterator[Path]:
    """Yield a private folder that all processes see; the main one removes it at the end."""
    make = partial(tempfile.mkdtemp, dir=registry.root, prefix=NEW_PREFIX)
    folder = Path(processes.broadcast_from_main(make))
    try:
        yield folder
        processes.wait()
    finally:
        if processes.is_main:
            shutil.rmtree(folder)


def _count_tested(minutes: float) -> int:
    """Return the held-out replies per voice on which a run of these minutes is tested.

    After a short run the difference is large, and a slow machine needs minutes for them.
    """
    if not minutes:
        return _TEST_PAIRS_PER_VOICE
    return min(_TEST_PAIRS_PER_VOICE, max(_MIN_TEST_PAIRS_PER_VOICE, round(2 * minutes)))


def _run_trainer(
    run: _TrainingRun, precision: "Precision", progress: Progress, *, resume: bool
) -> "Outcome":
    """Train, with a progress bar.

    Raises:
        TrainingError: Ctrl-C stopped it and left a checkpoint.
    """
    from pipeline.training import trainer

    settings, draws = run.settings, run.draws
    paced = replace(
        settings,
        batch_size=run.requested.batch_size,
        epochs=settings.epochs / draws,
        learning_rate=settings.learning_rate * run.start.learning_rate_factor,
    )
    names = SpeakerLoss(
        run.base, run.learned, settings, _MIN_NAME_PASSES / draws, shards=run.processes.shards
    )
    progress.detail(f"Training on {len(run.rows) // draws:,} {run.example_name}")
    with progress.step("Training") as show:

        def on_progress(state: TrainingProgress) -> None:
            progress.share(state.share)
            show(state.share, describe(state) if progress.verbose else "")

        outcome = trainer.train(
            run.base, run.rows, paced, run.work, precision=precision,
            held_out=run.encode_sample(run.dataset.validation, settings.validation_pairs),
            speaker_loss=names if names.is_used else None, resume=resume, on_progress=on_progress,
            on_interrupt=partial(_print_stopping, progress.console),
            on_plan=partial(_print_plan, progress, run.example_name, draws),
            processes=run.processes,
        )  # fmt: skip
    done = f"{outcome.steps} steps, {outcome.examples:,} {run.example_name}"
    if outcome.interrupted:
        raise TrainingError(
            f"stopped after {done} with a checkpoint: repeat the command to continue"
        )
    progress.detail(f"Trained {done}, {clock(outcome.seconds)}")
    if outcome.curve:
        progress.detail(curve(outcome.curve, outcome.kept))
    return outcome


def _clean_up(work: Path, records: Path) -> None:
    """Keep TensorBoard's records of a run, and delete its checkpoints, which contain the chat."""
    make_private(work / "tensorboard")
    shutil.move(work / "tensorboard", records)
    shutil.rmtree(work)


@contextmanager
def _explain_interrupt() -> Iterator[None]:
    """Raise a TrainingError for Ctrl-C after training: its last checkpoint is kept."""
    try:
        yield
    except KeyboardInterrupt:
        raise TrainingError(
            "stopped after training, with a checkpoint: repeat the command to continue"
        ) from None


def _choose_training_pairs(
    dataset: Dataset, settings: Hyperparameters
) -> tuple[Dataset, tuple[Canary, ...]]:
    """Return the dataset without the judge's sessions and with canaries, and these canaries."""
    if settings.reserve_judge_sessions:
        dataset = replace(dataset, train=select_half(dataset.train, for_judge=False))
    if not settings.canaries:
        return dataset, ()
    pairs, canaries = plant_canaries(dataset.train, settings.canary_count, settings.seed)
    return replace(dataset, train=pairs), canaries


def _encode_examples(
    dataset: Dataset,
    start: Start,
    settings: Hyperparameters,
    base: Base,
    learned: Iterable[Pair],
    canaries: Iterable[Canary],
    draws: int,
) -> "datasets.Dataset":
    """Return what to train on, `draws` times, each time hiding different lines."""
    limits = (settings.max_prompt_tokens, settings.max_reply_tokens)
    check_length(start.name, base.weights.config, sum(limits))
    if settings.example_type == "sessions":
        return encode_sessions(
            learn_lines_once(_training_sessions(dataset, start, settings, canaries)),
            base.codec, sum(limits),
            window=dataset.window, speaker_dropout=settings.speaker_dropout, draws=draws,
            seed=settings.seed,
        )  # fmt: skip
    return encode_pairs(
        learned, base.codec, base.family, limits,
        speaker_dropout=settings.speaker_dropout, draws=draws, seed=settings.seed,
    )  # fmt: skip


def _training_sessions(
    dataset: Dataset, start: Start, settings: Hyperparameters, canaries: Iterable[Canary]
) -> list[list[SessionLine]]:
    """Return the sessions to train on; each pair with a canary is a separate session."""
    [chat] = dataset.chats
    sessions = [
        list(session_lines(session))
        for session in dataset.sessions("train")
        if not (settings.reserve_judge_sessions and is_judge_session(chat.chat_id, session.number))
    ]
    if start.only is not None:
        ids = {number for pair in start.only for number in pair.message_ids}
        numbers = {pair.session for pair in start.only}
        sessions = [
            [replace(line, is_target=line.is_target and line.message_id in ids) for line in session]
            for session in sessions
            if session[0].session in numbers
        ]
    texts = {canary.text for canary in canaries}
    for pair in dataset.train:
        if texts.intersection(pair.target):
            context = [
                SessionLine(0, -1, 0, line, is_target=False, pauses=False) for line in pair.context
            ]
            lines = [format_line(pair.voice, text) for text in pair.target]
            target = [SessionLine(0, -1, 0, line, is_target=True, pauses=True) for line in lines]
            sessions.append([*context, *target])
    return sessions


def _print_stopping(console: Console) -> None:
    print_indented("Stopping after this step, with a checkpoint; please wait", console)


def _print_plan(progress: Progress, kind: str, draws: int, plan: TrainingPlan) -> None:
    """Print a plan; a pass over the rows is a pass over every draw."""
    progress.detail(replace(plan, passes=plan.passes * draws).describe(kind))


def _make_card(
    run: _TrainingRun, decoding: Decoding, outcome: "Outcome", loss: HeldOutLoss
) -> Card:
    dataset, settings, start = run.dataset, run.settings, run.start
    return Card(
        base=run.base.name,
        family=run.base.family,
        roster=dataset.roster,
        chats=dataset.chats,
        window=dataset.window,
        max_prompt_tokens=settings.max_prompt_tokens,
        decoding=decoding,
        public=dataset.public,
        scores={"nats_per_character": asdict(loss)},
        provenance={
            "understudy": VERSION,
            "commit": find_commit(),
            "trained_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "dataset": {"folder": str(dataset.folder.resolve()), "sha256": dataset.content_hash},
            "voices": {voice.name: voice.messages for voice in dataset.summary.voices},
            "hyperparameters": asdict(
                replace(settings, batch_size=outcome.batch_size, speaker_loss=outcome.speaker_loss)
            ),
            "steps": outcome.steps,
            "passes": _count_passes(run, outcome),
            "seconds": round(outcome.seconds, 1),
            "training_loss": round(outcome.loss, 4),
            "began_with": start.name,
            "learning_rate_factor": start.learning_rate_factor,
            "held_out": [asdict(point) for point in outcome.curve],
            "kept_step": outcome.kept.step if outcome.kept else outcome.steps,
            "canaries": [asdict(canary) for canary in run.canaries],
            "requested": asdict(run.requested),  # what `retrain` inherits
        },
    )


def _count_passes(run: _TrainingRun, outcome: "Outcome") -> float | None:
    """Return how often the kept weights learned the data; None if the first weights do not say."""
    passes = outcome.examples * run.draws / len(run.rows)
    if outcome.kept:
        passes *= outcome.kept.step / outcome.steps
    if isinstance(run.start.base, Artifact):
        earlier = run.start.base.card.provenance.get("passes")
        return None if earlier is None else round(earlier + passes, 3)
    return round(passes, 3)


def _add_version(
    run: _TrainingRun, registry: Registry, card: Card, on_share: Callable[[float], None]
) -> str:
    """Write the artifact next to the registry's versions, then move it in; return its name.

    `weights/` is for training that continues from this version; the bot does not need it.
    """
    import torch

    from pipeline.training.convert import convert

    base, dataset = run.base, run.dataset
    with tempfile.TemporaryDirectory(dir=registry.root, prefix=NEW_PREFIX) as temporary:
        folder = make_folder(Path(temporary) / "artifact")
        drift = convert(base, folder / "engine", run.encode_checked(), on_share)
        base.codec.save(folder / "tokenizer.json")
        base.weights.to(torch.bfloat16).save_pretrained(folder / "weights")
        nats = {"exact": round(drift.exact, 6), "int8": round(drift.quantized, 4)}
        save_card(replace(card, scores={**card.scores, "drift_per_token": nats}), folder)
        save_copy_index(dataset, folder)
        save_voice_table(dataset, folder)
        save_propensity(dataset, folder)
        return registry.add(folder)
