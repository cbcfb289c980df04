"""A bot's folder in which all is well, and a way to look at it once something is not."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from bot.checks import run_checks
from model.artifacts.artifact import save_card
from model.artifacts.registry import Registry
from tests.bot.small_disk import remount, small_disk

__all__ = ["remount", "small_disk"]

ADMIN = 13


@dataclass
class Desk:
    """The folder that the check is run in."""

    folder: Path
    stage: object
    registry: Registry

    async def look(self, poll_seconds=0, **changes):
        given = {"admins": {ADMIN}, "models_dir": self.registry.root, **changes}
        return await run_checks(self.stage.settings(**given), poll_seconds=poll_seconds)

    async def says(self, about, poll_seconds=0, **changes):
        """Return `severity text` of the only finding about a thing."""
        found = await self.look(poll_seconds, **changes)
        [one] = [finding for finding in found if finding.topic == about]
        return f"{one.severity.value} {one.text}"

    def add(self, card, *, promote=True):
        """Add a model that has no weights but all files; return its folder."""
        finished = self.folder / "finished"
        (finished / "engine").mkdir(parents=True)
        (finished / "engine" / "model.bin").write_text("weights")
        (finished / "tokenizer.json").touch()
        save_card(card, finished)
        name = self.registry.add(finished)
        if promote:
            self.registry.promote(name)
        return self.registry.root / "versions" / name


@pytest.fixture
def empty_desk(stage, tmp_path, monkeypatch, group, joao):
    """A desk without a model, in a Telegram where all is well."""
    folder = tmp_path / "a desk"
    folder.mkdir()
    monkeypatch.chdir(folder)
    stage.telegram.private(joao)
    return Desk(folder, stage, Registry(folder / "artifacts"))


@pytest.fixture
def desk(empty_desk, card):
    empty_desk.add(card)
    return empty_desk
