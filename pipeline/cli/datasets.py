"""The commands `demo-chat`, `inspect` and `build`."""

from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Annotated

from rich.console import Console

from model.chat.conversation import Window
from model.command_line import Fields
from model.options import Given, Option
from pipeline.cli import options, tables
from pipeline.cli.options import require_training
from pipeline.dataset.options import CHAT, MIN_MESSAGES, TIMEZONE
from pipeline.dataset.pairs import BuildOptions
from pipeline.dataset.roster_file import MIN_MESSAGES as USUAL_MINIMUM
from pipeline.terminal import Progress

Exports = Annotated[
    list[Path], Option("Exports: result.json files or their folders", is_argument=True)
]


def demo_chat(
    folder: Annotated[Path, Option("Folder to write the export to", is_argument=True)],
) -> None:
    """Write the demo's chat as a Telegram Desktop export.

    Lines that the same people wrote to others go to judge.jsonl, for `evaluate --judge`.
    """
    from pipeline.dataset.sample import write_sample

    print(f"Wrote {write_sample(folder)}")


def inspect(
    exports: Exports,
    chat: Annotated[str | None, CHAT] = None,
    roster: Annotated[
        Path | None, Option("Write the people to this roster file, for build")
    ] = None,
    as_json: options.Json = False,
    timezone: Annotated[tzinfo | None, TIMEZONE] = None,
    min_messages: Annotated[int, MIN_MESSAGES] = USUAL_MINIMUM,
    *,
    window: Annotated[Given, Fields(Window, ("gap",))],
) -> None:
    """Show the chats, people, damage and private data in exports."""
    require_training()
    from pipeline.dataset.inspection import inspect as inspect_exports

    console = Console(highlight=False, markup=False, stderr=as_json)
    figures = inspect_exports(
        exports,
        chat,
        timezone,
        Window(**window),
        roster_path=roster,
        min_messages=min_messages,
        progress=Progress(console),
    )
    if as_json:
        print(tables.to_json(figures))
    else:
        tables.print_findings(figures, console)
        if roster:
            print(f"\nWrote {roster}: edit it, then run understudy build … --roster {roster}")


def build(
    exports: Exports,
    out: Annotated[Path, Option("Folder for the dataset")],
    chosen: Annotated[Given, Fields(BuildOptions)],
    window: Annotated[Given, Fields(Window)],
) -> None:
    """Build a dataset of contexts and replies from one chat's exports."""
    require_training()
    from pipeline.dataset.build import build as build_dataset

    console = Console(highlight=False, markup=False)
    since: datetime | None = chosen.get("since")
    if since and since.tzinfo is None:
        since = since.replace(tzinfo=chosen.get("zone") or UTC)
    choices = BuildOptions(**{"processes": 0, **chosen, "since": since}, window=Window(**window))
    review = choices.review
    summary = build_dataset(exports, out, choices, Progress(console))
    tables.print_summary(summary, console)
    if review:
        print(
            f"\nIn {review}, write x in front of each pair to drop. Then build with --review "
            f"{review}"
        )
    print(f"\nNext: understudy train {out}")
