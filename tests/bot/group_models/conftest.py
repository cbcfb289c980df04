"""A bot with a default model and one for the climbers' group, in a real registry."""

import time
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from bot.run import build
from bot.transport.polling import ALLOWED_UPDATES
from model.artifacts.artifact import LearnedChat, save_card
from model.artifacts.registry import Registry
from model.chat.eligibility import parse_voice_header
from model.chat.person import Person
from model.chat.roster import Roster
from tests.bot.conftest import FRIENDS, FakeSpeaker, until

ADMIN, CLIMBERS, CHOIR = 7, -1005678, -1009876
CLIMBING = (
    Person("Hugo", (11,), imitate="ask"),  # "Hugo Silva" among the friends
    Person("João", (23,), imitate="yes"),  # another João than the friends'
    Person("Mia", (31,), imitate="yes"),
    Person("Ana", (15,), imitate="ask"),  # the friends' Ana
)


class Weights:
    """Opens a speaker for each version; those in `broken` cannot be opened, others are `slow`."""

    def __init__(self):
        self.speakers, self.opened, self.broken, self.slow = {}, [], {}, {}

    def __call__(self, artifact):
        name = artifact.path.name
        if name in self.broken or not artifact.path.is_dir():
            raise self.broken.get(name) or OSError(2, "no such folder")
        time.sleep(self.slow.get(name, 0))
        self.opened.append(name)
        return self.speakers.setdefault(name, FakeSpeaker())


class Models:
    """A models folder: the default one, and one of the climbers."""

    def __init__(self, folder, card):
        self.registry, self.card, self._folder = Registry(folder / "artifacts"), card, folder
        self.weights, self._number = Weights(), 0
        self.default = self.add(self.registry)
        self.climbing = self.add(self.of("climbers"), CLIMBERS, CLIMBING)

    def of(self, name):
        return Registry(self.registry.root / "groups" / name)

    def add(self, registry, chat=FRIENDS, people=(), **changes):
        """Add a version and make it current."""
        self._number += 1
        finished = self._folder / f"finished {self._number}"
        (finished / "engine").mkdir(parents=True)
        (finished / "engine" / "model.bin").write_text(str(self._number))
        (finished / "tokenizer.json").touch()
        roster = Roster(people) if people else self.card.roster
        card = replace(self.card, roster=roster, chats=(LearnedChat(chat, str(chat)),), **changes)
        save_card(card, finished)
        return registry.promote(registry.add(finished))

    def asked(self, version):
        """Return the voices that a version was asked for."""
        speaker = self.weights.speakers.get(version)
        return [voice for voice, _ in speaker.asked] if speaker else []


@pytest.fixture
def models(tmp_path, card):
    return Models(tmp_path, card)


@pytest.fixture
def climbers(stage):
    return stage.telegram.chat(CLIMBERS, title="Climbers")


@pytest.fixture
def ada(stage):
    """The bot's admin."""
    return stage.telegram.user(ADMIN, "Ada")


@pytest.fixture
def ana(stage):
    return stage.telegram.user(15, "Ana")


@pytest.fixture
def running(stage, models, climbers, ada):
    """Return what runs the bot, which Ada has added to the climbers' group."""

    @asynccontextmanager
    async def run(**settings):
        chosen = stage.settings(admins=str(ADMIN), **settings)
        app = build(
            chosen,
            models.registry,
            models.weights,
            stage.lines.append,
            model_check_seconds=0.05,
            request=stage.request(),
        )
        stage.telegram.private(ada)
        try:
            async with app:
                await app.post_init(app)
                await app.updater.start_polling(allowed_updates=ALLOWED_UPDATES)
                await app.start()
                stage.app = app
                if not app.bot_data["state"].groups:
                    await stage.enter(climbers, ada)
                try:
                    yield app.bot_data["state"]
                finally:
                    await app.updater.stop()
                    await app.stop()
        finally:
            await app.post_shutdown(app)

    return run


def voice(answer):
    found = parse_voice_header(answer["text"])
    return found and found[0]


def break_model(models, name):
    (models.of(name).root / "current").write_text("0099-abcdef01\n")


async def told(stage, words):
    """Wait until the admin is told something that contains these words."""

    def find():
        calls = stage.telegram.sent("sendMessage", chat_id=ADMIN)
        return next((c.params["text"] for c in calls if words in c.params["text"]), None)

    return await until(find)
