"""Who wrote in a chat, and how much: what a roster is made of."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Author:
    """An account that wrote in a chat.

    `names` are all names that Telegram showed, oldest first: none for a deleted account. A bot
    (`is_bot`) sent every message through a bot, or with a bot's buttons. If an old export has no
    ids, or ids that are not Telegram's, an author is known only `by_name`.
    """

    author_id: int
    names: tuple[str, ...]
    messages: int
    is_bot: bool = False
    by_name: bool = False


def written(authors: Iterable[Author]) -> Counter[int]:
    """Return how many messages each account wrote, by its id."""
    counts: Counter[int] = Counter()
    for author in authors:
        counts[author.author_id] += author.messages
    return counts
