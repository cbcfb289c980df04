"""Exports that an admin sends in private, and the retraining that follows."""

import asyncio
import os
import stat
import sys
import time
from pathlib import Path

import pytest
from telegram.constants import MessageLimit

from bot.handlers import uploads
from bot.texts import EN
from tests.bot.conftest import until

ADMIN = 11
EXPORT = b'{"name": "Friends", "messages": []}'
TAKES_A_COPY = (
    "import pathlib, sys; path = pathlib.Path(sys.argv[-1]);"
    "pathlib.Path(sys.argv[1]).write_bytes(path.read_bytes())"
)
FAILS = "import sys; sys.exit('understudy retrain: nothing new in it')"


@pytest.fixture
def private(stage, hugo):
    return stage.telegram.private(hugo)


async def send(stage, chat, user, content=EXPORT, name="result.json"):
    since = len(stage.telegram.calls)
    await stage.telegram.say(chat, user, None, document=stage.telegram.upload(name, content))
    return since


async def said(stage, since, number):
    """Return the texts of the first messages since then, as many as requested."""
    texts, place = [], since
    while len(texts) < number:
        call = await stage.telegram.wait_for("sendMessage", since=place)
        place = stage.telegram.calls.index(call) + 1
        texts.append(call.params["text"])
    return texts


async def test_the_command_gets_the_export_which_is_then_deleted(stage, private, hugo, tmp_path):
    copy = tmp_path / "copy.json"
    command = (sys.executable, "-c", TAKES_A_COPY, str(copy))
    async with stage.running(admins=frozenset({ADMIN}), retrain_command=command):
        since = await send(stage, private, hugo)
        first, last = await said(stage, since, 2)

    assert (first, last) == (EN.retraining_started, EN.retraining_done.format(result="").strip())
    assert copy.read_bytes() == EXPORT
    assert list((tmp_path / "incoming").iterdir()) == []
    assert stat.S_IMODE((tmp_path / "incoming").stat().st_mode) == 0o700


async def test_the_result_is_reported_without_hints_for_a_terminal(stage, private, hugo):
    says = "print('nothing new was said'); print('Receipt: show 2'); print('Next: understudy chat')"
    async with stage.running(
        admins=frozenset({ADMIN}), retrain_command=(sys.executable, "-c", says)
    ):
        since = await send(stage, private, hugo)
        _, last = await said(stage, since, 2)

    assert last == EN.retraining_done.format(result="nothing new was said")


async def test_processes_of_the_command_end_with_the_bot(stage, private, hugo, tmp_path):
    note = tmp_path / "pid"
    script = f"sleep 300 & echo $! > {note}; wait"
    async with stage.running(admins=frozenset({ADMIN}), retrain_command=("/bin/sh", "-c", script)):
        await send(stage, private, hugo)
        pid = int(await until(lambda: note.is_file() and note.read_text()))
        assert is_alive(pid)

    await until(lambda: not is_alive(pid))


def is_alive(pid):
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_a_command_that_ignores_termination_is_killed(stage, private, hugo, tmp_path):
    note = tmp_path / "pid"
    script = f"trap '' TERM; echo $$ > {note}; while :; do sleep 0.1; done"
    async with stage.running(admins=frozenset({ADMIN}), retrain_command=("/bin/sh", "-c", script)):
        await send(stage, private, hugo)
        pid = int(await until(lambda: note.is_file() and note.read_text()))

    await until(lambda: not is_alive(pid))


async def test_the_error_of_a_failed_command_is_quoted(stage, private, hugo, tmp_path):
    command = (sys.executable, "-c", FAILS)
    async with stage.running(admins=frozenset({ADMIN}), retrain_command=command):
        since = await send(stage, private, hugo)
        _, last = await said(stage, since, 2)

    assert "nothing new in it" in last
    assert list((tmp_path / "incoming").iterdir()) == []


async def test_long_output_is_truncated(stage, private, hugo):
    command = (sys.executable, "-c", "import sys; sys.exit('x' * 5000)")
    async with stage.running(admins=frozenset({ADMIN}), retrain_command=command):
        since = await send(stage, private, hugo)
        _, last = await said(stage, since, 2)

    assert len(last) == MessageLimit.MAX_TEXT_LENGTH


async def test_a_missing_command_is_named(stage, private, hugo):
    async with stage.running(admins=frozenset({ADMIN}), retrain_command=("no-such-program",)):
        since = await send(stage, private, hugo)
        _, last = await said(stage, since, 2)

    assert "no-such-program" in last


async def test_without_a_command_it_explains_what_to_run(stage, private, hugo, tmp_path):
    async with stage.running(admins=frozenset({ADMIN})):
        since = await send(stage, private, hugo)
        [text] = await said(stage, since, 1)

    export = tmp_path / "incoming" / "result.json"
    assert f"understudy retrain {export}" in text
    assert export.read_bytes() == EXPORT
    assert stat.S_IMODE(export.stat().st_mode) == 0o600


async def test_other_files_are_refused(stage, private, hugo, tmp_path):
    async with stage.running(admins=frozenset({ADMIN}), retrain_command=("no-such-program",)):
        since = await send(stage, private, hugo, b"<html>", "messages.html")
        [text] = await said(stage, since, 1)

    assert "not HTML" in text
    assert list((tmp_path / "incoming").iterdir()) == []


async def test_a_file_over_telegrams_limit_is_not_downloaded(stage, private, hugo):
    async with stage.running(admins=frozenset({ADMIN})):
        upload = stage.telegram.upload("result.json", EXPORT) | {"file_size": 21 * 2**20}
        since = len(stage.telegram.calls)
        await stage.telegram.say(private, hugo, None, document=upload)
        [text] = await said(stage, since, 1)

    assert "20 MB" in text
    assert not stage.telegram.sent("getFile")


async def test_a_second_export_waits_for_the_first(stage, private, hugo):
    command = (sys.executable, "-c", "import time; time.sleep(30)")
    async with stage.running(admins=frozenset({ADMIN}), retrain_command=command):
        since = await send(stage, private, hugo)
        await said(stage, since, 1)
        since = await send(stage, private, hugo)
        [text] = await said(stage, since, 1)

    assert text == EN.retraining_busy


async def test_only_admins_can_upload_and_only_in_private(stage, group, hugo, joao, tmp_path):
    async with stage.running(admins=frozenset({ADMIN})):
        await send(stage, stage.telegram.private(joao), joao)
        await send(stage, group, hugo)
        await stage.answer(group, hugo, "/help")

    assert not stage.telegram.sent("getFile")
    assert not (tmp_path / uploads.FOLDER).exists()


@pytest.mark.parametrize(
    "name",
    ["result.json", ".result.json", "arriving"],
    ids=["whole", "killed while unpacking", "killed while fetching"],
)
async def test_an_unused_export_is_deleted_after_two_days(stage, tmp_path, name):
    folder = tmp_path / "incoming"
    folder.mkdir()
    export = folder / name
    export.write_bytes(EXPORT)
    three_days_ago = time.time() - 3 * 24 * 3600
    os.utime(export, (three_days_ago, three_days_ago))

    async with stage.running(), asyncio.timeout(10):
        while export.exists():  # noqa: ASYNC110  nobody is told when a file goes
            await asyncio.sleep(0.01)


async def test_a_fresh_export_stays(stage, private, hugo, tmp_path):
    async with stage.running(admins=frozenset({ADMIN})):
        since = await send(stage, private, hugo)
        await said(stage, since, 1)
    async with stage.running(admins=frozenset({ADMIN})):
        await stage.answer(private, hugo, "/help")

    assert (tmp_path / "incoming" / "result.json").read_bytes() == EXPORT
