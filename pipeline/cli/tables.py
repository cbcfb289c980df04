"""Print inspections, summaries and scorecards as tables of at most 80 columns."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from model.artifacts.artifact import Scorecard
from model.artifacts.commands import models_option, promote_command, short_name
from model.chat.names import (
    escape_control_characters,
    make_printable,
    make_printable_name,
)
from model.chat.telegram_ids import is_non_telegram_id, to_export_id
from model.redaction import addresses
from pipeline.dataset.inspection import ChatReport
from pipeline.dataset.language import name_languages
from pipeline.dataset.summary import Summary
from pipeline.evaluation.view import list_notes, list_scores, list_voices
from pipeline.export.archive import MAX_LISTED
from pipeline.export.merging import Author
from pipeline.terminal import (
    Progress,
    nats_note,
    print_indented,
    print_paragraph,
    table,
)
from pipeline.training.bases import WHEEL, warn_about_language
from pipeline.training.verdict import loss_sentence, voice_sentence

if TYPE_CHECKING:  # it needs the training extra
    from pipeline.training.losses import HeldOutLoss
    from pipeline.training.run import Trained

_MAX_AUTHORS = 30
_MAX_PLACES = 5
_NAMES = "names, newest last"


def print_findings(figures: Sequence[ChatReport], console: Console) -> None:
    """Print a list of the chats, or all figures if there is only one."""
    if len(figures) != 1:
        _print_list(figures, console)
        return
    _print_chat(figures[0], console)


def _print_list(figures: Sequence[ChatReport], console: Console) -> None:
    chats = table("id", "messages", "people", "pairs", "private", "damaged", "chat", words={"chat"})
    for figure in figures[:MAX_LISTED]:
        tally = figure.chat.tally
        counts = (
            figure.messages,
            len(figure.authors),
            figure.pairs,
            sum(figure.private.values()),
            sum(tally.repaired.values()) + sum(tally.skipped.values()),
        )
        chats.add_row(
            str(figure.chat.chat_id),
            *(f"{n:,}" for n in counts),
            Text(make_printable_name(figure.chat.name)),
        )
    console.print(Padding.indent(chats, 2))
    if (more := len(figures) - MAX_LISTED) > 0:
        console.print(f"  and {more:,} more with fewer messages (--json)")
    console.print("  --chat NAME or --chat ID shows all figures of one chat", style="dim")


def _print_chat(one: ChatReport, console: Console) -> None:
    chat, counts = one.chat, one.counts
    console.print(f"  {make_printable_name(chat.name)}", style="bold")
    joined = f", with the former group {', '.join(map(str, chat.joined))}"
    facts = {
        "type": f"{chat.kind}, id {chat.chat_id}{joined if chat.joined else ''}",
        "from, to": f"{counts.first:%Y-%m-%d %H:%M} to {counts.last:%Y-%m-%d %H:%M} UTC"
        if counts.first
        else "no messages",
        "messages": f"{one.messages:,}; service {counts.service:,}, "
        f"unsupported {counts.unsupported:,}, topics {counts.topics:,}",
        "gives": f"{one.sessions:,} conversations, {one.pairs:,} pairs",
        "language": name_languages(one.languages) or "too little text to tell",
        "alphabets": _listed(one.scripts) or "none",
        "private data": _listed(one.private) or "none found",
        "addresses": _address_limit(one),
        "repaired": _listed(chat.tally.repaired) or "nothing",
        "skipped": _listed(chat.tally.skipped) or "nothing",
    }
    if chat.unread:
        facts["unread"] = ", ".join(
            f"{unread:,} bytes, {chat.unread_share(file):.2%} of {file}"
            for file, unread in chat.unread.items()
        )
    rows = table("", "", plain=True)
    for topic, text in facts.items():
        rows.add_row(topic, Text(text))
    console.print(Padding.indent(rows, 2))
    if warning := warn_about_language(WHEEL, one.languages):
        print_indented(warning, console, "yellow")
    for trouble in chat.places[:_MAX_PLACES]:
        after = f", after message {trouble.after}" if trouble.after else ""
        position = f"{trouble.file} at byte {trouble.offset:,}{after}"
        print_indented(f"{position}: {trouble.description}", console)
    if (left := len(chat.places) - _MAX_PLACES) > 0:
        console.print(f"  … and {left} more of the first {len(chat.places)} places (--json)")
    _print_authors(one, console)


def _address_limit(one: ChatReport) -> str:
    """Return whether street addresses are found in the chat's languages."""
    if not one.languages:
        return f"streets are found in {name_languages(addresses.LANGUAGES)} only"
    unknown = [code for code in one.languages if code not in addresses.LANGUAGES]
    if unknown:
        return f"street addresses in {name_languages(unknown)} are not found"
    return f"street addresses in {name_languages(one.languages)} are found"


def _print_authors(one: ChatReport, console: Console) -> None:
    authors = one.authors
    people = table(
        "messages", "id", "for a voice", _NAMES, first="right", words={"for a voice", "id", _NAMES}
    )
    for author in authors[:_MAX_AUTHORS]:
        names = " · ".join(map(make_printable_name, author.names)) or "a deleted account"
        people.add_row(
            f"{author.messages:,}",
            "" if author.by_name else str(author.author_id),
            _voice(author, one),
            Text(f"{names} {_bot_note(author)}".rstrip()),
        )
    console.print(Padding.indent(people, 2))
    if len(authors) > _MAX_AUTHORS:
        console.print(f"  … and {len(authors) - _MAX_AUTHORS:,} more with fewer messages (--json)")
    print_indented(
        f"Messages in a person's own words: no commands, forwards and media without a caption. A "
        f"voice needs {one.min_messages:,} (--min-messages).",
        console,
        "dim",
    )


def _voice(author: Author, one: ChatReport) -> str:
    """Return whether a person wrote enough messages for a voice."""
    return "no" if author.is_bot or author.author_id in one.quiet else "enough"


def _bot_note(author: Author) -> str:
    if not author.is_bot:
        return ""
    is_called_bot = bool(author.names) and author.names[-1].casefold().endswith("bot")
    return "(a bot)" if is_called_bot else "(sends only through bots)"


def _listed(counts: Mapping[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    return ", ".join(f"{count:,} × {what}" for what, count in ordered)


def to_json(figures: Sequence[ChatReport]) -> str:
    """Return all figures as JSON, with the ids of the export and of the Bot API."""
    text = json.dumps(
        {"chats": [_chat(figure) for figure in figures]}, ensure_ascii=False, indent=1
    )
    return escape_control_characters(text)


def _chat(one: ChatReport) -> dict[str, Any]:
    chat, counts = one.chat, one.counts
    return {
        "name": chat.name if chat.has_name else None,
        "type": chat.kind,
        "id": chat.number,
        "chat_id": chat.chat_id,
        "joined": chat.joined,
        "messages": one.messages,
        "service": counts.service,
        "unsupported": counts.unsupported,
        "topics": counts.topics,
        "first": counts.first.isoformat() if counts.first else None,
        "last": counts.last.isoformat() if counts.last else None,
        "min_messages": one.min_messages,
        "authors": [
            {**_author(author), "is_voice": _voice(author, one) != "no"} for author in one.authors
        ],
        "repaired": dict(chat.tally.repaired),
        "skipped": dict(chat.tally.skipped),
        "unread": [
            {"file": str(file), "bytes": unread, "share": chat.unread_share(file)}
            for file, unread in chat.unread.items()
        ],
        "places": [
            {"file": str(p.file), "byte": p.offset, "after": p.after, "what": p.description}
            for p in chat.places
        ],
        "scripts": dict(one.scripts),
        "languages": list(one.languages),
        "private": dict(one.private),
        "sessions": one.sessions,
        "pairs": one.pairs,
    }


def _author(author: Author) -> dict[str, Any]:
    return {
        "id": None
        if author.by_name or is_non_telegram_id(author.author_id)
        else to_export_id(author.author_id),
        "author_id": author.author_id,
        "names": list(author.names),
        "messages": author.messages,
        "is_bot": author.is_bot,
    }


def print_summary(
    summary: Summary,
    console: Console,
    roster: str = "the dataset's roster.toml, then train",
    command: str = "",
    *,
    verbose: bool = True,
) -> None:
    """Print a dataset's figures, what was left out, and who has not agreed yet.

    `command` applies a change to `roster`; it is printed on its own line, to be copied. Without
    `verbose`, how the chat is divided for training is left out.
    """
    chats = ", ".join(
        make_printable_name(chat.title) or str(chat.chat_id) for chat in summary.chats
    )
    print_indented(
        f"{chats}: {summary.messages:,} messages, {summary.lines:,} in {summary.sessions:,} "
        f"conversations{f', {summary.pairs:,} pairs' if verbose else ''}",
        console,
    )
    if verbose:
        console.print(Padding.indent(_list_splits(summary), 2))
    voices = table("voice", "messages", "train", "validation", "test", "may be imitated")
    if not verbose:
        voices = table("voice", "messages", "may be imitated")
    for voice in summary.voices:
        counts = (voice.messages, voice.train, voice.validation, voice.test)
        shown = [f"{n:,}" for n in (counts if verbose else counts[:1])]
        voices.add_row(Text(voice.name), *shown, voice.imitate)
    console.print(Padding.indent(voices, 2))
    for line in _notes(summary, verbose=verbose):
        print_indented(line, console)
    if summary.silent:
        print_indented(
            f"The bot will not speak as {', '.join(summary.silent)} until they agree. If they "
            f'have agreed, write imitate = "yes" for them in {roster}'
            f"{', then run:' if command else ''}",
            console,
            "yellow",
        )
        if command:
            console.print(f"  {make_printable(command)}", soft_wrap=True, highlight=False)


def _list_splits(summary: Summary) -> Table:
    splits = table("split", "conversations", "messages", "pairs", "seen", "from", "to")
    for part in summary.splits:
        figures = (part.sessions, part.lines, part.pairs, part.seen)
        days = (f"{part.first:%Y-%m-%d}", f"{part.last:%Y-%m-%d}")
        splits.add_row(part.name, *(f"{n:,}" for n in figures), *days)
    return splits


def _notes(summary: Summary, *, verbose: bool) -> Iterator[str]:
    """Yield what was left out or repaired, and the results of the leak check."""
    for about, counts in (
        ("Redacted", summary.redacted),
        ("Repaired in the export", summary.repaired),
        ("Skipped in the export", summary.skipped),
    ):
        if counts:
            yield f"{about}: {', '.join(f'{n:,} × {what}' for what, n in counts.items())}"
    if summary.unread_bytes:
        share = summary.unread_bytes / max(1, summary.export_bytes)
        yield f"Unreadable: {summary.unread_bytes:,} bytes, {share:.2%} of the export"
    if summary.quiet:
        limit = f"fewer than {summary.min_messages} messages each (--min-messages)"
        yield f"No voices, with {limit}: {_first(summary.quiet)}"
    if summary.repeated:
        yield f"{summary.repeated:,} repeated messages are only context in training"
    if summary.removed:
        yield f"{summary.removed:,} pairs that you marked in the review are left out"
    if not verbose:
        return
    yield f"Left out between the splits: {summary.gap:,} messages, {summary.dropped:,} pairs"
    leaks = summary.leaks
    yield (
        f"Test messages in training pairs, as context or target: "
        f"{leaks.test_messages_in_training:,}"
    )
    yield f"Conversations in both splits: {leaks.sessions_on_both_sides:,}"
    yield f"Replies that are not older than the next split: {leaks.pairs_out_of_order:,}"


def _first(names: Sequence[str], most: int = 8) -> str:
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"


def print_losses(loss: "HeldOutLoss", console: Console) -> None:
    """Print the losses of a new version and of its base on held-out replies."""
    losses = table("voice", "untuned", "tuned", "better by")
    totals = {"all": loss.whole}
    if loss.fresh:
        totals["all, without training targets"] = loss.fresh
    for voice, nats in {**loss.voices, **totals}.items():
        better = 1 - nats.tuned / nats.untuned
        losses.add_row(Text(voice), f"{nats.untuned:.3f}", f"{nats.tuned:.3f}", f"{better:.0%}")
    console.print(Padding.indent(losses, 2))
    console.print(nats_note(loss.replies), style="dim")


def print_outcome(trained: "Trained", models_dir: Path, progress: Progress) -> None:
    """Print the losses of a new version, whether it was promoted, and the next command."""
    console = progress.console
    if progress.verbose:
        print_losses(trained.loss, console)
    state = "is the current version now"
    if not trained.promoted:
        state = f"is ready: {promote_command(models_dir, trained.name)}"
    print_paragraph(loss_sentence(trained.loss), console)
    print_indented(f"{trained.name} {state}", console)
    print_indented(
        f"Next: understudy evaluate {short_name(trained.name)} --quick{models_option(models_dir)} "
        "(does it sound like anyone?)",
        console,
    )


_ARMS = {
    "real": "real replies",
    "generated": "tuned",
    "cold": "tuned, cold",
    "markov": "Markov chain",
    "nearest": "nearest turn",
    "shuffled": "tuned, names shuffled",
}
_QUICK = "Quick evaluation: `understudy evaluate` without --quick gives narrower intervals"
_COMPARED = ("real", "generated", "markov", "nearest")


def print_scorecard(card: Scorecard, console: Console) -> None:
    """Print the headline, then all sections, with 95 % intervals in brackets."""
    print_headline(card, console, verbose=True)
    for title, lines in (
        ("Whose lines are these? Share of bags named right", _attribution),
        ("Bags of 10 lines: the voice (rows), and the judge's answer (columns)", _confusion),
        ("Style of the replies", _style),
        ("Likeness of the replies", _likeness),
        ("Nats per character of real turns (lower is better), and right voice", _nats),
        ("Habits: generated / real, per line; burst: messages per turn", _habits),
    ):
        console.print(f"\n  {title}", style="bold", highlight=False)
        console.print(Padding.indent(lines(card), 2))
    console.print()
    for line in _notes_on(card):
        print_indented(line, console)


def print_headline(card: Scorecard, console: Console, *, verbose: bool) -> None:
    """Print the main scores next to those of the baselines.

    `verbose` adds the right-voice and real-or-generated figures.
    """
    if voices := list_voices(card):
        is_cold = any(row.cold is not None for row in voices)
        named = table("ten lines named right", "real", "tuned", *(["cold"] if is_cold else []))
        for row in voices:
            shares = [row.real, row.generated, *([row.cold] if row.cold is not None else [])]
            named.add_row(Text(row.voice), *(f"{share:.0%}" for share in shares))
        console.print(Padding.indent(named, 2))
    rows = table("relative to real replies", "tuned", "95 %", "Markov", "nearest", "real")
    for score in list_scores(card):
        interval = f"{score.low:.2f} {score.high:.2f}"
        baselines = (_shown(value) for value in score.baselines.values())
        cells = [f"{score.value:.2f}", interval, *(baselines if score.baselines else ("", ""))]
        rows.add_row(score.title, *cells, "1.00")
    styles, copied = card["style"], card["copied"]
    for title, figures in (
        ("messages per turn", [styles[arm]["messages_per_turn"] for arm in _COMPARED]),
        ("copies of six words or more", [copied[arm] for arm in _COMPARED]),
    ):
        real, *others = (f"{figure:.2f}" if figure >= 1 else f"{figure:.1%}" for figure in figures)
        rows.add_row(title, others[0], "", *others[1:], real)
    console.print(Padding.indent(rows, 2))
    for note in list_notes(card):
        print_indented(note, console, "dim")
    if verbose:
        right = card["right_voice"]
        for key, what in (
            ("absent", "speaker absent, among absent names"),
            ("no_context", "without context, among all names"),
        ):
            share, chance = right[key]["share"], right[key]["chance"]
            print_indented(f"Right voice, {what}: {share:.0%} (chance {chance:.0%})", console)
        if (auc := card["headline"].get("auc_with_context")) is not None:
            print_indented(
                f"Real or generated, with context: AUC {auc:.2f} (0.5 = no difference)", console
            )
    lines = card["personal_data_lines"]
    print_indented(f"Private data: in {card['personal_data']} of {lines:,} lines", console)
    if card["quick"]:
        print_indented(_QUICK, console)


def _list_arms(card: Scorecard) -> list[str]:
    """Return the arms of a scorecard; a quick one has no cold replies."""
    return [arm for arm in _ARMS if arm in card["style"]]


def _attribution(card: Scorecard) -> Any:  # noqa: ANN401  a table of rich's
    rows = table("who speaks", "1 line", "5 lines", "10 lines")
    for arm in (*_list_arms(card), "shuffled"):
        names = (f"attribution.bags_of_{size}.{arm}" for size in (1, 5, 10))
        rows.add_row(_ARMS[arm], *(_with_interval(card, name) for name in names))
    return rows


def _confusion(card: Scorecard) -> Any:  # noqa: ANN401
    found = card["attribution"]
    rows = table("", *(_short(voice) for voice in found["voices"]))
    for voice, shares in zip(found["voices"], found["confusion"]["generated"], strict=True):
        rows.add_row(Text(voice), *(f"{share:.0%}" for share in shares))
    return rows


def _style(card: Scorecard) -> Any:  # noqa: ANN401
    rows = table("", "msgs/turn", "one msg", "questions", "length", "bland", "copied")
    for arm in _list_arms(card):
        own = card["style"][arm]
        rows.add_row(
            _ARMS[arm],
            _shown(own["messages_per_turn"]),
            *(f"{own[key]:.0%}" for key in ("one_message", "questions")),
            _shown(own["characters"], 0),
            f"{own['bland']:.1%}",
            f"{card['copied'][arm]:.1%}",
        )
    return rows


def _likeness(card: Scorecard) -> Any:  # noqa: ANN401
    rows = table("", "fit", "AUC", "habits", "distinct-2", "self-BLEU", "chrF", "ROUGE-L")
    for arm in _COMPARED:
        overlap = card["overlap"].get(arm, {})
        rows.add_row(
            _ARMS[arm],
            _shown(card["fit"]["recall"].get(arm)),
            _shown(card["auc_with_context"].get(arm)),
            _shown(card["habits"]["distance"].get(arm)),
            _shown(card["diversity"][arm]["distinct_2"]),
            _shown(card["diversity"][arm]["self_bleu"]),
            _shown(overlap.get("chrf"), 1),
            _shown(overlap.get("rouge", {}).get("rougeL")),
        )
    return rows


def _nats(card: Scorecard) -> Any:  # noqa: ANN401
    rows = table("voice", "tuned", "no context", "absent", "no context ")
    nats, right = card["nats_per_char"], card["right_voice"]
    arms, ways = ("tuned", "no_context"), ("absent", "no_context")
    for voice, own in nats["voices"].items():
        shares = (right[way]["voices"].get(voice) for way in ways)
        rows.add_row(
            Text(voice),
            *(_shown(own.get(arm)) for arm in arms),
            *("" if share is None else f"{share:.0%}" for share in shares),
        )
    for title, own in (("all", nats), ("not in training", nats["unseen"])):
        shares = (f"{right[way]['share']:.0%}" if own is nats else "" for way in ways)
        rows.add_row(title, *(_shown(own.get(arm)) for arm in arms), *shares)
    return rows


def _habits(card: Scorecard) -> Any:  # noqa: ANN401
    voices = card["habits"]["voices"]
    rows = table("", *(_short(voice) for voice in voices))
    for habit in next(iter(voices.values()), {}):
        pairs = (own[habit] for own in voices.values())
        rows.add_row(
            habit.replace("_", " "), *(f"{p['generated']:.2f} / {p['real']:.2f}" for p in pairs)
        )
    return rows


def _notes_on(card: Scorecard) -> Iterator[str]:
    """Yield notes on the tables, and the figures that stand alone."""
    yield voice_sentence(card)
    floor, ceiling = (card["habits"]["distance"][key] for key in ("training", "others"))
    yield f"Distance of habits: real training turns {floor:.2f}, other people's turns {ceiling:.2f}"
    if own := card["fit"]["relative_by_itself"]:
        yield f"Fit under the version itself, as it chooses replies: {own['generated']:.2f}"
    canaries = card["canaries"]
    if canaries["planted"]:
        yield (
            f"Canaries: {canaries['said']} of {canaries['planted']} repeated; exposure "
            f"{canaries['exposure_mean']:.1f} bits, at most {canaries['exposure_most']:.1f}"
        )
    if card["held_out"] != "test":
        yield f"Split: {card['held_out']}, for choosing settings; do not publish these figures"


def _with_interval(card: Scorecard, name: str) -> str:
    """Return a figure and its interval: 0.52 [0.41 0.63]."""
    value: Any = card
    for key in name.split("."):
        value = value[key]
    low, high = card["intervals"][name]
    return f"{value:.2f} [{low:.2f} {high:.2f}]"


def _shown(value: float | None, places: int = 2) -> str:
    return "" if value is None else f"{value:.{places}f}"


def _short(voice: str, most: int = 11) -> str:
    return voice if len(voice) <= most else f"{voice[: most - 1]}…"
