"""Read and merge the given files and count what is new."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow.parquet as pq

from model.artifacts.artifact import Artifact, Chat
from model.artifacts.consent import read_imported
from model.artifacts.registry import Registry, receipt_path
from model.chat.names import make_printable_name
from model.chat.roster import Roster
from model.errors import ArtifactError, ExportError, TrainingError, UnderstudyError
from model.files import locked
from pipeline.dataset.build import check_chat, check_damage
from pipeline.dataset.review import read_removed
from pipeline.dataset.roster_file import ROSTER_FILE
from pipeline.dataset.split import SPLITS
from pipeline.dataset.storage import PAIRS, REMOVED
from pipeline.export.archive import export_files
from pipeline.retrain.history import histories, keep
from pipeline.retrain.holdout import Seen, seen_by
from pipeline.retrain.merge import Merged, forgotten_now, heir, number_now, struck_now, withhold
from pipeline.retrain.people import People, notes_of, people_of
from pipeline.retrain.request import Dependencies, RetrainRequest
from pipeline.versions.consent import Notes
from pipeline.versions.erasure import (
    Erased,
    datasets,
    delete_dataset,
    holds_words_of,
)
from pipeline.versions.lineage import (
    dataset_of,
    holders,
    note_erased,
    silence,
)


def erase(root: Path, roster: Roster, whole: Merged) -> Erased:
    """Delete datasets and checkpoints with forgotten messages or words of people who withdrew.

    Checkpoints are deleted if anything must be erased that was not erased before. The reasons are
    recorded in the folder of models.

    Raises:
        TrainingError: A training is running, possibly on these words.
    """
    forgotten = forgotten_now(whole)
    gone: dict[Path, str] = {}
    for folder in datasets(root):
        if holds_words_of(folder, set()):
            gone[folder] = "it was incomplete"
        elif held := [
            one for one in whole.ledger.withdrawn if holds_words_of(folder, set(one.ids))
        ]:
            gone[folder] = "; ".join(one.why for one in held)
        elif forgotten and not forgotten.isdisjoint(_ids(folder, whole)):
            gone[folder] = "it held messages that were to be forgotten"
    for folder, why in gone.items():
        note_erased(
            root, [folder], why
        )  # before deleting: a kill in between must not lose the reason
        delete_dataset(folder)
    why = "; ".join(dict.fromkeys(gone.values()))
    before = whole.history.ledger
    out = {number for person in roster.people if person.learn == "no" for number in person.ids}
    was_out = {number for one in before.withdrawn for number in one.ids}
    if whole.ledger.forgotten <= before.forgotten and out <= was_out:
        return Erased(tuple(gone), why=why)
    with locked(root / "training.lock", wait=False) as is_alone:
        if not is_alone:
            raise TrainingError(f"a training goes on in {root}: wait for its end")
        has_checkpoints = (root / "training").is_dir()
        shutil.rmtree(root / "training", ignore_errors=True)
    if has_checkpoints and not why:
        new = [one.why for one in whole.ledger.withdrawn if not was_out.issuperset(one.ids)]
        why = "; ".join(new) or "messages were to be forgotten"
    return Erased(tuple(gone), has_checkpoints, why)


def _ids(folder: Path, whole: Merged) -> set[int]:
    """Return today's ids of all messages in a dataset."""
    found: set[tuple[int, int]] = set()
    for split in SPLITS:
        columns = ["chat_id", "message_ids", "context_ids"]
        table = pq.read_table(folder / PAIRS / f"{split}.parquet", columns=columns)
        for chat, own, before in zip(*(table[name].to_pylist() for name in columns), strict=True):
            found.update((chat, number) for number in (*own, *before))
    return {number_now(whole, chat, number) for chat, number in found}


@dataclass(frozen=True, slots=True)
class Sources:
    """The exports that were given, oldest first, and the dumps."""

    exports: tuple[Path, ...]
    dumps: tuple[Notes, ...]


@dataclass(frozen=True, slots=True)
class Current:
    """The version that serves; where there is one of no use, `problem` says why.

    `seen` is what it knows of the chat, `chat` the one that these models are of, as far as
    anybody can tell.
    """

    artifact: Artifact | None = None
    seen: Seen | None = None
    chat: Chat | None = None
    problem: str | None = None

    @property
    def exists(self) -> bool:
        """Whether a version serves, of use or not."""
        return self.artifact is not None or self.problem is not None


@dataclass(frozen=True, slots=True)
class Intake:
    """A merged chat whose people are known, and what of it is new to the current version.

    `untrained` counts the messages that it was never trained on, `total` all of them, `deleted`
    those that were deleted since it was made; `struck` are pairs that the user removed from its
    dataset.
    """

    whole: Merged
    people: People
    roster_file: Path
    new: int
    untrained: int
    total: int
    deleted: int
    struck: frozenset[str]


def sources_of(files: Sequence[Path]) -> Sources:
    """Tell exports from dumps.

    Raises:
        ExportError: A file is neither, or a dump is damaged.
    """
    found = export_files(files)
    notes = {file: notes_of(file) for file in found}
    dumps = tuple(one for one in notes.values() if one)
    return Sources(tuple(file for file in found if notes[file] is None), dumps)


def current_of(registry: Registry) -> Current:
    """Return the version that serves, with what it has seen."""
    try:
        name = registry.current
        if name is None:
            return Current(chat=_only_kept(registry.root))
        found = registry.open(name)
        if found.card.public and not receipt_path(registry.root, name).is_file():
            return Current(chat=_only_kept(registry.root))  # the demo's, and nobody's group
    except ArtifactError as error:
        return Current(chat=_only_kept(registry.root), problem=str(error))
    seen = seen_by(registry.root, found)
    return Current(found, seen, heir(registry.root, found.card.chats[0]))


def _only_kept(root: Path) -> Chat | None:
    """Return the chat of the only history: a first run may have ended before there was a model."""
    kept = [history.head for history in histories(root) if history.head]
    return Chat(kept[0].chat_id, kept[0].name) if len(kept) == 1 else None


def check_live_bot(sources: Sources, current: Current, request: RetrainRequest) -> None:
    """Make sure that nobody's withdrawal is passed over.

    Raises:
        UnderstudyError: A model exists, and no dump tells what people told its bot.
    """
    if current.exists and not sources.dumps and not request.no_live_bot:
        raise UnderstudyError(
            "no dump of the bot is given, and people may have told it no: add the file that "
            "`understudy-bot dump FILE` writes, or say --no-live-bot where no bot runs"
        )


def take_in(
    request: RetrainRequest,
    dependencies: Dependencies,
    current: Current,
    sources: Sources,
    whole: Merged,
) -> Intake:
    """Let consent hold over a merged chat, erase what must go, and keep the rest as its history.

    Raises:
        ExportError: The exports are of different accounts, or nobody agreed to a shorter one.
    """
    check_chat(whole.chat, whole.spool.count_author_clashes(whole.chat.chat_id))
    check_damage(whole.chat, skip_damaged=request.skip_damaged)
    _agree_to_shorter(whole, dependencies)
    file = request.roster or request.root / ROSTER_FILE
    whole.ledger = whole.ledger.with_decisions(read_imported(request.root))
    people = people_of(
        whole,
        file,
        [export.with_name(ROSTER_FILE) for export in sources.exports],
        current.artifact.card.roster if current.artifact else None,
        request.min_messages,
    )
    withhold(whole, people.roster)
    dataset = dataset_of(current.artifact) if current.artifact else None
    struck = struck_now(whole, read_removed(None, Path(dataset or request.root) / REMOVED))
    dependencies.watch.begin("erase")
    silence(Registry(request.root), people.written)
    _print_erased(erase(request.root, people.roster, whole), dependencies)
    dependencies.watch.begin("keep")
    ledger = replace(whole.ledger, deleted=whole.ledger.deleted + whole.deleted)
    whole.ledger, history = ledger, replace(whole.history, ledger=ledger)
    rows = whole.spool.rows(whole.chat.chat_id)
    whole.history = keep(history, whole.head, rows, list(whole.spool.names))
    return _counted(whole, people, file, current, struck)


def _print_erased(erased: Erased, dependencies: Dependencies) -> None:
    """Print what was erased, and why."""
    count = len(erased.datasets)
    what = [f"{count} dataset{'s' if count != 1 else ''}"] if count else []
    what += ["the checkpoints"] if erased.checkpoints else []
    if what:
        dependencies.watch.console.print(f"  erased {' and '.join(what)}: {erased.why}")


def too_little(
    request: RetrainRequest, registry: Registry, current: Current, intake: Intake
) -> str | None:
    """Return why there is no need to train, None if there is."""
    if current.seen is None or request.force_training or intake.new >= request.min_new_messages:
        return None
    number, since = intake.new, current.seen.through
    said = "nothing new was said" if not number else f"only {number:,} new messages were said"
    line = f"{said} since {since:%Y-%m-%d %H:%M} UTC, and {request.min_new_messages:,} are wanted"
    serving = registry.current
    for one in intake.whole.ledger.withdrawn:
        if serving in holders(registry, one.ids, one.name):
            return (
                f"{line}; but {one.name} withdrew and is in {serving}: go on with --force-training"
            )
    return f"{line}: wait, or go on with --force-training"


def _agree_to_shorter(whole: Merged, dependencies: Dependencies) -> None:
    """Ask about an export that shows less than is known: it may be cut short.

    One that was merged before was agreed to then.

    Raises:
        ExportError: Nobody agreed.
    """
    exports = [one for one in whole.given if one.written_at is None]
    if not exports or exports[-1].messages >= whole.before:
        return
    last, head = exports[-1], whole.history.head
    if head and last.sha256 in head.exports and not whole.deleted:
        return
    line = (
        f"{last.file} holds {last.messages:,} messages of "
        f"{make_printable_name(whole.chat.name)}, and "
        f"{whole.before:,} are known; {whole.deleted:,} of those are gone where it should show them"
    )
    with dependencies.watch.paused():
        agreed = dependencies.ask(f"{line}, and would be forgotten. Is that right?")
    if not agreed:
        raise ExportError(f"{line}: give a whole export, or --yes if that is right")


def _counted(
    whole: Merged, people: People, file: Path, current: Current, struck: frozenset[str]
) -> Intake:
    total = whole.spool.counts(whole.chat.chat_id).messages
    new = untrained = total
    if current.seen:
        new = whole.newer_than(current.seen.through, people.roster)
        untrained = whole.newer_than(current.seen.held_out_since, people.roster)
    # The ledger includes the findings of a killed run.
    since = whole.ledger.deleted - (current.seen.deleted if current.seen else 0)
    deleted = max(whole.deleted, since)
    return Intake(whole, people, file, new, untrained, total, deleted, struck)
