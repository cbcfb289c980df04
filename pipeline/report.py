"""Figures as tables in the terminal, for 80 columns."""

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from model.naming import visible_name
from pipeline.card import Judgement
from pipeline.summary import Summary
from pipeline.tables import nats_note, table
from pipeline.train import Trained
from pipeline.verdict import loss_sentence


def print_summary(
    summary: Summary, console: Console, roster: str = "the dataset's roster.toml, then train"
) -> None:
    """Print what a dataset holds, what was left out, and who stays silent until they agree."""
    chats = ", ".join(visible_name(chat.title) or str(chat.chat_id) for chat in summary.chats)
    console.print(
        f"  {chats}: {summary.messages:,} messages, {summary.lines:,} in {summary.sessions:,} "
        f"conversations, {summary.pairs:,} pairs"
    )
    splits = table("split", "conversations", "messages", "pairs", "seen", "from", "to")
    for part in summary.splits:
        figures = (part.sessions, part.lines, part.pairs, part.seen)
        days = (f"{part.first:%Y-%m-%d}", f"{part.last:%Y-%m-%d}")
        splits.add_row(part.name, *(f"{n:,}" for n in figures), *days)
    console.print(Padding.indent(splits, 2))
    voices = table("voice", "messages", "train", "validation", "test", "may be imitated")
    for voice in summary.voices:
        counts = (voice.lines, voice.train, voice.validation, voice.test)
        voices.add_row(Text(voice.name), *(f"{n:,}" for n in counts), voice.imitate)
    console.print(Padding.indent(voices, 2))
    for line in _notes(summary):
        console.print(f"  {line}")
    if summary.silent:
        console.print(
            f"  The bot will not speak as {', '.join(summary.silent)} until they agree: with their "
            f'word, write imitate = "yes" for them in {roster}',
            style="yellow",
        )


def _notes(summary: Summary) -> Iterator[str]:
    """Yield what was left out and mended, and what the files were checked for."""
    for about, counts in (
        ("Private", summary.redacted),
        ("Mended in the export", summary.repaired),
        ("Passed over in the export", summary.skipped),
    ):
        if counts:
            yield f"{about}: {', '.join(f'{n:,} × {what}' for what, n in counts.items())}"
    if summary.unread_bytes:
        share = summary.unread_bytes / max(1, summary.export_bytes)
        yield f"Could not be read: {summary.unread_bytes:,} bytes, {share:.2%} of the export"
    if summary.quiet:
        few = f"fewer than {summary.min_messages} messages each"
        yield f"No voices, with {few} (--min-messages): {_first(summary.quiet)}"
    if summary.repeated:
        yield f"{summary.repeated:,} messages said word for word too often are context only"
    if summary.struck:
        yield f"{summary.struck:,} pairs that you struck out stay out"
    yield f"{summary.gap:,} messages between the splits are in none; {summary.dropped:,} pairs"
    leaks = summary.leaks
    yield (
        f"Test messages inside a training pair, as context or target: "
        f"{leaks.test_messages_in_training:,}"
    )
    yield f"Sessions on both sides: {leaks.sessions_on_both_sides:,}"


def _first(names: Sequence[str], most: int = 8) -> str:
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"


def print_judgement(judgement: Judgement, console: Console) -> None:
    """Print a new version's loss on held-out replies beside the untuned base's."""
    losses = table("voice", "untuned", "tuned", "better by")
    whole = {"all of them": judgement.whole}
    if judgement.fresh:
        whole["but those seen in training"] = judgement.fresh
    for voice, nats in {**judgement.voices, **whole}.items():
        better = 1 - nats.tuned / nats.untuned
        losses.add_row(Text(voice), f"{nats.untuned:.3f}", f"{nats.tuned:.3f}", f"{better:.0%}")
    console.print(Padding.indent(losses, 2))
    console.print(nats_note(judgement.replies), style="dim")


def print_outcome(trained: Trained, console: Console) -> None:
    """Print how good the new version is, whether it was promoted, and the next command."""
    print_judgement(trained.judgement, console)
    number = trained.name.split("-")[0]
    state = "serves now" if trained.promoted else f"is ready: understudy models promote {number}"
    print_paragraph(loss_sentence(trained.judgement), console)
    console.print(f"  {trained.name} {state}", highlight=False)
    console.print(
        f"  Next: understudy evaluate {number} --quick (does it sound like anyone?)",
        highlight=False,
    )


def print_paragraph(text: str, console: Console) -> None:
    """Print plain text after an empty line, wrapped and indented."""
    console.print()
    console.print(Padding.indent(Text(text), 2), highlight=False)
