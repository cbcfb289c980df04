"""No plain text is left where it should not be: of the chat, of who said no, of what is private."""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from model.chat.eligibility import add_voice_header
from pipeline.dataset.storage import load_dataset
from tests import checkpoints
from tests.habits import HABITS, write_export
from tests.pipeline.chats import chat, conversation, entry, write

WORD = "xylophonequartet"
PLACES = ("HOME", "HF_HOME", "XDG_CACHE_HOME", "TMPDIR", "SQLITE_TMPDIR")
RUI, OLD_RUI, BOT = 3, 30, 99
SAID_NO = """\
understudies = [99]
[[people]]
name = "Rui"
ids = [3, 30]
names = ["Rui Tavares"]
aliases = ["Ruizinho"]
learn = "no"
[[people]]
name = "Friend 1"
ids = [1]
[[people]]
name = "Friend 2"
ids = [2]
"""


@pytest.fixture
def run(tmp_path, pytestconfig):
    """Build in a process of its own, its places all below the test's; return all files it left."""
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    work.mkdir()
    program = (
        "import sys; from pathlib import Path\n"
        "from pipeline.dataset.build import build\n"
        "from pipeline.dataset.storage import load_dataset\n"
        "from tests.pipeline.chats import small\n"
        "build([Path(sys.argv[1])], Path('ds'), small(review=Path('doubts.csv')))\n"
        "load_dataset(Path('ds'))"
    )
    environment = {
        **os.environ, "PYTHONPATH": str(pytestconfig.rootpath), **dict.fromkeys(PLACES, str(home)),
    }  # fmt: skip

    def start(export):
        return subprocess.Popen(
            [sys.executable, "-B", "-c", program, str(export)], cwd=work, env=environment
        )

    def left():
        return [path for path in [*home.rglob("*"), *work.rglob("*")] if path.is_file()]

    return start, left


def texts(files):
    """Return all that files say: lines unpacked, everything else as it is."""
    return [
        str(pq.read_table(path).to_pylist()) if path.suffix == ".parquet"
        else path.read_text("utf-8", "replace")
        for path in files
    ]  # fmt: skip


def test_no_plain_text_is_left_anywhere_but_in_the_dataset_and_the_review(tmp_path, run):
    start, left = run
    told = [entry(n, n % 2 + 1, WORD, n - 16_000) for n in range(9001, 9005)]  # an echo

    assert start(write(tmp_path, chat(*conversation(), *told))).wait() == 0

    work = tmp_path / "work"
    assert [path for path in left() if path.parent != work / "ds"] == [work / "doubts.csv"]
    assert sum(WORD in text for text in texts(left())) >= 2


def test_a_build_that_is_killed_leaves_no_plain_text_in_the_temporary_folder(tmp_path, run):
    start, _ = run
    many = [entry(n, 1 + n // 3 % 2, f"{WORD} {n} " + "and so on " * 20, n * 70)
            for n in range(1, 60_000)]  # fmt: skip
    build_of_many = start(write(tmp_path, chat(*many)))
    places = Path(f"/proc/{build_of_many.pid}/fd")

    def waiting():
        names = [str(name.readlink()) for name in places.iterdir() if name.is_symlink()]
        return sum("(deleted)" in name for name in names)

    while build_of_many.poll() is None and not _safely(waiting):
        time.sleep(0.01)
    seen = [path.name for path in (tmp_path / "home").iterdir()]
    build_of_many.send_signal(signal.SIGKILL)

    assert build_of_many.wait() == -signal.SIGKILL
    assert seen == [path.name for path in (tmp_path / "home").iterdir()] == []


def _safely(count):
    """Count open files, while they come and go."""
    try:
        return count()
    except OSError:
        return 0


def of_rui(number, words):
    """Return what Rui said as he may have: by either account, or in our bot's words."""
    if number % 5 == 0:
        name = ("Rui", "rui tavares", "Ruizinho")[number % 3]
        return {
            "from_id": f"user{BOT}",
            "from": "Understudy",
            "text": add_voice_header(name, words),
        }
    if number % 2:
        return {"from_id": f"user{OLD_RUI}", "from": "Rui T", "text": words}
    return {"from": "Rui Tavares", "text": words}


def test_nothing_of_somebody_who_said_no_stands_in_any_file(tmp_path, run):
    start, left = run
    said = [entry(9999, RUI, "https://quimera.example", 5, **{"from": "Rui Tavares"})]
    for one in conversation(people=3):
        number, words = one["id"], f"quimera {one['id']} violeta nocturna"
        if one["from_id"] == f"user{RUI}":
            said.append({**one, **of_rui(number, words)})
        else:
            said.append({**one, "text": f"/as Rui {words}"} if number % 9 == 0 else one)
    export = write(tmp_path, chat(*said))
    (tmp_path / "roster.toml").write_text(SAID_NO)

    assert start(export).wait() == 0

    written = texts(left())
    assert len(written) == 5
    for text in written:
        assert "quimera" not in text
        assert "violeta" not in text
        assert not any(f"{name}:" in text for name in ("Rui", "Rui T", "Tavares", "Ruizinho"))
    contexts = [pair.context for pair in load_dataset(tmp_path / "work" / "ds").train]
    assert any("[…]" in context for context in contexts)


QUOTES = (
    "> {words}\nso?",
    ">{words}",
    "so?\n> Rui: {words}\n> {words}\nno",
    "Rui: {words}",
    "rui tavares : {words}\n{words}\n\nso?",
    "Ruizinho, [12.03.2024 10:15]\n{words}",
    "[12/03/24, 10:15] Rui Tavares: {words}",
    "look:\n- Rui: {words}",
    "[12/03/2025, 10:11:12] Rui T: {words}\n\n{words}",
    "<Rui> {words}",
    "**Rui**: {words}",
    'Rui T said: "{words}"',
    "> Rui:\n{words}\n\n{words}",
)


def test_quoted_words_of_an_excluded_person_are_in_no_file(tmp_path, run):
    start, left = run
    said = []
    for one in conversation(people=2):
        words = f"quimera {one['id']} violeta nocturna"
        block = [{"type": "blockquote", "text": words}, "\n", one["text"]]
        quoting = QUOTES[one["id"] % len(QUOTES)].format(words=words)
        text = {0: quoting, 1: block}.get(one["id"] // 7 % 3, one["text"])
        said.append({**one, "text": text})
    said.append(entry(9999, RUI, "quimera", 5, **{"from": "Ruy"}))
    said.append(entry(10_000, 1, "Ruy: quimera", 6))
    export = write(tmp_path, chat(*said))
    (tmp_path / "roster.toml").write_text(SAID_NO)

    assert start(export).wait() == 0

    written = texts(left())
    assert len(written) == 5
    for text in written:
        assert "quimera" not in text
        assert "violeta" not in text


def test_private_data_stand_in_no_file_and_no_pair_has_them_as_its_target(tmp_path, run):
    start, left = run
    private = {
        3001: "call me on +351 912 345 678 please",
        3003: "write to ana.maria@example.org",
        3005: "[PT50 0002 0123 1234 5678 9015 4]",
    }
    talk = [entry(n, 1 + n % 2, private.get(n, f"word {n}"), n) for n in range(3000, 3012)]

    assert start(write(tmp_path, chat(*talk, *conversation()))).wait() == 0

    written = texts(left())
    for secret in ("912", "345 678", "ana.maria", "example.org", "0002 0123", "PT50"):
        assert not any(secret in text for text in written), secret
    loaded = load_dataset(tmp_path / "work" / "ds")
    pairs = [*loaded.train, *loaded.validation, *loaded.test]
    assert any("[phone]" in line for pair in pairs for line in pair.context)
    assert not any("[phone]" in text for pair in pairs for text in pair.target)
    assert loaded.summary.redacted == {"phone": 1, "email": 1, "iban": 1}


PATHS = ("HF_HOME", "HF_DATASETS_CACHE", "HF_EVALUATE_CACHE", "XDG_CACHE_HOME", "SQLITE_TMPDIR")


ONE_BY_ONE = """
import shlex, sys
from pipeline.cli.main import main

for line in sys.stdin:
    sys.argv = ["understudy", *shlex.split(line)]
    try:
        main()
    except SystemExit as end:
        print("status", end.code or 0, flush=True)
"""
"""Runs a command for each line that it reads, in one process that imports everything once."""


def files_with(word, *folders):
    """Return the files in these folders that hold a word, in their names or as plain text."""
    found = []
    for path in (path for folder in folders for path in folder.rglob("*")):
        try:
            text = path.read_bytes() if path.is_file() else b""
        except OSError:  # a socket, or a file that has just gone
            continue
        if word in path.name or word.encode() in text or word.encode("utf-16-le") in text:
            found.append(path)
    return found


def test_build_train_and_evaluate_leave_the_chat_in_no_home_cache_or_temporary_folder(
    tmp_path, pytestconfig
):
    home, temporary, work = (tmp_path / name for name in ("home", "temporary", "work"))
    for folder in (home, temporary, work):
        folder.mkdir()
    export = write_export(tmp_path / "export", sessions=20)
    result = export / "result.json"
    result.write_text(result.read_text("utf-8").replace("friday", WORD), "utf-8")
    base = checkpoints.save_llama(tmp_path / "base", texts=[f"{WORD} {WORD}"])
    environment = {name: value for name, value in os.environ.items() if name not in PATHS}
    environment |= {
        "HOME": str(home), "TMPDIR": str(temporary), "PYTHONPATH": str(pytestconfig.rootpath),
        "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    commands = [
        ["build", export, "--out", "ds", "--min-messages", "1"],
        ["train", "ds", "--base", base, "--epochs", "0.5", "--models-dir", "models"],
        ["evaluate", "--quick", "--replies", "1", "--models-dir", "models"],
    ]

    with (
        (tmp_path / "errors").open("wb") as errors,
        subprocess.Popen(
            [sys.executable, "-B", "-c", ONE_BY_ONE], cwd=work, env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
        ) as program,
    ):  # fmt: skip
        for command in commands:
            print(shlex.join(map(str, command)), file=program.stdin, flush=True)
            printed = []
            for line in program.stdout:
                printed.append(line)
                if line.startswith("status "):
                    break

            assert (tmp_path / "errors").read_text("utf-8") == "", command
            assert printed[-1] == "status 0\n", command
            assert not re.search(
                "transformers|accelerate|datasets:|Warning|it/s|examples/s", "".join(printed)
            )
            assert files_with(WORD, home, temporary) == [], command
        program.stdin.close()
    assert any(WORD in text for text in texts((work / "ds").iterdir()))
    assert list((work / "models" / "versions").glob("*/scorecard.json"))
    for habit in HABITS.values():  # the word itself is a piece of the base's vocabulary
        assert files_with(habit, work / "models") == []
    assert sum(path.is_file() for path in (work / "models").rglob("*")) > 10
