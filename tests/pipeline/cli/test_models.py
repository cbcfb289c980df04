"""What the commands about trained models print, and what they change."""

import json
import zipfile
from dataclasses import replace

import pytest
from click.testing import CliRunner

from model.artifacts.archive import write_bundle
from model.artifacts.artifact import LearnedChat, load_artifact
from model.artifacts.registry import Registry
from model.chat.person import Person
from model.errors import ArtifactError, RosterError
from pipeline.cli import models
from pipeline.cli.main import app
from pipeline.dataset.roster_file import write_roster
from pipeline.versions.receipt import write_receipt
from tests.model.fake_artifacts import ROSTER, make

JOAO, LI = ROSTER.people
SCORES = {
    "nats_per_character": {
        "whole": {"untuned": 1.0251, "tuned": 0.8741},
        "voices": {"João": {"untuned": 0.985, "tuned": 0.814}},
    },
    "drift_per_token": {"exact": 0.000001, "int8": 0.0123},
}
PROVENANCE = {
    "trained_at": "2024-03-01T12:00:05+00:00",
    "steps": 1200,
    "commit": "0123456789abcdef",
}


@pytest.fixture
def registry(tmp_path):
    registry = Registry(tmp_path / "models")
    made = make(
        tmp_path / "made",
        scores=SCORES,
        provenance=PROVENANCE,
        chats=(
            LearnedChat(-5, "Friends"),
            LearnedChat(-1006, "A group with a name that is rather long"),
        ),
    )
    registry.promote(registry.add(made))
    return registry


@pytest.fixture
def call(registry):
    """Run a command about models and return what it printed."""

    def run(*words):
        command = [*map(str, words), "--models-dir", str(registry.root)]
        result = CliRunner().invoke(models.app, command)
        if result.exception:
            raise result.exception
        return result.stdout

    return run


@pytest.fixture
def change(tmp_path, call):
    """Give the version a roster of these people and return what was printed."""

    def run(*people, **more):
        write_roster(replace(ROSTER, people=people, **more), tmp_path / "roster.toml")
        return call("roster", "1", tmp_path / "roster.toml")

    return run


def test_show_prints_the_card_in_80_columns(call, registry):
    shown = call("show", "1")

    assert shown.startswith(f"{registry.names[0]}, the current version\n")
    assert max(map(len, shown.splitlines())) <= 80
    for words in (
        "tiny (encoder-decoder)",
        "2024-03-01 12:00 UTC in 1,200 steps at commit 012345678",
        "Friends (-5)",
        "10 messages; 120 minutes of silence end a conversation",
        "int8 0.0123",
    ):
        assert words in shown


def test_show_prints_each_voice_and_how_well_the_model_foresees_it(call):
    rows = [line.split() for line in call("show").splitlines()]

    assert ["João", "yes", "0.985", "0.814"] in rows
    assert ["李雷", "ask"] in rows
    assert ["all", "1.025", "0.874"] in rows


def test_show_does_without_what_a_model_does_not_say(call, registry, tmp_path):
    registry.add(make(tmp_path / "bare"))

    shown = call("show", "2")

    assert "the current version" not in shown
    assert "unknown" in shown


def test_what_a_person_agreed_to_since_is_put_into_the_version(change, registry):
    said = change(replace(LI, imitate="yes"), JOAO)

    assert said == "李雷: imitate ask → yes\nA running bot applies this within seconds.\n"
    assert registry.open("1").card.roster.find_by_name("李雷").imitate == "yes"


def test_the_same_roster_changes_nothing(change, registry):
    before = registry.open("1").card.roster

    assert change(JOAO, LI) == "Nothing changed.\n"
    assert registry.open("1").card.roster == before


def test_accounts_and_names_may_change(change):
    said = change(replace(JOAO, ids=(7, 77), names=(), aliases=("j", "jb")), LI, bots=frozenset())

    assert said.splitlines()[:2] == [
        "João: ids 7 → 7, 77; aliases jb → j, jb",
        "bots: 5 → none",
    ]


def test_no_name_can_command_the_terminal(change):
    said = change(replace(JOAO, names=("\x1b[2J\u202eJoão\n",)), LI)

    assert said.startswith("João: names João Silva → [2JJoão , João Silva\n")


def test_who_says_no_is_silent_at_once_and_is_told_what_the_weights_still_know(change, registry):
    said = change(replace(JOAO, learn="no"), LI)

    assert said.startswith("João: learn yes → no; silent, and hidden in new prompts; the weights")
    assert "until you build and train again" in said
    assert registry.open("1").card.roster.voices == (LI,)


def test_who_said_no_and_changed_their_mind_is_a_voice_again(change, registry):
    change(replace(JOAO, learn="no"), LI)

    said = change(JOAO, LI)

    assert said.startswith("João: learn no → yes; new prompts include their messages\n")
    assert registry.open("1").card.roster.voices == (JOAO, LI)


@pytest.mark.parametrize(
    ("then", "now"),
    [
        ({"learn": "no", "imitate": "yes"}, {"learn": "yes", "imitate": "yes"}),
        ({"imitate": "no"}, {"imitate": "yes"}),
    ],
    ids=["learned from", "imitated"],
)
def test_whom_the_weights_never_learned_is_seen_and_stays_no_voice(
    registry, call, tmp_path, then, now
):
    silent = replace(LI, **then)
    registry.add(make(tmp_path / "b", roster=replace(ROSTER, people=(JOAO, silent))))
    write_roster(replace(ROSTER, people=(JOAO, replace(LI, **now))), tmp_path / "roster.toml")

    said = call("roster", "2", tmp_path / "roster.toml")

    assert "no voice, because the model was not trained on it" in said
    assert registry.open("2").card.roster.voices == (JOAO,)


def test_a_newcomer_is_called_by_name_and_is_no_voice(change, registry):
    said = change(JOAO, LI, Person("Zé", (9,), imitate="yes"))

    assert said.startswith("Zé: new; no voice, because the model was not trained on it")
    assert registry.open("1").card.roster.find_by_id(9).quiet


@pytest.mark.parametrize(
    ("people", "says"),
    [
        ((LI,), "João is missing from this roster"),
        ((LI, Person("Johnny", (7,))), "João is called Johnny in this roster"),
    ],
    ids=["missing", "renamed"],
)
def test_a_roster_without_somebody_of_the_model_s_is_refused_in_one_line(
    change, registry, people, says
):
    with pytest.raises(RosterError, match=says) as caught:
        change(*people)

    assert "\n" not in str(caught.value)
    assert registry.open("1").card.roster == ROSTER


def test_a_version_with_another_roster_can_still_be_promoted(change, call, registry, tmp_path):
    change(replace(JOAO, imitate="no"), LI)
    registry.promote(registry.add(make(tmp_path / "b", words="other")))

    assert call("promote", "1") == f"{registry.names[0]} is the current version now.\n"


def test_a_version_or_a_roster_that_is_not_there_is_refused(call, tmp_path):
    with pytest.raises(RosterError, match="there is no roster"):
        call("roster", "1", tmp_path / "roster.toml")
    with pytest.raises(ArtifactError, match="no version '9'"):
        call("show", "9")


def test_list_shows_a_version_that_cannot_be_used_too(call, registry):
    (registry.root / "versions" / registry.names[0] / "roster.json").unlink()

    assert "cannot be used" in " ".join(call("list").split())


def test_removing_a_version_without_a_receipt_mentions_none(call, registry, tmp_path):
    for number in (2, 3):
        registry.add(make(tmp_path / f"other{number}", words=str(number)))
    second, third = registry.names[1:]
    write_receipt(registry, third, {})

    assert call("remove", "2") == f"{second} is deleted.\n"
    assert call("remove", "3") == f"{third} is deleted; its receipt is kept.\n"


def test_without_a_model_every_command_names_the_same_next_step(tmp_path):
    root = tmp_path / "none"
    listed = CliRunner().invoke(models.app, ["list", "--models-dir", str(root)]).stdout
    talk = CliRunner().invoke(app, ["chat", "--as", "João", "--models-dir", str(root)]).exception

    assert str(talk) == listed.strip()
    assert "understudy start" in listed


def test_without_a_current_version_the_next_step_is_to_choose_one(tmp_path):
    registry = Registry(tmp_path / "models")
    registry.add(make(tmp_path / "made"))

    with pytest.raises(ArtifactError, match="choose one with `understudy models promote VERSION"):
        registry.open()


HOSTILE = "a\x1b]0;owned\x07\x1b[31m\u202e\x9b2J\r\nforged"
"""A title for the window, colours, a change of direction and a line break."""


def _add_hostile(value):
    """Append hostile characters to the texts of a model.json that a program does not compare."""
    if isinstance(value, str):
        return value + HOSTILE
    if isinstance(value, list):
        return [_add_hostile(item) for item in value]
    if isinstance(value, dict):
        kept = {"family", "prompt", "format", "learn", "imitate", "kind", "name"}
        return {key: item if key in kept else _add_hostile(item) for key, item in value.items()} | (
            {f"odd{HOSTILE}": HOSTILE} if "drift_per_token" in value else {}
        )
    return value


def test_no_text_of_an_imported_model_can_command_the_terminal(call, registry, tmp_path):
    folder = make(tmp_path / "0009-abcdef01", scores=SCORES, provenance=PROVENANCE)
    (folder / "scorecard.json").write_text(json.dumps({"format": HOSTILE}))
    for name in ("model.json", "roster.json"):
        value = _add_hostile(json.loads((folder / name).read_text("utf-8")))
        (folder / name).write_text(json.dumps(value))
    file = tmp_path / "model.zip"
    write_bundle(load_artifact(folder), file)
    with zipfile.ZipFile(file) as packed:
        entries = {name: packed.read(name) for name in packed.namelist()}
    manifest = json.loads(entries["manifest.json"])
    entries["manifest.json"] = json.dumps(manifest | {"version": HOSTILE}).encode()
    with zipfile.ZipFile(file, "w") as packed:
        for name, content in entries.items():
            packed.writestr(name, content)

    printed = [call(*words) for words in (("import", file), ("list",), ("show", "2"))]

    for text in printed:
        assert "forged" in text
        assert not any(line.lstrip().startswith("forged") for line in text.splitlines())
        assert not {"\x1b", "\x07", "\x9b", "\u202e", "\r"} & set(text)


def test_versions_can_be_managed_while_a_retraining_runs(call, registry, tmp_path):
    second = registry.add(make(tmp_path / "other", words="2"))

    with registry.locked():
        assert second in call("promote", "2")
        call("rollback")
        assert second in call("list")
        assert call("remove", "2") == f"{second} is deleted.\n"
