import hashlib
import json
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from model.chat.conversation import split_sessions
from model.errors import ExportError, UnderstudyError
from pipeline.dataset.roster_file import read_roster
from pipeline.dataset.sample import JUDGE_FILE, NAMES, write_sample
from pipeline.export.archive import open_exports


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_sample(tmp_path_factory.mktemp("sample") / "new" / "folder")


@pytest.fixture(scope="module")
def value(path):
    return json.loads(path.read_text("utf-8"))


@pytest.fixture(scope="module")
def messages(path):
    with open_exports([path]) as archive:
        return list(archive.spool.messages(archive.only(None).chat_id))


def test_five_friends_say_21362_messages_and_each_2557_at_least(messages):
    written = Counter(message.author_name for message in messages)

    assert set(written) == set(NAMES)
    assert written.total() == 21_362
    assert min(written.values()) == 2_557
    assert max(written.values()) == 6_302


def test_its_250_conversations_never_merge(messages):
    found = list(split_sessions(messages, timedelta(hours=3)))

    parts_of_one = 4  # pauses of three hours or more inside a conversation, as they were
    assert len(found) == 250 + parts_of_one
    assert all(len({m.author_id for m in session}) <= 2 for session in found)


def test_all_five_speak_often_in_the_last_15_percent(messages):
    tail = Counter(m.author_name for m in messages[int(len(messages) * 0.85) :])

    assert min(tail[name] for name in NAMES) >= 420


def test_nobody_repeats_one_text_in_more_than_a_twentieth_of_their_messages(messages):
    written = Counter(message.author_name for message in messages)
    texts = Counter((message.author_name, message.text) for message in messages)

    assert all(n <= written[name] / 20 for (name, _), n in texts.items())


def test_it_is_what_telegram_desktop_writes(path, value):
    first, second = value["messages"][:2]

    assert list(value) == ["name", "type", "id", "messages"]
    assert value["type"] == "private_supergroup"
    assert (first["type"], first["action"], first["members"]) == (
        "service",
        "create_group",
        list(NAMES),
    )
    assert list(second) == [
        "id", "type", "date", "date_unixtime", "from", "from_id", "text", "text_entities",
    ]  # fmt: skip
    assert '\n  {\n   "id": 2,\n   "type": "message",' in path.read_text("utf-8")


def test_ids_ascend_and_both_dates_say_the_same(value):
    entries = value["messages"]
    local = [datetime.fromisoformat(entry["date"]).replace(tzinfo=UTC) for entry in entries]

    assert [entry["id"] for entry in entries] == list(range(1, len(entries) + 1))
    assert [str(int(at.timestamp())) for at in local] == [e["date_unixtime"] for e in entries]
    assert local == sorted(local)


def test_text_and_entities_say_the_same_words(value):
    entries = value["messages"][1:]

    def joined(parts):
        return "".join(part if isinstance(part, str) else part["text"] for part in parts)

    kinds = Counter(part["type"] for entry in entries for part in entry["text_entities"])
    assert all(joined(e["text"]) == joined(e["text_entities"]) for e in entries)
    assert kinds["email"] == 1
    assert set(kinds) >= {"plain", "email", "hashtag", "bot_command"}


def test_all_five_said_yes(path):
    roster = read_roster(path.with_name("roster.toml"))

    assert [(p.name, p.learn, p.imitate) for p in roster.people] == [
        (name, "yes", "yes") for name in NAMES
    ]


def test_the_same_seed_writes_the_same_bytes_and_another_seed_another_order(path, tmp_path):
    again = write_sample(tmp_path / "again")
    other = write_sample(tmp_path / "other", seed=7)

    digests = [hashlib.sha256(p.read_bytes()).hexdigest() for p in (path, again, other)]
    assert digests[0] == digests[1] != digests[2]
    assert digests[0].startswith(
        "0409de9389604666"
    )  # python's shuffle is the same on every machine


def test_the_judge_learns_from_conversations_with_others_only(path, messages):
    rows = [json.loads(line) for line in path.with_name(JUDGE_FILE).read_text("utf-8").splitlines()]
    lines = Counter(row["name"] for row in rows for _ in row["messages"])
    long = {m.text for m in messages if len(m.text) > 60}

    assert set(lines) == set(NAMES)
    assert 1_300 < min(lines.values()) <= max(lines.values()) <= 6_000
    assert not long & {text for row in rows for text in row["messages"]}


def test_another_chats_export_is_never_overwritten(tmp_path):
    (tmp_path / "result.json").write_text('{"name": "ours", "type": "private_group", "id": 3}')

    with pytest.raises(ExportError, match="another chat's export"):
        write_sample(tmp_path)

    assert "ours" in (tmp_path / "result.json").read_text()


def test_without_the_training_extra_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "chitchat_dataset", None)

    with pytest.raises(UnderstudyError, match=r"training extra: pip install '.\[train\]'"):
        write_sample(tmp_path / "sample")

    assert not (tmp_path / "sample").exists()
