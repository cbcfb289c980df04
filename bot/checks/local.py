"""Check the files, the machine and the model."""

import asyncio
import os
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path

import ctranslate2

from bot.errors import StoreError
from bot.services.access import StoredPermissions, index_by_chat
from bot.settings import Settings
from bot.store.backend import ANOTHER
from bot.store.database import (
    Version,
    database_file,
    describe_mismatch,
    is_locked,
    make_backend,
    read_version,
)
from bot.store.groups import DecisionsByUser, Group
from bot.store.sqlite import SqliteFile
from bot.texts import EN
from model.artifacts.artifact import Artifact, Card
from model.artifacts.registry import GROUPS, Registry, describe_group_folder
from model.errors import ArtifactError, UnderstudyError, describe_error
from model.findings import Finding, fix, note, ok
from model.machine import count_cores

ENV_FILE = Path(".env")
MIB = 2**20
MIN_FREE = 50 * MIB
LOW_FREE = 500 * MIB
_OTHERS = 0o077


def check_settings_file() -> Finding:
    """Check who can read .env. The caller has validated its settings."""
    if not ENV_FILE.exists():
        return ok("settings", f"valid; there is no {ENV_FILE} in {Path.cwd()}")
    if ENV_FILE.stat().st_mode & _OTHERS:
        return fix(
            "settings", f"other users can read {ENV_FILE} and the token: run {_chmod(ENV_FILE)}"
        )
    return ok("settings", f"valid, and only you can read {ENV_FILE}")


async def check_database(settings: Settings) -> Finding:
    """Check the version of the database, and that only the bot's user can use it."""
    backend = make_backend(settings.database_url)
    name, path = backend.name, backend.path
    try:
        version = await read_version(settings.database_url)
    except StoreError as error:
        return fix("database", str(error))
    if version is Version.MISSING:
        return ok("database", f"{name} does not exist yet; `understudy-bot run` creates it")
    if version is not Version.CURRENT:
        return fix("database", describe_mismatch(settings.database_url, version))
    is_file = isinstance(backend, SqliteFile)
    if is_file and not os.access(path, os.R_OK | os.W_OK):
        return fix(
            "database", f"{path} cannot be written: give the bot's user write access, or {ANOTHER}"
        )
    if is_file and path.stat().st_mode & _OTHERS:
        return fix("database", f"other users can read {path} and all messages: run {_chmod(path)}")
    is_used = await asyncio.to_thread(is_locked, settings.database_url)
    more = "; a bot is using it now" if is_used else ""
    if is_used and not backend.is_shared:
        more += ", so a second `understudy-bot run` fails"
    return ok("database", f"{name} is up to date{more}")


def check_disk(settings: Settings) -> Finding:
    """Check the free space of the database's disk."""
    path = database_file(settings.database_url).absolute()
    folder = next(above for above in path.parents if above.is_dir())
    free = shutil.disk_usage(folder).free
    text = f"{free / MIB:,.0f} MiB are free in {folder}"
    if free < MIN_FREE:
        return fix(
            "disk", f"{text}; messages will soon no longer fit: free some space, or {ANOTHER}"
        )
    if free < LOW_FREE:
        return note("disk", f"{text}: free some space before it is full")
    return ok("disk", text)


def check_device(settings: Settings) -> Finding:
    """Check that CTranslate2, which runs the model, finds the GPU that DEVICE selects."""
    runs_on_gpu = _runs_on_gpu(settings)
    if settings.device == "cuda" and not runs_on_gpu:
        return fix(
            "DEVICE",
            "cuda, but CTranslate2 finds no GPU: set DEVICE=auto or DEVICE=cpu in .env, or "
            "install NVIDIA's driver and CUDA 12's cuBLAS (`nvidia-smi` must show the GPU)",
        )
    runs_on = "the GPU" if runs_on_gpu else "the CPU"
    return ok("DEVICE", f"{settings.device}; the model runs on {runs_on}")


def _runs_on_gpu(settings: Settings) -> bool:
    try:
        return settings.device != "cpu" and ctranslate2.get_cuda_device_count() > 0
    except RuntimeError:  # the driver is too old
        return False


def check_parallel_replies(settings: Settings) -> list[Finding]:
    """Report PARALLEL_REPLIES above the number of cores: more replies at once are no faster."""
    cores = count_cores()
    if settings.parallel_replies <= cores or _runs_on_gpu(settings):
        return []
    text = f"{settings.parallel_replies}, but the CPU has {cores} cores: use at most {cores}"
    return [note("PARALLEL_REPLIES", text)]


def check_retrain_command(settings: Settings) -> list[Finding]:
    """Check that the program of RETRAIN_COMMAND exists, if the setting is used."""
    if settings.retrain_command is None:
        return []
    program = settings.retrain_command[0]
    if found := shutil.which(program):
        return [ok("RETRAIN_COMMAND", f"runs {found}")]
    return [
        fix(
            "RETRAIN_COMMAND",
            f"there is no program {program}: use its full path",
        )
    ]


def open_current(models_dir: Path) -> Artifact:
    """Return the current version after checking its files.

    Raises:
        ArtifactError: There is none, it is damaged, or it was trained with another prompt format.
    """
    if not models_dir.is_dir():
        raise ArtifactError(
            f"there is no folder {models_dir.absolute()}: start the bot in the folder that "
            f"contains {models_dir.name}, set MODELS_DIR, or train a model with `understudy "
            "retrain`"
        )
    registry = Registry(models_dir)
    if registry.names and registry.current is None:
        raise ArtifactError(
            f"no version in {models_dir} is the current one: choose one of "
            f"{', '.join(registry.names)} with `understudy models promote`"
        )
    return registry.open_verified("current")


def check_models(
    settings: Settings, stored: tuple[DecisionsByUser, Mapping[int, Group]]
) -> tuple[list[Finding], list[Card]]:
    """Check the default model and those of groups; return the cards of the usable ones, too.

    `stored`: the decisions and groups in the database.
    """
    default: Artifact | None = None
    found: list[Finding] = []
    try:
        default = open_current(settings.models_dir)
    except ArtifactError as error:
        found.append(fix("model", str(error)))
    own, problems = _open_group_models(settings.models_dir)
    models: dict[str | None, Artifact] = {None: default} if default else {}
    models.update(own)
    cards = {folder: artifact.card for folder, artifact in models.items()}
    permissions = StoredPermissions(cards, settings, *stored)
    for folder, artifact in models.items():
        found += _check_model(artifact, permissions, folder)
    found += problems + _check_shared_chats({name: one.card for name, one in own.items()})
    return found, list(cards.values())


def _open_group_models(models_dir: Path) -> tuple[dict[str, Artifact], list[Finding]]:
    """Return the models of groups that have their own, and a finding for each unusable one."""
    opened: dict[str, Artifact] = {}
    problems: list[Finding] = []
    try:
        folders = Registry(models_dir).group_folders()
    except ArtifactError as error:
        return {}, [fix(f"models in {GROUPS}", str(error))]
    for unpromoted in Registry(models_dir).list_unpromoted_groups():
        place = describe_group_folder(unpromoted.root.name)
        problems.append(note(f"model in {place}", f"not used: {unpromoted.explain_no_current()}"))
    for name, registry in folders.items():
        try:
            opened[name] = registry.open_verified("current")
        except (UnderstudyError, OSError) as error:
            problems.append(fix(f"model in {describe_group_folder(name)}", describe_error(error)))
    return opened, problems


def _check_shared_chats(cards: Mapping[str, Card]) -> list[Finding]:
    """Report chats that the models of several groups learned from: only one can serve them."""
    by_chat = index_by_chat((card, name) for name, card in cards.items())
    return [
        fix(
            f"model in {describe_group_folder(name)}",
            f"it learned from chat {chat.chat_id}, and so did "
            f"{describe_group_folder(by_chat[chat.chat_id])}, which the bot uses there: keep only "
            "one of these folders",
        )
        for name, card in cards.items()
        for chat in card.chats
        if by_chat[chat.chat_id] != name
    ]


def _check_model(
    artifact: Artifact, permissions: StoredPermissions, folder: str | None = None
) -> list[Finding]:
    """Report a model, and who agreed to be imitated, in the roster or by `/optin`."""
    names = ", ".join(person.name for person in permissions.access_of(folder).voices)
    place = "" if folder is None else f" in {describe_group_folder(folder)}"
    voices = ok if names else fix
    return [
        ok(f"model{place}", f"{artifact.path.name}, based on {artifact.card.base}; complete"),
        voices(f"voices{place}", names or EN.no_voices),
    ]


def _chmod(path: Path) -> str:
    return f"chmod 600 {shlex.quote(str(path))}"
