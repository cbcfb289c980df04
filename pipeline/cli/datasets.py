"""The commands `sample`, `inspect` and `build`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from model.chat.names import make_printable
from pipeline.cli import options, tables
from pipeline.cli.options import WINDOW, require_training
from pipeline.dataset.roster_file import MIN_MESSAGES
from pipeline.dataset.split import TEST
from pipeline.terminal import file_bar

Exports = Annotated[
    list[Path],
    typer.Argument(help="result.json files, or the folders that hold them", readable=False),
]
ChatName = Annotated[
    str | None, typer.Option("--chat", help="the chat's name or id, where there are several")
]
Timezone = Annotated[
    str | None,
    typer.Option(help="where old exports without UTC times were made; else this machine's"),
]
SessionMinutes = Annotated[float, typer.Option(help="a silence this long ends a session")]
SkipDamaged = Annotated[
    bool,
    typer.Option(
        "--skip-damaged", help="Use an export even if over 1 % of it is damaged and cannot be read."
    ),
]
MinMessages = Annotated[int, typer.Option(min=1, help="who wrote fewer becomes no voice")]


def sample(
    folder: Annotated[
        Path, typer.Argument(readable=False, help="where result.json and roster.toml go")
    ],
) -> None:
    """Write the demo's chat, exactly as Telegram Desktop would export it."""
    from pipeline.dataset.sample import write_sample

    print(f"wrote {write_sample(folder)}")


def inspect(
    exports: Exports,
    chat: ChatName = None,
    roster: Annotated[
        Path | None,
        typer.Option(readable=False, help="write who is who into this file, to edit for `build`"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="as JSON, for programs")] = False,
    timezone: Timezone = None,
    session_minutes: SessionMinutes = options.SESSION_MINUTES,
    min_messages: MinMessages = MIN_MESSAGES,
) -> None:
    """Say what exports hold: chats, people, damage, what looks private, the pairs they give."""
    require_training()
    from pipeline.cli import tables
    from pipeline.dataset.inspection import inspect as inspect_exports

    console = Console(highlight=False, markup=False, stderr=as_json)
    figures = inspect_exports(
        exports,
        chat,
        options.zone(timezone),
        options.window(WINDOW.size, session_minutes),
        roster_path=roster,
        min_messages=min_messages,
        step=lambda what: console.print(f"  {make_printable(what)} …", style="dim"),
        show=lambda file: file_bar(console, file),
    )
    if as_json:
        print(tables.to_json(figures))
    else:
        tables.print_findings(figures, console)
        if roster:
            print(f"\nwrote {roster}: edit it, then understudy build … --roster {roster}")


def build(
    exports: Exports,
    out: Annotated[Path, typer.Option(readable=False, help="the dataset's folder")],
    chat: ChatName = None,
    roster: Annotated[
        Path | None,
        typer.Option(
            readable=False,
            help="roster.toml (default: the one in the export's folder, else a new one)",
        ),
    ] = None,
    session_minutes: SessionMinutes = options.SESSION_MINUTES,
    window: Annotated[int, typer.Option(help="messages that a reply may look at")] = WINDOW.size,
    last: Annotated[int | None, typer.Option(help="only the last so many messages")] = None,
    since: Annotated[
        str | None, typer.Option(help="only messages from this day on, in --timezone or UTC")
    ] = None,
    test_share: Annotated[float, typer.Option(help="how much of the chat's end tests")] = TEST,
    min_messages: MinMessages = MIN_MESSAGES,
    review: Annotated[
        Path | None,
        typer.Option(
            readable=False,
            help="CSV file of doubtful pairs: mark the ones to remove, then build again",
        ),
    ] = None,
    timezone: Timezone = None,
    public: Annotated[
        bool,
        typer.Option("--public", help="the chat is nobody's secret: the bot may speak anywhere"),
    ] = False,
    skip_damaged: SkipDamaged = False,
) -> None:
    """Turn exports of one chat into a dataset of contexts and replies."""
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
    )
    summary = build_dataset(
        exports,
        out,
        choices,
        step=lambda what: console.print(f"  {make_printable(what)} …", style="dim"),
        show=lambda file: file_bar(console, file),
    )
    tables.print_summary(summary, console)
    if review:
        print(f"\n{review}: write x before what must go, and build again with --review {review}")
    print(f"\nNext: understudy train {out}")
