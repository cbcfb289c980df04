"""Write the commands that messages tell people to run."""

import shlex
from pathlib import Path

DEFAULT_MODELS = Path("artifacts")
"""The folder of trained models unless --models-dir says otherwise."""


def short_path(path: Path) -> str:
    """Return a path for people: relative to this folder, or to the home folder as ~."""
    for folder, prefix in ((Path.cwd(), ""), (Path.home(), "~/")):
        if path != folder and path.is_relative_to(folder):
            return f"{prefix}{path.relative_to(folder)}"
    return str(path)


def quote(word: object) -> str:
    """Return a word quoted for a shell; a path below home or this folder is shortened."""
    if isinstance(word, Path):
        short = short_path(word)
        plain = short.removeprefix("~/")
        return short if shlex.quote(plain) == plain else shlex.quote(str(word))
    return shlex.quote(str(word))


def models_option(root: Path) -> str:
    """Return the end of a command, ` --models-dir PATH`; "" for the default folder."""
    return "" if root == DEFAULT_MODELS else f" --models-dir {shlex.quote(str(root))}"


def promote_command(root: Path, version: str = "VERSION") -> str:
    """Return the command that makes a version the current one; its number is enough."""
    return f"understudy models promote {short_name(version)}{models_option(root)}"


def purge_command(person: str, root: Path) -> str:
    """Return the command that deletes the versions that learned from a person."""
    return f"understudy models purge --person {quote(person)}{models_option(root)}"


def short_name(version: str) -> str:
    """Return a version's number, as commands accept it: 0007 of 0007-0123abcd."""
    return version.partition("-")[0]
