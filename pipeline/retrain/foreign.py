"""A dump's messages on their way into a chat, and the forgotten on their way out.

Ids are Telegram's own, the same in exports and dumps of a supergroup. In a basic group each account
counts messages for itself: there a dump's stand behind FOREIGN until an export shows the same
author at the same second.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from model.marker import parse_spoken
from pipeline.retrain.whole import Entry, Merged

FOREIGN = 2**40
"""Added to the ids that the bot knows a basic group's messages by; Telegram's are below 2^31."""

GROUP = "private_group"


def add_dumped(whole: Merged, entries: Sequence[Entry], names: Sequence[str | None]) -> None:
    """Take in a dump's entries: they add what no export speaks for, and edits."""
    whole.played |= _played(entries)
    if whole.chat.kind == GROUP:
        entries = [_foreign(one) for one in entries]
    fresh = []
    for one in entries:
        edited = whole.known.get(one.number)
        if edited is None:
            is_news = not any(cover.holds(one.number) for cover in whole.covers)
        else:
            is_news = one.edited > edited
        if is_news:
            fresh.append(one)
    whole.keep(fresh, names)


def settle(whole: Merged) -> None:
    """Let an export's message stand for the bot's of a basic group, once there is one."""
    foreign = [one for one in whole.entries() if one.number >= FOREIGN]
    if not foreign:
        return
    places: dict[tuple[int, int], list[Entry]] = defaultdict(list)
    earliest = min(one.at for one in foreign)
    for one in whole.entries():
        if one.is_message and one.at >= earliest and one.number < FOREIGN:
            places[one.author, one.at].append(one)
    aliases, gone, edited = dict(whole.ledger.aliases), [], []
    for one in foreign:
        if same := places.get((one.author, one.at)):
            real = next((other for other in same if other.text == one.text), same[0])
            same.remove(real)
            aliases[one.number - FOREIGN] = real.number
            gone.append(one.number)
            if one.edited > real.edited:
                edited.append(real._replace(text=one.text, edited=one.edited))
        elif any(cover.begin <= one.at <= cover.newest for cover in whole.covers):
            gone.append(one.number)
    whole.drop(gone)
    whole.keep(edited, list(whole.spool.names))
    whole.ledger = replace(whole.ledger, aliases=aliases)


def forget(whole: Merged) -> None:
    """Let the forgotten messages go, under every id that they have.

    Of one that no export has shown yet its place stays, without words: by it the next export's is
    known.
    """
    forgotten = whole.ledger.forgotten
    if whole.chat.kind != GROUP:
        whole.drop(forgotten)
        return
    aliases = dict(whole.ledger.aliases)
    for number in forgotten:
        place = aliases.get(number, FOREIGN + number)
        if place < FOREIGN:
            whole.drop([place])
        elif place in whole.known:
            whole.spool.retell(whole.chat.chat_id, {place: ""})
            aliases[number] = place
        elif number not in aliases:
            whole.unplaced += 1
    whole.ledger = replace(whole.ledger, aliases=aliases)


def _foreign(entry: Entry) -> Entry:
    reply = None if entry.reply is None else FOREIGN + entry.reply
    return entry._replace(number=FOREIGN + entry.number, reply=reply)


def _played(entries: Iterable[Entry]) -> set[int]:
    """Return who says nothing but lines with the bot's marker."""
    said: dict[int, bool] = {}
    for one in entries:
        if one.is_message:
            is_played = parse_spoken(one.text) is not None
            said[one.author] = said.get(one.author, True) and is_played
    return {author for author, only in said.items() if only}
