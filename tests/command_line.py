"""Run the command lines in this process, with the result that a process of its own would give."""

import io
import os
import signal
import subprocess
import sys
import warnings
from contextlib import chdir, redirect_stderr, redirect_stdout
from unittest.mock import patch

from pipeline.cli.main import main


def understudy(*words, cwd=".", env=None, input=""):  # noqa: A002  as in `subprocess.run`
    """Run a command of `understudy`; return its exit status and what it printed."""
    return run_main(main, "understudy", *words, cwd=cwd, env=env, input=input)


def run_main(main, program, *words, cwd=".", env=None, input=""):  # noqa: A002
    """Run a program by its `main`; return its exit status and what it printed."""
    arguments = [program, *map(str, words)]
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2))
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    status = 0
    with (
        patch.dict(os.environ, env or {}),
        patch.object(sys, "argv", arguments),
        patch.object(sys, "stdin", io.StringIO(input)),
        chdir(cwd),
        redirect_stdout(out),
        redirect_stderr(err),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("default")
        try:
            main()
        except SystemExit as end:
            status = end.code or 0
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
            out.flush()
            err.flush()
    printed = (stream.buffer.getvalue().decode() for stream in (out, err))
    return subprocess.CompletedProcess(arguments, status, *printed)
