"""What `inspect` found, for people at 80 columns and as JSON for programs."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from model.naming import escape_unseen, visible_name
from pipeline.authors import Author
from pipeline.export.archive import MAX_LISTED
from pipeline.export.ids import from_id_of, is_foreign
from pipeline.inspection import ChatFigures
from pipeline.tables import table

_MOST_AUTHORS = 30
_MOST_PLACES = 5
_NAMES = "names, the latest last"


def print_findings(figures: Sequence[ChatFigures], console: Console) -> None:
    """Print all chats as a list, and whole where there is one."""
    if len(figures) != 1:
        _print_list(figures, console)
        return
    _print_chat(figures[0], console)


def _print_list(figures: Sequence[ChatFigures], console: Console) -> None:
    chats = table("id", "messages", "people", "pairs", "private", "damaged", "chat", words={"chat"})
    for one in figures[:MAX_LISTED]:
        tally = one.chat.tally
        counts = (
            one.messages,
            len(one.authors),
            one.pairs,
            sum(one.private.values()),
            sum(tally.repaired.values()) + sum(tally.skipped.values()),
        )
        chats.add_row(
            str(one.chat.chat_id), *(f"{n:,}" for n in counts), Text(visible_name(one.chat.name))
        )
    console.print(Padding.indent(chats, 2))
    if (more := len(figures) - MAX_LISTED) > 0:
        console.print(f"  and {more:,} more with fewer messages (--json)")
    console.print("  --chat NAME or --chat ID shows one of them whole", style="dim")


def _print_chat(one: ChatFigures, console: Console) -> None:
    chat, counts = one.chat, one.counts
    console.print(f"  {visible_name(chat.name)}", style="bold")
    joined = f", with the group it was before ({', '.join(map(str, chat.joined))})"
    facts = {
        "type": f"{chat.kind}, id {chat.chat_id}{joined if chat.joined else ''}",
        "from, to": f"{counts.first:%Y-%m-%d %H:%M} to {counts.last:%Y-%m-%d %H:%M} UTC"
        if counts.first
        else "nobody wrote",
        "messages": f"{one.messages:,}; service {counts.service:,}, "
        f"unsupported {counts.unsupported:,}, topics {counts.topics:,}",
        "gives": f"{one.sessions:,} conversations, {one.pairs:,} pairs",
        "scripts": _listed(one.scripts) or "none",
        "private": _listed(one.private) or "nothing found",
        "repaired": _listed(chat.tally.repaired) or "nothing",
        "skipped": _listed(chat.tally.skipped) or "nothing",
    }
    if chat.unread:
        facts["unread"] = ", ".join(
            f"{unread:,} bytes, {chat.unread_share(file):.2%} of {file}"
            for file, unread in chat.unread.items()
        )
    rows = table("", "", plain=True)
    for about, says in facts.items():
        rows.add_row(about, Text(says))
    console.print(Padding.indent(rows, 2))
    for trouble in chat.places[:_MOST_PLACES]:
        after = f", after message {trouble.after}" if trouble.after else ""
        console.print(f"  {trouble.file} at byte {trouble.offset:,}{after}: {trouble.what}")
    if (left := len(chat.places) - _MOST_PLACES) > 0:
        console.print(f"  … and {left} of the first {len(chat.places)} places more (--json)")
    _print_authors(one, console)


def _print_authors(one: ChatFigures, console: Console) -> None:
    authors = one.authors
    people = table("messages", "id", "voice", _NAMES, first="right", words={"voice", "id", _NAMES})
    for author in authors[:_MOST_AUTHORS]:
        names = " · ".join(map(visible_name, author.names)) or "a deleted account"
        people.add_row(
            f"{author.messages:,}",
            "" if author.by_name else str(author.author_id),
            _voice(author, one),
            Text(f"{names} {_bot_note(author)}".rstrip()),
        )
    console.print(Padding.indent(people, 2))
    if len(authors) > _MOST_AUTHORS:
        console.print(f"  … and {len(authors) - _MOST_AUTHORS:,} more who wrote less (--json)")
    console.print(
        f"  A voice needs {one.min_messages:,} messages of its own, not counting commands and "
        "forwards\n  (--min-messages).",
        style="dim",
    )


def _voice(author: Author, one: ChatFigures) -> str:
    """Say whether somebody wrote enough to be a voice."""
    return "no" if author.is_bot or author.author_id in one.quiet else "yes"


def _bot_note(author: Author) -> str:
    if not author.is_bot:
        return ""
    is_called_bot = bool(author.names) and author.names[-1].casefold().endswith("bot")
    return "(a bot)" if is_called_bot else "(sends only through bots)"


def _listed(counts: Mapping[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    return ", ".join(f"{count:,} × {what}" for what, count in ordered)


def to_json(figures: Sequence[ChatFigures]) -> str:
    """Return all figures; ids are the export's own, and the Bot API's beside them."""
    text = json.dumps({"chats": [_chat(one) for one in figures]}, ensure_ascii=False, indent=1)
    return escape_unseen(text)


def _chat(one: ChatFigures) -> dict[str, Any]:
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
            {**_author(author), "is_voice": _voice(author, one) == "yes"} for author in one.authors
        ],
        "repaired": dict(chat.tally.repaired),
        "skipped": dict(chat.tally.skipped),
        "unread": [
            {"file": str(file), "bytes": unread, "share": chat.unread_share(file)}
            for file, unread in chat.unread.items()
        ],
        "places": [
            {"file": str(p.file), "byte": p.offset, "after": p.after, "what": p.what}
            for p in chat.places
        ],
        "scripts": dict(one.scripts),
        "private": dict(one.private),
        "sessions": one.sessions,
        "pairs": one.pairs,
    }


def _author(author: Author) -> dict[str, Any]:
    return {
        "id": None
        if author.by_name or is_foreign(author.author_id)
        else from_id_of(author.author_id),
        "author_id": author.author_id,
        "names": list(author.names),
        "messages": author.messages,
        "is_bot": author.is_bot,
    }
