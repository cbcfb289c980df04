"""What is left on disk of words, byte by byte, in every file of a bot's database."""


def remains(folder, *words):
    """Return which of the words stand in any file of the database, and where."""
    files = sorted(folder.glob("bot.db*"))
    assert files
    return [
        (word, file.name) for file in files for word in words if word.encode() in file.read_bytes()
    ]
