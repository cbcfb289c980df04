"""Load the current version, apply consent to the merged chat, store it, and count what is new."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from model.artifacts.artifact import Artifact, LearnedChat
from model.artifacts.registry import GROUPS, Registry, list_receipts
from model.chat.names import make_printable_name
from model.chat.roster import Roster
from model.errors import ArtifactError, DatasetError, ExportError, TrainingError, UnderstudyError
from pipeline.dataset.build import check_chat, check_damage
from pipeline.dataset.review import read_removed
from pipeline.dataset.roster_file import ROSTER_FILE
from pipeline.dataset.storage import REMOVED, SUMMARY, read_message_ids
from pipeline.dataset.summary import read_summary
from pipeline.export.archive import list_exported_chats
from pipeline.export.files import ExportFile
from pipeline.retrain.history import list_chats, write_history
from pipeline.retrain.merge import (
    MergedChat,
    current_forgotten_ids,
    current_id,
    find_successor,
    withhold_text,
)
from pipeline.retrain.people import People, read_dump_notes, update_people
from pipeline.retrain.request import RetrainDependencies, RetrainRequest
from pipeline.terminal import SILENT, Progress, print_indented
from pipeline.versions.erasure import contains_words_of, delete_dataset, list_datasets
from pipeline.versions.ledger import DumpNotes
from pipeline.versions.lineage import (
    explain_withdrawn_words,
    find_dataset,
    record_erasure,
)
from pipeline.versions.receipt import TrainingRecord, read_receipt


@dataclass(frozen=True, slots=True)
class Sources:
    """The given exports, oldest first, and the notes of the given dumps."""

    exports: tuple[ExportFile, ...]
    dumps: tuple[DumpNotes, ...]


@dataclass(frozen=True, slots=True)
class CurrentVersion:
    """The current version, if there is one; `problem` says why it cannot be used.

    `name` is its name even if it is not used, as the demo's. `chat` is the chat of the models
    folder, if it can be determined.
    """

    artifact: Artifact | None = None
    record: TrainingRecord | None = None
    chat: LearnedChat | None = None
    problem: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Intake:
    """A merged and stored chat, its people, and how much of it is new to the current version.

    `withdrawn_words` says which withdrawn words the current version was trained on, if any. `total`
    counts all messages, `new` those sent after the current version's newest, `untrained` those that
    it was not trained on, `deleted` those deleted since. `removed_pairs` are the ids of pairs that
    the user removed from its dataset.
    """

    merged: MergedChat
    people: People
    roster_file: Path
    new: int
    untrained: int
    total: int
    deleted: int
    removed_pairs: frozenset[str]
    withdrawn_words: str | None = None


def load_sources(files: Sequence[ExportFile], progress: Progress = SILENT) -> Sources:
    """Separate exports from dumps, and read the dumps' decisions.

    Raises:
        ExportError: A file cannot be read, or a dump is damaged.
    """
    for file in files:
        file.index(progress)
    dumps = tuple(notes for file in files if (notes := read_dump_notes(file)))
    return Sources(tuple(file for file in files if not file.index().is_dump), dumps)


def load_current_version(registry: Registry) -> CurrentVersion:
    """Return the current version with its training record; the demo's version does not count.

    Without a current version the chat is that of the only stored history, if there is one: an
    earlier run may have ended before it created a version.
    """
    name, found, problem = None, None, None
    try:
        if name := registry.current:
            found = registry.open(name)
            if found.card.public and name not in list_receipts(registry.root):
                found = None
    except ArtifactError as error:
        problem = str(error)
    if found is None:
        stored = list_chats(registry.root)
        chat = LearnedChat(stored[0].chat_id, stored[0].name) if len(stored) == 1 else None
        return CurrentVersion(chat=chat, problem=problem, name=name)
    record = _load_training_record(registry.root, found)
    chat = find_successor(registry.root, found.card.chats[0]) if found.card.chats else None
    return CurrentVersion(found, record, chat, name=name)


def find_models_folder(
    root: Path,
    files: Sequence[ExportFile],
    wanted: str | None = None,
    progress: Progress = SILENT,
) -> Path:
    """Return the models folder for the chat in these files: that of a group, or `root`.

    A folder is known by the chat of its current version or history. If several belong to the same
    chat, the first group by name has it, as in the bot.

    Raises:
        ExportError: A file is not an export, or cannot be read.
        TrainingError: There are folders of groups, and none belongs to this chat.
    """
    groups = [one.root for one in Registry(root).group_folders().values()]
    if not groups:
        return root
    given = list_exported_chats(files, wanted, progress)
    if not given:
        return root  # merging says what is wrong with the files
    ids = {chat.chat_id for chat in given}
    for folder in (*groups, root):
        chats = _find_chats(folder)
        if ids & chats or (folder == root and chats):  # merging names the chat that was expected
            return folder
    raise TrainingError(
        f"no models folder in {root} belongs to {make_printable_name(given[0].name)} "
        f"({given[0].chat_id}): use --models-dir {root / GROUPS}/NAME for a separate model, or "
        f"--models-dir {root} to replace the default model"
    )


def _find_chats(folder: Path) -> set[int]:
    """Return the ids of a folder's chat, before and after it became a supergroup."""
    try:
        chat = load_current_version(Registry(folder)).chat
        former = {one.former for one in list_chats(folder)}
    except (UnderstudyError, OSError):
        return set()  # the bot and `understudy-bot check` report it
    return {number for number in (chat.chat_id if chat else None, *former) if number is not None}


def check_dump_given(sources: Sources, current: CurrentVersion, request: RetrainRequest) -> None:
    """Refuse to run without a dump if a bot may have received an `/optout`.

    Raises:
        UnderstudyError: A model exists, no dump was passed, and `no_live_bot` is not set.
    """
    has_model = current.artifact is not None or current.problem is not None
    if has_model and not sources.dumps and not request.no_live_bot:
        raise UnderstudyError(
            "there is no dump of the bot, but people may have sent it /optout: add the file that "
            "`understudy-bot dump FILE` writes, or use --no-live-bot if no bot is running"
        )


def update_history(
    request: RetrainRequest,
    dependencies: RetrainDependencies,
    current: CurrentVersion,
    sources: Sources,
    merged: MergedChat,
) -> Intake:
    """Apply consent to a merged chat, erase what it forbids, and store the rest as the history.

    Raises:
        ExportError: The exports are from different accounts, too much of a file is damaged, or the
            user did not confirm a shorter export.
    """
    check_chat(merged.chat, merged.spool.count_author_clashes(merged.chat.chat_id))
    check_damage(merged.chat, skip_damaged=request.skip_damaged)
    _confirm_shorter_export(merged, dependencies)
    file = request.roster or request.root / ROSTER_FILE
    people = update_people(
        merged,
        file,
        [export.path.with_name(ROSTER_FILE) for export in sources.exports],
        current.artifact.card.roster if current.artifact else None,
        request.min_messages,
        [
            name
            for notes in sorted(sources.dumps, key=lambda one: one.written_at)
            for name in notes.names
        ],
    )
    withhold_text(merged, people.roster)
    removed_pairs = _read_removed_pairs(request.root, current, merged)
    dependencies.watch.begin("erase")
    if erased := _erase(request.root, people.roster, merged):
        print_indented(erased, dependencies.watch.console)
    dependencies.watch.begin("keep")
    _store_history(merged)
    intake = _make_intake(merged, people, file, current.record, removed_pairs)
    if current.artifact is None:
        return intake
    name = current.artifact.path.name
    why = explain_withdrawn_words(Registry(request.root), name, merged.ledger)
    return replace(intake, withdrawn_words=f"{name} {why}" if why else None)


def _read_removed_pairs(root: Path, current: CurrentVersion, merged: MergedChat) -> frozenset[str]:
    """Return the current ids of the pairs removed from the current version's dataset."""
    dataset = find_dataset(current.artifact) if current.artifact else None
    removed = read_removed(None, Path(dataset or root) / REMOVED)
    ids = (map(int, pair.split("/")) for pair in removed)
    return frozenset(f"{merged.chat.chat_id}/{current_id(merged, *pair)}" for pair in ids)


def _store_history(merged: MergedChat) -> None:
    """Write a merged chat as the new history."""
    merged.ledger = replace(merged.ledger, deleted=merged.ledger.deleted + merged.deleted)
    history = replace(merged.history, ledger=merged.ledger)
    rows = merged.spool.rows(merged.chat.chat_id)
    merged.history = write_history(history, merged.header, rows, list(merged.spool.names))


def _make_intake(
    merged: MergedChat,
    people: People,
    file: Path,
    record: TrainingRecord | None,
    removed_pairs: frozenset[str],
) -> Intake:
    """Count the messages that are new and deleted since the current version was trained."""
    total = merged.spool.counts(merged.chat.chat_id).messages
    new = untrained = total
    deleted_before = 0
    if record:
        new = merged.count_newer(record.through, people.roster)
        untrained = merged.count_newer(record.held_out_since, people.roster)
        deleted_before = record.deleted
    # The ledger also counts what a killed run found.
    deleted = max(merged.deleted, merged.ledger.deleted - deleted_before)
    return Intake(merged, people, file, new, untrained, total, deleted, removed_pairs)


def explain_too_few_messages(
    request: RetrainRequest, current: CurrentVersion, intake: Intake
) -> str | None:
    """Return why training is not worthwhile, or None if it is."""
    is_forced = request.force_training or intake.new >= request.min_new_messages
    if current.record is None or is_forced:
        return None
    text = (
        f"{f'only {intake.new:,}' if intake.new else 'no'} new messages since "
        f"{current.record.through:%Y-%m-%d %H:%M} UTC, {request.min_new_messages:,} are needed"
    )
    if intake.withdrawn_words:
        return f"{text}. But {intake.withdrawn_words}: train with --force-training"
    return f"{text}: wait, or train with --force-training"


def _load_training_record(root: Path, artifact: Artifact) -> TrainingRecord:
    """Return a version's training record: from its receipt, its dataset, or its training date."""
    if record := read_receipt(root, artifact.path.name):
        return record
    try:
        summary = read_summary(Path(find_dataset(artifact) or "") / SUMMARY)
    except DatasetError:
        day = artifact.card.provenance.get("trained_at")
        trained_at = datetime.fromisoformat(day) if day else datetime.now(UTC)
        return TrainingRecord(trained_at, trained_at)
    splits = {split.name: split for split in summary.splits}
    newest = max(split.last for split in summary.splits)
    through = min(newest, datetime.now(UTC))
    return TrainingRecord(through, splits["test"].first, summary.min_messages)


def _confirm_shorter_export(merged: MergedChat, dependencies: RetrainDependencies) -> None:
    """Ask whether to use an export with fewer messages than the history: it may be incomplete.

    An export that an earlier run merged was confirmed then, so it is not asked about again.

    Raises:
        ExportError: The user did not confirm it.
    """
    exports = [file for file in merged.files if file.written_at is None]
    if not exports or exports[-1].messages >= merged.stored:
        return
    last, header = exports[-1], merged.history.header
    if header and last.sha256 in header.exports and not merged.deleted:
        return
    text = (
        f"{last.file} contains {last.messages:,} messages of "
        f"{make_printable_name(merged.chat.name)}, but the history has {merged.stored:,}; "
        f"{merged.deleted:,} of these were sent in the export's period and are missing from it"
    )
    with dependencies.watch.paused():
        is_confirmed = dependencies.ask(f"{text} and would be deleted. Is that right?")
    if not is_confirmed:
        raise ExportError(f"{text}: use a complete export, or pass --yes if this is intended")


def _erase(root: Path, roster: Roster, merged: MergedChat) -> str:
    """Delete datasets and checkpoints with forgotten messages or words of people who withdrew.

    Checkpoints are deleted if there is anything to erase that was not erased before. Return a line
    about what was erased and why, or "". No training is running, because this is `retrain`.
    """
    withdrawn, before = merged.ledger.withdrawn, merged.history.ledger
    ids_before = {number for withdrawal in before.withdrawn for number in withdrawal.ids}
    is_new = not (merged.ledger.forgotten <= before.forgotten and roster.excluded_ids <= ids_before)
    reasons = _erase_datasets(root, merged)
    erased = [f"{len(reasons)} dataset{'s' if len(reasons) != 1 else ''}"] if reasons else []
    why = "; ".join(dict.fromkeys(reasons))
    if is_new:
        if any((root / "training").glob("*")):
            erased.append("the checkpoints")
            new = [
                withdrawal.reason
                for withdrawal in withdrawn
                if not ids_before.issuperset(withdrawal.ids)
            ]
            why = why or "; ".join(new) or "messages must be forgotten"
        shutil.rmtree(root / "training", ignore_errors=True)
    return f"erased {' and '.join(erased)}: {why}" if erased else ""


def _erase_datasets(root: Path, merged: MergedChat) -> list[str]:
    """Delete incomplete datasets and those with words that must go; return a reason for each."""
    withdrawn, forgotten = merged.ledger.withdrawn, current_forgotten_ids(merged)
    reasons: list[str] = []
    for folder in list(list_datasets(root)):
        if contains_words_of(folder, set()):
            reason = "it was incomplete"
        elif found := [
            withdrawal for withdrawal in withdrawn if contains_words_of(folder, set(withdrawal.ids))
        ]:
            reason = "; ".join(withdrawal.reason for withdrawal in found)
        elif forgotten:
            try:
                if forgotten.isdisjoint(_read_message_ids(folder, merged)):
                    continue
                reason = "it contained messages that must be forgotten"
            except DatasetError:
                reason = "it was damaged, and messages must be forgotten"
        else:
            continue
        reasons.append(reason)
        record_erasure(root, [folder], reason)  # before deleting: a kill keeps the reason
        delete_dataset(folder)
    return reasons


def _read_message_ids(folder: Path, merged: MergedChat) -> set[int]:
    """Return the current ids of all messages in a dataset."""
    [chat] = read_summary(folder / SUMMARY).chats
    return {current_id(merged, chat.chat_id, number) for number in read_message_ids(folder)}
