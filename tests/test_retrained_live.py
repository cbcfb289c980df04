"""The proof of retraining: a chat cut in three by time, and the bot live in it in between.

Train on the first part; chat live; dump; retrain with a fresh export; roll back; one friend opts
out; chat on; dump; retrain; purge. The bot's process is the same from beginning to end.
"""

import json
import sys
from functools import partial
from pathlib import Path

import pytest

from bot.playground.telegram import Telegram
from model.artifacts.artifact import COPY_INDEX, VOICE_TABLE
from model.artifacts.registry import Registry
from model.chat.telegram_ids import to_chat_id
from model.speaking.copy_index import split_words
from pipeline.dataset.roster_file import read_roster
from pipeline.dataset.storage import load_dataset
from pipeline.training.indexes import save_copy_index, save_voice_table
from pipeline.versions.lineage import find_dataset, find_withdrawn_by_version
from tests import habits
from tests.checkpoints import save_llama
from tests.command_line import understudy
from tests.live_group import Calendar, Friends, Group, killed, plain, read, retrained
from tests.pipeline.chats import write
from tests.pipeline.retrain.history_check import history_and_export
from tests.pipeline.retrain.retrain_runner import everything, told
from tests.telegram_server import serve

FORCED = ("--force-promotion", "the proof goes on")
LONG = 5  # words of a line that nobody else says
MANY = 5  # such lines that were kept before


async def lived_through(
    export,
    folder,
    leaves,
    *options,
    kills=(),
    bot=sys.executable,
    pipeline=sys.executable,
):
    """Live through all of it; return the receipts of the three versions that served.

    `bot` and `pipeline` are the Python that runs them beside this process.
    """
    root = folder / "models"
    messages, about = read(export)
    first, second, third = in_three(messages)
    ids = {one.name: one.ids[0] for one in read_roster(export.with_name("roster.toml")).people}
    stays, admin = [name for name in ids if name != leaves][:2]
    ids = {admin: ids[admin], **ids}
    start = first_part(folder, export, about, first)
    done = understudy("retrain", start, *options, "--models-dir", root)
    assert done.returncode == 0, done.stderr + done.stdout
    receipts = [told(root, Registry(root).current)]

    clock = Calendar(int(first[-1]["date_unixtime"]))
    telegram = Telegram(can_read_all=True, clock=clock)
    number = to_chat_id(about["type"], about["id"])
    async with serve(telegram) as url:
        friends = Friends(
            telegram, url, Registry(root), folder, ids, number, ADMINS=str(ids[admin])
        )
        friends.python = bot
        friends.start()
        try:
            await friends.wait_for("setMyCommands")
            group = Group(friends, about, first, clock)
            retrain = partial(retrained, pipeline, root)
            receipts.append(await second_part(group, folder, root, second, stays, retrain))
            receipts.append(
                await third_part(group, folder, root, third, stays, leaves, kills, retrain)
            )
            assert friends.process.poll() is None
        finally:
            friends.process.kill()
            friends.process.wait()
    return receipts


async def second_part(group, folder, root, piece, voice, retrain):
    """Live, export, live on; retrain with the export and the dump; roll back and forth."""
    before = Registry(root).current
    assert before in await group.tells("/model")
    most = len(piece) * 4 // 5
    await group.lives(piece[:most], voice)
    deleted = group.said(piece[7])
    group.telegram.remove(deleted)
    fresh = group.export(folder)
    await group.lives(piece[most:], voice)
    edited, regretted = group.said(piece[most + 3]), group.said(piece[most + 5])
    await group.telegram.edit(edited, "what I wrote there was wrong")
    await group.says(regretted["from"]["first_name"], "/forget", reply_to=regretted)
    notice = group.chat.last_message_id  # the bot's "Forgotten", which it does not keep
    mark, dumped = len(group.telegram.calls), group.dump(folder)
    forgotten = forgotten_in(dumped)

    receipt = await retrain(fresh, dumped, *FORCED)

    assert {one["metric"].split(", ")[0] for one in receipt["scores"]} >= {
        "right voice",
        "copied lines",
    }
    assert all(one["current"] is not None for one in receipt["scores"])
    assert receipt["excluded"] == []
    check_indexes(Registry(root).open(), folder)
    assert {path.stat().st_mode & 0o077 for path in root.rglob("*")} == {0}
    news = await group.told_of(receipt["version"], mark)
    assert "trained on messages up to" in news
    assert receipt["version"] in await group.tells("/model")
    heard = [one for one in group.messages if one["id"] not in {notice, *forgotten}]
    kept, whole = history_and_export(root, group.export(folder, heard))
    assert kept == whole
    assert receipt["messages"] == kept.messages
    assert regretted["message_id"] in forgotten  # and what the bot said after it, if it did
    assert (receipt["deleted"], receipt["forgotten_ids"]) == (0, len(forgotten))
    assert "what I wrote there was wrong" in everything(root).decode("utf-8", "replace")

    await group.tells("/rollback")
    assert Registry(root).current == before
    assert before in (await group.tells("/model")).splitlines()[0]
    assert await group.speaks(voice)
    mark = len(group.telegram.calls)
    understudy("models", "promote", receipt["version"], "--models-dir", root)
    await group.told_of(receipt["version"], mark)
    return receipt


async def third_part(group, folder, root, piece, stays, leaves, kills, retrain):
    """One friend opts out, the others live on; retrain without them, and purge."""
    older, before = Registry(root).names, everything(root)
    assert await group.speaks(leaves)
    await group.says(leaves, "/optout")
    assert not await group.speaks(leaves)
    await group.lives(piece, stays)
    given = (group.export(folder), group.dump(folder))
    await killed(root, kills, *given, *FORCED)
    assert await group.speaks(stays)
    mark = len(group.telegram.calls)

    receipt = await retrain(*given, *FORCED)

    await group.told_of(receipt["version"], mark)
    forgotten = forgotten_in(given[1])
    remembered = [one for one in read(given[0])[0] if one["id"] not in forgotten]
    kept, whole = history_and_export(root, group.export(folder, remembered))
    assert len(forgotten) > 1  # what the bot had kept of the one who left, too
    assert kept == whole
    assert receipt["messages"] == kept.messages
    assert [(one["name"], bool(one["since"])) for one in receipt["excluded"]] == [(leaves, True)]
    assert leaves not in [one["name"] for one in receipt["people"]]
    own, left = only_of(leaves, group.messages), everything(root)
    assert sum(text.encode() in before for text in own) > MANY
    assert not [text for text in own if text.encode() in left]
    assert set(find_withdrawn_by_version(Registry(root))) == set(older)
    assert f"! {older[0]} was trained on messages of {leaves}" in understudy(
        "models", "list", "--models-dir", root
    ).stdout.replace("\n", " ")
    understudy("models", "purge", "--person", leaves, "--models-dir", root)
    assert Registry(root).names == [receipt["version"]]
    assert await group.speaks(stays)
    assert not await group.speaks(leaves)
    return receipt


def check_indexes(version, folder):
    """Check that a version's indexes are those of its dataset."""
    dataset = load_dataset(Path(find_dataset(version)))
    save_copy_index(dataset, folder)
    save_voice_table(dataset, folder)
    assert version.copy_index.read_bytes() == (folder / COPY_INDEX).read_bytes()
    assert version.voice_table.read_bytes() == (folder / VOICE_TABLE).read_bytes()


def in_three(messages):
    """Return an export's messages as three parts, one after the other."""
    third = len(messages) // 3
    spoken = [one for one in messages[third:] if one["type"] == "message"]
    return messages[:third], spoken[:third], spoken[third:]


def first_part(folder, export, about, messages):
    """Write the first export, its roster beside it."""
    place = folder / "first"
    place.mkdir()
    (place / "result.json").write_text(json.dumps({**about, "messages": messages}), "utf-8")
    (place / "roster.toml").write_bytes(export.with_name("roster.toml").read_bytes())
    return place / "result.json"


def forgotten_in(dumped):
    """Return the ids of the forgotten messages that a dump names."""
    return json.loads(dumped.read_text("utf-8"))["understudy"]["forgotten"]


def only_of(name, entries):
    """Return long lines that this person wrote and nobody else, of no marks that files escape."""
    texts = {plain(one["text"]) for one in entries if one.get("from") == name}
    others = "\n".join(plain(one["text"]) for one in entries if one.get("from") != name)
    simple = (text for text in texts if text.isascii() and not set('"\\\n') & set(text))
    return [text for text in simple if len(split_words(text)) >= LONG and text not in others]


def refuse_odd_exports(folder):
    """Give exports that bring nothing, and some that nobody should give, to the real command."""
    root = folder / "models"
    newest = max(folder.glob("export?/result.json"), key=lambda file: file.stat().st_size)
    messages, about = read(newest)
    other = write(folder / "other", {**about, "name": "Work", "id": 8, "messages": messages})
    shorter = write(folder / "shorter", {**about, "messages": messages[: len(messages) // 2]})

    def says(*files):
        done = understudy("retrain", *files, "--no-live-bot", "--models-dir", root)
        return done.returncode, " ".join((done.stdout + done.stderr).split())

    before = everything(root / "history")
    for files in ((newest, folder / "first" / "result.json"), (newest,), (newest, newest)):
        code, line = says(*files)
        assert (code, "no new messages since" in line) == (0, True)
    code, line = says(other)
    assert (code, f"contains Work, not {about['name']}" in line) == (1, True)
    code, line = says(shorter)
    assert (code, "use a complete export, or pass --yes if this is intended" in line) == (1, True)
    assert everything(root / "history") == before


async def test_a_small_chat_is_retrained_with_the_bot_live_in_it(
    tmp_path, bot_python, pipeline_python
):
    export = habits.write_export(tmp_path / "export", 60) / "result.json"
    base = save_llama(tmp_path / "base", texts=[" ".join(habits.HABITS.values())])
    options = ("--min-messages", "20", "--epochs", "1", "--set", "learning-rate=3e-3")

    first, second, third = await lived_through(
        export, tmp_path, "Raul", "--base", base, "--set", "max-reply-tokens=32", *options,
        bot=bot_python, pipeline=pipeline_python,
    )  # fmt: skip

    assert (first["messages"], first["new"]) == (240, 240)
    assert second["compared_with"] == first["version"]
    assert second["hyperparameters"]["epochs"] == 1
    assert third["compared_with"] == second["version"]


@pytest.mark.soak
async def test_the_demo_s_chat_is_retrained_with_the_bot_live_in_it(tmp_path, capsys, sample_chat):
    receipts = await lived_through(
        sample_chat, tmp_path, "Raul", "--base", "smollm2", "--minutes", "4", kills=(5, 20, 90, 360)
    )

    refuse_odd_exports(tmp_path)
    with capsys.disabled():
        for one in receipts:
            figures = {score["metric"]: (score["current"], score["new"]) for score in one["scores"]}
            print(  # noqa: T201  a measurement
                f"\n{one['version']}: {one['messages']} messages, {one['new']} new, "
                f"{sum(person['pairs'] for person in one['people'])} pairs; "
                f"{one['reasons'] or 'passed'}; {one['seconds']}; {figures}"
            )
