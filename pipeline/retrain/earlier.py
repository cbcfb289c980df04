"""What the messages of earlier datasets are called now.

The bot's ids find their places in exports, and a basic group's change when it is a supergroup.
"""

from collections.abc import Iterable

from pipeline.export.ids import SHIFT
from pipeline.retrain.foreign import FOREIGN, is_bots_own, is_foreign
from pipeline.retrain.whole import Merged


def number_now(whole: Merged, chat_id: int, number: int) -> int:
    """Return what a message of this chat, or of the basic group that it was, is called now."""
    aliases, was_group = whole.ledger.aliases, chat_id != whole.chat.chat_id
    now = number - SHIFT if was_group else number
    if is_foreign(number):
        return aliases.get(now - FOREIGN, now)
    return aliases.get(now + FOREIGN, now) if was_group else now  # another account counts otherwise


def forgotten_now(whole: Merged) -> frozenset[int]:
    """Return what the forgotten messages are called now."""
    kind, ledger = whole.chat.kind, whole.ledger
    return frozenset(
        ledger.aliases.get(number, FOREIGN + number) if is_bots_own(kind, number) else number
        for number in ledger.forgotten
    )


def struck_now(whole: Merged, struck: Iterable[str]) -> frozenset[str]:
    """Return by today's ids the pairs that were struck out of an earlier dataset; see Pair.id."""
    pairs = (map(int, pair.split("/")) for pair in struck)
    return frozenset(
        f"{whole.chat.chat_id}/{number_now(whole, chat, number)}" for chat, number in pairs
    )
