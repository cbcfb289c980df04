"""The check as a whole: what it looks at where all is well, and how it reads."""

import pytest

from bot.playground.telegram import TOKEN
from model.findings import Finding, Severity, fix, note, ok

pytestmark = pytest.mark.over_http


async def test_all_is_well(desk):
    found = await desk.look()

    assert [(finding.topic, finding.severity) for finding in found] == [
        (about, Severity.OK)
        for about in (
            "settings",
            "token",
            "clock",
            "polling",
            "privacy mode",
            "group",
            "ADMINS",
            "database",
            "disk",
            "model",
            "voices",
            "DEVICE",
        )
    ]


async def test_nothing_is_made_or_changed_and_no_update_taken(desk, stage, group, joao):
    await stage.telegram.say(group, joao, "hello")
    before = sorted(desk.folder.rglob("*"))

    await desk.look()

    assert sorted(desk.folder.rglob("*")) == before
    assert len(stage.telegram.updates.pending) == 1
    assert {call.method for call in stage.telegram.calls} == {
        "getMe",
        "getChat",
        "getChatMember",
        "getWebhookInfo",
    }


async def test_the_rest_is_looked_at_where_there_is_no_model(empty_desk):
    found = await empty_desk.look()

    to_fix = [finding.topic for finding in found if finding.severity is Severity.FIX]
    assert to_fix == ["model"]
    assert "database" in [finding.topic for finding in found]


@pytest.mark.parametrize("change", [{"bot_token": None}, {"bot_token": "42:WRONG"}])
async def test_the_rest_is_looked_at_where_telegram_is_not_to_be_had(desk, change):
    found = await desk.look(**change)

    to_fix = [finding.topic for finding in found if finding.severity is Severity.FIX]
    assert to_fix == ["token"]
    assert {"ADMINS", "database", "model"} <= {finding.topic for finding in found}


async def test_every_finding_fits_80_columns_and_none_has_the_token(desk, stage):
    stage.telegram.world.can_read_all = False
    stage.telegram.world.chats.clear()

    found = [
        *await desk.look(database_url="sqlite+aiosqlite:////proc/a/b.db", device="cuda"),
        *await desk.look(admins=set(), webhook_url="http://bot.example.org"),
        *await desk.look(telegram_api_url="http://127.0.0.1:9"),
    ]

    lines = [line for finding in found for line in str(finding).splitlines()]
    assert max(len(line) for line in lines if "/pytest-" not in line) <= 80  # a path is not cut
    assert all(line.startswith(("ok     ", "note   ", "FIX    ", "       ")) for line in lines)
    assert TOKEN not in "".join(lines)


def test_a_long_path_is_not_cut():
    path = "/a-long-folder" * 8

    text = str(ok("database", f"{path} is up to date"))

    assert path in text.split()


@pytest.mark.parametrize("make", [ok, note, fix])
def test_a_finding_says_its_severity_first(make):
    assert str(make("disk", "is full")).split()[0] == make("", "").severity.value
    assert isinstance(make("", ""), Finding)
