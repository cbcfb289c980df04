"""Ctrl-C during and after a program's imports."""

import signal
import subprocess
import sys

import pytest

PROGRAM = """
import importlib.abc, sys, time

class Slow(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "rich_click":
            print("importing", flush=True)
            try:
                time.sleep(60)
            except BaseException:
                pass  # as some libraries do

sys.meta_path.insert(0, Slow())
import {module}
{module}.main()
"""
AFTER = """
import sys, types
module = types.ModuleType("later")
def main():
    try:
        print("running", flush=True)
        import time
        time.sleep(60)
    except KeyboardInterrupt:
        sys.exit(7)
module.main = main
sys.modules["later"] = module
from model.launch import launch
launch("understudy", "later")
"""


def interrupted(program):
    """Start a program, interrupt it after its first line; return status and standard error."""
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  in `nohup` it is ignored
    )
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    return process.returncode, said


@pytest.mark.parametrize(
    ("module", "program"), [("pipeline.launch", "understudy"), ("bot.launch", "understudy-bot")]
)
def test_ctrl_c_during_the_imports_prints_one_line(module, program):
    assert interrupted(PROGRAM.format(module=module)) == (130, f"{program}: interrupted\n")


def test_ctrl_c_after_the_imports_reaches_the_program():
    assert interrupted(AFTER) == (7, "")
