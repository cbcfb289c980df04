"""Another version comes to serve while the bot runs, with a real registry."""

import asyncio
import threading
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bot.run import build
from bot.texts import EN
from bot.transport.polling import (
    ALLOWED_UPDATES,
)
from model.artifacts.artifact import Artifact, save_card
from model.artifacts.consent import store_facts
from model.artifacts.database import write_database
from model.artifacts.registry import Registry
from model.chat.eligibility import parse_voice_header
from model.chat.permissions import Facts
from model.chat.person import Decision
from model.chat.roster import Roster
from model.errors import ArtifactError
from tests.bot.conftest import FRIENDS, FakeSpeaker, until

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
        app = build(
            settings,
            registry,
            weights,
            stage.lines.append,
            model_check_seconds=0.05,
            request=stage.request(),
        )
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
    assert [parse_voice_header(text)[0] for text in spoken] == ["João", "李雷"]
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
    assert parse_voice_header(answer["text"])[0] == "João"
    assert list(weights.opened) == [name, mended]


async def test_who_looks_while_a_version_is_loaded_waits_for_it(
    reloading, registry, version, monkeypatch
):
    async with reloading() as app:
        models, may_load = app.bot_data["state"].models, threading.Event()
        model_holder, speakers = models.default, models.speakers
        open_it = speakers._open
        monkeypatch.setattr(speakers, "_open", lambda one: may_load.wait(5) and open_it(one))
        newer = registry.promote(version(2))
        checks = [asyncio.create_task(model_holder.check()) for _ in range(2)]
        await asyncio.wait(checks, timeout=0.1, return_when=asyncio.FIRST_COMPLETED)

        threading.Timer(0.1, may_load.set).start()
        await asyncio.wait(checks, return_when=asyncio.FIRST_COMPLETED)

        assert model_holder.current.version == newer


async def test_a_version_that_is_gone_is_refused_too(stage, reloading, registry, group, zoe):
    async with reloading():
        (registry.root / "current").write_text("0009-00000000\n")
        await told(stage, "0009-00000000, which no longer exists")
        answer = await stage.answer(group, zoe, "/as João")

    assert parse_voice_header(answer["text"])[0] == "João"


async def test_a_no_in_the_roster_counts_without_loading_the_weights_again(
    stage, reloading, registry, weights, group, zoe, card
):
    first, *others = card.roster.people
    silent = replace(card.roster, people=(replace(first, imitate="no"), *others))
    async with reloading() as app:
        registry.change_roster("current", silent)
        state = app.bot_data["state"]
        await until(
            lambda: state.access_in(FRIENDS).roster.find_by_name("Hugo Silva").imitate == "no"
        )
        answer = await stage.answer(group, zoe, "/as Hugo Silva")

    assert "asked not to imitate" in answer["text"]
    assert len(weights.opened) == 1


@pytest.mark.parametrize(
    "named", ["00\x0001-00000000", "../../secrets", "", "\ud83d", "0001-abcdef01\nmore"]
)
async def test_a_current_that_names_no_version_is_refused(
    stage, reloading, registry, version, group, zoe, named
):
    async with reloading():
        (registry.root / "current").write_bytes(named.encode("utf-8", "surrogatepass"))
        text = await told(stage, "does not contain the name of a version")
        answer = await stage.answer(group, zoe, "/as João")
        newer = registry.promote(version(2))
        await told(stage, f"I now use version {newer}")

    assert "choose one with `understudy models promote VERSION" in text
    assert parse_voice_header(answer["text"])[0] == "João"


async def test_a_version_repaired_under_the_same_name_is_tried_again(
    stage, reloading, registry, weights, version
):
    async with reloading():
        name = version(2)
        weights.broken[name] = RuntimeError("its weights are damaged")
        registry.promote(name)
        await told(stage, "its weights are damaged")

        del weights.broken[name]
        model = registry.root / "versions" / name / "engine" / "model.bin"
        model.write_text("copied anew")
        await told(stage, f"I now use version {name}")


async def test_a_version_that_cannot_be_loaded_is_retried_and_reported_once(
    stage, reloading, registry, weights, version, monkeypatch
):
    monkeypatch.setattr("bot.services.model_holder.FIRST_WAIT", 0.1)
    monkeypatch.setattr("bot.services.model_holder.MAX_WAIT", 0.1)
    tries = []

    class Counted(dict):
        def __getitem__(self, name):
            tries.append(name)
            return super().__getitem__(name)

    async with reloading():
        name = version(2)
        weights.broken = Counted({name: RuntimeError("there is too little memory")})
        registry.promote(name)
        await until(lambda: len(tries) > 3)
        weights.broken = {}
        await told(stage, f"I now use version {name}")

    sent = [call.params["text"] for call in stage.telegram.sent("sendMessage", chat_id=ADMIN)]
    assert sum("too little memory" in text for text in sent) == 1


@pytest.mark.parametrize(
    "receipt",
    ['{"through": "soon"}', '{"through": 7}', '{"through": ""}', "[" * 100_000, "\x00", "[]"],
    ids=["a word", "a number", "nothing", "deep", "no JSON", "a list"],
)
async def test_an_unreadable_receipt_does_not_end_the_watch(
    stage, reloading, registry, version, receipt
):
    async with reloading():
        for number in (2, 3):
            newer = version(number)
            with write_database(registry.root) as database:
                database.execute("INSERT INTO receipts VALUES (?, ?)", (newer, receipt))
            registry.promote(newer)
            await told(stage, f"I now use version {newer}")


async def test_the_watch_survives_unexpected_errors(
    stage, reloading, registry, weights, version, monkeypatch
):
    monkeypatch.setattr("bot.services.supervisor.FIRST_WAIT", 0.05)
    async with reloading() as app:
        name = version(2)
        weights.broken[name] = AssertionError("nobody expects this")
        registry.promote(name)
        [job] = await until(lambda: app.bot_data["state"].jobs.failing)

        del weights.broken[name]
        await told(stage, f"I now use version {name}")

    assert job.name == "models"


async def test_an_optout_that_a_retraining_read_holds_until_a_newer_optin(
    stage, reloading, registry, group
):
    hugo = stage.telegram.user(11, "Hugo Silva")
    async with reloading() as app:
        state = app.bot_data["state"]
        store_decision(registry.root, 11, "optout")
        await until(lambda: "Hugo Silva" not in voices(state))
        refused = await stage.answer(group, hugo, "/as Hugo Silva")
        await stage.answer(group, hugo, "/optin")
        answer = await stage.answer(group, hugo, "/as Hugo Silva")

    assert parse_voice_header(refused["text"]) is None
    assert parse_voice_header(answer["text"])[0] == "Hugo Silva"


async def test_an_optin_older_than_an_optout_of_another_machine_lifts_nothing(
    stage, reloading, registry, group
):
    hugo = stage.telegram.user(11, "Hugo Silva")
    async with reloading() as app:
        state = app.bot_data["state"]
        await stage.answer(group, hugo, "/optin")
        store_decision(registry.root, 11, "optout", hours=1)
        await until(lambda: "Hugo Silva" not in voices(state))
        refused = await stage.answer(group, hugo, "/as Hugo Silva")

    assert parse_voice_header(refused["text"]) is None


def voices(state):
    return [person.name for person in state.access_in(FRIENDS).voices]


def store_decision(root, user, kind, hours=-1):
    """Store a decision as a retraining does; it was sent `hours` from now."""
    one = Decision(user, kind, datetime.now(UTC) + timedelta(hours=hours), -1)
    with write_database(root) as connection:
        store_facts(connection, Facts().with_source("the dump of another bot", [one]))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"imitate": "no"}, EN.declined.format(name="João")),
        (None, "I don't know anyone with that name."),
    ],
    ids=["withdrawn", "unknown"],
)
async def test_a_request_whose_voice_is_gone_from_the_new_model_is_refused(
    stage, hugo, zoe, group, card, changes, text
):
    people = [
        replace(person, **(changes or {})) if person.name == "João" else person
        for person in card.roster.people
        if changes or person.name != "João"
    ]
    async with stage.running(parallel_replies=1) as app:
        state = app.bot_data["state"]
        other = stage.telegram.chat(FRIENDS - 1, title="Others")
        known = state.group(other.id)
        await state.save_group(replace(known, authorised=True, allowed=frozenset({FRIENDS})))
        stage.speaker.open.clear()
        await stage.telegram.say(other, hugo, "/as Hugo Silva")
        await until(lambda: stage.speaker.asked)
        await stage.telegram.say(group, zoe, "/as João")
        await until(lambda: state.replies.pending == 2)
        later = replace(card, roster=Roster(tuple(people)))
        stage.models.artifact = Artifact(stage.folder / "0002-abcdef02", later)
        await until(lambda: state.models.default.current.version == "0002-abcdef02")
        stage.speaker.open.set()
        call = await stage.telegram.wait_for("sendMessage", chat_id=group.id)

    assert call.params["text"].startswith(text)
