"""The commands as a person types them: what they print, and their exit status."""

import subprocess
import sys

import pytest

from tests.habits import HABITS, write_export


def understudy(*words, cwd=None, **options):
    return subprocess.run(
        [sys.executable, "-m", "pipeline.cli", *map(str, words)],
        capture_output=True, text=True, cwd=cwd, timeout=120, check=False, **options,
    )  # fmt: skip


def one_line(result):
    """Return the only line of a failure that a person can mend."""
    assert result.returncode == 1, result.stderr
    assert "Traceback" not in result.stderr
    (line,) = result.stderr.splitlines()
    return line


@pytest.fixture
def models(trained):
    return ["--models", trained.root]


def test_build_says_what_it_made_and_what_comes_next(tmp_path):
    result = understudy("build", write_export(tmp_path / "e", 10), "--out", tmp_path / "out")

    assert result.returncode == 0
    assert "120 messages" in result.stdout
    assert "understudy train" in result.stdout
    assert (tmp_path / "out" / "summary.json").is_file()


def test_chat_answers_each_line_in_the_voice(models):
    result = understudy(
        "chat", "--as", "hugo", "--start", "nothing", "--seed", 1, *models,
        input="shall we go?\n/as raul\n",
    )  # fmt: skip

    answers = result.stdout.split("🎭")[1:]
    assert result.returncode == 0
    assert "Hugo:" in answers[0]
    assert HABITS["Hugo"] in answers[0]
    assert "Raul:" in answers[-1]
    assert HABITS["Raul"] in answers[-1]


def test_simulate_tells_real_lines_from_generated_ones(models):
    result = understudy("simulate", "--turns", 3, "--seed", 2, *models)

    lines = result.stdout.splitlines()
    real = [line for line in lines if line.startswith(" │ ")]
    generated = [line for line in lines if line.startswith("🎭 ")]
    assert len(real) == 4
    assert len(generated) >= 3
    assert lines[: len(real)] == real


def test_the_same_seed_simulates_the_same_thread(models):
    first, second = (
        understudy("simulate", "--turns", 3, "--seed", 3, *models).stdout for _ in range(2)
    )

    assert first == second


def test_a_talk_can_start_from_a_file(models, tmp_path):
    (tmp_path / "talk.txt").write_text("Hugo: hello there woof woof\n", "utf-8")

    result = understudy("simulate", "--turns", 1, "--start", tmp_path / "talk.txt", *models)

    assert result.stdout.startswith(" │ Hugo: hello there woof woof\n")


def test_models_list_shows_which_one_serves(models, trained):
    result = understudy("models", "list", *models)

    assert result.returncode == 0
    assert f"*  {trained.current}" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["chat", "--as", "Hugoo", "--start", "nothing"], "did you mean Hugo?"),
        (["chat", "--as", "Zzz", "--start", "nothing"], "there is Hugo, Tiago, Raul"),
        (["simulate", "--start", "no-such-file"], "cannot use no-such-file"),
        (["simulate", "--temperature", "0"], "--temperature 0.0 is out of range"),
        (["simulate", "--data", "nowhere"], "name it with --data"),
        (["models", "promote", "9"], "no version '9'"),
        (["models", "rollback"], "nothing to roll back to"),
    ],
    ids=["a misspelt voice", "nobody of that name", "no file", "no temperature", "no dataset",
         "no such version", "nothing served before"],
)  # fmt: skip
def test_a_wrong_word_is_answered_in_one_line(models, words, said):
    assert said in one_line(understudy(*words, *models))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("not json", "result.json"),
        ('{"a": 1}', "result.json"),
        ('{"name": "x", "type": "private_group", "id": 1, "messages": []}', "result.json"),
    ],
    ids=["no JSON", "another program's JSON", "an empty chat"],
)
def test_an_export_that_is_none_leaves_nothing_half_written(tmp_path, content, said):
    (tmp_path / "result.json").write_text(content, "utf-8")

    line = one_line(understudy("build", tmp_path, "--out", tmp_path / "out"))

    assert said in line
    assert not (tmp_path / "out").exists()


def test_without_a_model_one_is_told_how_to_make_one(tmp_path):
    line = one_line(understudy("simulate", cwd=tmp_path, env={"PYTHONPATH": sys.path[0] or "."}))

    assert "understudy train" in line


def test_a_dataset_that_is_none_is_refused(tmp_path):
    line = one_line(understudy("train", tmp_path, "--models", tmp_path / "a"))

    assert "understudy build" in line


def test_an_unknown_option_is_wrong_usage():
    assert understudy("train", "--no-such").returncode == 2


@pytest.mark.parametrize("command", ["build", "train", "chat", "simulate", "demo", "sample"])
def test_every_command_explains_itself_in_80_columns(command):
    result = understudy(command, "--help")

    assert result.returncode == 0
    assert max(map(len, result.stdout.splitlines())) <= 80
