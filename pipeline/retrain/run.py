"""From fresh exports to a version that serves, or to the reason why it does not.

Nothing that is there changes before it is replaced at once: a run that is killed leaves the current
version serving, and the next one clears away what it left.
"""

import json
import shlex
import time
from contextlib import suppress
from dataclasses import replace

from model.artifact import SCORECARD, Artifact, Decoding
from model.errors import ArtifactError, ExportError, TrainingError, UnderstudyError
from model.files import locked, write_text
from model.naming import visible_name
from model.registry import Registry
from pipeline.findings import print_findings
from pipeline.inspection import figures_of
from pipeline.pairing import Choices
from pipeline.report import print_paragraph
from pipeline.retrain import gate, receipt
from pipeline.retrain.account import Run, receipt_of
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
from pipeline.retrain.leftovers import clear, tidy
from pipeline.retrain.merge import merged
from pipeline.retrain.plan import Plan, plan_of
from pipeline.retrain.wish import Result, Tools, Wish
from pipeline.roster_file import MIN_MESSAGES
from pipeline.train import checkpoint_of, may_resume
from pipeline.verdict import verdict as in_words

_SEED = 0  # of the scorecards


def retrain(wish: Wish, tools: Tools) -> Result:
    """Retrain, and promote what passes the gate.

    Raises:
        UnderstudyError: Something is to be mended first; the current version goes on serving.
    """
    with locked(wish.root / "retrain.lock", wait=False) as is_alone:
        if not is_alone:
            raise TrainingError(f"another retraining goes on in {wish.root}: wait for its end")
        try:
            return _retrain(wish, tools)
        finally:
            tools.watch.stop()


def _retrain(wish: Wish, tools: Tools) -> Result:
    registry, sources = Registry(wish.root), sources_of(wish.files)
    current, started = current_of(registry), time.time()
    check_live_bot(sources, current, wish)
    if current.problem:
        tools.watch.console.print(
            f"  {current.problem}\n  The new version is made as the options say, and judged alone",
            markup=False,
            highlight=False,
        )
    least = current.seen.min_messages if current.seen else MIN_MESSAGES
    wish = replace(wish, min_messages=wish.min_messages or least)
    clear(registry)
    try:
        plan = _planned(wish, tools, registry, current, sources)
    except ExportError:
        _heed(wish, tools, current, sources)
        raise
    if isinstance(plan, Result):
        return plan
    return _make(wish, tools, registry, current, plan, started)


def _planned(
    wish: Wish, tools: Tools, registry: Registry, current: Current, sources: Sources
) -> Plan | Result:
    """Merge and keep what is given; return what to train, or why nothing is to be trained."""
    tools.watch.begin("read")
    with merged(
        wish.root, sources.exports, sources.dumps, current.chat, wish.chat, wish.zone
    ) as whole:
        intake = take_in(wish, tools, current, sources, whole)
        _tell(intake, tools)
        if intake.people.is_made and not _is_looked_at(intake, wish, tools):
            return Result(
                f"look at {intake.roster_file}, ask your friends, and give the same command again"
            )
        if refusal := too_little(wish, registry, current, intake):
            return Result(refusal)
        tools.watch.begin("build")
        return plan_of(wish, tools, current, intake)


def _heed(wish: Wish, tools: Tools, current: Current, sources: Sources) -> None:
    """Let what dumps say of consent hold although the exports beside them are refused.

    Not before it is known whose models these are: the dump may be the one that is of another chat.
    """
    if not current.chat or not sources.dumps or not sources.exports:
        return
    alone = Sources((), sources.dumps)
    with (
        suppress(UnderstudyError),  # what is wrong with the exports is told, and comes first
        merged(wish.root, (), sources.dumps, current.chat, wish.chat, wish.zone) as whole,
    ):
        take_in(wish, tools, current, alone, whole)
        tools.watch.console.print(
            "  the export is refused; decisions that people sent to the bot still apply"
        )


def _make(
    wish: Wish, tools: Tools, registry: Registry, current: Current, plan: Plan, started: float
) -> Result:
    decoding = current.artifact.card.decoding if current.artifact else Decoding()
    with tools.watch.paused():
        checkpoint = checkpoint_of(plan.dataset, plan.start, registry)
        resume = may_resume(checkpoint, tools.ask, resume=wish.resume, restart=wish.restart)
    tools.watch.begin("train")
    name, judgement = tools.train(
        plan.dataset, plan.start, registry, plan.settings, decoding, tools.watch, resume=resume
    )
    made = registry.open(name)
    verdict, card = _judge(wish, tools, made, current, plan)
    other = current.artifact.path.name if current.artifact else None
    gate.print_verdict(verdict, name, other, tools.watch.console)
    print_paragraph(in_words(judgement, card), tools.watch.console)
    tools.watch.begin("write")
    forced = wish.force if verdict.reasons else None
    run = Run(
        made.card.base, plan.start, plan.replayed, plan.settings, verdict, other, forced,
        tools.watch.seconds,
    )  # fmt: skip
    page = receipt.write(wish.root, name, receipt_of(plan.facts, run))
    if may_serve := not verdict.reasons or wish.force is not None:
        tools.watch.begin("promote")
        registry.promote(name)
    tools.watch.begin("tidy")
    tidy(registry, wish.keep, started)
    new, number = plan.facts.values["new"], name.split("-")[0]
    says = f"{name} serves now, with {new:,} new messages"
    if not may_serve:
        why = "; ".join(verdict.reasons)
        says = f"{name} is not promoted: {why}; understudy models promote {number} does it by hand"
    voice = next((person.name for person in made.card.roster.voices), None)
    talk = f"understudy chat --as {shlex.quote(voice)}" if voice and may_serve else None
    return Result(says, name, promoted=may_serve, receipt=page, next_command=talk)


def _tell(intake: Intake, tools: Tools) -> None:
    """Print what was found in the files."""
    console, whole = tools.watch.console, intake.whole
    console.print(
        f"  {intake.total:,} messages, {intake.new:,} of them new; {intake.deleted:,} were deleted "
        f"since", highlight=False,
    )  # fmt: skip
    if whole.is_moved:
        console.print(f"  {visible_name(whole.chat.name)} became a supergroup; its history is kept")
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


def _is_looked_at(intake: Intake, wish: Wish, tools: Tools) -> bool:
    """Show a first export, and ask about the roster that was made of it."""
    choices = Choices(min_messages=wish.min_messages)
    spool, chat = intake.whole.spool, intake.whole.chat
    print_findings([figures_of(spool, chat, choices, lambda _: None)], tools.watch.console)
    with tools.watch.paused():
        return tools.ask(
            f"Wrote {intake.roster_file}, who is who, and who may be imitated. Train with it as it "
            "stands? (n: edit it first)"
        )


def _judge(
    wish: Wish, tools: Tools, new: Artifact, current: Current, plan: Plan
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
    place, watch, size = wish.root / "bases", tools.watch, wish.size
    watch.begin("score")
    made = tools.judge(new, dataset, place, size, _SEED, watch.console, told=watch.share)
    write_text(new.path / SCORECARD, json.dumps(made.card, ensure_ascii=False, indent=1) + "\n")
    if current.artifact is None or problem:
        return gate.decide(made, None, problem), made.card
    watch.begin("compare")
    artifact = current.artifact
    try:
        known = tools.judge(artifact, dataset, place, size, _SEED, watch.console, told=watch.share)
    except ArtifactError as error:  # damaged, and hours of training are not to be lost for it
        problem = f"{artifact.path.name} cannot be judged: {error}"
        return gate.decide(made, None, problem), made.card
    return gate.decide(made, known), made.card
