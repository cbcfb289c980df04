"""Count modules, lines and functions of each package: `python benchmarks/size.py`."""

# ruff: noqa: T201 - this script prints a table.

import ast
import subprocess
from pathlib import Path
from statistics import median

PACKAGES = ("model", "pipeline", "bot", "migrations")


def count_functions(source: str) -> int:
    """Return how many functions and methods a module defines, nested ones included."""
    nodes = ast.walk(ast.parse(source))
    return sum(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in nodes)


def main() -> None:
    """Print one row for each package, and the total."""
    command = ["git", "ls-files", *(f"{package}/**.py" for package in PACKAGES)]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    texts = {name: Path(name).read_text("utf-8") for name in listed}
    # An __init__.py with only a docstring is no module to read.
    texts = {name: text for name, text in texts.items() if not name.endswith("__init__.py")}
    print(f"{'package':<12}{'modules':>8}{'lines':>8}{'median':>8}{'functions':>11}")
    for package in (*PACKAGES, ""):
        chosen = [text for name, text in texts.items() if name.startswith(package)]
        lines = [text.count("\n") for text in chosen]
        functions = sum(map(count_functions, chosen))
        label = package or "all"
        print(f"{label:<12}{len(chosen):>8}{sum(lines):>8,}{median(lines):>8.0f}{functions:>11,}")


if __name__ == "__main__":
    main()
