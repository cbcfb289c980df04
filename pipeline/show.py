"""A trained model's card, and what changed in its roster, for 80 columns of a terminal."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from model.artifact import Artifact, Card
from model.naming import visible, visible_name
from model.roster import Person, Roster
from pipeline.tables import nats_note, table

_FORGET = (
    "silent and unseen from now on, but the weights still know their words until you build again "
    "and train from that"
)
_SEEN = "what they say is seen from now on"
_NO_VOICE = "no voice, which this model has not learned: build again and train for that"
_FIELDS = ("ids", "names", "aliases", "learn", "imitate")


def print_artifact(artifact: Artifact, console: Console, *, serves: bool) -> None:
    """Print a card: where the model comes from, its voices and its scores."""
    card = artifact.card
    console.print(f"{artifact.path.name}{', serves now' if serves else ''}")
    facts = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for about, says in _facts(card):
        facts.add_row(about, Text(says))
    console.print(Padding.indent(facts, 2))
    console.print()
    console.print(Padding.indent(_voices(card), 2))
    replies = card.scores.get("nats_per_character", {}).get("replies", 0)
    console.print(nats_note(replies), style="dim")


def print_changes(before: Card, after: Card, console: Console) -> None:
    """Print what a new roster changes, person by person, and what it does not."""
    changes = list(_changes(before, after))
    for line in changes or ["nothing changed"]:
        console.print(line, soft_wrap=not console.is_terminal)
    if changes:
        console.print("A running bot applies this within seconds.")


def print_silent(people: Iterable[Person], console: Console) -> None:
    """Print who of these may not be imitated, and why."""
    for person in people:
        if person.imitate == "no" or person.learn == "no":
            console.print(f"{person.name} {person.why_silent}: no voice.")


def _facts(card: Card) -> Iterator[tuple[str, str]]:
    told = card.provenance
    yield "base", f"{card.base} ({card.family})"
    yield "trained", " ".join(_trained(told)) or "unknown"
    yield (
        "learned from",
        ", ".join(f"{visible_name(chat.title)} ({chat.chat_id})" for chat in card.chats),
    )
    gap = card.window.gap.total_seconds() / 60
    yield "window", f"{card.window.size} messages; a silence of {gap:g} minutes ends a session"
    yield "prompt", f"at most {card.max_prompt_tokens} tokens, rules {card.prompt}"
    if silent := [one for one in card.roster.people if one.opted_out]:
        yield "opted out", "; ".join(f"{one.name} {one.why_silent}" for one in silent)
    if card.public:
        yield "public", "the bot may speak anywhere"
    for key, value in card.scores.items():
        if key != "nats_per_character":
            yield key.replace("_", " "), _figures(value)


def _trained(told: Mapping[str, Any]) -> Iterator[str]:
    if at := told.get("trained_at"):
        yield str(at)[:16].replace("T", " ") + " UTC"
    if steps := told.get("steps"):
        yield f"in {steps:,} steps"
    if commit := told.get("commit"):
        yield f"of commit {str(commit)[:9]}"


def _figures(value: Any) -> str:  # noqa: ANN401  JSON's border
    """Return figures in a line; what is nested deeper stays in model.json."""
    if not isinstance(value, Mapping):
        return str(value)
    flat = {key: item for key, item in value.items() if not isinstance(item, Mapping | list)}
    return ", ".join(f"{key.replace('_', ' ')} {item}" for key, item in flat.items())


def _voices(card: Card) -> Table:
    losses = table("voice", "may be imitated", "untuned", "tuned", words={"may be imitated"})
    nats = card.scores.get("nats_per_character", {})
    for person in card.roster.voices:
        losses.add_row(
            Text(person.name), person.imitate, *_nats(nats.get("voices", {}), person.name)
        )
    losses.add_row("all of them", "", *_nats(nats, "whole"))
    if nats.get("fresh"):
        losses.add_row("but those seen in training", "", *_nats(nats, "fresh"))
    return losses


def _nats(by_name: Mapping[str, Any], name: str) -> list[str]:
    figures = by_name.get(name, {})
    return [f"{figures[key]:.3f}" if key in figures else "" for key in ("untuned", "tuned")]


def _changes(before: Card, after: Card) -> Iterator[str]:
    old = {person.name: person for person in before.roster.people}
    for now in after.roster.people:
        was = old.get(now.name)
        if changed := list(_changed(was, now)) if was else ["new", _NO_VOICE]:
            yield f"{now.name}: {'; '.join(changed)}"
    yield from _accounts(before.roster, after.roster)


def _changed(was: Person, now: Person) -> Iterator[str]:
    for key in _FIELDS:
        old, new = getattr(was, key), getattr(now, key)
        if old != new:
            yield f"{key} {_said(old)} → {_said(new)}"
    if was.learn != now.learn:
        yield _FORGET if now.learn == "no" else _SEEN
    wanted = (was.learn, was.imitate) != (now.learn, now.imitate)
    if wanted and now.is_only_quiet:
        yield _NO_VOICE


def _accounts(before: Roster, after: Roster) -> Iterator[str]:
    for key in ("bots", "understudies"):
        old, new = sorted(getattr(before, key)), sorted(getattr(after, key))
        if old != new:
            yield f"{key}: {_said(old)} → {_said(new)}"


def _said(value: str | Iterable[Any]) -> str:
    if isinstance(value, str):
        return value
    return ", ".join(visible(str(item)) for item in value) or "none"
