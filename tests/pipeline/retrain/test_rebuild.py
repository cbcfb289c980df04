"""`understudy models rebuild`: what is known again after models.db was lost."""

import pytest
from click.testing import CliRunner

from model.artifacts.artifact import save_roster
from model.chat.person import Decision
from model.errors import ArtifactError, ExportError
from pipeline.cli.main import app
from pipeline.export.files import find_exports
from pipeline.retrain.rebuild import rebuild_database
from pipeline.versions.people import list_statuses
from tests.pipeline.chats import NOON, chat
from tests.pipeline.retrain.dumps import decision, dump
from tests.pipeline.retrain.retrain_runner import NEW

OUT = [decision(1, "optout")]


@pytest.fixture(params=["missing", "damaged"])
def lost(request, running):
    """A runner with two versions, without a models.db that can be read."""
    running.run(chat(*NEW), no_live_bot=True)
    database = running.root / "models.db"
    if request.param == "missing":
        database.unlink()
    else:
        database.write_bytes(b"not a database" + database.read_bytes()[14:])
    return running


def statuses(runner):
    return {one.name: (one.learn, one.imitate) for one in list_statuses(runner.registry)}


def test_decisions_in_dumps_count_again(lost):
    current = lost.registry.current

    found = rebuild_database(lost.registry, find_exports(lost.put(dump(decisions=OUT))))

    assert (found.versions, found.decisions, found.refusals) == (2, 1, ())
    assert lost.registry.current == current
    assert statuses(lost) == {"Friend 1": ("no", "no"), "Friend 2": ("yes", "yes")}
    assert [one.name for one in lost.registry.open().card.roster.voices] == ["Friend 2"]


def test_a_damaged_database_is_kept_under_another_name(lost):
    found = rebuild_database(lost.registry, ())

    assert [found.kept] == ([*lost.root.glob("models.db.damaged*")] or [None])


def test_the_next_retraining_deletes_no_version_and_merges_everything_again(lost):
    files = lost.put(chat(*NEW), dump(decisions=OUT))
    rebuild_database(lost.registry, find_exports(files[1:]))
    before = list(lost.registry.names)

    result = lost.run(*files, force_training=True)

    assert result.promoted
    assert set(before) < set(lost.registry.names)
    assert lost.receipt(3)["messages"] == len(NEW)
    assert [one["name"] for one in lost.receipt(3)["excluded"]] == ["Friend 1"]


def test_whoever_the_newest_version_excludes_stays_silent_without_a_dump(running):
    running.run(chat(*NEW), dump(decisions=OUT))
    (running.root / "models.db").unlink()

    found = rebuild_database(running.registry, ())

    assert found.refusals == ("Friend 1",)
    assert statuses(running)["Friend 1"] == ("no", "no")
    assert not [one for one in running.registry.open("1").card.roster.voices if 1 in one.ids]


def test_the_optouts_in_an_imported_versions_roster_count_again(running):
    artifact = running.registry.open()
    person, *others = artifact.card.roster.people
    told = (Decision(1, "optout", NOON),)
    silent = type(person)(person.name, person.ids, person.names, imitate="no", opted_out=told)
    roster = type(artifact.card.roster)((silent, *others))
    save_roster(roster, artifact.path)
    (running.root / "models.db").unlink()

    assert rebuild_database(running.registry, ()).decisions == 1

    assert statuses(running)["Friend 1"] == ("no", "no")


def test_a_database_that_can_be_read_is_not_replaced(running):
    with pytest.raises(ArtifactError, match="is not damaged"):
        rebuild_database(running.registry, ())


def test_a_file_that_is_no_dump_is_refused_and_nothing_changes(lost):
    before = sorted(path.name for path in lost.root.iterdir())

    with pytest.raises(ExportError, match="was not written by"):
        rebuild_database(lost.registry, find_exports(lost.put(chat(*NEW))))

    assert sorted(path.name for path in lost.root.iterdir()) == before


def test_the_command_says_what_is_not_known_any_more(running):
    (running.root / "models.db").unlink()
    (file,) = running.put(dump(decisions=OUT))

    done = CliRunner().invoke(
        app, ["models", "rebuild", str(file), "--models-dir", str(running.root)]
    )

    assert "Versions: 1; decisions: 1." in done.stdout
    assert "earlier promotions" in done.stdout
