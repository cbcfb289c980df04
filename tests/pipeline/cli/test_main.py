"""The commands as a person types them: what they print, and their exit status."""

import json
import shutil
import subprocess
import sys

import pytest
from rich.cells import cell_len

from pipeline.dataset.roster_file import read_roster
from tests.command_line import understudy
from tests.habits import HABITS, write_export
from tests.pipeline.chats import account, chat, conversation, entry, write


def one_line(result):
    """Return the only line of a failure that a person can mend."""
    assert result.returncode == 1, result.stderr
    assert "Traceback" not in result.stderr
    (line,) = result.stderr.splitlines()
    return line


HEAVY = {"torch", "transformers", "evaluate", "datasets", "accelerate", "tensorboard"}


def last_line(program, cwd):
    """Return what a program in a process of its own printed last."""
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=cwd, capture_output=True, text=True, check=True
    )
    return result.stdout.splitlines()[-1]


@pytest.fixture
def models(trained):
    return ["--models-dir", trained.root]


@pytest.fixture
def two_chats(tmp_path):
    friends = chat(*conversation(), name="[bold]" + "Friends of cards and cake" * 2)
    work = chat(entry(1, 1, "a"), entry(2, 2, "b", 9), name="Work", id=5)
    return write(tmp_path / "account", account(friends, work))


def test_build_says_what_it_made_and_what_comes_next(tmp_path):
    export = write_export(tmp_path / "e", 10)

    result = understudy("build", export, "--out", tmp_path / "out", "--min-messages", 30)

    assert result.returncode == 0, result.stderr
    assert "120 messages" in result.stdout
    assert "Test messages in training pairs, as context or target: 0" in result.stdout
    assert "Conversations in both splits: 0" in result.stdout
    assert "understudy train" in result.stdout
    assert (tmp_path / "out" / "summary.json").is_file()


def test_build_says_who_is_too_quiet_to_be_a_voice(tmp_path):
    rare = entry(5_000, 3, "rare", 30)
    export = write(tmp_path, chat(*conversation(), rare))

    result = understudy("build", export, "--out", tmp_path / "out", "--min-messages", 100)

    assert "No voices, with fewer than 100 messages each" in result.stdout
    assert "Friend 3" in result.stdout
    told = [line for line in result.stdout.splitlines() if str(tmp_path) not in line]
    assert max(map(cell_len, told)) <= 80


@pytest.mark.parametrize(
    ("zone", "messages"),
    [([], 132), (["--timezone", "America/New_York"], 108), (["--timezone", "Asia/Tokyo"], 156)],
    ids=["UTC", "west of it", "east of it"],
)
def test_build_takes_messages_since_a_day_where_the_chat_is(tmp_path, zone, messages):
    export = write(tmp_path, chat(*conversation(gap_hours=4)))

    result = understudy(
        "build", export, "--out", tmp_path / "out", "--min-messages", 1, "--set", "window=3",
        "--since", "2024-03-03", *zone,
    )  # fmt: skip

    assert result.returncode == 0, result.stderr
    assert f"{messages} messages" in result.stdout


def test_build_merges_exports_and_takes_one_chat_of_several(tmp_path, two_chats):
    more = conversation(sessions=22)[-24:]
    later = write(tmp_path / "later", chat(*more))

    result = understudy(
        "build", two_chats, later, "--chat", 77, "--out", tmp_path / "out", "--min-messages", 1,
        "--set", "test-share=0.3", "--review", tmp_path / "doubts.csv",
    )  # fmt: skip

    assert result.returncode == 0, result.stderr
    assert "Friends: 264 messages" in result.stdout
    assert "doubts.csv, write x in front of each pair to drop" in " ".join(result.stdout.split())
    assert (tmp_path / "doubts.csv").is_file()


@pytest.mark.parametrize("command", [["build", "--out", "out"], ["inspect", "--roster", "r.toml"]])
def test_of_several_chats_one_must_be_chosen_and_all_are_listed(tmp_path, two_chats, command):
    result = understudy(command[0], two_chats, *command[1:], cwd=tmp_path)

    first, *listed = result.stderr.splitlines()
    assert result.returncode == 1
    assert first.startswith("understudy: the export contains several chats: choose one")
    assert [line.split()[0] for line in listed] == ["-1000000000077", "-1000000000005"]
    assert [path.name for path in tmp_path.iterdir()] == ["account"]


def test_inspect_lists_all_chats_in_80_columns(two_chats):
    result = understudy("inspect", two_chats)

    assert result.returncode == 0, result.stderr
    assert max(map(cell_len, result.stdout.splitlines())) <= 80
    assert "Work" in result.stdout
    assert "[bold]" in result.stdout


def test_inspect_prints_json_and_nothing_else_for_programs(two_chats):
    result = understudy("inspect", two_chats, "--json")

    chats = json.loads(result.stdout)["chats"]
    assert [(one["id"], one["messages"]) for one in chats] == [(77, 240), (5, 2)]
    assert {author["id"] for author in chats[0]["authors"]} == {"user1", "user2"}


def test_inspect_writes_a_roster_that_build_takes_and_never_overwrites_one(tmp_path, two_chats):
    path = tmp_path / "who.toml"
    options = ["--chat", 77, "--min-messages", 1]

    first = understudy("inspect", two_chats, "--roster", path, *options)
    again = understudy("inspect", two_chats, "--roster", path, *options)
    built = understudy(
        "build", two_chats, "--roster", path, "--out", tmp_path / "out", *options
    )  # fmt: skip

    assert f"--roster {path}" in first.stdout
    assert [person.name for person in read_roster(path).people] == ["Friend 1", "Friend 2"]
    assert "already exists" in one_line(again)
    assert built.returncode == 0, built.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--since", "yesterday"], "'--since': must be a day such as 2024-03-31, not yesterday"),
        (["--timezone", "Atlantis"], "must be a time zone such as Europe/Lisbon, not Atlantis"),
        (["--timezone", "../etc/passwd"], "Europe/Lisbon, not ../etc/passwd"),
        (["--set", "session-minutes=0"], "session-minutes: must be a number above 0, not 0"),
        (["--set", "test-share=0.99"], "must be a number above 0 and up to 0.9, not 0.99"),
        (["--last", "0"], "'--last': must be a whole number of 1 or more, not 0"),
        (["--min-messages", "0"], "must be a whole number of 1 or more, not 0"),
    ],
    ids=[
        "no day",
        "no such zone",
        "a file as the zone",
        "no session",
        "no training",
        "no message",
        "no threshold",
    ],
)
def test_an_option_that_makes_no_sense_is_wrong_usage(tmp_path, words, says):
    result = understudy("build", tmp_path, "--out", tmp_path / "out", *words)

    assert result.returncode == 2
    assert says in " ".join(result.stderr.replace("│", " ").split())
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--since", "2030-01-01"], "since 2030-01-01: choose an earlier day for --since"),
        (["--min-messages", "1000"], "that a voice needs (the most by one person is 120)"),
        (["--last", "20"], "too few to split by time"),
        (["--review", "."], "was not written by"),
        (["--roster", "none.toml"], "there is no roster none.toml"),
    ],
    ids=["a day to come", "a threshold too high", "too few messages",
         "a folder as the review", "no roster"],
)  # fmt: skip
def test_what_a_person_can_mend_about_a_build_is_one_line(tmp_path, words, says):
    export = write(tmp_path, chat(*conversation()))

    line = one_line(
        understudy("build", export, "--out", "out", "--min-messages", 1, *words, cwd=tmp_path)
    )

    assert says in line
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


@pytest.mark.parametrize(
    "module", ["pipeline.dataset.build", "pipeline.dataset.inspection", "pipeline.dataset.sample"]
)
def test_nothing_heavy_is_imported_to_read_a_chat(module, pytestconfig):
    program = f"import sys, {module}; print({HEAVY!r} & set(sys.modules))"

    assert last_line(program, cwd=pytestconfig.rootpath) == "set()"


@pytest.mark.parametrize("command", ["inspect", "build"])
def test_a_whole_command_that_reads_a_chat_needs_nothing_heavy(tmp_path, command, pytestconfig):
    export = write(tmp_path, chat(*conversation()))
    words = [command, str(export), "--min-messages", "1"]
    words += ["--out", str(tmp_path / "out")] if command == "build" else []
    program = (
        "import sys; from pipeline.cli.main import app\n"
        f"app({words!r}, standalone_mode=False); print({HEAVY!r} & set(sys.modules))"
    )

    assert last_line(program, cwd=pytestconfig.rootpath) == "set()"
    assert (tmp_path / "out").exists() is (command == "build")


def test_chat_without_a_voice_lists_the_voices(models):
    result = understudy("chat", *models)

    assert result.returncode == 2
    assert "Hugo, Raul, Tiago or anyone" in " ".join(result.stderr.replace("│", "").split())


def test_chat_answers_each_line_in_the_voice(models):
    result = understudy(
        "chat", "--as", "hugo", "--opening", "nothing", "--seed", 1, *models,
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
    (tmp_path / "talk.txt").write_text("Hugo: hello there bark bark\n", "utf-8")

    result = understudy("simulate", "--turns", 1, "--opening", tmp_path / "talk.txt", *models)

    assert result.stdout.startswith(" │ Hugo: hello there bark bark\n")


def test_where_its_dataset_is_gone_a_talk_begins_with_nothing_and_says_so(trained, tmp_path):
    shutil.copytree(trained.root, tmp_path / "moved")
    card = next((tmp_path / "moved" / "versions").glob("*/model.json"))
    told = json.loads(card.read_text("utf-8"))
    told["provenance"]["dataset"]["folder"] = str(tmp_path / "gone")
    card.write_text(json.dumps(told), "utf-8")

    result = understudy("simulate", "--turns", 1, "--models-dir", tmp_path / "moved")

    assert result.returncode == 0
    assert "The conversation starts without context" in result.stderr
    assert result.stdout.startswith("🎭 ")


def test_models_list_shows_which_one_serves(models, trained):
    result = understudy("models", "list", *models)

    assert result.returncode == 0
    assert f"*  {trained.current}" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["chat", "--as", "Hugoo", "--opening", "nothing"], "did you mean Hugo?"),
        (["chat", "--as", "Zzz", "--opening", "nothing"], "the voices are Hugo, Raul, Tiago"),
        (["simulate", "--opening", "no-such-file"], "cannot use no-such-file"),
        (["simulate", "--data", "nowhere"], "pass one with --data"),
        (["models", "promote", "9"], "no version '9'"),
        (["models", "rollback"], "nothing to roll back to"),
    ],
    ids=["a misspelt voice", "nobody of that name", "no file", "no dataset",
         "no such version", "nothing served before"],
)  # fmt: skip
def test_a_wrong_word_is_answered_in_one_line(models, words, said):
    assert said in one_line(understudy(*words, *models))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("not json", "result.json"),
        ('{"a": 1}', "result.json"),
        ('{"name": "x", "type": "private_group", "id": 1, "messages": []}', "nobody talks in x"),
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

    assert "understudy start" in line


def test_a_dataset_that_is_none_is_refused(tmp_path):
    line = one_line(understudy("train", tmp_path, "--models-dir", tmp_path / "a"))

    assert "understudy build" in line


def test_an_unknown_option_is_wrong_usage():
    assert understudy("train", "--no-such").returncode == 2


@pytest.mark.parametrize(
    "command",
    ["inspect", "build", "train", "evaluate", "chat", "simulate", "demo", "demo-chat"],
)
def test_every_command_explains_itself_in_80_columns(command):
    result = understudy(command, "--help")

    assert result.returncode == 0
    assert max(map(len, result.stdout.splitlines())) <= 80
