"""Settings on the command line and in a TOML file; what is answered to wrong ones."""

import pytest

from pipeline.cli import options
from pipeline.cli.main import app
from pipeline.training.hyperparameters import Hyperparameters, by_recipe
from tests.command_line import understudy


@pytest.fixture
def trained_with(monkeypatch, tmp_path):
    """Return what trains with these words, and returns the hyperparameters and the base."""
    monkeypatch.chdir(tmp_path)
    command, found = app.commands["train"], {}
    monkeypatch.setattr(command, "function", lambda **given: found.update(given))

    def train(*words, toml=None):
        if toml is not None:
            (tmp_path / "train.toml").write_text(toml, "utf-8")
            words = (*words, "--config", "train.toml")
        result = understudy("train", "dataset", *words)
        assert result.returncode == 0, result.stderr
        return by_recipe(found.get("recipe", "understudy"), found["training"]), found

    return train


def test_nothing_given_leaves_the_recipe_s_values(trained_with):
    assert trained_with()[0] == Hyperparameters()
    assert trained_with("--set", "recipe=notebook")[0].learning_rate == 5e-5


def test_options_and_settings_reach_the_dataclass(trained_with):
    settings, given = trained_with(
        "--epochs", 2, "--no-lora", "--set", "speaker-dropout=0", "--set", "top_k=5"
    )

    assert settings == Hyperparameters(epochs=2, lora=False, speaker_dropout=0)
    assert given["sampling"] == {"top_k": 5}


def test_a_file_has_comments_and_options_and_the_command_line_wins(trained_with):
    toml = "# quick\nminutes = 60\nepochs = 3\nlora = true\npatience = 0\nbase = 'smollm2'\n"

    settings, given = trained_with("--no-lora", "--set", "patience=1", toml=toml)

    assert settings == Hyperparameters(minutes=60, epochs=3, lora=False, patience=1)
    assert given["base"] == "smollm2"


def test_an_empty_file_changes_nothing(trained_with):
    assert trained_with(toml="")[0] == Hyperparameters()


def test_a_required_option_can_stand_in_the_file(tmp_path):
    (tmp_path / "b.toml").write_text(f"out = '{tmp_path}/out'\nroster = 'none.toml'\n", "utf-8")
    (tmp_path / "empty.toml").write_text("", "utf-8")

    result = understudy("build", tmp_path, "--config", tmp_path / "b.toml")
    without = understudy("build", tmp_path, "--config", tmp_path / "empty.toml")

    assert result.returncode == 1
    assert (without.returncode, without.stderr) == (
        2,
        "understudy: --out PATH is missing: folder for the dataset\n",
    )


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["--set", "learning-rat=1"],
            "--set: there is no setting learning-rat: did you mean learning-rate?",
        ),
        (
            ["--set", "zzz=1"],
            "--set: there is no setting zzz: `understudy settings train` lists them",
        ),
        (["--set", "patience"], "--set patience: write NAME=VALUE"),
        (["--set", "top-p=2"], "--set: top-p: must be a number above 0 and up to 1, not 2"),
        (["--set", "batching=random"], "--set: batching: must be alike or uniform, not random"),
        (
            ["--learning-rate", "1e-4"],
            "there is no option --learning-rate: did you mean --set learning-rate=VALUE?",
        ),
        (["--epoch", "3"], "there is no option --epoch: did you mean --epochs?"),
        (["--zzz"], "there is no option --zzz: see understudy train --help"),
        (
            ["--epochs", "3", "--set", "epochs=4"],
            "--epochs and --set epochs=… cannot be combined: use one of them",
        ),
        (
            ["--epochs", "x"],
            "Invalid value for '--epochs': must be a number above 0 and up to 10000, not x",
        ),
        (["--config", "none.toml"], "--config none.toml: No such file or directory"),
    ],
)
def test_a_wrong_name_or_value_gets_one_line(words, line, tmp_path):
    result = understudy("train", "dataset", *words, cwd=tmp_path)

    assert (result.returncode, result.stderr) == (2, f"understudy: {line}\n")


@pytest.mark.parametrize(
    ("toml", "line"),
    [
        ("epochs = '3'", 'epochs: must be a number above 0 and up to 10000, not "3"'),
        ("lora = 1", "lora: must be true or false, not 1"),
        ("epoch = 3", "there is no setting epoch: did you mean epochs?"),
        ("dataset = 'x'", "there is no setting dataset: `understudy settings train`"),
        ("[train]\nepochs = 3", "there is no setting train: "),
        ("epochs = ", "--config train.toml: it is not valid TOML"),
    ],
)
def test_a_wrong_line_of_a_file_gets_one_line(toml, line, tmp_path):
    (tmp_path / "train.toml").write_text(toml, "utf-8")

    result = understudy("train", "dataset", "--config", "train.toml", cwd=tmp_path)

    assert result.returncode == 2
    assert line in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_the_help_of_train_fits_one_screen(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")

    shown = understudy("train", "--help").stdout.splitlines()

    assert len(shown) <= 40
    assert any("--lora/--no-lora" in line for line in shown)


def test_settings_are_listed_with_values_and_defaults(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")

    one, every = understudy("settings", "train").stdout, understudy("settings").stdout
    wrong = understudy("settings", "doctor")

    assert max(map(len, every.splitlines())) <= 80
    for name in app.commands["train"].settings:
        assert f"\n  {name} " in one
    assert "a number from 0 to 1; default: 0.5 (notebook: 0)" in one
    assert "understudy chat" in every
    assert wrong.returncode == 2
    assert "doctor has no settings" in wrong.stderr


@pytest.mark.parametrize(
    ("accepted", "answer", "is_recorded"),
    [(True, False, True), (False, True, True), (False, False, False)],
    ids=["the option", "yes", "no, or no terminal"],
)
def test_the_terms_of_a_base_are_accepted_by_an_option_or_a_person(
    tmp_path, monkeypatch, accepted, answer, is_recorded
):
    terms, asked = {"gemma3-270m": "Google's terms"}, []
    monkeypatch.setattr(options, "find_open_terms", lambda base, cache: terms.get(base, ""))
    monkeypatch.setattr(options, "ask", lambda question: asked.append(question) or answer)

    for base in (None, "smollm2", "gemma3-270m"):
        options.confirm_terms(base, tmp_path, accepted=accepted)

    assert (tmp_path / "bases" / "accepted-terms.json").is_file() is is_recorded
    assert asked == (
        []
        if accepted
        else ["gemma3-270m may only be used under Google's terms. Do you accept them?"]
    )
