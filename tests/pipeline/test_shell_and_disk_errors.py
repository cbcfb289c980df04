"""Problems with the shell, a disk or a file system end a command with one helpful line."""

import os
import subprocess
import sys

from tests.command_line import understudy
from tests.pipeline.chats import chat, conversation, write
from tests.pipeline.cli.test_main import one_line


def test_a_loop_of_links_is_reported_in_one_line(tmp_path):
    export = write(tmp_path / "e", chat(*conversation()))
    loop = tmp_path / "loop"
    loop.symlink_to(loop)

    for words in (
        ("inspect", loop),
        ("inspect", export, "--roster", loop / "roster.toml"),
        ("build", export, "--out", loop, "--min-messages", "1"),
        ("build", export, "--out", tmp_path / "ds", "--review", loop / "x.csv"),
    ):
        assert "loop" in one_line(understudy(*words)), words


def test_an_unwritable_table_is_reported_before_the_work(tmp_path):
    export = write(tmp_path / "e", chat(*conversation()))

    line = understudy("build", export, "--out", tmp_path / "ds", "--review", export / "x.csv")

    assert str(export) in one_line(line)
    assert not (tmp_path / "ds").exists()


def test_a_terminal_that_is_not_utf_8_shows_what_it_can(tmp_path):
    export = write(tmp_path, chat(*conversation(), name="Família 李雷"))
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "LANG": "C"}

    result = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", "inspect", str(export)],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert result.returncode == 0, result.stderr


def test_a_full_disk_is_reported_with_its_path(tmp_path):
    export = write(tmp_path / "e", chat(*conversation(300)))
    program = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))\n"
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from pipeline.cli.main import main; main()"
    )

    result = subprocess.run(
        [sys.executable, "-c", program, "build", str(export), "--out", str(tmp_path / "ds")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    line = one_line(result)
    assert "/" in line, line


def test_an_unreadable_file_is_not_a_usage_error(tmp_path, monkeypatch):
    from click.testing import CliRunner

    from pipeline.cli.main import app

    export = write(tmp_path, chat(*conversation()))
    monkeypatch.setattr(os, "access", lambda *_args, **_more: False)

    assert CliRunner().invoke(app, ["inspect", str(export)]).exit_code == 0
