"""Measure all figures of docs/development/benchmarks.md, or only some groups.

python -m benchmarks.run                     everything; about an hour on two quiet cores
python -m benchmarks.run training replying   these groups; the others keep their figures
"""
# ruff: noqa: T201 - a program that prints

import sys
from importlib import import_module

from benchmarks.figures import render, write_figures

GROUPS = ("install", "training", "replying", "group", "parallel", "store", "exports", "commands")


def main() -> None:
    """Measure the groups passed as arguments, by default all, and write the page."""
    chosen = sys.argv[1:] or GROUPS
    if unknown := set(chosen) - set(GROUPS):
        sys.exit(f"there is no group {', '.join(sorted(unknown))}: choose from {', '.join(GROUPS)}")
    for name in chosen:
        print(f"{name} …", flush=True)
        found = import_module(f"benchmarks.{name}").run()
        write_figures(found)
        print("\n".join(line for line in render(found).splitlines() if line.startswith("|")))


if __name__ == "__main__":
    main()
