"""Whom the roster says no of: silent in all versions at once."""

import pytest

from tests.pipeline.chats import chat, conversation
from tests.pipeline.retrain.dumps import decision, dump
from tests.pipeline.retrain.workshop import Workshop


@pytest.fixture
def shop(tmp_path):
    shop = Workshop(tmp_path)
    shop.first()
    return shop


def say_no(shop, key):
    file = shop.root / "roster.toml"
    file.write_text(file.read_text().replace('imitate = "yes"', f'{key} = "no"', 1))


def voices(shop):
    return [person.name for person in shop.registry.open().card.roster.voices]


@pytest.mark.parametrize("key", ["learn", "imitate"])
def test_a_rollback_brings_no_voice_back_that_the_roster_took(shop, key):
    say_no(shop, key)
    shop.run(chat(*conversation(45)), no_live_bot=True)

    shop.registry.rollback()

    assert voices(shop) == ["Friend 2"]


def test_the_version_that_serves_falls_silent_though_too_little_is_new_to_train(shop):
    say_no(shop, "imitate")

    result = shop.run(dump())

    assert result.version is None
    assert voices(shop) == ["Friend 2"]


def test_who_told_the_bot_no_may_tell_it_yes_again_without_a_retraining(shop):
    shop.run(dump(decisions=[decision(1, "optout")]))

    assert voices(shop) == ["Friend 1", "Friend 2"]
