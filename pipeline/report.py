"""Figures as tables in the terminal, for 80 columns."""

from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from pipeline.summary import Summary
from pipeline.train import Trained

_INDENT = (0, 0, 0, 2)


def print_summary(summary: Summary, console: Console) -> None:
    """Print what a dataset holds, and who stays silent until they agree."""
    chats = ", ".join(chat.title or str(chat.chat_id) for chat in summary.chats)
    console.print(
        f"  {chats}: {summary.messages:,} messages, {summary.lines:,} in {summary.sessions:,} "
        f"conversations, {summary.pairs:,} pairs",
        highlight=False,
    )
    console.print(
        f"  {summary.dropped} pairs whose context reaches into another split are left out",
        highlight=False,
    )
    splits = _table("split", "conversations", "messages", "pairs", "from", "to")
    for part in summary.splits:
        figures = (part.sessions, part.lines, part.pairs)
        days = (f"{part.first:%Y-%m-%d}", f"{part.last:%Y-%m-%d}")
        splits.add_row(part.name, *(f"{n:,}" for n in figures), *days)
    console.print(Padding(splits, _INDENT))
    voices = _table("voice", "messages", "train", "validation", "test", "may be imitated")
    for voice in summary.voices:
        counts = (voice.lines, voice.train, voice.validation, voice.test)
        voices.add_row(voice.name, *(f"{n:,}" for n in counts), voice.imitate)
    console.print(Padding(voices, _INDENT))
    if summary.silent:
        console.print(
            f"  The bot will not speak as {', '.join(summary.silent)} until they agree: with their "
            'word, write imitate = "yes" for them in the dataset\'s roster.toml, then train',
            style="yellow",
            highlight=False,
        )


def print_trained(trained: Trained, console: Console) -> None:
    """Print a new version's loss on held-out replies beside the untuned base's."""
    table = _table("voice", "untuned", "tuned", "better by")
    order = sorted(trained.before, key=lambda name: (name == "all", name))
    for voice in order:
        before, after = trained.before[voice], trained.after[voice]
        table.add_row(voice, f"{before:.3f}", f"{after:.3f}", f"{1 - after / before:.0%}")
    console.print(Padding(table, _INDENT))
    console.print("  in nats a character of replies it never saw; lower is better", style="dim")
    if trained.promoted:
        console.print(f"\n  {trained.name} serves now", highlight=False)
    else:
        console.print(
            f"\n  {trained.name} is ready: understudy models promote {trained.name.split('-')[0]}",
            highlight=False,
        )


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="right" if number else "left")
    return table
