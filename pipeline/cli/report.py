"""The command `report`."""

import shlex
import sys
from datetime import tzinfo
from functools import reduce
from operator import and_
from pathlib import Path
from typing import Annotated

from rich.console import Console
from rich_click import UsageError

from model.artifacts.artifact import CARD
from model.artifacts.consent import read_facts
from model.artifacts.registry import Registry
from model.errors import DatasetError
from model.files import write_text
from model.options import Option
from pipeline.cli import options
from pipeline.cli.options import require_training
from pipeline.terminal import Progress


def report(
    source: Annotated[
        str,
        Option(
            "Dataset folder, current, a number or a full name", "DATASET|VERSION", is_argument=True
        ),
    ] = "current",
    out: Annotated[Path, Option("HTML file to write", "FILE")] = Path("report.html"),
    samples: Annotated[int, Option("Generated replies per voice", least=0, most=20)] = 2,
    timezone: Annotated[
        tzinfo | None, Option("Time zone to show", default_text="the export's")
    ] = None,
    data: options.Data = None,
    models_dir: options.ModelsDir = options.MODELS,
    seed: options.Seed = 0,
) -> None:
    """Write a report on a chat or a version as one HTML file.

    It shows who talks when and with whom, everyone's habits and words, and a version's training,
    scores and sample replies. It only shows the words of people who agreed to be imitated.
    """
    require_training()
    from pipeline.dataset.storage import load_dataset
    from pipeline.evaluation.evaluate import load_evaluation_dataset
    from pipeline.report.figures import compute_figures, find_visible
    from pipeline.report.page import VersionReport, render_report
    from pipeline.report.version import Sample, draw_samples, read_scorecard, read_training_curve
    from pipeline.versions.lineage import explain_missing_dataset, find_dataset

    if (out.exists() and not out.is_file()) or not out.parent.is_dir():
        raise UsageError(f"--out {out} cannot be written: choose a file in an existing folder")
    if Path(source).is_file() or (Path(source) / "result.json").is_file():
        raise DatasetError(
            f"{source} is an export, but a report needs a dataset: run `understudy build "
            f"{shlex.quote(source)} --out dataset`, then `understudy report dataset`"
        )
    console = Console(highlight=False, markup=False)
    artifact, dataset, missing = None, None, ""
    if _is_dataset(source):
        dataset = load_dataset(Path(source))
    else:
        artifact = Registry(models_dir).open(source)
        folder = data or find_dataset(artifact)
        if data or (folder and Path(folder).is_dir()):
            dataset = load_evaluation_dataset(artifact, data)
        else:
            reason = explain_missing_dataset(artifact)
            missing = (
                f"{reason[:1].upper()}{reason[1:]}: this report has no figures about the chat."
            )
            print(f"{missing} Pass a copy of the dataset with --data.", file=sys.stderr)
    chats = dataset.chats if dataset else artifact.card.chats if artifact else ()
    facts = read_facts(models_dir, (chat.chat_id for chat in chats))
    rosters = [
        one for one in (artifact and artifact.card.roster, dataset and dataset.roster) if one
    ]
    visible = reduce(and_, (find_visible(roster, facts) for roster in rosters))
    agreed = visible.agreed
    figures = version = None
    progress = Progress(console)
    if dataset:
        with progress.step("Reading the chat"):
            figures = compute_figures(dataset, visible, timezone)
    if artifact:
        drawn: tuple[Sample, ...] = ()
        if dataset and samples:
            with progress.step("Generating samples"):
                drawn = draw_samples(artifact, dataset, agreed, samples, seed or 0)
        version = VersionReport(
            artifact, read_training_curve(artifact), read_scorecard(artifact), drawn
        )
    with progress.step("Drawing"):
        page = render_report(dataset, figures, version, agreed, missing)
    write_text(out, page)
    print(f"Wrote {out}, {out.stat().st_size / 1e3:,.0f} kB")
    if not agreed:
        print(
            'It shows nobody\'s words, because nobody has agreed: write imitate = "yes" in the '
            "roster for those who have, or let them send /optin to the bot"
        )
    else:
        print("It contains words from the chat: share it only with people who may read the chat.")


def _is_dataset(source: str) -> bool:
    """Whether this is a folder, and neither a version's folder nor a short name of one."""
    from pipeline.dataset.storage import SUMMARY

    folder = Path(source)
    is_version = source == "current" or source.isdecimal() or (folder / CARD).is_file()
    return (folder / SUMMARY).is_file() or (folder.is_dir() and not is_version)
