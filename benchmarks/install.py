"""The size of an installation: the bot alone, and with what training needs."""

from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from benchmarks.figures import ROOT, Figure, measure

NAME = "understudy-bot"
PACKAGES = ("bot", "migrations", "model", "pipeline")


def run() -> list[Figure]:
    """Add up the files of all distributions that the bot requires, bytecode included."""
    return [
        measure(
            "the bot's installation, without Python and pip", "MB", lambda: _measure(NAME),
            baseline=lambda: _measure(f"{NAME}[train]"), baseline_name="with the extra train",
            wanted="< 380 MB", is_met=lambda value, _: value < 380, runs=1,
        )
    ]  # fmt: skip


def _measure(requirement: str) -> float:
    """Return the megabytes of a requirement's files and those of everything that it requires."""
    own = (file for name in PACKAGES for file in (ROOT / name).rglob("*") if file.is_file())
    others = (
        path
        for needed in _list_required(requirement)
        for file in needed.files or ()
        if needed.name != NAME and (path := needed.locate_file(file)).is_file()
    )
    return sum(path.stat().st_size for path in (*own, *others)) / 1e6


def _list_required(requirement: str) -> Iterator[Distribution]:
    """Yield each installed distribution that a requirement needs, once."""
    waiting, seen = [Requirement(requirement)], set()
    while waiting:
        wanted = waiting.pop()
        for extra in ("", *wanted.extras):
            if (key := (canonicalize_name(wanted.name), extra)) in seen:
                continue
            seen.add(key)
            try:
                found = distribution(wanted.name)
            except PackageNotFoundError:  # for another system
                continue
            if not extra:
                yield found
            for text in found.requires or ():
                needed = Requirement(text)
                if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                    waiting.append(needed)
