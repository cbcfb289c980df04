"""`understudy people`: what may be done with whose messages, and why."""

from click.testing import CliRunner

from pipeline.cli.main import app
from pipeline.versions.people import list_statuses
from tests.pipeline.chats import chat
from tests.pipeline.retrain.dumps import decision, dump
from tests.pipeline.retrain.retrain_runner import NEW


def statuses(running):
    return {
        one.name: (one.learn, one.imitate, one.reason) for one in list_statuses(running.registry)
    }


def test_everybody_is_listed_with_the_decision_that_counts_and_its_source(running):
    roster = running.root / "roster.toml"
    roster.write_text(
        roster.read_text().replace('imitate = "yes"', 'imitate = "ask"', 1)
        + '[[people]]\nname = "Zoé"\nids = [3]\nlearn = "no"\n'
        + '[[people]]\nname = "Ivo"\nids = [4]\nimitate = "no"\n'
    )
    decisions = [decision(1, "optin"), decision(2, "optout", 30), decision(3, "optin")]
    running.run(chat(*NEW), dump(decisions=decisions))

    assert statuses(running) == {
        "Friend 1": ("yes", "ask", "/optin on 2024-03-01, from the dump of 2024-04-12"),
        "Friend 2": ("no", "no", "/optout on 2024-03-02, from the dump of 2024-04-12"),
        "Zoé": ("no", "no", 'learn = "no" in the roster'),
        "Ivo": ("yes", "no", 'imitate = "no" in the roster'),
    }


def test_without_decisions_the_roster_is_the_reason(running):
    assert statuses(running) == {
        f"Friend {number}": ("yes", "yes", 'imitate = "yes" in the roster') for number in (1, 2)
    }


def test_the_command_prints_a_table(running, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    running.run(dump(decisions=[decision(1, "optout")]))

    shown = CliRunner().invoke(app, ["people", "--models-dir", str(running.root)]).stdout

    assert " ".join(shown.splitlines()[1].split()) == (
        "Friend 1 no no /optout on 2024-03-01, from the dump of"
    )


def test_a_folder_without_models_says_how_to_make_one(tmp_path):
    shown = CliRunner().invoke(app, ["people", "--models-dir", str(tmp_path)]).stdout

    assert "there is no model" in shown
