"""Retraining on a basic group, and then on the supergroup that it became."""

from io import StringIO

import pytest
from rich.console import Console

from model.artifacts.artifact import LearnedChat
from pipeline.dataset.review import write_removed
from pipeline.dataset.storage import REMOVED, load_dataset
from pipeline.retrain.history import list_chats, open_history
from pipeline.terminal import Watch
from pipeline.versions.erasure import list_datasets
from tests.pipeline.chats import chat, conversation
from tests.pipeline.retrain.basic_group import BASIC, GROUP, SHIFT, moved
from tests.pipeline.retrain.dumps import decision, dump
from tests.pipeline.retrain.retrain_runner import CHAT, Killed, RetrainRunner, found

EARLY, LATE = conversation(20), conversation(45)
SUPER = [*moved(LATE[:300]), *LATE[300:]]
"""240 messages, and 300 more; of those 60 were said while it was a basic group still."""


@pytest.fixture
def first(tmp_path):
    """A runner whose first version learned from the basic group."""
    runner = RetrainRunner(tmp_path, GROUP)
    runner.first()
    return runner


def test_the_next_version_is_compared_on_what_is_new_to_the_current_one(first):
    result = first.run(chat(*SUPER), dump(decisions=[decision(2, "optin")]))

    assert result.message.endswith("is now the current version, with 300 new messages")
    assert first.receipt(2)["compared_with"] == first.registry.names[0]
    assert first.registry.open("2").card.chats == (LearnedChat(CHAT, "Friends"),)


def test_who_withdrew_before_is_left_out_and_told(first, monkeypatch):
    first.run(dump(decisions=[decision(2, "optout")], **GROUP))
    console = Console(file=StringIO(), width=200)
    monkeypatch.setattr(first, "_watch", lambda: Watch(console))

    first.run(chat(*SUPER), no_live_bot=True)

    assert "Friends became a supergroup; its history is kept" in console.file.getvalue()
    assert [one["name"] for one in first.receipt(2)["excluded"]] == ["Friend 2"]


def test_where_nothing_is_trained_later_runs_go_on_with_the_supergroup(first):
    few = first.run(chat(*moved(EARLY), *LATE[240:250]), no_live_bot=True)

    later = first.run(dump(*LATE[240:]))

    assert few.version is None
    assert first.registry.open("1").card.chats == (BASIC,)
    assert later.message.endswith("is now the current version, with 300 new messages")
    assert open_history(first.root, CHAT).header.former == -5


def test_killed_while_the_history_is_written_the_next_run_is_clean(first, monkeypatch):
    files = first.put(chat(*SUPER), dump(decisions=[decision(2, "optin")]))

    def kill(*_):
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr("pipeline.retrain.history.store_ledger", kill)
        with pytest.raises(Killed):
            first.run(*files)
    assert [one.chat_id for one in list_chats(first.root)] == [-5]
    result = first.run(*files)

    assert result.message.endswith("is now the current version, with 300 new messages")
    assert first.receipt(2)["messages"] == len(SUPER)
    assert [one.chat_id for one in list_chats(first.root)] == [CHAT]


@pytest.mark.parametrize("by", [0, 70], ids=["the same account", "another account"])
def test_what_is_forgotten_since_goes_from_datasets_of_the_group_too(first, by):
    heard = moved(EARLY, 500 - SHIFT)
    export = chat(*moved(LATE[:300], by - SHIFT), *LATE[300:])
    assert len(found(first.root, "words 18")) > 1

    first.run(export, dump(*heard, forgotten=[heard[16]["id"]]))

    assert heard[16]["text"] == "words 18"
    assert found(first.root, '"words 18"') == []
    assert len(list(list_datasets(first.root))) == 1


def test_datasets_of_the_group_that_hold_nothing_forgotten_stay(first):
    before = list(list_datasets(first.root))

    first.run(chat(*SUPER), dump(forgotten=[LATE[300]["id"], 18, 18 - SHIFT]))

    assert set(before) < set(list_datasets(first.root))


def test_pairs_that_were_struck_out_of_the_group_s_dataset_stay_out(first):
    folder = first.trained[0][0].folder
    struck = load_dataset(folder).train[3]
    write_removed(folder / REMOVED, frozenset({struck.id}))

    first.run(chat(*SUPER), no_live_bot=True)

    kept = load_dataset(first.trained[1][0].folder)
    every = (*kept.train, *kept.validation, *kept.test)
    assert struck.sent_at not in {pair.sent_at for pair in every}
    assert kept.summary.removed == 1
