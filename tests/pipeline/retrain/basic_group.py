"""A basic group, and what becomes of its messages where it becomes a supergroup."""

from model.artifacts.artifact import LearnedChat

SHIFT = 10**9
GROUP = {"type": "private_group", "id": 5}
BASIC = LearnedChat(-5, "Friends")


def moved(entries, by=-SHIFT):
    """Return entries with other ids, and answers to them."""
    return [
        {
            **one,
            "id": one["id"] + by,
            **{key: one[key] + by for key in ["reply_to_message_id"] if key in one},
        }
        for one in entries
    ]
