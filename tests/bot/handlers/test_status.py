"""`/status`, through the real bot over HTTP."""

import re
from datetime import timedelta

import pytest

from bot.handlers.admin import format_size, format_uptime
from bot.playground.objects import Member
from bot.store.sqlite import SqliteFile
from bot.texts import EN, PT_BR

JOAO = "13"
NAMES = "Hugo Silva, Hugo Sá, João, 李雷"


@pytest.fixture
async def guarded(stage):
    """The stage with the bot up, João its admin."""
    async with stage.running(admins=JOAO):
        yield stage


@pytest.fixture
def elsewhere(stage):
    return stage.telegram.chat(-1009999, title="Other people")


async def test_an_admin_gets_the_full_status_in_private(
    guarded, group, elsewhere, joao, zoe, caplog
):
    await guarded.telegram.say(group, zoe, "hello")
    await guarded.wait_until_handled()
    await guarded.enter(elsewhere, joao)
    await guarded.telegram.say(group, zoe, "unreadable", date="soon")
    guarded.telegram.drop_next("sendMessage")
    await guarded.telegram.say(group, zoe, "/as João")
    await guarded.telegram.wait_for("sendMessage", chat_id=group.id)
    await guarded.wait_until_handled()

    answer = await guarded.answer(guarded.telegram.private(joao), joao, "/status")

    size = re.search(r"bot\.db, (\d+ kB)", answer["text"])[1]
    aside = re.search(r"Last set aside: (\d+) ", answer["text"])[1]
    assert f"update {aside} cannot be read" in caplog.text
    assert answer["text"] == "\n".join(
        (
            "Model 0001-abcdef01",
            "trained from google/flan-t5-small",
            "Up for 0 min",
            "",
            f"Voices: {NAMES}",
            "Haven't agreed: Ana, Rui, Eva",
            "",
            "Privacy mode: no restriction, I receive all messages",
            "",
            "Updates waiting: 0, set aside: 1",
            f"Last set aside: {aside} (see the log)",
            "Replies waiting: 0, delivery unknown: 1",
            "",
            "Background jobs: all running",
            "",
            f"Database: bot.db, {size}, messages: 2",
            "",
            "Groups",
            "Friends: I speak (I learned from it); no reactions, because I'm not an admin there",
            "Other people: silent until an admin sends /allow there",
        )
    )


async def test_a_group_gets_only_its_own_status(guarded, group, elsewhere, joao, zoe):
    await guarded.enter(group, joao)
    await guarded.enter(elsewhere, joao)
    await guarded.telegram.say(group, zoe, "hello")

    at_home = (await guarded.answer(group, joao, "/status"))["text"]
    away = (await guarded.answer(elsewhere, joao, "/status"))["text"]

    assert f"Voices: {NAMES}\nHaven't agreed: Ana" in at_home
    assert "This group: I speak (I learned from it)\nMessages kept from this group: 2," in at_home
    assert "This group: silent until an admin" in away
    assert "Messages kept from this group: 0, replies waiting: 0" in away
    assert not [name for name in (*NAMES.split(", "), "Ana", "Friends") if name in away]
    assert "Other people" not in at_home


@pytest.mark.parametrize("command", ["/status", "/voices"])
async def test_an_allowed_group_sees_no_names_of_people_who_have_not_agreed(
    guarded, elsewhere, joao, command
):
    await guarded.enter(elsewhere, joao)
    await guarded.answer(elsewhere, joao, "/allow")

    answer = await guarded.answer(elsewhere, joao, command)

    assert "李雷" in answer["text"]
    assert "Ana" not in answer["text"]


async def test_an_allowed_group_sees_the_voices_and_its_permission(guarded, elsewhere, joao):
    await guarded.enter(elsewhere, joao)
    await guarded.answer(elsewhere, joao, "/allow")

    answer = await guarded.answer(elsewhere, joao, "/status")

    assert f"Voices: {NAMES}\n\n" in answer["text"]
    assert "This group: I speak (an admin allowed it)" in answer["text"]


async def test_an_admin_sees_in_private_who_has_not_agreed(guarded, joao):
    answer = await guarded.answer(guarded.telegram.private(joao), joao, "/voices")

    assert "These friends haven't agreed, so I don't speak as them: Ana." in answer["text"]


@pytest.mark.parametrize("is_admin", [True, False], ids=["an admin of the group", "a member"])
async def test_status_says_when_the_bot_receives_no_reactions(guarded, group, joao, is_admin):
    await guarded.enter(group, joao)
    if is_admin:
        group.members[guarded.telegram.me.id] = Member(guarded.telegram.me, "administrator")

    here = await guarded.answer(group, joao, "/status")
    everywhere = await guarded.answer(guarded.telegram.private(joao), joao, "/status")

    assert (EN.status_no_reactions in here["text"]) is not is_admin
    assert (EN.group_no_reactions in everywhere["text"]) is not is_admin


async def test_others_get_no_status(guarded, group, zoe):
    answer = await guarded.answer(group, zoe, "/status")

    assert answer["text"] == EN.admins_only


@pytest.mark.parametrize("is_admin", [True, False], ids=["an admin of the group", "a member"])
async def test_privacy_mode_hides_nothing_from_an_admin_of_the_group(
    guarded, group, joao, is_admin
):
    await guarded.enter(group, joao)
    guarded.telegram.world.can_read_all = False  # switched on while the bot runs
    if is_admin:
        group.members[guarded.telegram.me.id] = Member(guarded.telegram.me, "administrator")

    answer = await guarded.answer(group, joao, "/status")

    assert (EN.status_privacy_off in answer["text"]) is is_admin
    assert (EN.status_privacy_on in answer["text"]) is not is_admin


async def test_waiting_updates_and_replies_are_counted(guarded, group, joao, zoe):
    guarded.speaker.open.clear()
    await guarded.telegram.say(group, zoe, "/as João")
    await guarded.telegram.wait_for("sendChatAction")

    answer = await guarded.answer(guarded.telegram.private(joao), joao, "/status")

    assert (
        "Updates waiting: 1, set aside: 0\nReplies waiting: 1, delivery unknown: 0"
        in answer["text"]
    )


async def test_it_is_in_the_senders_language(guarded, joao):
    private = guarded.telegram.private(joao)
    sender = joao.json() | {"language_code": "pt-br"}

    answer = await guarded.answer(private, joao, "/status", **{"from": sender})

    assert f"Vozes: {NAMES}\nAinda não concordaram: Ana" in answer["text"]
    assert answer["text"].endswith(f"Grupos\n{PT_BR.status_no_groups}")


@pytest.mark.parametrize(
    ("span", "written"),
    [
        (timedelta(seconds=59), "0 min"),
        (timedelta(hours=4, minutes=12), "4 h 12 min"),
        (timedelta(days=3, hours=4, minutes=50), "3 d 4 h"),
    ],
)
def test_uptime_is_shown_in_its_two_largest_units(span, written):
    assert format_uptime(span) == written


def test_a_size_counts_the_write_ahead_log(tmp_path):
    (tmp_path / "a.db").write_bytes(b"x" * 900_000)
    (tmp_path / "a.db-wal").write_bytes(b"x" * 1_200_000)

    assert format_size(SqliteFile(tmp_path / "a.db").size()) == "2 MB"
    assert format_size(SqliteFile(tmp_path / "a.db-wal").size()) == "1 MB"
