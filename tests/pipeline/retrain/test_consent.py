"""An `/optout` that a retraining has read applies to every command, and travels with exports."""

import json
import zipfile

import pytest
from click.testing import CliRunner

from model.artifacts.registry import Registry
from model.errors import DatasetError, VoiceError
from pipeline.cli.main import app
from pipeline.cli.talk import Talk, run_chat, run_simulation
from pipeline.dataset.roster_file import read_roster
from pipeline.dataset.storage import load_dataset
from pipeline.evaluation.evaluate import QUICK, evaluate
from pipeline.versions import hub
from pipeline.versions.lineage import find_dataset
from tests.pipeline.chats import chat as chat_of
from tests.pipeline.retrain.dumps import decision, dump
from tests.pipeline.retrain.retrain_runner import NEW


@pytest.fixture
def out(running):
    """A runner with a current version, whose Friend 1 has sent /optout since."""
    running.run(dump(decisions=[decision(1, "optout", 9)]))
    return running


def call(root, *words):
    """Run a command about models and return what it printed, in one line."""
    result = CliRunner().invoke(app, ["models", *map(str, words), "--models-dir", str(root)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return " ".join(result.stdout.split())


def voices(registry):
    return [person.name for person in registry.open().card.roster.voices]


def exported(out, tmp_path):
    """Export the current version; return the file and its roster by name."""
    call(out.root, "export", "current", tmp_path / "m.zip")
    with zipfile.ZipFile(tmp_path / "m.zip") as archive:
        roster = json.loads(archive.read("roster.json"))
    return tmp_path / "m.zip", {person["name"]: person for person in roster["people"]}


class Silent:
    """A speaker that is never called."""

    def __init__(self, artifact):
        self.artifact = artifact


def test_chat_refuses_a_person_who_opted_out(out):
    talk = Talk(Silent(out.registry.open()), None)

    with pytest.raises(
        VoiceError, match="Friend 1 sent /optout to the bot on 2024-03-01: choose another voice"
    ):
        run_chat(talk, "Friend 1", "me")


def test_simulate_without_voices_is_refused(running):
    running.run(dump(decisions=[decision(1, "optout"), decision(2, "optout")]))

    with pytest.raises(VoiceError, match="nobody may be imitated in this version"):
        run_simulation(Talk(Silent(running.registry.open()), None), 3)


def test_evaluate_refuses_voices_that_opted_out(running, tmp_path):
    dataset = load_dataset(running.trained[-1][0].folder)
    running.run(dump(decisions=[decision(1, "optout"), decision(2, "optout")]))

    with pytest.raises(DatasetError, match="may be imitated: see `understudy models show 0001`"):
        evaluate(running.registry.open(), dataset, tmp_path, QUICK, 0, None)


def test_list_and_show_name_no_voice_that_opted_out(out):
    assert "Friend 2" in call(out.root, "list").split("!")[1]
    assert call(out.root, "list").count("Friend 1") == 2  # who withdrew, and how to purge
    assert "Friend 1 sent /optout to the bot on 2024-03-01" in call(out.root, "show")


def test_an_exported_roster_says_no_for_people_who_opted_out(out, tmp_path):
    told = call(out.root, "export", "current", tmp_path / "x.zip")

    _, people = exported(out, tmp_path)

    assert "Friend 1 sent /optout to the bot on 2024-03-01: no voice." in told
    assert [people[name]["imitate"] for name in ("Friend 1", "Friend 2")] == ["no", "yes"]


def test_an_imported_optout_applies_to_all_versions_in_the_folder(running, tmp_path, monkeypatch):
    before, _ = exported(running, tmp_path)
    other = Registry(tmp_path / "other")
    call(other.root, "import", before)
    other.promote("1")
    before.unlink()
    running.run(dump(decisions=[decision(1, "optout", 9)]))
    assert voices(other) == ["Friend 1", "Friend 2"]

    told = call(other.root, "import", exported(running, tmp_path)[0])

    assert voices(other) == ["Friend 2"]
    assert "is already 0001" in told
    assert "is already" in told
    assert "Friend 1 sent /optout to the bot on 2024-03-01: no voice." in told


def test_an_import_never_turns_a_no_into_a_yes(running, tmp_path):
    before, _ = exported(running, tmp_path)
    running.run(chat_of(*NEW), dump(decisions=[decision(1, "optout", 9)]))

    told = call(running.root, "import", before)

    assert "is already" in told
    running.registry.promote("1")
    assert voices(running.registry) == ["Friend 2"]


@pytest.mark.parametrize(("hours", "speak"), [(10, True), (8, False)])
def test_only_a_newer_optin_cancels_an_optout(out, hours, speak):
    out.run(dump(decisions=[decision(1, "optin", hours)]))

    assert ("Friend 1" in voices(out.registry)) == speak


@pytest.mark.parametrize("new", [(), NEW], ids=["the same version", "a new version"])
def test_an_optin_after_an_optout_does_not_leave_its_group(out, tmp_path, new):
    files = [chat_of(*new)] if new else []

    out.run(*files, dump(decisions=[decision(1, "optout", 9), decision(1, "optin", 10)]))

    assert len(out.registry.names) == 1 + bool(new)
    assert out.registry.open().card.roster.find_by_name("Friend 1").imitate == "ask"
    assert exported(out, tmp_path)[1]["Friend 1"]["imitate"] == "ask"


def test_a_roster_file_does_not_cancel_an_optout(out):
    told = call(out.root, "roster", "1", out.root / "roster.toml")

    assert "Friend 1 sent /optout to the bot on 2024-03-01: no voice." in told
    assert voices(out.registry) == ["Friend 2"]


def test_an_optin_does_not_cancel_a_rosters_no(running):
    file = running.root / "roster.toml"
    file.write_text(file.read_text().replace('imitate = "yes"', 'imitate = "no"', 1))
    running.run(dump(decisions=[decision(1, "optout", 9)]))

    running.run(dump(decisions=[decision(1, "optin", 10)]))

    assert voices(running.registry) == ["Friend 2"]


def test_an_imported_optout_counts_in_a_retraining(out, tmp_path):
    file, _ = exported(out, tmp_path)
    other = type(out)(tmp_path / "elsewhere")
    other.folder.mkdir()
    call(other.root, "import", file)
    other.registry.promote("1")

    other.run(chat_of(*NEW), no_live_bot=True)

    assert [one["name"] for one in other.receipt(2)["excluded"]] == ["Friend 1"]
    assert read_roster(other.root / "roster.toml").find_by_name("Friend 1").imitate == "ask"


def test_a_pushed_roster_says_no_for_people_who_opted_out(out, tmp_path):
    hub.stage(out.registry.open(), tmp_path, "you/model", public_repo=False)

    roster = json.loads((tmp_path / "roster.json").read_text("utf-8"))
    assert [person["imitate"] for person in roster["people"]] == ["no", "yes"]
    assert find_dataset(out.registry.open()) is not None
