"""`understudy models list | show | promote | rollback | remove | purge | roster | export | …`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from model import bundle
from model.artifact import Card
from model.errors import ArtifactError
from model.manifest import Manifest, Told, file_names
from model.registry import Registry, no_model
from model.roster import Person, Roster
from pipeline import removal, show
from pipeline.options import MODELS, ModelsDir
from pipeline.progress import step
from pipeline.retrain.known import still_known
from pipeline.retrain.silence import silence_known
from pipeline.roster_file import read_roster

Version = removal.Version

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
for command in (removal.remove, removal.purge):
    app.command()(command)


@app.command("list")
def list_models(models_dir: ModelsDir = MODELS) -> None:
    """List the versions, the newest last; * serves, ! knows words of somebody who withdrew."""
    registry = Registry(models_dir)
    if not registry.names:
        print(no_model(models_dir))
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("", "version", "trained", "base", "nats/char", "voices"):
        table.add_column(heading, overflow="fold")
    still = still_known(registry)
    for name in registry.names:
        marks = ("*" if registry.serves(name) else "") + ("!" if name in still else "")
        table.add_row(marks, name, *_facts(registry, name))
    console = Console(highlight=False, markup=False)
    console.print(table)
    removal.print_still_known(still, console, models_dir)


@app.command("show")
def show_model(version: Version = "current", models_dir: ModelsDir = MODELS) -> None:
    """Show where a version comes from, what it was trained on and how well it foresees replies."""
    registry = Registry(models_dir)
    artifact = registry.open(version)
    show.print_artifact(
        artifact, Console(highlight=False, markup=False), serves=registry.serves(artifact.path.name)
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
    show.print_changes(before, after, console)
    wished = {person.name for person in wanted.voices}
    show.print_silent((one for one in after.roster.people if one.name in wished), console)


@app.command()
def promote(version: Version, models_dir: ModelsDir = MODELS) -> None:
    """Let a version serve."""
    registry = Registry(models_dir)
    print(f"{registry.promote(version)} serves now")
    removal.print_serving_known(registry)


@app.command()
def rollback(models_dir: ModelsDir = MODELS) -> None:
    """Let the version serve that did before the current one."""
    registry = Registry(models_dir)
    print(f"{registry.rollback()} serves again")
    removal.print_serving_known(registry)


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
    artifact = Registry(models_dir).whole(version)
    place = file / f"understudy-{artifact.path.name}.zip" if file.is_dir() else file
    names = file_names(artifact.path, with_weights=with_weights)
    with _bar("Packing", sum((artifact.path / name).stat().st_size for name in names)) as told:
        packed = bundle.pack(artifact, place, with_weights=with_weights, told=told)
    print(f"wrote {place}, {_megabytes(place.stat().st_size)}; contents sha256 {packed.sha256}")
    print(f"{_LEARNED}\nGive the file only to who may read the chat.")
    show.print_silent(learned_people(artifact.card), Console(highlight=False, markup=False))


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
    show.print_silent(learned_people(card), Console(highlight=False, markup=False))
    if not registry.serves(name):
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
    card = registry.whole(version).card
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
    from pipeline import hub

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
    from pipeline import hub

    artifact = registry.open(version)
    with step(Console(highlight=False), f"Uploading {artifact.path.name}"):
        address = hub.push(hub.open_hub(), artifact, repository, public=public)
    print(f"{artifact.path.name} is at {address}")


def _import_file(registry: Registry, file: Path) -> tuple[bundle.Received, Manifest]:
    if not file.is_file():
        raise ArtifactError(f"{file} is no file that `understudy models export` wrote")
    with bundle.opened(file) as packed, _bar("Unpacking", packed.manifest.size) as told:
        received = bundle.receive(registry, str(file), lambda folder: packed.unpack(folder, told))
    return received, packed.manifest


def _import_from_hub(registry: Registry, repository: str) -> tuple[bundle.Received, Manifest]:
    from pipeline import hub

    if not hub.HUB_ID.fullmatch(repository) or repository.endswith(".zip"):
        raise ArtifactError(f"there is no file {repository}, and a repository is like you/model")
    found: list[Manifest] = []
    with step(Console(highlight=False), f"Fetching {repository}"):
        api = hub.open_hub()
        received = bundle.receive(
            registry, repository, lambda folder: found.append(hub.fetch(api, repository, folder))
        )
    return received, found[0]


@contextmanager
def _bar(title: str, size: int) -> Iterator[Told]:
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


def _facts(registry: Registry, name: str) -> list[str]:
    try:
        card = registry.open(name).card
    except ArtifactError as error:
        return ["", "", "", f"cannot be used: {error}"]
    trained = str(card.provenance.get("trained_at", ""))[:10]
    after = card.scores.get("nats_per_character", {}).get("whole", {}).get("tuned")
    voices = ", ".join(person.name for person in card.roster.voices)
    return [trained, card.base, "" if after is None else f"{after:.2f}", voices]
