"""People of a roster who rename themselves in Telegram, in the real bot."""

import json
from dataclasses import replace

import pytest

from bot.services.dump import dump
from model.chat.eligibility import make_lines
from model.chat.roster import Roster
from pipeline.export.files import ExportFile
from pipeline.retrain.people import read_dump_notes
from tests.bot.database_files import rows
from tests.pipeline.export.reading import read

COPY = "Newname: the zanzibar plan"
EVA, RUI = 17, 16


def names(stage):
    return rows(stage, "SELECT user_id, name FROM names ORDER BY shown_at")


@pytest.fixture(params=["SQLite", "PostgreSQL"])
async def url(request, stage, monkeypatch):
    """The URL of a database of each kind."""
    if request.param == "SQLite":
        return stage.settings().database_url
    monkeypatch.chdir(stage.folder)
    return await request.getfixturevalue("postgres").make_migrated()


async def test_copies_under_a_new_name_reach_no_prompt_no_dump_and_no_dataset(
    stage, url, group, hugo, joao, zoe
):
    telegram, file = stage.telegram, stage.folder / "live.json"
    async with stage.running_process(database_url=url):
        await telegram.say(group, telegram.user(EVA, "Newname"), "hello")
        await telegram.say(group, joao, COPY)
        await stage.answer(group, zoe, "/as Hugo Silva")
    async with stage.running_process(database_url=url):  # it is known after a restart
        await telegram.say(group, hugo, f"so\n{COPY}")
        await stage.answer(group, zoe, "/as João")
        await dump(stage.settings(database_url=url), stage.models, file, None)

    asked = [line for _, context in stage.speaker.asked for line in context]
    assert "Hugo Silva: so" in asked
    assert not any("zanzibar" in line for line in asked)
    assert b"zanzibar" not in file.read_bytes()
    assert read_dump_notes(ExportFile(file)).names == ((EVA, "Newname"),)
    lines = make_lines(read(file).messages, stage.card.roster)
    assert "so" in {line.text for line in lines}


@pytest.mark.parametrize("kind", ["edit", "reply", "forward", "button", "external"])
async def test_every_update_that_shows_a_name_counts(stage, group, joao, kind):
    telegram = stage.telegram
    eva = telegram.user(EVA, "Eva")
    async with stage.running():
        said = await telegram.say(group, eva, "hello")
        asked = await stage.answer(group, joao, "/as Hugo")
        eva = telegram.user(EVA, "Newname")
        said["from"] = eva.json()
        origin = {"type": "user", "date": 1, "sender_user": eva.json()}
        if kind == "edit":
            await telegram.edit(said, "hi")
        elif kind == "reply":
            await telegram.say(group, joao, "yes", reply_to=said)
        elif kind == "forward":
            await telegram.say(group, joao, "hers", forward_origin=origin)
        elif kind == "external":
            await telegram.say(group, joao, "yes", external_reply={"origin": origin})
        else:
            await telegram.press(asked, eva, "as:11")
        await stage.wait_until_handled()

    assert names(stage) == [(EVA, "Newname")]


async def test_strangers_and_silent_groups_leave_no_names(stage, group, joao, zoe):
    telegram = stage.telegram
    async with stage.running():
        await telegram.say(group, zoe, "hello")
        elsewhere = telegram.chat(-1009999, title="Other people")
        await stage.answer(elsewhere, telegram.user(EVA, "Newname"), "/privacy")
        await telegram.say(group, joao, "hello")
        await stage.wait_until_handled()

    assert names(stage) == []


async def test_a_name_that_is_known_is_not_stored_again(stage, group):
    telegram = stage.telegram
    async with stage.running() as app:
        for name in ("Rui", "João", "João", "Rui", "Rui"):
            await telegram.say(group, telegram.user(RUI, name), "hello")
            await stage.wait_until_handled()
        shown = app.state.access_in(group.id).roster.find_by_id(RUI).names

    assert shown == ("João", "Rui")
    assert names(stage) == [(RUI, "João"), (RUI, "Rui")]


async def test_names_outlive_forget_all_but_not_a_place_in_a_roster(stage, group):
    telegram = stage.telegram
    async with stage.running():
        await stage.answer(group, telegram.user(EVA, "Newname"), "/forget all")
        await stage.find_after_vacuum()
        kept = names(stage)
    people = tuple(one for one in stage.card.roster.people if EVA not in one.ids)
    async with stage.running(replace(stage.card, roster=Roster(people))) as app:
        await app.state.delete_strangers_names()
        assert not await stage.find_after_vacuum("Newname")

    assert kept == [(EVA, "Newname")]
    assert names(stage) == []


async def test_a_dump_has_names_of_its_own_groups_people_only(stage, group, joao):
    telegram, file = stage.telegram, stage.folder / "live.json"
    other = telegram.chat(-1005678, title="Climbers")
    climbing = replace(
        stage.card,
        roster=Roster(tuple(one for one in stage.card.roster.people if EVA not in one.ids)),
        chats=(replace(stage.card.chats[0], chat_id=other.id),),
    )
    async with stage.running(own=[climbing]):
        await telegram.say(group, telegram.user(EVA, "Newname"), "hello")
        await telegram.say(other, joao, "hello")
        await stage.wait_until_handled()
        await dump(stage.settings(), stage.models, file, other.id)

    assert json.loads(file.read_text("utf-8"))["understudy"]["names"] == []
    assert names(stage) == [(EVA, "Newname")]
