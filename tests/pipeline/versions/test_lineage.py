"""Whom the roster says no of: silent in all versions at once."""

import pytest
from click.testing import CliRunner

from pipeline.cli.main import app
from tests.pipeline.chats import chat
from tests.pipeline.retrain.dumps import decision, dump
from tests.pipeline.retrain.retrain_runner import NEW


def say_no(running, key):
    file = running.root / "roster.toml"
    file.write_text(file.read_text().replace('imitate = "yes"', f'{key} = "no"', 1))


def voices(running):
    return [person.name for person in running.registry.open().card.roster.voices]


@pytest.mark.parametrize("key", ["learn", "imitate"])
def test_a_rollback_brings_no_voice_back_that_the_roster_took(running, key):
    say_no(running, key)
    running.run(chat(*NEW), no_live_bot=True)

    running.registry.rollback()

    assert voices(running) == ["Friend 2"]


def test_the_version_that_serves_falls_silent_though_too_little_is_new_to_train(running):
    say_no(running, "imitate")

    result = running.run(dump())

    assert result.version is None
    assert voices(running) == ["Friend 2"]


def test_a_yes_of_long_ago_does_not_keep_a_voice_that_the_roster_took_since(running):
    say_no(running, "imitate")

    running.run(dump(decisions=[decision(1, "optin")]))

    assert voices(running) == ["Friend 2"]


def test_a_version_that_is_imported_falls_silent_too(running, tmp_path):
    runner, models = CliRunner(), ["--models-dir", str(running.root)]
    runner.invoke(app, ["models", "export", "current", str(tmp_path / "own.zip"), *models])
    say_no(running, "learn")

    runner.invoke(app, ["models", "import", str(tmp_path / "own.zip"), *models])
    assert voices(running) == ["Friend 2"]
