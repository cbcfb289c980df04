"""The bot's marker: the first line of all that it says in a friend's voice."""

from model.naming import MAX_NAME, clean_name

MASK = "🎭"


def spoken(name: str, words: str) -> str:
    """Return what the bot sends: a line that names the voice, then the words."""
    return f"{MASK} {name}\n{words}"


def parse_spoken(text: str) -> tuple[str, str] | None:
    """Return the voice and the words of what `spoken` wrote, None for any other text."""
    head, newline, words = text.partition("\n")
    name = head.removeprefix(MASK).strip()
    if len(name) > MAX_NAME:
        return None
    if not newline or not head.startswith(MASK) or name != clean_name(name) or not words.strip():
        return None
    return name, words
