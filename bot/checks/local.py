"""Check files, machine and model."""

import asyncio
import os
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path

import ctranslate2

from bot.checks.finding import Finding, note, ok, wrong
from bot.errors import StoreError
from bot.services.access import build_access
from bot.settings import Settings
from bot.store.database import (
    ANOTHER,
    Version,
    database_file,
    describe_mismatch,
    is_locked,
    read_version,
)
from bot.texts import EN
from model.artifacts.artifact import Artifact
from model.artifacts.registry import Registry
from model.chat.roster import Decision
from model.errors import ArtifactError

ENV_FILE = Path(".env")
MIB = 2**20
TOO_LITTLE = 50 * MIB
LITTLE = 500 * MIB

_OTHERS = 0o077


def settings_file() -> Finding:
    """Look at who can read .env; that its settings can be read is known by now."""
    if not ENV_FILE.exists():
        return ok("settings", f"all can be read; there is no {ENV_FILE} in {Path.cwd()}")
    if ENV_FILE.stat().st_mode & _OTHERS:
        return wrong("settings", f"others can read {ENV_FILE}, with the token: {_closed(ENV_FILE)}")
    return ok("settings", f"all can be read, and only you can read {ENV_FILE}")


async def database(settings: Settings) -> Finding:
    """Look at the database's version, and whether the bot and nobody else may use it."""
    path = database_file(settings.database_url)
    try:
        version = await read_version(settings.database_url)
    except StoreError as error:
        return wrong("database", str(error))
    if version is Version.MISSING:
        return ok("database", f"{path} is not there yet, `understudy-bot run` makes it")
    if version is not Version.CURRENT:
        return wrong("database", describe_mismatch(settings.database_url, version))
    if not os.access(path, os.R_OK | os.W_OK):
        return wrong(
            "database", f"{path} cannot be written: see that the bot's user may, or {ANOTHER}"
        )
    if path.stat().st_mode & _OTHERS:
        return wrong("database", f"others can read {path}, with all messages: {_closed(path)}")
    runs = await asyncio.to_thread(is_locked, settings.database_url)
    more = "; a bot uses it now, and a second `understudy-bot run` is refused" if runs else ""
    return ok("database", f"{path} is up to date{more}")


def disk(settings: Settings) -> Finding:
    """Look at the room beside the database."""
    path = database_file(settings.database_url).absolute()
    folder = next(above for above in path.parents if above.is_dir())
    free = shutil.disk_usage(folder).free
    says = f"{free / MIB:,.0f} MiB are free in {folder}"
    if free < TOO_LITTLE:
        return wrong("disk", f"{says}, soon no message can be kept: make room, or {ANOTHER}")
    if free < LITTLE:
        return note("disk", f"{says}: make room before it is full")
    return ok("disk", says)


def _closed(path: Path) -> str:
    return f"chmod 600 {shlex.quote(str(path))}"


def device(settings: Settings) -> Finding:
    """Ask CTranslate2, which runs the model, whether it sees the GPU that DEVICE names."""
    try:
        gpus = ctranslate2.get_cuda_device_count()
    except RuntimeError:  # a driver that is too old for it
        gpus = 0
    if settings.device == "cuda" and not gpus:
        return wrong(
            "DEVICE",
            "cuda, and CTranslate2 sees no GPU: write DEVICE=auto or DEVICE=cpu into .env, or "
            "install NVIDIA's driver and CUDA 12's cuBLAS (`nvidia-smi` must show the GPU)",
        )
    runs_on = "the GPU" if gpus and settings.device != "cpu" else "the CPU"
    return ok("DEVICE", f"{settings.device}, the model runs on {runs_on}")


def retraining(settings: Settings) -> list[Finding]:
    """Look for the program that RETRAIN_COMMAND begins with, where there is one."""
    if settings.retrain_command is None:
        return []
    program = settings.retrain_command[0]
    if found := shutil.which(program):
        return [ok("RETRAIN_COMMAND", f"runs {found}")]
    return [
        wrong(
            "RETRAIN_COMMAND",
            f"there is no program {program} that could be run: write its whole path",
        )
    ]


def opened(models_dir: Path) -> Artifact:
    """Return the version that serves, once it is sure that its files are whole.

    Raises:
        ArtifactError: There is none, it is damaged, or it was made for another prompt.
    """
    if not models_dir.is_dir():
        raise ArtifactError(
            f"there is no folder {models_dir.absolute()}: start the bot where its folder "
            f"{models_dir.name} is, name another in MODELS_DIR, or make a model with "
            "`understudy retrain`"
        )
    registry = Registry(models_dir)
    if registry.names and registry.current is None:
        raise ArtifactError(
            f"no version in {models_dir} was chosen to serve, and there is "
            f"{', '.join(registry.names)}: choose one with `understudy models promote`"
        )
    return registry.open_verified("current")


def check_model(
    artifact: Artifact, settings: Settings, decisions: Mapping[int, Decision]
) -> list[Finding]:
    """Say which model it is, and who agreed to be imitated, in the roster or by `/optin`."""
    card = artifact.card
    access = build_access(card, card.roster, settings, decisions)
    names = ", ".join(person.name for person in access.voices)
    voices = ok("voices", names) if names else wrong("voices", EN.no_voices)
    return [ok("model", f"{artifact.path.name} of {card.base}, whole"), voices]
