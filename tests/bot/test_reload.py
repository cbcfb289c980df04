"""Another version comes to serve while the bot runs, with a real registry."""

import asyncio
import threading
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from bot.app import build
from bot.routes import ALLOWED_UPDATES
from model.artifact import save_card
from model.errors import ArtifactError
from model.marker import parse_spoken
from model.registry import Registry
from tests.bot.conftest import FakeSpeaker, until

ADMIN = 7


class Weights:
    """Opens a speaker for each version; those named in `broken` cannot be opened."""

    def __init__(self):
        self.opened, self.broken = {}, {}

    def __call__(self, artifact):
        name = artifact.path.name
        if name in self.broken:
            raise self.broken[name]
        return self.opened.setdefault(name, FakeSpeaker())


@pytest.fixture
def registry(tmp_path):
    return Registry(tmp_path / "artifacts")


@pytest.fixture
def weights():
    return Weights()


@pytest.fixture
def version(registry, card, tmp_path):
    """Return what adds a version and returns its name."""

    def add(number, **changes):
        finished = tmp_path / f"finished {number}"
        (finished / "engine").mkdir(parents=True)
        (finished / "engine" / "model.bin").write_text(str(number))
        (finished / "tokenizer.json").touch()
        save_card(replace(card, **changes), finished)
        return registry.add(finished)

    return add


@pytest.fixture
def reloading(stage, registry, weights, version):
    """Return what runs the bot with the registry, its first version serving."""

    @asynccontextmanager
    async def run():
        registry.promote(version(1))
        settings = stage.settings(admins=str(ADMIN))
        app = build(settings, registry, weights, stage.lines.append, look_again=0.05)
        stage.telegram.private(stage.telegram.user(ADMIN, "Ada"))
        try:
            async with app:
                await app.post_init(app)
                await app.updater.start_polling(allowed_updates=ALLOWED_UPDATES)
                await app.start()
                yield app
                await app.updater.stop()
                await app.stop()
        finally:
            await app.post_shutdown(app)

    return run


async def told(stage, words):
    """Wait until the admin is told something that contains these words."""

    def find():
        calls = stage.telegram.sent("sendMessage", chat_id=ADMIN)
        return next((c.params["text"] for c in calls if words in c.params["text"]), None)

    return await until(find)


async def test_a_newer_version_is_exchanged_without_losing_a_message(
    stage, reloading, registry, weights, version, group, zoe
):
    async with reloading():
        [old] = weights.opened.values()
        old.open.clear()
        await stage.telegram.say(group, zoe, "/as João")
        await stage.telegram.wait_for("sendChatAction")
        newer = registry.promote(version(2))
        await told(stage, f"I now use version {newer}")
        old.open.set()
        await stage.telegram.wait_for("sendMessage", chat_id=group.id)

        await stage.answer(group, zoe, "/as 李雷")

    spoken = [call.params["text"] for call in stage.telegram.sent("sendMessage", chat_id=group.id)]
    assert [parse_spoken(text)[0] for text in spoken] == ["João", "李雷"]
    assert [voice for voice, _ in old.asked] == ["João"]
    assert [voice for voice, _ in weights.opened[newer].asked] == ["李雷"]


@pytest.mark.parametrize(
    "error",
    [ArtifactError("its weights are damaged"), RuntimeError("its weights are damaged")],
    ids=["an artifact that says so", "an engine that fails"],
)
async def test_a_broken_version_is_refused_and_the_old_one_stays(
    stage, reloading, registry, weights, version, group, zoe, error
):
    async with reloading():
        [name] = weights.opened
        broken = version(2)
        weights.broken[broken] = error
        registry.promote(broken)
        text = await told(stage, "its weights are damaged")
        answer = await stage.answer(group, zoe, "/as João")

        mended = registry.promote(version(3))
        await told(stage, f"I now use version {mended}")

    assert name in text
    assert parse_spoken(answer["text"])[0] == "João"
    assert list(weights.opened) == [name, mended]


async def test_who_looks_while_a_version_is_loaded_waits_for_it(
    reloading, registry, version, monkeypatch
):
    async with reloading() as app:
        stand, may_load = app.bot_data["house"].stand, threading.Event()
        open_it = stand._open
        monkeypatch.setattr(stand, "_open", lambda one: may_load.wait(5) and open_it(one))
        newer = registry.promote(version(2))
        looks = [asyncio.create_task(stand.look()) for _ in range(2)]
        await asyncio.wait(looks, timeout=0.1, return_when=asyncio.FIRST_COMPLETED)

        threading.Timer(0.1, may_load.set).start()
        await asyncio.wait(looks, return_when=asyncio.FIRST_COMPLETED)

        assert stand.now.version == newer


async def test_a_version_that_is_gone_is_refused_too(stage, reloading, registry, group, zoe):
    async with reloading():
        (registry.root / "current").write_text("0009-00000000\n")
        await told(stage, "0009-00000000, which is gone")
        answer = await stage.answer(group, zoe, "/as João")

    assert parse_spoken(answer["text"])[0] == "João"


async def test_a_no_in_the_roster_counts_without_loading_the_weights_again(
    stage, reloading, registry, weights, group, zoe, card
):
    first, *others = card.roster.people
    silent = replace(card.roster, people=(replace(first, imitate="no"), *others))
    async with reloading() as app:
        registry.change_roster("current", silent)
        house = app.bot_data["house"]
        await until(lambda: house.access.roster.called("Hugo Silva").imitate == "no")
        answer = await stage.answer(group, zoe, "/as Hugo Silva")

    assert "asked not to imitate" in answer["text"]
    assert len(weights.opened) == 1
