"""The `models` commands."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from model.artifacts import archive
from model.artifacts.archive import Manifest, OnBytes, list_file_names
from model.artifacts.artifact import Artifact, Card
from model.artifacts.registry import Registry, explain_no_model, receipt_path
from model.chat.names import make_printable, make_printable_name
from model.chat.roster import Person, Roster
from model.errors import ArtifactError
from pipeline.cli.options import MODELS, ModelsDir, require_training
from pipeline.dataset.roster_file import read_roster
from pipeline.terminal import nats_note, step, table
from pipeline.versions.lineage import remove_version, silence_known, still_known

_FORGET = (
    "silent and unseen from now on, but the weights still know their words until you build again "
    "and train from that"
)
_SEEN = "what they say is seen from now on"
_NO_VOICE = "no voice, which this model has not learned: build again and train for that"
_FIELDS = ("ids", "names", "aliases", "learn", "imitate")


def print_artifact(artifact: Artifact, console: Console, *, serves: bool) -> None:
    """Print a card: where the model comes from, its voices and its scores."""
    card = artifact.card
    console.print(f"{artifact.path.name}{', serves now' if serves else ''}")
    facts = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for about, says in _facts(card):
        facts.add_row(about, Text(says))
    console.print(Padding.indent(facts, 2))
    console.print()
    console.print(Padding.indent(_voices(card), 2))
    replies = card.scores.get("nats_per_character", {}).get("replies", 0)
    console.print(nats_note(replies), style="dim")


def print_changes(before: Card, after: Card, console: Console) -> None:
    """Print what a new roster changes, person by person, and what it does not."""
    changes = list(_changes(before, after))
    for line in changes or ["nothing changed"]:
        console.print(line, soft_wrap=not console.is_terminal)
    if changes:
        console.print("A running bot applies this within seconds.")


def print_silent(people: Iterable[Person], console: Console) -> None:
    """Print who of these may not be imitated, and why."""
    for person in people:
        if person.imitate == "no" or person.learn == "no":
            console.print(f"{person.name} {person.why_silent}: no voice.")


def _facts(card: Card) -> Iterator[tuple[str, str]]:
    told = card.provenance
    yield "base", f"{card.base} ({card.family})"
    yield "trained", " ".join(_trained(told)) or "unknown"
    yield (
        "learned from",
        ", ".join(f"{make_printable_name(chat.title)} ({chat.chat_id})" for chat in card.chats),
    )
    gap = card.window.gap.total_seconds() / 60
    yield "window", f"{card.window.size} messages; a silence of {gap:g} minutes ends a session"
    yield "prompt", f"at most {card.max_prompt_tokens} tokens, rules {card.prompt}"
    if silent := [one for one in card.roster.people if one.opted_out]:
        yield "opted out", "; ".join(f"{one.name} {one.why_silent}" for one in silent)
    if card.public:
        yield "public", "the bot may speak anywhere"
    for key, value in card.scores.items():
        if key != "nats_per_character":
            yield key.replace("_", " "), _figures(value)


def _trained(told: Mapping[str, Any]) -> Iterator[str]:
    if at := told.get("trained_at"):
        yield str(at)[:16].replace("T", " ") + " UTC"
    if steps := told.get("steps"):
        yield f"in {steps:,} steps"
    if commit := told.get("commit"):
        yield f"of commit {str(commit)[:9]}"


def _figures(value: Any) -> str:  # noqa: ANN401  JSON's border
    """Return figures in a line; what is nested deeper stays in model.json."""
    if not isinstance(value, Mapping):
        return str(value)
    flat = {key: item for key, item in value.items() if not isinstance(item, Mapping | list)}
    return ", ".join(f"{key.replace('_', ' ')} {item}" for key, item in flat.items())


def _voices(card: Card) -> Table:
    losses = table("voice", "may be imitated", "untuned", "tuned", words={"may be imitated"})
    nats = card.scores.get("nats_per_character", {})
    for person in card.roster.voices:
        losses.add_row(
            Text(person.name), person.imitate, *_nats(nats.get("voices", {}), person.name)
        )
    losses.add_row("all of them", "", *_nats(nats, "whole"))
    if nats.get("fresh"):
        losses.add_row("but those seen in training", "", *_nats(nats, "fresh"))
    return losses


def _nats(by_name: Mapping[str, Any], name: str) -> list[str]:
    figures = by_name.get(name, {})
    return [f"{figures[key]:.3f}" if key in figures else "" for key in ("untuned", "tuned")]


def _changes(before: Card, after: Card) -> Iterator[str]:
    old = {person.name: person for person in before.roster.people}
    for now in after.roster.people:
        was = old.get(now.name)
        if changed := list(_changed(was, now)) if was else ["new", _NO_VOICE]:
            yield f"{now.name}: {'; '.join(changed)}"
    yield from _accounts(before.roster, after.roster)


def _changed(was: Person, now: Person) -> Iterator[str]:
    for key in _FIELDS:
        old, new = getattr(was, key), getattr(now, key)
        if old != new:
            yield f"{key} {_said(old)} → {_said(new)}"
    if was.learn != now.learn:
        yield _FORGET if now.learn == "no" else _SEEN
    wanted = (was.learn, was.imitate) != (now.learn, now.imitate)
    if wanted and now.is_only_quiet:
        yield _NO_VOICE


def _accounts(before: Roster, after: Roster) -> Iterator[str]:
    for key in ("bots", "understudies"):
        old, new = sorted(getattr(before, key)), sorted(getattr(after, key))
        if old != new:
            yield f"{key}: {_said(old)} → {_said(new)}"


def _said(value: str | Iterable[Any]) -> str:
    if isinstance(value, str):
        return value
    return ", ".join(make_printable(str(item)) for item in value) or "none"


RemovedVersion = Annotated[str, typer.Argument(help="current, a number such as 7, or a full name")]


def print_still_known(
    still: Mapping[str, Sequence[str]], console: Console, models_dir: Path = MODELS
) -> None:
    """Say which versions know words of people who withdrew, and how to delete them."""
    for name, people in still.items():
        console.print(f"! {name} was made of words of {', '.join(people)}, who withdrew")
    where = "" if models_dir == MODELS else f" --models {models_dir}"
    for person in dict.fromkeys(one for people in still.values() for one in people):
        console.print(
            "To delete such versions, once none of them serves: "
            f'understudy models purge --person "{person}"{where}'
        )


def print_serving_known(registry: Registry) -> None:
    """Say of whom that withdrew the version that serves knows words."""
    still = {one: who for one, who in still_known(registry).items() if registry.is_current(one)}
    print_still_known(still, Console(highlight=False, markup=False), registry.root)


def remove(version: RemovedVersion, models_dir: ModelsDir = MODELS) -> None:
    """Delete a version that does not serve."""
    registry = Registry(models_dir)
    name = remove_version(registry, version)
    has_receipt = receipt_path(registry.root, name).is_file()
    print(f"{name} is deleted{'; its receipt stays' if has_receipt else ''}")


def purge(
    person: Annotated[str, typer.Option(help="the name of somebody who withdrew")],
    models_dir: ModelsDir = MODELS,
) -> None:
    """Delete all versions that were made of a person's words, once none of them serves."""
    require_training()
    from pipeline.versions.erasure import purge as purge_versions

    gone = purge_versions(Registry(models_dir), person)
    if not gone:
        print(f"no version knows words of {person}")
    for name in gone:
        print(f"{name} is gone")


Version = RemovedVersion

Public = Annotated[
    bool, typer.Option("--public", help="where it is pushed, anybody may read: chat and all")
]
Yes = Annotated[bool, typer.Option("--yes", help="push without asking")]

_LEARNED = (
    "The weights have learned the chat: whoever can read them can draw its messages from them."
)

app = typer.Typer(
    help="See the trained models, choose which one serves, and whom it may speak as.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
for command in (remove, purge):
    app.command()(command)


@app.command("list")
def list_models(models_dir: ModelsDir = MODELS) -> None:
    """List the versions, the newest last; * serves, ! knows words of somebody who withdrew."""
    registry = Registry(models_dir)
    if not registry.names:
        print(explain_no_model(models_dir))
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("", "version", "trained", "base", "nats/char", "voices"):
        table.add_column(heading, overflow="fold")
    still = still_known(registry)
    for name in registry.names:
        marks = ("*" if registry.is_current(name) else "") + ("!" if name in still else "")
        table.add_row(marks, name, *_models_facts(registry, name))
    console = Console(highlight=False, markup=False)
    console.print(table)
    print_still_known(still, console, models_dir)


@app.command("show")
def show_model(version: Version = "current", models_dir: ModelsDir = MODELS) -> None:
    """Show where a version comes from, what it was trained on and how well it foresees replies."""
    registry = Registry(models_dir)
    artifact = registry.open(version)
    print_artifact(
        artifact,
        Console(highlight=False, markup=False),
        serves=registry.is_current(artifact.path.name),
    )


@app.command()
def roster(
    version: Version,
    file: Annotated[
        Path, typer.Argument(readable=False, help="a roster.toml, such as the dataset's")
    ],
    models_dir: ModelsDir = MODELS,
) -> None:
    """Give a version, without training, what people agreed to since.

    Names cannot change: they are what the model knows people by.
    """
    registry, wanted = Registry(models_dir), read_roster(file)
    before = registry.open(registry.find(version)).card
    name = registry.change_roster(version, wanted)
    after = registry.open(name).card
    console = Console(highlight=False, markup=False)
    print_changes(before, after, console)
    wished = {person.name for person in wanted.voices}
    print_silent((one for one in after.roster.people if one.name in wished), console)


@app.command()
def promote(version: Version, models_dir: ModelsDir = MODELS) -> None:
    """Let a version serve."""
    registry = Registry(models_dir)
    print(f"{registry.promote(version)} serves now")
    print_serving_known(registry)


@app.command()
def rollback(models_dir: ModelsDir = MODELS) -> None:
    """Let the version serve that did before the current one."""
    registry = Registry(models_dir)
    print(f"{registry.rollback()} serves again")
    print_serving_known(registry)


@app.command()
def export(
    version: Version,
    file: Annotated[
        Path, typer.Argument(readable=False, help="where to write it, or a folder that exists")
    ],
    with_weights: Annotated[
        bool, typer.Option("--with-weights", help="with what training can go on from")
    ] = False,
    models_dir: ModelsDir = MODELS,
) -> None:
    """Write a version as one file, for another machine's `models import`."""
    artifact = Registry(models_dir).open_verified(version)
    place = file / f"understudy-{artifact.path.name}.zip" if file.is_dir() else file
    names = list_file_names(artifact.path, with_weights=with_weights)
    with _bar("Packing", sum((artifact.path / name).stat().st_size for name in names)) as told:
        packed = archive.write_bundle(artifact, place, with_weights=with_weights, on_bytes=told)
    print(f"wrote {place}, {_megabytes(place.stat().st_size)}; contents sha256 {packed.sha256}")
    print(f"{_LEARNED}\nGive the file only to who may read the chat.")
    print_silent(learned_people(artifact.card), Console(highlight=False, markup=False))


@app.command("import")
def import_model(
    source: Annotated[str, typer.Argument(help="a file that `export` wrote, or you/model")],
    models_dir: ModelsDir = MODELS,
) -> None:
    """Add a model of another machine, or of the hub, as the newest version."""
    registry = Registry(models_dir)
    received, manifest = (
        _import_file(registry, Path(source))
        if Path(source).exists()
        else _import_from_hub(registry, source)
    )
    silence_known(registry)
    name = received.name
    number = name.split("-")[0]
    already = "" if received.is_new else " already"
    print(
        f"{manifest.version} of {source} is {name} here{already}; contents sha256 {manifest.sha256}"
    )
    if not received.is_new:
        print("No new version was made; the version's roster was updated.")
    card = registry.open(name).card
    print_silent(learned_people(card), Console(highlight=False, markup=False))
    if not registry.is_current(name):
        print(f"To let it serve: understudy models promote {number}")


@app.command()
def push(
    version: Version,
    repository: Annotated[str, typer.Argument(help="you/model, made if it is not there")],
    public: Public = False,
    yes: Yes = False,
    models_dir: ModelsDir = MODELS,
) -> None:
    """Put a version, weights and all, into a private repository of the Hugging Face hub."""
    registry = Registry(models_dir)
    card = registry.open_verified(version).card
    agree_to_push(repository, card.roster, is_open=card.public, public=public, yes=yes)
    push_version(registry, version, repository, public=public)


def learned_people(card: Card) -> list[Person]:
    """Return the people whose voices the weights know."""
    return [person for person in card.roster.people if person.name in card.learned]


def agree_to_push(
    repository: str, roster: Roster, *, is_open: bool, public: bool, yes: bool
) -> None:
    """Say what a repository will hold, and let a person agree to it; leave the command if not.

    `is_open` is a chat that is nobody's secret.

    Raises:
        ArtifactError: Nobody is signed in at the hub, or it cannot be reached.
    """
    from pipeline.versions import hub

    hub.require_sign_in(hub.open_hub())
    reader = "anybody" if public else "only you and whom you let in"
    print(f"{repository}: {reader} will read it. {_LEARNED}")
    if public and not is_open:
        silent = [p.name for p in roster.people if p.name not in hub.agreed_names(roster)]
        told = f"{', '.join(silent)} did not agree to be imitated: their names and ids stay out, "
        print(told + "what they wrote is in the weights all the same." if silent else "")
    elif not public:
        print("Everybody's names and Telegram ids stand beside them.")
    if not yes:
        typer.confirm("Push it?", abort=True)


def push_version(registry: Registry, version: str, repository: str, *, public: bool) -> None:
    """Push a version, and say where it is now.

    Raises:
        ArtifactError: The hub refuses, or cannot be reached.
    """
    from pipeline.versions import hub

    artifact = registry.open(version)
    with step(Console(highlight=False), f"Uploading {artifact.path.name}"):
        address = hub.push(hub.open_hub(), artifact, repository, public=public)
    print(f"{artifact.path.name} is at {address}")


def _import_file(registry: Registry, file: Path) -> tuple[archive.ImportResult, Manifest]:
    if not file.is_file():
        raise ArtifactError(f"{file} is no file that `understudy models export` wrote")
    with archive.open_bundle(file) as packed, _bar("Unpacking", packed.manifest.size) as told:
        received = archive.import_artifact(
            registry, str(file), lambda folder: packed.unpack(folder, told)
        )
    return received, packed.manifest


def _import_from_hub(registry: Registry, repository: str) -> tuple[archive.ImportResult, Manifest]:
    from pipeline.versions import hub

    if not hub.HUB_ID.fullmatch(repository) or repository.endswith(".zip"):
        raise ArtifactError(f"there is no file {repository}, and a repository is like you/model")
    found: list[Manifest] = []
    with step(Console(highlight=False), f"Fetching {repository}"):
        api = hub.open_hub()
        received = archive.import_artifact(
            registry, repository, lambda folder: found.append(hub.fetch(api, repository, folder))
        )
    return received, found[0]


@contextmanager
def _bar(title: str, size: int) -> Iterator[OnBytes]:
    """Show how much of so many bytes is done, in a terminal."""
    columns = (TextColumn("  {task.description}"), BarColumn(28), DownloadColumn())
    console = Console()
    with Progress(
        *columns, TimeRemainingColumn(), console=console, transient=True,
        disable=not console.is_terminal,
    ) as progress:  # fmt: skip
        task = progress.add_task(title, total=size)
        yield lambda done: progress.advance(task, done)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def _models_facts(registry: Registry, name: str) -> list[str]:
    try:
        card = registry.open(name).card
    except ArtifactError as error:
        return ["", "", "", f"cannot be used: {error}"]
    trained = str(card.provenance.get("trained_at", ""))[:10]
    after = card.scores.get("nats_per_character", {}).get("whole", {}).get("tuned")
    voices = ", ".join(person.name for person in card.roster.voices)
    return [trained, card.base, "" if after is None else f"{after:.2f}", voices]
