"""A dump's messages on their way into a chat, and the forgotten on their way out.

Ids are Telegram's own, the same in exports and dumps of a supergroup. In a basic group each account
counts messages for itself, and what a supergroup has of the basic group that it was keeps those ids
below zero: there a dump's stand behind FOREIGN until an export shows the same author at the same
second.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from model.marker import parse_spoken
from pipeline.export.entries import Kind
from pipeline.retrain.whole import Entry, Merged

FOREIGN = 2**40
"""Added to the ids that the bot knows a basic group's messages by; Telegram's are below 2^31."""

GROUP = "private_group"


def is_foreign(number: int) -> bool:
    """Whether an id stands behind FOREIGN; what it is added to may be below zero."""
    return number > FOREIGN // 2


def is_bots_own(kind: str, number: int) -> bool:
    """Whether the bot alone calls a message so, in a dump of a chat of this kind."""
    return kind == GROUP or number < 0


def add_dumped(whole: Merged, entries: Sequence[Entry], names: Sequence[str | None]) -> None:
    """Take in a dump's entries: they add what no export speaks for, and edits."""
    whole.played |= _played(entries)
    kind, fresh = whole.chat.kind, []
    for one in (_placed(kind, entry) for entry in entries):
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
    foreign = [one for one in whole.entries() if is_foreign(one.number)]
    if not foreign:
        return
    places: dict[tuple[int, int], list[Entry]] = defaultdict(list)
    earliest = min(one.at for one in foreign)
    for one in whole.entries():
        if one.is_message and one.at >= earliest and not is_foreign(one.number):
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
        elif any(cover.tells_of(one.number, one.at) for cover in whole.covers):
            gone.append(one.number)
            whole.deleted += any(cover.holds(one.number) for cover in whole.covers)
    whole.drop(gone)
    whole.keep(edited, list(whole.spool.names))
    now = {bots: aliases.get(real - FOREIGN, real) for bots, real in aliases.items()}
    whole.ledger = replace(whole.ledger, aliases=now)
    _aim(whole)


def forget(whole: Merged) -> None:
    """Let the forgotten messages go, under every id that they have.

    Of one that no export showed yet it stays known who said something when: the next may show it.
    """
    aliases, silent = dict(whole.ledger.aliases), set()
    written = _written_by_people(whole)
    words = set(whole.ledger.forgotten_words)
    for number in whole.ledger.forgotten:
        known = aliases.get(number, FOREIGN + number)
        if (known if is_bots_own(whole.chat.kind, number) else number) in written:
            words.add(number)
        if not is_bots_own(whole.chat.kind, number):
            whole.drop([number])
        elif number not in aliases and FOREIGN + number not in whole.known:
            whole.unplaced += 1
        elif is_foreign(real := aliases.setdefault(number, FOREIGN + number)):
            silent.add(real)
        else:
            whole.drop([real])
    _silence(whole, silent)
    whole.ledger = replace(whole.ledger, aliases=aliases, forgotten_words=frozenset(words))


def _written_by_people(whole: Merged) -> set[int]:
    """Return the ids of people's messages, or nothing if no message is to be forgotten."""
    if not whole.ledger.forgotten:
        return set()
    ours = whole.played | whole.ledger.understudies
    return {
        one.number
        for one in whole.entries()
        if one.is_message and one.author not in ours and parse_spoken(one.text) is None
    }


def _silence(whole: Merged, numbers: Collection[int]) -> None:
    """Leave of messages no words, and nothing that counts as one."""
    silent = [
        one._replace(kind=Kind.SERVICE, name=0, text="")
        for one in (whole.entries() if numbers else ())
        if one.number in numbers
    ]
    whole.keep(silent, list(whole.spool.names))


def _placed(kind: str, entry: Entry) -> Entry:
    """Return a dump's entry as the merged chat has it."""
    number, reply = entry.number, entry.reply
    if is_bots_own(kind, number):
        number += FOREIGN
    if reply is not None and is_bots_own(kind, reply):
        reply += FOREIGN
    return entry._replace(number=number, reply=reply)


def _aim(whole: Merged) -> None:
    """Let replies to what has another id by now aim at that."""
    aliases = whole.ledger.aliases
    aimed = [
        one._replace(reply=aliases[one.reply - FOREIGN])
        for one in whole.entries()
        if one.reply is not None and one.reply - FOREIGN in aliases
    ]
    whole.keep(aimed, list(whole.spool.names))


def _played(entries: Iterable[Entry]) -> set[int]:
    """Return who says nothing but lines with the bot's marker."""
    said: dict[int, bool] = {}
    for one in entries:
        if one.is_message:
            is_played = parse_spoken(one.text) is not None
            said[one.author] = said.get(one.author, True) and is_played
    return {author for author, only in said.items() if only}
