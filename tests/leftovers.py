"""What a killed process leaves: a temporary folder whose owner is gone."""

import subprocess
import sys


def leave(parent, name):
    """Leave a folder with words in it, as a process does that is killed within one."""
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    folder = parent / f".{name}.understudy-{dead.pid}-abc"
    folder.mkdir(parents=True)
    (folder / "words").write_text("words")
    return folder
