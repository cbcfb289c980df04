"""Run the steps of `understudy retrain` in order."""

import platform
import time
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

from model.artifacts.artifact import SCORECARD, Artifact, Decoding, Scorecard, load_artifact
from model.artifacts.commands import (
    models_option,
    promote_command,
    purge_command,
    quote,
    short_name,
)
from model.artifacts.registry import Registry
from model.chat.names import make_printable_name
from model.errors import ArtifactError, BaseError, ExportError, TrainingError, UnderstudyError
from model.version import VERSION
from pipeline.dataset.inspection import inspect_chat
from pipeline.dataset.pairs import BuildOptions
from pipeline.dataset.roster_file import MIN_MESSAGES
from pipeline.dataset.storage import Dataset
from pipeline.evaluation.evaluate import FULL, GATE, check_weights, write_scorecard
from pipeline.evaluation.generation import Size
from pipeline.evaluation.paired import Evaluation
from pipeline.export.merging import count_messages
from pipeline.retrain import gate
from pipeline.retrain.intake import (
    CurrentVersion,
    Intake,
    Sources,
    check_dump_given,
    explain_too_few_messages,
    load_current_version,
    load_sources,
    update_history,
)
from pipeline.retrain.merge import merge_chat
from pipeline.retrain.plan import RetrainPlan, make_plan
from pipeline.retrain.request import RetrainDependencies, RetrainRequest, RetrainResult
from pipeline.terminal import print_indented, print_paragraph
from pipeline.training.losses import HeldOutLoss, read_loss
from pipeline.training.run import checkpoint_of, choose_resume, find_commit
from pipeline.training.verdict import loss_sentence, summarize_result
from pipeline.versions.erasure import (
    delete_killed_versions,
    delete_old_versions,
    delete_unused_datasets,
    list_killed_versions,
)
from pipeline.versions.lineage import find_withdrawn_by_version
from pipeline.versions.receipt import write_receipt

_EVALUATION_SEED = 0


def retrain(request: RetrainRequest, dependencies: RetrainDependencies) -> RetrainResult:
    """Train a new version on the merged history, and promote it if it passes the gate.

    Raises:
        UnderstudyError: The input must be corrected first. The current version stays in use.
    """
    with Registry(request.root).locked():
        try:
            return _retrain(request, dependencies)
        finally:
            dependencies.watch.stop()


def _retrain(request: RetrainRequest, dependencies: RetrainDependencies) -> RetrainResult:
    registry, sources = Registry(request.root), load_sources(request.files, dependencies.watch)
    current, started = load_current_version(registry), time.time()
    check_dump_given(sources, current, request)
    if current.problem:
        dependencies.watch.console.print(
            f"  {current.problem}\n  The new version uses the options' values, and is evaluated "
            "without a comparison",
            markup=False,
            highlight=False,
        )
    min_messages = current.record.min_messages if current.record else MIN_MESSAGES
    request = replace(request, min_messages=request.min_messages or min_messages)
    delete_unused_datasets(registry)  # of killed runs
    try:
        prepared = _prepare(request, dependencies, current, sources)
    except ExportError:
        _apply_dumps(request, dependencies, current, sources)
        raise
    if isinstance(prepared, RetrainResult):
        return prepared
    return _train_and_promote(request, dependencies, registry, current, *prepared, started)


def _prepare(
    request: RetrainRequest,
    dependencies: RetrainDependencies,
    current: CurrentVersion,
    sources: Sources,
) -> tuple[RetrainPlan, dict[str, Any]] | RetrainResult:
    """Merge and store the input; return a plan and the receipt's facts, or why to stop."""
    dependencies.watch.begin("read")
    with merge_chat(
        request.root, sources.exports, sources.dumps, current.chat, request.chat,
        request.timezone, dependencies.watch,
    ) as merged:  # fmt: skip
        intake = update_history(request, dependencies, current, sources, merged)
        _print_intake(intake, dependencies)
        if intake.people.is_new and not _confirm_roster(intake, request, dependencies):
            return RetrainResult(
                f"check {intake.roster_file}, ask your friends, and run the same command again"
            )
        if reason := explain_too_few_messages(request, current, intake):
            return RetrainResult(reason)
        dependencies.watch.begin("build")
        plan = make_plan(request, dependencies, current, intake)
        return plan, _describe_input(intake, plan.dataset)


def _apply_dumps(
    request: RetrainRequest,
    dependencies: RetrainDependencies,
    current: CurrentVersion,
    sources: Sources,
) -> None:
    """Apply the decisions in dumps although the exports are refused.

    If the chat of the models folder is unknown, the dumps may be from another chat and do not
    apply.
    """
    if not current.chat or not sources.dumps or not sources.exports:
        return
    with (
        suppress(UnderstudyError),  # the error about the exports is reported
        merge_chat(
            request.root, (), sources.dumps, current.chat, request.chat, request.timezone
        ) as merged,
    ):
        update_history(request, dependencies, current, Sources((), sources.dumps), merged)
        dependencies.watch.console.print(
            "  the export was refused; decisions that people sent to the bot still apply"
        )


def _print_intake(intake: Intake, dependencies: RetrainDependencies) -> None:
    console, merged = dependencies.watch.console, intake.merged
    console.print(
        f"  {intake.total:,} messages, {intake.new:,} of them new; {intake.deleted:,} were deleted "
        f"since", highlight=False,
    )  # fmt: skip
    if merged.is_migrated:
        name = make_printable_name(merged.chat.name)
        print_indented(f"{name} became a supergroup; its history is kept", console)
    for file in merged.damaged:
        print_indented(
            f"{file} is damaged: messages missing from it do not count as deleted", console
        )
    if merged.unidentified:
        console.print(
            f"  {merged.unidentified:,} forgotten messages cannot be identified in a basic group: "
            "their authors can delete them in Telegram"
        )
    for person in intake.people.newcomers:
        print_indented(f"{person.name} is new: not a voice yet, see {intake.roster_file}", console)
    for one in merged.ledger.withdrawn:
        print_indented(f"{one.name}'s messages are not used", console)


def _confirm_roster(
    intake: Intake, request: RetrainRequest, dependencies: RetrainDependencies
) -> bool:
    """Print what a first export contains, and ask whether the new roster is right."""
    options = BuildOptions(min_messages=request.min_messages)
    found = inspect_chat(intake.merged.spool, intake.merged.chat, options)
    dependencies.print_findings([found], dependencies.watch.console)
    with dependencies.watch.paused():
        return dependencies.ask(
            f"Wrote {intake.roster_file}: who is who, and who may be imitated. Train with it? "
            "(n: edit it first)"
        )


def _confirm_no_comparison(
    problem: str, request: RetrainRequest, dependencies: RetrainDependencies, *, must_replace: bool
) -> None:
    """Ask whether to train although the new version cannot be compared with the current one.

    Raises:
        TrainingError: The user did not confirm it, or cannot be asked.
    """
    if must_replace or request.force_promotion:
        text = f"{problem}. The new version will be promoted without a comparison"
        print_indented(text, dependencies.watch.console)
        return
    text = f"{problem}. Without a comparison, the new version will be kept but not promoted"
    with dependencies.watch.paused():
        if not dependencies.ask(f"{text}. Train it anyway?"):
            raise TrainingError(
                f'{text}: use --yes to train it, or --force-promotion "REASON" to promote it too'
            )


def _train_and_promote(
    request: RetrainRequest,
    dependencies: RetrainDependencies,
    registry: Registry,
    current: CurrentVersion,
    plan: RetrainPlan,
    facts: dict[str, Any],
    started: float,
) -> RetrainResult:
    watch = dependencies.watch
    decoding = current.artifact.card.decoding if current.artifact else Decoding()
    withdrawn_words = facts["withdrawn_words"]
    must_replace = withdrawn_words is not None
    compared, problem = _choose_turns(current, plan.dataset)
    with watch.paused():
        resume = choose_resume(
            plan.dataset, plan.start, registry, dependencies.ask,
            resume=request.resume, restart=request.restart,
        )  # fmt: skip
    has_checkpoint = checkpoint_of(plan.dataset, plan.start, registry) is not None
    unfinished = None if has_checkpoint else _find_unfinished(registry, plan)
    if current.artifact and problem and not unfinished:
        _confirm_no_comparison(problem, request, dependencies, must_replace=must_replace)
    watch.begin("train")
    size = FULL if request.full_evaluation else GATE
    voices = len(plan.dataset.roster.voices)
    if not current.artifact:  # there is nothing to compare it with
        size = size.for_minutes(plan.hyperparameters.minutes)
    watch.evaluation_tokens = size.count_tokens(voices) * (
        2 if current.artifact and not problem else 1
    )
    if unfinished:
        name, loss = unfinished
        text = f"{name} was trained by a run that stopped before the evaluation: using it"
        print_indented(text, watch.console)
    else:
        name, loss = dependencies.train(
            plan.dataset, plan.start, registry, plan.hyperparameters, decoding, watch, resume=resume
        )
    delete_killed_versions(registry, kept=name)
    made = registry.open(name)
    decision, card = _compare_versions(
        request, size, dependencies, made, current, compared, problem, must_replace=must_replace
    )
    other = None if decision.not_compared else current.name
    gate.print_decision(decision, name, other, watch)
    achieved = summarize_result(loss, card) if card else loss_sentence(loss)
    print_paragraph(achieved, watch.console)
    is_promoted = not decision.reasons or request.force_promotion is not None
    number, models = short_name(name), models_option(request.root)
    promote = promote_command(request.root, name)
    watch.begin("write")
    receipt = {
        **_describe_plan(plan),
        **_describe_decision(decision),
        **facts,
        "base": made.card.base,
        "compared_with": other,
        "next_command": None if is_promoted else promote,
        "forced": request.force_promotion if decision.reasons else None,
        "seconds": watch.seconds,
    }
    write_receipt(registry, name, receipt, promote=is_promoted)
    show = f"understudy models show {number} --receipt{models}"
    watch.begin("tidy")
    delete_old_versions(registry, request.keep, started)
    if not is_promoted:
        message = f"{name} is not promoted: {'; '.join(decision.reasons)}"
        message += f". {withdrawn_words}, and stays in use" if withdrawn_words else ""
        message += f"; to promote {number} by hand: {promote}"
        return RetrainResult(message, name, promoted=False, receipt=show)
    message = f"{name} is now the current version, with {facts['new']:,} new messages"
    if purge := _explain_purge(registry):
        message += f". {purge}"
    voice = next((person.name for person in made.card.roster.voices), None)
    chat = f"understudy chat --as {quote(voice)}{models}" if voice else None
    return RetrainResult(message, name, promoted=True, receipt=show, next_command=chat)


def _explain_purge(registry: Registry) -> str:
    """Return how to delete versions with words of people who withdrew; "" if there are none."""
    withdrawn = find_withdrawn_by_version(registry).values()
    people = dict.fromkeys(person for names in withdrawn for person in names)
    purge = "; ".join(purge_command(one, registry.root) for one in people)
    learned = f"Older versions were trained on words of {', '.join(people)}, who withdrew"
    return f"{learned}; to delete them: {purge}" if people else ""


def _describe_plan(plan: RetrainPlan) -> dict[str, Any]:
    """Return what the receipt says about when, where and how the version was trained."""
    return {
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.node()} ({platform.system()} {platform.machine()})",
        "understudy": VERSION,
        "commit": find_commit(),
        "started_from": plan.start.name,
        "learning_rate_factor": plan.start.learning_rate_factor,
        "replayed": plan.replayed,
        "hyperparameters": asdict(plan.hyperparameters),
    }


def _describe_decision(decision: gate.GateDecision) -> dict[str, Any]:
    """Return what the receipt says about the comparison with the current version."""
    return {
        "scores": [asdict(comparison) for comparison in decision.comparisons],
        "voices": [
            {"name": one.metric, "new": one.new, "current": one.current, "chance": one.chance}
            for one in decision.voices
        ],
        "reasons": list(decision.reasons),
        "not_compared": decision.not_compared,
    }


def _find_unfinished(registry: Registry, plan: RetrainPlan) -> tuple[str, HeldOutLoss] | None:
    """Return the version of a killed run that was trained by this plan, and its loss.

    A version with a different roster may speak as somebody who has not agreed.
    """
    for name in reversed(list_killed_versions(registry)):
        with suppress(ArtifactError, KeyError, TypeError):
            card = load_artifact(registry.root / "versions" / name).card
            provenance = card.provenance
            if (
                provenance.get("dataset", {}).get("sha256") == plan.dataset.content_hash
                and provenance.get("began_with") == plan.start.name
                and provenance.get("requested") == asdict(plan.hyperparameters)
                and card.roster == plan.dataset.roster
            ):
                return name, read_loss(card)
    return None


def _compare_versions(
    request: RetrainRequest,
    size: Size,
    dependencies: RetrainDependencies,
    new: Artifact,
    current: CurrentVersion,
    dataset: Dataset,
    problem: str | None,
    *,
    must_replace: bool,
) -> tuple[gate.GateDecision, Scorecard | None]:
    """Compare both versions on a dataset's held-out turns; return the new one's scorecard too.

    `problem` says why they cannot be compared. If the turns are too few to tell, more of them are
    compared. A version that cannot be evaluated is a reason not to promote: hours of training must
    not be lost.
    """
    watch = dependencies.watch

    def evaluate(artifact: Artifact, size: Size) -> Evaluation:
        return dependencies.evaluate(
            artifact,
            dataset,
            request.root / "bases",
            size,
            _EVALUATION_SEED,
            watch,
        )

    def compare(size: Size) -> tuple[gate.GateDecision, Scorecard | None]:
        watch.begin("score")
        try:
            evaluation = evaluate(new, size)
        except UnderstudyError as error:
            reason = f"it cannot be evaluated: {error}"
            return gate.GateDecision((), (reason,), not_compared=reason), None
        write_scorecard(evaluation.card, new.path / SCORECARD)
        other, not_compared = None, problem
        if current.artifact and not problem:
            watch.begin("compare")
            try:
                needed = replace(size, with_fit=False)  # the gate does not compare it
                other = evaluate(current.artifact, needed)
            except UnderstudyError as error:
                not_compared = f"{current.name} cannot be evaluated: {error}"
        decision = gate.decide(
            evaluation,
            other,
            not_compared,
            needs_comparison=current.artifact is not None,
            must_replace=must_replace,
            passes=new.card.provenance.get("passes"),
        )
        return decision, evaluation.card

    found, larger = compare(size), gate.enlarge(size, dataset.test)
    if not found[0].is_uncertain or larger is None:
        return found
    print_indented("Too few turns to tell: comparing more of them", watch.console)
    return compare(larger)


def _choose_turns(current: CurrentVersion, dataset: Dataset) -> tuple[Dataset, str | None]:
    """Return a dataset with the held-out turns to compare, and why the versions cannot be."""
    if current.artifact is None or current.record is None:
        public = f"{current.name} was trained on a public chat" if current.name else None
        return dataset, current.problem or public
    names = {person.name for person in current.artifact.card.roster.voices}
    since = current.record.held_out_since
    common = tuple(p for p in dataset.test if p.voice in names and p.sent_at > since)
    if not common:
        return dataset, "there are no held-out turns that the current version has not seen"
    try:
        check_weights(current.artifact)
    except BaseError as error:
        return replace(dataset, test=common), str(error)
    return replace(dataset, test=common), None


def _describe_input(intake: Intake, dataset: Dataset) -> dict[str, Any]:
    """Return the receipt's facts about files, people and counts, without any message."""
    merged, summary = intake.merged, dataset.summary
    now = datetime.now(UTC).timestamp()  # after a message dated in the future nothing would be new
    newest = max(
        (entry.at for entry in merged.entries() if entry.is_message and entry.at <= now), default=0
    )
    held_out_since = next(split for split in summary.splits if split.name == "test").first
    files = [
        {
            "kind": "export" if file.written_at is None else "dump",
            "name": file.file.name,
            "sha256": file.sha256,
            "messages": file.messages,
            "first": file.first.isoformat() if file.first else None,
            "last": file.last.isoformat() if file.last else None,
        }
        for file in merged.files
    ]
    counts = count_messages(merged.spool.authors(merged.chat.chat_id))
    voices = {voice.name: voice for voice in dataset.summary.voices}
    people = []
    for person in intake.people.roster.people:
        messages = sum(counts[number] for number in person.ids)
        if person.learn == "no" or not messages:
            continue
        voice = voices.get(person.name)
        pairs = voice.train + voice.validation + voice.test if voice else 0
        people.append(
            {"name": person.name, "ids": list(person.ids), "messages": messages, "pairs": pairs}
        )
    return {
        "chat": {"id": merged.chat.chat_id, "title": merged.chat.name},
        "files": files,
        "earlier_exports": sorted(
            set(merged.header.exports) - {file.sha256 for file in merged.files}
        ),
        "messages": intake.total,
        "new": intake.new,
        "deleted": intake.deleted,
        "deleted_before": merged.ledger.deleted,
        "through": datetime.fromtimestamp(newest, UTC).isoformat(),
        "held_out_since": held_out_since.isoformat(),
        "min_messages": summary.min_messages,
        "people": people,
        "excluded": [
            {
                "name": withdrawal.name,
                "since": withdrawal.since.isoformat() if withdrawal.since else None,
            }
            for withdrawal in merged.ledger.withdrawn
        ],
        "withdrawn_words": intake.withdrawn_words,
        "newcomers": [person.name for person in intake.people.newcomers],
        "forgotten": len(merged.ledger.forgotten_words),
        "forgotten_ids": len(merged.ledger.forgotten),
        "unidentified": merged.unidentified,
        "redacted": dict(summary.redacted),
        "dataset": summary.content_hash,
    }
