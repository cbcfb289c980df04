"""Figures as tables in the terminal, for 80 columns."""

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from pipeline.card import Judgement
from pipeline.summary import Summary
from pipeline.train import Trained


def print_summary(summary: Summary, console: Console) -> None:
    """Print what a dataset holds, and who stays silent until they agree."""
    chats = ", ".join(chat.title or str(chat.chat_id) for chat in summary.chats)
    console.print(
        f"  {chats}: {summary.messages:,} messages, {summary.lines:,} in {summary.sessions:,} "
        f"conversations, {summary.pairs:,} pairs",
        highlight=False,
        markup=False,
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
    console.print(Padding.indent(splits, 2))
    voices = _table("voice", "messages", "train", "validation", "test", "may be imitated")
    for voice in summary.voices:
        counts = (voice.lines, voice.train, voice.validation, voice.test)
        voices.add_row(Text(voice.name), *(f"{n:,}" for n in counts), voice.imitate)
    console.print(Padding.indent(voices, 2))
    if summary.silent:
        console.print(
            f"  The bot will not speak as {', '.join(summary.silent)} until they agree: with their "
            'word, write imitate = "yes" for them in the dataset\'s roster.toml, then train',
            style="yellow",
            highlight=False,
            markup=False,
        )


def print_judgement(judgement: Judgement, console: Console) -> None:
    """Print a new version's loss on held-out replies beside the untuned base's."""
    table = _table("voice", "untuned", "tuned", "better by")
    for voice, nats in [*judgement.voices.items(), ("all of them", judgement.whole)]:
        better = 1 - nats.tuned / nats.untuned
        table.add_row(Text(voice), f"{nats.untuned:.3f}", f"{nats.tuned:.3f}", f"{better:.0%}")
    console.print(Padding.indent(table, 2))
    console.print("  in nats a character of replies it never saw; lower is better", style="dim")


def print_outcome(trained: Trained, console: Console) -> None:
    """Say which version came of it, and whether it serves."""
    print_judgement(trained.judgement, console)
    number = trained.name.split("-")[0]
    state = "serves now" if trained.promoted else f"is ready: understudy models promote {number}"
    console.print(f"\n  {trained.name} {state}", highlight=False)


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="right" if number else "left")
    return table
