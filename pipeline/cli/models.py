"""The `models` commands."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import rich_click as click
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from model.artifacts import archive
from model.artifacts.archive import Manifest, list_file_names
from model.artifacts.artifact import Card
from model.artifacts.commands import promote_command, purge_command
from model.artifacts.registry import (
    Registry,
    describe_group_folder,
    explain_no_model,
    list_receipts,
)
from model.chat.names import make_printable, make_printable_name
from model.chat.person import Person
from model.chat.roster import Roster
from model.command_line import add_commands, make_app
from model.errors import ArtifactError, describe_error
from model.options import Option
from pipeline.cli.options import MODELS, ModelsDir, Version, require_training
from pipeline.dataset.roster_file import read_roster
from pipeline.terminal import Progress, nats_note, table
from pipeline.versions.lineage import apply_roster_file, find_withdrawn_by_version, remove_version
from pipeline.versions.receipt import show_receipt

PublicRepo = Annotated[bool, Option("Make the repository public")]
Yes = Annotated[bool, Option("Push without asking")]

_LEARNED = (
    "The weights have learned the chat: whoever can read them can extract messages from them."
)
_FORGET = (
    "silent, and hidden in new prompts; the weights still contain their messages until you build "
    "and train again"
)
_NO_VOICE = "no voice, because the model was not trained on it: build and train again to add it"
_FIELDS = ("ids", "names", "aliases", "learn", "imitate")


def list_models(models_dir: ModelsDir = MODELS) -> None:
    """List the versions, newest last.

    Marks the current version with *, and versions that were trained on messages of people who have
    withdrawn with !. Also lists the folders of groups that have their own models.
    """
    registry = Registry(models_dir)
    if not registry.names:
        print(explain_no_model(models_dir))
        _print_group_folders(registry)
        return
    columns = ("", "version", "trained", "base", "nats/char", "voices")
    versions = table(*columns, words={"version", "trained", "base", "voices"})
    withdrawn = find_withdrawn_by_version(registry)
    for name in registry.names:
        marks = ("*" if registry.is_current(name) else "") + ("!" if name in withdrawn else "")
        try:
            card = registry.open(name).card
        except ArtifactError as error:
            facts = ["", "", "", f"cannot be used: {make_printable(str(error))}"]
        else:
            loss = card.scores.get("nats_per_character", {}).get("whole", {}).get("tuned")
            facts = [
                str(card.provenance.get("trained_at", ""))[:10],
                card.base,
                "" if loss is None else f"{loss:.2f}",
                ", ".join(person.name for person in card.roster.voices),
            ]
        versions.add_row(*map(Text, (marks, name, *facts)))
    _console().print(versions)
    _print_withdrawn(registry, registry.names)
    _print_group_folders(registry)


def show(
    version: Version = "current",
    receipt: Annotated[
        bool, Option("Show how `retrain` trained it, even if it was deleted")
    ] = False,
    models_dir: ModelsDir = MODELS,
) -> None:
    """Show a version's origin, voices and losses."""
    registry = Registry(models_dir)
    if receipt:
        print(show_receipt(models_dir, registry.find(version, list_receipts(models_dir))))
        return
    artifact = registry.open(version)
    card, console = artifact.card, _console()
    is_current = registry.is_current(artifact.path.name)
    console.print(f"{artifact.path.name}{', the current version' if is_current else ''}")
    facts = table("", "", plain=True)
    for topic, text in _facts(card):
        facts.add_row(topic, Text(text))
    console.print(Padding.indent(facts, 2))
    losses = table("voice", "may be imitated", "untuned", "tuned", words={"may be imitated"})
    nats = card.scores.get("nats_per_character", {})
    for person in card.roster.voices:
        own = nats.get("voices", {}).get(person.name, {})
        losses.add_row(Text(person.name), person.imitate, *_losses(own))
    losses.add_row("all", "", *_losses(nats.get("whole", {})))
    if nats.get("fresh"):
        losses.add_row("all, without training targets", "", *_losses(nats["fresh"]))
    console.print()
    console.print(Padding.indent(losses, 2))
    console.print(nats_note(nats.get("replies", 0)), style="dim")


def roster(
    version: Version,
    file: Annotated[
        Path, Option("Roster file, such as the dataset's roster.toml", is_argument=True)
    ],
    models_dir: ModelsDir = MODELS,
) -> None:
    """Update the roster of a version without training.

    Use it when people agree or withdraw. Names cannot change: the model was trained with them.
    """
    registry, wanted = Registry(models_dir), read_roster(file)
    before = registry.open(registry.find(version)).card.roster
    after = registry.open(registry.change_roster(version, wanted)).card.roster
    console = _console()
    changes = list(_changes(before, after))
    for line in changes or ["Nothing changed."]:
        console.print(line, soft_wrap=not console.is_terminal)
    if changes:
        console.print("A running bot applies this within seconds.")
    names = {person.name for person in wanted.voices}
    _print_silent(person for person in after.people if person.name in names)


def promote(version: Version, models_dir: ModelsDir = MODELS) -> None:
    """Make a version the current one."""
    registry = Registry(models_dir)
    print(f"{registry.promote(version)} is the current version now.")
    _print_withdrawn(registry, filter(registry.is_current, registry.names))


def rollback(models_dir: ModelsDir = MODELS) -> None:
    """Go back to the version that was current before."""
    registry = Registry(models_dir)
    print(f"{registry.rollback()} is the current version again.")
    _print_withdrawn(registry, filter(registry.is_current, registry.names))


def export(
    version: Version,
    file: Annotated[Path, Option("File to write, or a folder for it", is_argument=True)],
    with_weights: Annotated[bool, Option("Include the weights needed to train further")] = False,
    models_dir: ModelsDir = MODELS,
) -> None:
    """Export a version as one file.

    `models import` reads it on another machine.
    """
    artifact = Registry(models_dir).open_verified(version)
    destination = file / f"understudy-{artifact.path.name}.zip" if file.is_dir() else file
    names = list_file_names(artifact.path, with_weights=with_weights)
    size = sum((artifact.path / name).stat().st_size for name in names)
    with _progress().count("Packing", size) as advance:
        packed = archive.write_bundle(
            artifact, destination, with_weights=with_weights, on_bytes=advance
        )
    megabytes = destination.stat().st_size / 1e6
    print(f"Wrote {destination}, {megabytes:,.1f} MB; contents sha256 {packed.sha256}")
    print(f"{_LEARNED}\nShare the file only with people who may read the chat.")
    _print_silent(_learned_people(artifact.card))


def import_model(
    source: Annotated[
        str, Option("Exported file, or a hub repository: you/model", "PATH", is_argument=True)
    ],
    models_dir: ModelsDir = MODELS,
) -> None:
    """Import a model from a file or the Hugging Face hub."""
    registry = Registry(models_dir)
    received, manifest = (
        _import_file(registry, Path(source))
        if Path(source).exists()
        else _import_from_hub(registry, source)
    )
    apply_roster_file(registry)
    name = received.name
    already = "" if received.is_new else " already"
    print(
        f"{manifest.version} from {source} is{already} {name} here; contents sha256 "
        f"{manifest.sha256}"
    )
    if not received.is_new:
        print("No new version was created; the version's roster was updated.")
    _print_silent(_learned_people(registry.open(name).card))
    if not registry.is_current(name):
        print(f"To make it the current version: {promote_command(models_dir, name)}")


def push(
    version: Version,
    repository: Annotated[
        str, Option("Repository such as you/model; created if missing", is_argument=True)
    ],
    public_repo: PublicRepo = False,
    yes: Yes = False,
    models_dir: ModelsDir = MODELS,
) -> None:
    """Push a version to a Hugging Face repository.

    The repository contains the weights. It is private without --public-repo.
    """
    registry = Registry(models_dir)
    card = registry.open_verified(version).card
    confirm_push(repository, card.roster, public_chat=card.public, public_repo=public_repo, yes=yes)
    push_version(registry, version, repository, public_repo=public_repo)


def remove(version: Version, models_dir: ModelsDir = MODELS) -> None:
    """Delete a version that is not the current one."""
    registry = Registry(models_dir)
    name = remove_version(registry, version)
    has_receipt = name in list_receipts(registry.root)
    print(f"{name} is deleted{'; its receipt is kept' if has_receipt else ''}.")


def purge(
    person: Annotated[str, Option("Name of a person who withdrew")],
    models_dir: ModelsDir = MODELS,
) -> None:
    """Delete all versions that were trained on a person's messages.

    None of them may be the current version.
    """
    require_training()
    from pipeline.versions.erasure import purge_person

    deleted = purge_person(Registry(models_dir), person)
    if not deleted:
        print(f"No version was trained on messages of {make_printable(person)}.")
    for name in deleted:
        print(f"{name} is deleted.")


def rebuild(
    dumps: Annotated[
        list[Path] | None,
        Option("Files written by `understudy-bot dump`", "DUMP", is_argument=True),
    ] = None,
    models_dir: ModelsDir = MODELS,
) -> None:
    """Rebuild a lost or damaged models.db from dumps of the bot.

    Pass a dump of each group, so that no /optout is lost.
    """
    require_training()
    from pipeline.export.files import find_exports
    from pipeline.retrain.rebuild import rebuild_database

    found = rebuild_database(Registry(models_dir), find_exports(dumps or (), _progress()))
    print(f"Rebuilt models.db. Versions: {found.versions}; decisions: {found.decisions}.")
    if found.refusals:
        print(f"Not imitated or not learned from: {', '.join(found.refusals)}.")
    print(
        "Lost: decisions that are in none of these dumps, receipts, earlier promotions and the "
        "merged history. Pass all exports and dumps to the next `understudy retrain`."
    )
    if found.kept:
        print(
            f"The damaged file is {found.kept}. It contains messages: the next retraining or purge "
            "deletes it."
        )


app = make_app("Manage the trained models: list, promote, export, delete.")
add_commands(
    app,
    (
        (list_models, "understudy models list"),
        (show, "understudy models show 7"),
        (promote, "understudy models promote 7"),
        (rollback, "understudy models rollback"),
        (roster, "understudy models roster current artifacts/roster.toml"),
        (export, "understudy models export 7 hugo.zip"),
        (import_model, "understudy models import hugo.zip"),
        (push, "understudy models push 7 you/model"),
        (remove, "understudy models remove 6"),
        (purge, 'understudy models purge --person "Hugo Silva"'),
        (rebuild, "understudy models rebuild live.json"),
    ),
    list_models="list",
    import_model="import",
)


def confirm_push(
    repository: str, roster: Roster, *, public_chat: bool, public_repo: bool, yes: bool
) -> None:
    """Say what a repository will contain and ask whether to push; exit if the answer is no.

    Raises:
        ArtifactError: Nobody is signed in to the hub, or it cannot be reached.
    """
    from pipeline.versions import hub

    hub.require_sign_in(hub.open_hub())
    readers = "Anyone" if public_repo else "Only you and people you invite"
    print(f"{readers} will be able to read {repository}. {_LEARNED}")
    if public_repo and not public_chat:
        silent = [p.name for p in roster.people if p.name not in hub.agreed_names(roster)]
        if silent:
            print(
                f"{', '.join(silent)} did not agree to be imitated: their names and ids are left "
                "out, but the weights have learned their messages too."
            )
    elif not public_repo:
        print("It will contain everybody's names and Telegram ids.")
    if not yes:
        click.confirm("Push it?", abort=True)


def push_version(registry: Registry, version: str, repository: str, *, public_repo: bool) -> None:
    """Push a version and print its address.

    Raises:
        ArtifactError: The hub refuses, or cannot be reached.
    """
    from pipeline.versions import hub

    artifact = registry.open(version)
    with _progress().step(f"Uploading {artifact.path.name}"):
        address = hub.push(hub.open_hub(), artifact, repository, public_repo=public_repo)
    print(f"{artifact.path.name} is at {address}")


def _console() -> Console:
    return Console(highlight=False, markup=False)


def _progress() -> Progress:
    return Progress(Console(stderr=True, highlight=False))


def _facts(card: Card) -> Iterator[tuple[str, str]]:
    """Yield what `show` prints about a version: a topic and a text."""
    source = card.provenance
    trained = []
    if at := source.get("trained_at"):
        trained.append(f"{str(at)[:16].replace('T', ' ')} UTC")
    if steps := source.get("steps"):
        trained.append(f"in {steps:,} steps")
    if commit := source.get("commit"):
        trained.append(f"at commit {str(commit)[:9]}")
    yield "base", f"{card.base} ({card.family})"
    yield "trained", " ".join(trained) or "unknown"
    yield (
        "learned from",
        ", ".join(f"{make_printable_name(chat.title)} ({chat.chat_id})" for chat in card.chats),
    )
    gap = card.window.gap.total_seconds() / 60
    yield "window", f"{card.window.size} messages; {gap:g} minutes of silence end a conversation"
    yield "prompt", f"at most {card.max_prompt_tokens} tokens, rules {card.prompt}"
    if silent := [person for person in card.roster.people if person.opted_out]:
        yield "opted out", "; ".join(f"{one.name} {one.why_silent}" for one in silent)
    if card.public:
        yield "public", "the bot may speak anywhere"
    for key, value in card.scores.items():
        if key == "nats_per_character":
            continue
        text = str(value)
        if isinstance(value, Mapping):  # what is nested deeper is in model.json only
            flat = {k: v for k, v in value.items() if not isinstance(v, Mapping | list)}
            text = ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in flat.items())
        yield key.replace("_", " "), text


def _losses(nats: Mapping[str, float]) -> list[str]:
    return [f"{nats[key]:.3f}" if key in nats else "" for key in ("untuned", "tuned")]


def _changes(before: Roster, after: Roster) -> Iterator[str]:
    """Yield what a new roster changes, one line a person, and what it cannot change."""
    old = {person.name: person for person in before.people}
    for person in after.people:
        if person.name not in old:
            yield f"{person.name}: new; {_NO_VOICE}"
        elif changes := list(_changes_of(old[person.name], person)):
            yield f"{person.name}: {'; '.join(changes)}"
    for key in ("bots", "understudies"):
        old_ids, new_ids = sorted(getattr(before, key)), sorted(getattr(after, key))
        if old_ids != new_ids:
            yield f"{key}: {_listed(old_ids)} → {_listed(new_ids)}"


def _changes_of(before: Person, after: Person) -> Iterator[str]:
    for key in _FIELDS:
        old, new = getattr(before, key), getattr(after, key)
        if old != new:
            yield f"{key} {_listed(old)} → {_listed(new)}"
    if before.learn != after.learn:
        yield _FORGET if after.learn == "no" else "new prompts include their messages"
    has_changed = (before.learn, before.imitate) != (after.learn, after.imitate)
    if has_changed and after.is_only_quiet:
        yield _NO_VOICE


def _listed(value: str | Iterable[Any]) -> str:
    if isinstance(value, str):
        return value
    return ", ".join(make_printable(str(item)) for item in value) or "none"


def _learned_people(card: Card) -> list[Person]:
    return [person for person in card.roster.people if person.name in card.learned]


def _print_silent(people: Iterable[Person]) -> None:
    """Print which of these people may not be imitated, and why."""
    for person in people:
        if person.imitate == "no" or person.learn == "no":
            _console().print(f"{person.name} {person.why_silent}: no voice.")


def _print_group_folders(registry: Registry) -> None:
    """Print a table of the groups that have their own models."""
    folders = registry.group_folders()
    if not folders:
        return
    groups = table("folder", "chat", "current version", words={"folder", "chat", "current version"})
    for name, own in folders.items():
        try:
            artifact = own.open("current")
        except (ArtifactError, OSError) as error:
            chats, version = "", f"cannot be used: {describe_error(error)}"
        else:
            chats = ", ".join(make_printable_name(chat.title) for chat in artifact.card.chats)
            version = artifact.path.name
        groups.add_row(*map(Text, (describe_group_folder(name), chats, version)))
    _console().print("\nGroups with their own models:")
    _console().print(groups)


def _print_withdrawn(registry: Registry, names: Iterable[str]) -> None:
    """Print which of these versions contain messages of people who withdrew."""
    console, people = _console(), find_withdrawn_by_version(registry)
    found = {name: people[name] for name in names if name in people}
    for name, withdrawn in found.items():
        console.print(f"! {name} was trained on messages of {', '.join(withdrawn)}, who withdrew")
    for person in dict.fromkeys(
        withdrawal for withdrawn in found.values() for withdrawal in withdrawn
    ):
        console.print(
            "To delete such versions, once another version is current: "
            f"{purge_command(person, registry.root)}"
        )


def _import_file(registry: Registry, file: Path) -> tuple[archive.ImportResult, Manifest]:
    if not file.is_file():
        raise ArtifactError(f"{file} was not written by `understudy models export`")
    with (
        archive.open_bundle(file) as packed,
        _progress().count("Unpacking", packed.manifest.size) as advance,
    ):
        received = archive.import_artifact(
            registry, str(file), lambda folder: packed.unpack(folder, advance)
        )
    return received, packed.manifest


def _import_from_hub(registry: Registry, repository: str) -> tuple[archive.ImportResult, Manifest]:
    from pipeline.versions import hub

    if not hub.HUB_ID.fullmatch(repository) or repository.endswith(".zip"):
        raise ArtifactError(
            f"there is no file {repository}; a repository on the hub has a name like you/model"
        )
    found: list[Manifest] = []
    with _progress().step(f"Fetching {repository}"):
        api = hub.open_hub()
        received = archive.import_artifact(
            registry, repository, lambda folder: found.append(hub.pull(api, repository, folder))
        )
    return received, found[0]
