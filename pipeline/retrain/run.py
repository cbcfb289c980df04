"""Run the steps of `understudy retrain` in order."""

import hashlib
import json
import platform
import shlex
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from model.artifacts.artifact import SCORECARD, Artifact, Decoding
from model.artifacts.registry import Registry
from model.chat.conversation import Window
from model.chat.names import make_printable_name
from model.errors import ArtifactError, ExportError, TrainingError, UnderstudyError
from model.files import locked, write_text
from pipeline.dataset.build import build_chat
from pipeline.dataset.inspection import inspect_chat
from pipeline.dataset.pairs import BuildOptions, PairBuilder
from pipeline.dataset.review import Review
from pipeline.dataset.roster_file import MIN_MESSAGES, ROSTER_FILE
from pipeline.dataset.storage import Dataset, load_dataset
from pipeline.export.merging import count_messages
from pipeline.retrain import gate
from pipeline.retrain.gate import Verdict
from pipeline.retrain.holdout import shares, with_replay
from pipeline.retrain.intake import (
    Current,
    Intake,
    Sources,
    check_live_bot,
    current_of,
    sources_of,
    take_in,
    too_little,
)
from pipeline.retrain.merge import merged
from pipeline.retrain.request import Dependencies, RetrainRequest, RetrainResult
from pipeline.terminal import print_paragraph
from pipeline.training.bases import DEFAULT
from pipeline.training.hyperparameters import Hyperparameters
from pipeline.training.run import Start, checkpoint_of, find_commit, may_resume
from pipeline.training.verdict import verdict as in_words
from pipeline.versions import receipt
from pipeline.versions.erasure import BUILDING, clear, tidy
from pipeline.versions.lineage import DATASETS, to_unlearn


@dataclass(frozen=True, slots=True)
class Facts:
    """Of what a version was made: `files`, people and counts, read while the chat was open."""

    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Run:
    """How it was trained and judged; `replayed` counts old pairs beside the new, if it is any."""

    base: str
    start: Start
    replayed: int | None
    settings: Hyperparameters
    verdict: Verdict
    compared_with: str | None
    forced: str | None
    seconds: dict[str, float]


def facts_of(intake: Intake, dataset: Dataset) -> Facts:
    """Return what is known while the chat is still open; no words of it."""
    whole, summary = intake.whole, dataset.summary
    now = datetime.now(UTC).timestamp()  # after a message of the future nothing would be new
    newest = max((one.at for one in whole.entries() if one.is_message and one.at <= now), default=0)
    held_out = next(split for split in summary.splits if split.name == "test").first
    values = {
        "chat": {"id": whole.chat.chat_id, "title": whole.chat.name},
        "files": list(_files(intake)),
        "earlier_exports": sorted(set(whole.head.exports) - {one.sha256 for one in whole.given}),
        "messages": intake.total,
        "new": intake.new,
        "deleted": intake.deleted,
        "deleted_before": whole.ledger.deleted,
        "through": datetime.fromtimestamp(newest, UTC).isoformat(),
        "held_out_since": held_out.isoformat(),
        "min_messages": summary.min_messages,
        "people": list(_people(intake, dataset)),
        "excluded": [
            {"name": one.name, "since": one.since.isoformat() if one.since else None}
            for one in whole.ledger.withdrawn
        ],
        "newcomers": [person.name for person in intake.people.newcomers],
        "forgotten": len(whole.ledger.forgotten_words),
        "forgotten_ids": len(whole.ledger.forgotten),
        "unplaced": whole.unplaced,
        "redacted": dict(summary.redacted),
        "dataset": summary.content_hash,
    }
    return Facts(values)


def receipt_of(facts: Facts, run: Run) -> dict[str, Any]:
    """Return a receipt, as `receipt.write` takes it."""
    return {
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.node()} ({platform.system()} {platform.machine()})",
        "understudy": version("understudy"),
        "commit": find_commit(),
        **facts.values,
        "base": run.base,
        "began_with": run.start.name,
        "pace": run.start.pace,
        "replayed": run.replayed,
        "hyperparameters": asdict(run.settings),
        "scores": [asdict(one) for one in run.verdict.figures],
        "voices": [
            {"name": one.figure, "new": one.new, "current": one.current, "chance": one.chance}
            for one in run.verdict.voices
        ],
        "compared_with": run.compared_with,
        "reasons": list(run.verdict.reasons),
        "forced": run.forced,
        "seconds": run.seconds,
    }


def _files(intake: Intake) -> Iterator[dict[str, Any]]:
    for one in intake.whole.given:
        yield {
            "kind": "export" if one.written_at is None else "dump",
            "name": one.file.name,
            "sha256": one.sha256,
            "messages": one.messages,
            "first": one.first.isoformat() if one.first else None,
            "last": one.last.isoformat() if one.last else None,
        }


def _people(intake: Intake, dataset: Dataset) -> Iterator[dict[str, Any]]:
    """Yield those who were learned from, as voices or in contexts."""
    whole = intake.whole
    counts = count_messages(whole.spool.authors(whole.chat.chat_id))
    voices = {voice.name: voice for voice in dataset.summary.voices}
    for person in intake.people.roster.people:
        messages = sum(counts[number] for number in person.ids)
        if person.learn == "no" or not messages:
            continue
        voice = voices.get(person.name)
        pairs = voice.train + voice.validation + voice.test if voice else 0
        yield {
            "name": person.name,
            "ids": list(person.ids),
            "messages": messages,
            "pairs": pairs,
        }


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


def plan_of(
    request: RetrainRequest, dependencies: Dependencies, current: Current, intake: Intake
) -> Plan:
    """Build the dataset and decide how to train on it.

    What tests is newer than all that the current version was trained on.

    Raises:
        TrainingError: The hyperparameters, or the base, cannot be used.
        DatasetError: Too little is said.
    """
    card = current.artifact.card if current.artifact else None
    known = card.provenance.get("hyperparameters", {}) if card else {}
    settings = _settings(known, request.hyperparameters)
    start = _start(request, dependencies, current, intake)
    dataset = _build(request, dependencies, current, intake)
    facts = facts_of(intake, dataset)
    replayed = None
    if current.seen and isinstance(start.base, Artifact):
        since = current.seen.held_out_since
        known = start.base.card.learned
        train, replayed = with_replay(dataset.train, since, known, request.replay, settings.seed)
        start = replace(start, only=train)
    if current.seen:
        since = current.seen.through
        if intake.new < request.min_new_messages:
            since = current.seen.held_out_since
        if fresh := tuple(pair for pair in dataset.test if pair.sent_at > since):
            dataset = replace(dataset, test=fresh)
    return Plan(dataset, facts, start, settings, replayed)


def _settings(known: Mapping[str, Any], given: Mapping[str, Any]) -> Hyperparameters:
    """Return the current version's hyperparameters, with those that were given in their place."""
    names = {field.name for field in fields(Hyperparameters)}
    kept = {key: value for key, value in known.items() if key in names}
    return Hyperparameters(**{**kept, "canaries": False, **given})


def _start(
    request: RetrainRequest, dependencies: Dependencies, current: Current, intake: Intake
) -> Start:
    """Return what training begins with: never weights that know what must be unlearned."""
    if current.artifact is None:
        return Start(request.base or DEFAULT)
    base, name = current.artifact.card.base, current.artifact.path.name
    is_other = request.base not in {None, base}
    if is_other and request.start_from == "current":
        raise TrainingError(
            f"--from current goes on with {base}, and --base says {request.base}: leave one out"
        )
    if is_other or request.start_from == "base":
        return Start(request.base or base)
    why = to_unlearn(Registry(request.root), name, intake.whole.ledger)
    if why is None and request.start_from is None and not current.artifact.weights.is_dir():
        why = "came without weights to train on from"
    if why:
        dependencies.watch.console.print(f"  {name} {why}: training begins with the base")
        return Start(base)
    return Start(
        current.artifact, pace=1.0 if "learning_rate" in request.hyperparameters else _GENTLY
    )


def _build(
    request: RetrainRequest, dependencies: Dependencies, current: Current, intake: Intake
) -> Dataset:
    """Build the dataset, named by what it holds."""
    whole, roster = intake.whole, intake.people.roster
    card = current.artifact.card if current.artifact else None
    held = shares(intake.total, intake.new, intake.untrained, request.min_new_messages)
    choices = BuildOptions(
        window=card.window if card else Window(),
        min_messages=request.min_messages,
        public=bool(card and card.public),
    )
    if current.seen:
        choices = replace(choices, test_share=held.test, validation_share=held.validation)
    place = request.root / DATASETS / BUILDING
    pairing = PairBuilder(whole.spool, whole.chat, roster, choices)
    authors = whole.spool.authors(whole.chat.chat_id, own_words=True)
    review = Review(intake.struck, is_wanted=False)
    summary = build_chat(pairing, authors, place, review, whole.head.exports, lambda _: None)
    file = intake.roster_file
    hint = f"{file}, then understudy models roster current {file}"
    dependencies.print_summary(summary, dependencies.watch.console, hint)
    about = summary.content_hash + (place / ROSTER_FILE).read_text("utf-8")
    named = place.with_name(hashlib.sha256(about.encode()).hexdigest()[:_NAME])
    if named.exists():
        shutil.rmtree(named)
    place.rename(named)
    return load_dataset(named)


_SEED = 0  # of the scorecards


def retrain(request: RetrainRequest, dependencies: Dependencies) -> RetrainResult:
    """Retrain, and promote what passes the gate.

    Raises:
        UnderstudyError: Something is to be mended first; the current version goes on serving.
    """
    with locked(request.root / "retrain.lock", wait=False) as is_alone:
        if not is_alone:
            raise TrainingError(f"another retraining goes on in {request.root}: wait for its end")
        try:
            return _retrain(request, dependencies)
        finally:
            dependencies.watch.stop()


def _retrain(request: RetrainRequest, dependencies: Dependencies) -> RetrainResult:
    registry, sources = Registry(request.root), sources_of(request.files)
    current, started = current_of(registry), time.time()
    check_live_bot(sources, current, request)
    if current.problem:
        dependencies.watch.console.print(
            f"  {current.problem}\n  The new version is made as the options say, and judged alone",
            markup=False,
            highlight=False,
        )
    least = current.seen.min_messages if current.seen else MIN_MESSAGES
    request = replace(request, min_messages=request.min_messages or least)
    clear(registry)
    try:
        plan = _planned(request, dependencies, registry, current, sources)
    except ExportError:
        _heed(request, dependencies, current, sources)
        raise
    if isinstance(plan, RetrainResult):
        return plan
    return _make(request, dependencies, registry, current, plan, started)


def _planned(
    request: RetrainRequest,
    dependencies: Dependencies,
    registry: Registry,
    current: Current,
    sources: Sources,
) -> Plan | RetrainResult:
    """Merge and keep what is given; return what to train, or why nothing is to be trained."""
    dependencies.watch.begin("read")
    with merged(
        request.root, sources.exports, sources.dumps, current.chat, request.chat, request.timezone
    ) as whole:
        intake = take_in(request, dependencies, current, sources, whole)
        _tell(intake, dependencies)
        if intake.people.is_made and not _is_looked_at(intake, request, dependencies):
            return RetrainResult(
                f"look at {intake.roster_file}, ask your friends, and give the same command again"
            )
        if refusal := too_little(request, registry, current, intake):
            return RetrainResult(refusal)
        dependencies.watch.begin("build")
        return plan_of(request, dependencies, current, intake)


def _heed(
    request: RetrainRequest, dependencies: Dependencies, current: Current, sources: Sources
) -> None:
    """Let what dumps say of consent hold although the exports beside them are refused.

    Not before it is known whose models these are: the dump may be the one that is of another chat.
    """
    if not current.chat or not sources.dumps or not sources.exports:
        return
    alone = Sources((), sources.dumps)
    with (
        suppress(UnderstudyError),  # what is wrong with the exports is told, and comes first
        merged(
            request.root, (), sources.dumps, current.chat, request.chat, request.timezone
        ) as whole,
    ):
        take_in(request, dependencies, current, alone, whole)
        dependencies.watch.console.print(
            "  the export is refused; decisions that people sent to the bot still apply"
        )


def _make(
    request: RetrainRequest,
    dependencies: Dependencies,
    registry: Registry,
    current: Current,
    plan: Plan,
    started: float,
) -> RetrainResult:
    decoding = current.artifact.card.decoding if current.artifact else Decoding()
    with dependencies.watch.paused():
        checkpoint = checkpoint_of(plan.dataset, plan.start, registry)
        resume = may_resume(
            checkpoint, dependencies.ask, resume=request.resume, restart=request.restart
        )
    dependencies.watch.begin("train")
    name, judgement = dependencies.train(
        plan.dataset,
        plan.start,
        registry,
        plan.settings,
        decoding,
        dependencies.watch,
        resume=resume,
    )
    made = registry.open(name)
    verdict, card = _judge(request, dependencies, made, current, plan)
    other = current.artifact.path.name if current.artifact else None
    gate.print_verdict(verdict, name, other, dependencies.watch.console)
    print_paragraph(in_words(judgement, card), dependencies.watch.console)
    dependencies.watch.begin("write")
    forced = request.force_promotion if verdict.reasons else None
    run = Run(
        made.card.base, plan.start, plan.replayed, plan.settings, verdict, other, forced,
        dependencies.watch.seconds,
    )  # fmt: skip
    page = receipt.write(request.root, name, receipt_of(plan.facts, run))
    if may_serve := not verdict.reasons or request.force_promotion is not None:
        dependencies.watch.begin("promote")
        registry.promote(name)
    dependencies.watch.begin("tidy")
    tidy(registry, request.keep, started)
    new, number = plan.facts.values["new"], name.split("-")[0]
    says = f"{name} serves now, with {new:,} new messages"
    if not may_serve:
        why = "; ".join(verdict.reasons)
        says = f"{name} is not promoted: {why}; understudy models promote {number} does it by hand"
    voice = next((person.name for person in made.card.roster.voices), None)
    talk = f"understudy chat --as {shlex.quote(voice)}" if voice and may_serve else None
    return RetrainResult(says, name, promoted=may_serve, receipt=page, next_command=talk)


def _tell(intake: Intake, dependencies: Dependencies) -> None:
    """Print what was found in the files."""
    console, whole = dependencies.watch.console, intake.whole
    console.print(
        f"  {intake.total:,} messages, {intake.new:,} of them new; {intake.deleted:,} were deleted "
        f"since", highlight=False,
    )  # fmt: skip
    if whole.is_moved:
        console.print(
            f"  {make_printable_name(whole.chat.name)} became a supergroup; its history is kept"
        )
    for file in whole.damaged:
        console.print(f"  {file} is damaged: what it lacks does not count as deleted")
    if whole.unplaced:
        console.print(
            f"  {whole.unplaced:,} forgotten messages cannot be told among a basic group's: their "
            "authors can delete them in Telegram"
        )
    for person in intake.people.newcomers:
        console.print(f"  {person.name} is new: no voice yet, see {intake.roster_file}")
    for one in whole.ledger.withdrawn:
        console.print(f"  {one.name} is not learned from")


def _is_looked_at(intake: Intake, request: RetrainRequest, dependencies: Dependencies) -> bool:
    """Show a first export, and ask about the roster that was made of it."""
    choices = BuildOptions(min_messages=request.min_messages)
    spool, chat = intake.whole.spool, intake.whole.chat
    dependencies.print_findings(
        [inspect_chat(spool, chat, choices, lambda _: None)], dependencies.watch.console
    )
    with dependencies.watch.paused():
        return dependencies.ask(
            f"Wrote {intake.roster_file}, who is who, and who may be imitated. Train with it as it "
            "stands? (n: edit it first)"
        )


def _judge(
    request: RetrainRequest, dependencies: Dependencies, new: Artifact, current: Current, plan: Plan
) -> tuple[gate.Verdict, gate.Card]:
    """Compare both versions on the same held-out turns; return the new one's scorecard too."""
    dataset, problem = plan.dataset, None
    if current.artifact and current.seen:
        names = {person.name for person in current.artifact.card.roster.voices}
        since = current.seen.held_out_since
        both = tuple(p for p in dataset.test if p.voice in names and p.sent_at > since)
        if both:
            dataset = replace(dataset, test=both)
        else:
            problem = "nothing is held out that the current version has not seen"
    place, watch, size = request.root / "bases", dependencies.watch, request.evaluation_size
    watch.begin("score")
    made = dependencies.judge(new, dataset, place, size, _SEED, watch.console, told=watch.share)
    write_text(new.path / SCORECARD, json.dumps(made.card, ensure_ascii=False, indent=1) + "\n")
    if current.artifact is None or problem:
        return gate.decide(made, None, problem), made.card
    watch.begin("compare")
    artifact = current.artifact
    try:
        known = dependencies.judge(
            artifact, dataset, place, size, _SEED, watch.console, told=watch.share
        )
    except ArtifactError as error:  # damaged, and hours of training are not to be lost for it
        problem = f"{artifact.path.name} cannot be judged: {error}"
        return gate.decide(made, None, problem), made.card
    return gate.decide(made, known), made.card
