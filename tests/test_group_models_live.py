"""The real bot, as a process, with really trained models of two groups, one of each family."""

import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest

from bot.playground.telegram import Telegram, add_bot
from model.artifacts.artifact import LearnedChat, save_card
from model.artifacts.registry import Registry
from tests.habits import HABITS, IDS
from tests.live_group import Friends
from tests.telegram_server import serve

CLIMBERS = -1005678


@pytest.fixture
def models(trained_folder, tmp_path):
    """A models folder: the default one, and one of another family and group."""
    root = tmp_path / "artifacts"
    shutil.copytree(trained_folder("decoder-only") / "artifacts", root, symlinks=True)
    artifact = Registry(trained_folder("encoder-decoder") / "artifacts").open("current")
    finished = shutil.copytree(artifact.path, tmp_path / "finished")
    save_card(replace(artifact.card, chats=(LearnedChat(CLIMBERS, "Climbers"),)), finished)
    own = Registry(root / "groups" / "climbers")
    own.promote(own.add(finished))
    return Registry(root)


async def test_two_groups_are_answered_by_their_own_models_in_one_process(
    models, tmp_path, bot_python
):
    telegram = Telegram(can_read_all=True)
    admin = IDS["Hugo"]
    async with serve(telegram) as url:
        friends = Friends(
            telegram, url, models, tmp_path, ADMINS=str(admin), LOADED_MODELS="1", CONSENT="ask"
        )
        friends.python = bot_python
        climbers = telegram.chat(CLIMBERS, title="Climbers")
        friends.start()
        try:
            await friends.wait_for("setMyCommands")
            await add_bot(telegram, climbers, friends.people["Hugo"])
            await friends.wait_for("sendMessage")
            for _ in range(2):  # one model is loaded at a time
                for chat, name in ((friends.chat, "Hugo"), (climbers, "Raul")):
                    mark = len(telegram.calls)
                    await telegram.say(chat, friends.people["Ana"], f"/as {name}")
                    [(voice, words), *_] = await friends.spoken(mark)
                    assert voice == name
                    assert HABITS[name] in words
            assert await friends.stop() == 0
        finally:
            if friends.process.poll() is None:
                friends.process.kill()
            friends.process.wait()

    with closing(sqlite3.connect(tmp_path / "bot.db")) as database:
        found = set(database.execute("SELECT chat_id, version FROM lines"))
    own = models.group_folders()["climbers"]
    assert found == {(friends.chat.id, models.current), (CLIMBERS, own.current)}
