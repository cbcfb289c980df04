"""Ways in which an `/optout`, a "no" or a `/forget` could be lost between folders and rosters."""

import json
import sqlite3
import zipfile
from contextlib import closing

import pytest
from click.testing import CliRunner

from model.artifacts.consent import read_facts
from model.artifacts.database import DATABASE
from model.artifacts.registry import Registry
from model.errors import ArtifactError
from pipeline.cli.main import app
from pipeline.export.files import find_exports
from pipeline.retrain.rebuild import rebuild_database
from pipeline.versions.lineage import find_withdrawn_by_version
from pipeline.versions.people import list_statuses
from tests.pipeline.chats import chat, conversation
from tests.pipeline.retrain.dumps import decision, dump
from tests.pipeline.retrain.retrain_runner import (
    NEW,
    OLD,
    VOICES,
    RetrainRunner,
    card,
    found,
    judged,
)

OUT = [decision(1, "optout", 9)]
TWO = VOICES.format(1) + VOICES.format(2)


def models(root, *words):
    """Run a `models` command and return what it printed."""
    done = CliRunner().invoke(app, ["models", *map(str, words), "--models-dir", str(root)])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.output


def carry(one, version, other):
    """Export a version and import it in another models folder."""
    file = one.folder / f"{version}-{len(list(one.folder.iterdir()))}.zip"
    models(one.root, "export", version, file)
    models(other, "import", file)


def voices(registry, version="current"):
    return [person.name for person in registry.open(version).card.roster.voices]


def imitate(registry, version="current"):
    return {one.name: one.imitate for one in registry.open(version).card.roster.people}


def with_third(sessions, account=3, first=0, words="secret"):
    """Return entries of three friends; the third writes from another account from `first` on."""
    return [
        {**one, "from_id": f"user{account}", "text": f"{words} {one['id']}"}
        if one["from_id"] == "user3" and place >= first
        else one
        for place, one in enumerate(conversation(sessions, people=3))
    ]


def write_roster(runner, third=""):
    runner.root.mkdir(exist_ok=True)
    (runner.root / "roster.toml").write_text(TWO + third)


def test_a_version_trained_without_somebody_carries_their_optout(running, tmp_path):
    server = Registry(tmp_path / "server")
    carry(running, "1", server.root)
    server.promote("1")
    running.run(chat(*NEW), dump(decisions=OUT))

    carry(running, "2", server.root)

    assert voices(server, "1") == voices(server, "2") == ["Friend 2"]
    other = RetrainRunner(tmp_path / "other")
    other.folder.mkdir()
    other.first()
    carry(running, "2", other.root)
    other.run(chat(*NEW), no_live_bot=True)
    assert [one["name"] for one in other.receipt(3)["excluded"]] == ["Friend 1"]


def test_an_optout_from_an_account_that_only_the_roster_knows_counts_in_every_version(
    running, tmp_path
):
    file = running.root / "roster.toml"
    file.write_text(file.read_text().replace("ids = [1]", "ids = [1, 11]"))
    running.run(dump())  # too little to train on

    person = running.registry.open().card.roster.find_by_id(11)  # so the bot knows them, too
    assert person.name == "Friend 1"

    running.run(dump(decisions=[decision(11, "optout", 9)]))
    assert voices(running.registry) == ["Friend 2"]
    models(running.root, "export", "1", tmp_path / "m.zip")
    with zipfile.ZipFile(tmp_path / "m.zip") as archive:
        people = json.loads(archive.read("roster.json"))["people"]
    assert [one["imitate"] for one in people] == ["no", "yes"]


@pytest.mark.parametrize("reason", ["learn", "optout"])
def test_the_second_account_stays_excluded_when_the_roster_no_longer_lists_the_person(
    runner, reason
):
    no = 'learn = "no"\n' if reason == "learn" else ""
    told = [decision(3, "optout", 9)] if reason == "optout" else []
    write_roster(runner, f'[[people]]\nname = "Friend 3"\nids = [3, 33]\n{no}')
    runner.run(chat(*with_third(30)))
    runner.run(chat(*with_third(60)), dump(decisions=told))
    write_roster(runner)

    runner.run(chat(*with_third(90)), dump(decisions=told))
    runner.run(chat(*with_third(120, 33, 1080)), dump(decisions=told))

    assert found(runner.root, "secret") == []
    assert all(3 not in one["ids"] and 33 not in one["ids"] for one in runner.receipt(3)["people"])


def test_an_alias_still_marks_copied_words_when_the_roster_no_longer_lists_the_person(runner):
    def copying(sessions):
        return [
            {**one, "text": f"{one['text']}\nZezinho, [12.03.2025 10:11]\nsecret"}
            if one["id"] % 12 == 2
            else one
            for one in conversation(sessions, people=3)
        ]

    third = '[[people]]\nname = "Friend 3"\nids = [3]\naliases = ["Zezinho"]\nlearn = "no"\n'
    write_roster(runner, third)
    runner.run(chat(*copying(30)))
    write_roster(runner)

    runner.run(chat(*copying(60)), no_live_bot=True)

    assert found(runner.root, "secret") == []


def test_imported_optouts_are_known_again_after_a_rebuild(running, tmp_path):
    home = RetrainRunner(tmp_path / "home")
    home.folder.mkdir()
    home.first()
    home.run(dump(decisions=OUT))
    carry(home, "1", running.root)
    assert voices(running.registry, "1") == ["Friend 2"]
    (running.root / DATABASE).unlink()

    rebuild_database(running.registry, ())

    assert voices(running.registry, "1") == ["Friend 2"]
    running.run(chat(*NEW), no_live_bot=True)
    assert [one["name"] for one in running.receipt(running.registry.current)["excluded"]] == [
        "Friend 1"
    ]


def test_a_rebuild_takes_the_no_of_every_version_not_only_of_the_newest(running, tmp_path):
    models(running.root, "export", "1", tmp_path / "1.zip")
    running.run(chat(*NEW), dump(decisions=OUT))
    models(running.root, "remove", "1")
    models(running.root, "import", tmp_path / "1.zip")
    (running.root / DATABASE).unlink()

    rebuild_database(running.registry, ())

    assert imitate(running.registry, "3")["Friend 1"] == "no"


def test_after_a_rebuild_an_optin_counts_for_the_list_of_versions_too(running):
    (running.root / DATABASE).unlink()
    files = running.put(dump(decisions=[*OUT, decision(1, "optin", 10)]))

    rebuild_database(running.registry, find_exports(files))

    assert find_withdrawn_by_version(running.registry) == {}
    assert list_statuses(running.registry)[0].learn == "yes"


def test_after_a_rebuild_a_forgotten_message_counts_as_learned(running):
    (running.root / DATABASE).unlink()
    rebuild_database(running.registry, ())
    running.cards = {
        1: judged(card(attribution=0.75), turns=8),
        2: judged(card(attribution=0.5), turns=8, seed=3),
    }
    assert "must be forgotten" in running.run(chat(*OLD), dump(forgotten=[2])).message

    assert running.run(chat(*NEW), dump(forgotten=[2])).promoted


def test_a_locked_database_is_not_rebuilt(running, monkeypatch):
    monkeypatch.setattr("model.artifacts.database._BUSY", 0.05)
    with closing(sqlite3.connect(running.root / DATABASE)) as other:
        other.execute("BEGIN EXCLUSIVE")

        with pytest.raises(ArtifactError, match="cannot be used"):
            rebuild_database(running.registry, ())


def test_a_newer_database_is_not_rebuilt(running):
    with closing(sqlite3.connect(running.root / DATABASE)) as other:
        other.execute("PRAGMA user_version = 3")

    with pytest.raises(ArtifactError, match="newer version of Understudy"):
        rebuild_database(running.registry, ())


@pytest.mark.parametrize(
    "damage",
    [
        "INSERT INTO facts VALUES ('x', 0, 1, 'optout', 'yesterday', NULL)",
        "INSERT INTO people VALUES (99, 'Zé')",
        "DROP TABLE facts",
    ],
)
def test_a_database_that_blocks_every_version_is_rebuilt(running, damage):
    with closing(sqlite3.connect(running.root / DATABASE)) as other:
        other.execute(damage)
        other.commit()
    with pytest.raises(ArtifactError, match="models rebuild"):
        running.registry.open()

    rebuild_database(running.registry, ())

    assert voices(running.registry) == ["Friend 1", "Friend 2"]


def test_what_a_killed_transaction_left_is_not_applied_to_the_rebuilt_database(running):
    path = running.root / DATABASE
    journal = path.with_name(f"{DATABASE}-journal")
    path.unlink()
    journal.write_bytes(b"left")

    rebuild_database(running.registry, find_exports(running.put(dump(decisions=OUT))))

    assert not journal.exists()
    assert voices(running.registry) == ["Friend 2"]


def test_the_next_erasure_deletes_a_damaged_database(running):
    path = running.root / DATABASE
    path.write_bytes(b"damaged " * 500 + b"words 2 ")
    rebuild_database(running.registry, ())
    assert list(running.root.glob("models.db.damaged*"))

    running.run(chat(*NEW), dump(decisions=OUT))

    assert not list(running.root.glob("models.db.damaged*"))


def test_a_retraining_does_not_take_an_imported_version_for_a_killed_runs(running, tmp_path):
    models(running.root, "export", "1", tmp_path / "1.zip")
    running.run(chat(*NEW), no_live_bot=True)
    models(running.root, "remove", "1")
    models(running.root, "import", tmp_path / "1.zip")

    running.run(chat(*conversation(70)), no_live_bot=True)

    assert [name[:4] for name in running.registry.names] == ["0002", "0003", "0004"]


def test_a_damaged_dataset_does_not_keep_a_decision_from_being_stored(running):
    for file in running.root.glob("datasets/*/lines.parquet"):
        file.write_bytes(file.read_bytes()[:100])

    running.run(chat(*NEW), dump(forgotten=[2], decisions=[decision(9, "optout")]))

    told = read_facts(running.root, ()).sources.values()
    assert [one.user_id for source in told for one in source] == [9]
    assert "it was damaged" in running.shown.getvalue()
