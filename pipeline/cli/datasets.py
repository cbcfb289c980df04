"""The commands `sample`, `inspect` and `build`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from model.chat.names import make_printable
from model.command_line import number
from pipeline.cli import options, tables
from pipeline.cli.options import WINDOW, require_training
from pipeline.dataset.roster_file import MIN_MESSAGES
from pipeline.dataset.split import TEST
from pipeline.terminal import file_bar

Exports = Annotated[
    list[Path],
    typer.Argument(
        metavar="PATH", help="Exports: result.json files or their folders", readable=False
    ),
]
ChatName = Annotated[
    str | None,
    typer.Option("--chat", metavar="NAME", help="Chat name or id, if there are several chats"),
]
Timezone = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Time zone of old exports without UTC times",
        show_default="this machine's",
    ),
]
SessionMinutes = Annotated[
    float,
    typer.Option(metavar="MINUTES", parser=number(float), help="Silence that ends a conversation"),
]
SkipDamaged = Annotated[
    bool,
    typer.Option("--skip-damaged", help="Accept exports with over 1 % damaged messages"),
]
MinMessages = Annotated[
    int, typer.Option(metavar="N", parser=number(int, 1), help="Minimum messages for a voice")
]


def sample(
    folder: Annotated[
        Path,
        typer.Argument(metavar="PATH", readable=False, help="Folder for the export to write"),
    ],
) -> None:
    """Write the demo's chat in the form of a Telegram Desktop export."""
    from pipeline.dataset.sample import write_sample

    print(f"Wrote {write_sample(folder)}")


def inspect(
    exports: Exports,
    chat: ChatName = None,
    roster: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", readable=False, help="Write the people to this file, for build"
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON")] = False,
    timezone: Timezone = None,
    session_minutes: SessionMinutes = options.SESSION_MINUTES,
    min_messages: MinMessages = MIN_MESSAGES,
) -> None:
    """Show the chats, people, damage and private data in exports."""
    require_training()
    from pipeline.dataset.inspection import inspect as inspect_exports

    console = Console(highlight=False, markup=False, stderr=as_json)
    figures = inspect_exports(
        exports,
        chat,
        options.zone(timezone),
        options.window(WINDOW.size, session_minutes),
        roster_path=roster,
        min_messages=min_messages,
        step=lambda title: console.print(f"  {make_printable(title)} …", style="dim"),
        show=lambda file: file_bar(console, file),
    )
    if as_json:
        print(tables.to_json(figures))
    else:
        tables.print_findings(figures, console)
        if roster:
            print(f"\nWrote {roster}: edit it, then run understudy build … --roster {roster}")


def build(
    exports: Exports,
    out: Annotated[
        Path, typer.Option(metavar="PATH", readable=False, help="Folder for the dataset")
    ],
    chat: ChatName = None,
    roster: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            readable=False,
            help="People and their consent",
            show_default="roster.toml beside the export",
        ),
    ] = None,
    min_messages: MinMessages = MIN_MESSAGES,
    last: Annotated[
        int | None,
        typer.Option(metavar="N", parser=number(int), help="Use only the last N messages"),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="DATE", help="Use messages since this day, such as 2024-03-31"),
    ] = None,
    session_minutes: SessionMinutes = options.SESSION_MINUTES,
    window: Annotated[
        int,
        typer.Option(metavar="N", parser=number(int), help="Messages of context for a reply"),
    ] = WINDOW.size,
    test_share: Annotated[
        float,
        typer.Option(metavar="N", parser=number(float), help="Share of messages in the test split"),
    ] = TEST,
    review: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            readable=False,
            help="CSV file of doubtful pairs; mark those to drop",
        ),
    ] = None,
    timezone: Timezone = None,
    public: Annotated[
        bool, typer.Option("--public", help="The chat is public: the bot may speak anywhere")
    ] = False,
    skip_damaged: SkipDamaged = False,
    processes: Annotated[
        int,
        typer.Option(
            metavar="N",
            parser=number(int, 0),
            help="Processes that pair messages",
            show_default="by cores and messages",
        ),
    ] = 0,
) -> None:
    """Build a dataset of contexts and replies from one chat's exports."""
    require_training()
    from pipeline.dataset.build import build as build_dataset
    from pipeline.dataset.pairs import BuildOptions

    console = Console(highlight=False, markup=False)
    zone = options.zone(timezone)
    choices = BuildOptions(
        window=options.window(window, session_minutes),
        chat=chat,
        roster=roster,
        last=last,
        since=options.since(since, zone),
        min_messages=min_messages,
        test_share=test_share,
        review=review,
        zone=zone,
        public=public,
        skip_damaged=skip_damaged,
        processes=processes,
    )
    summary = build_dataset(
        exports,
        out,
        choices,
        step=lambda title: console.print(f"  {make_printable(title)} …", style="dim"),
        show=lambda file: file_bar(console, file),
    )
    tables.print_summary(summary, console)
    if review:
        print(f"\nIn {review}, write x before each pair to drop. Then build with --review {review}")
    print(f"\nNext: understudy train {out}")
