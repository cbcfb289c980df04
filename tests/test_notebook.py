"""The notebook docs/train_on_colab.ipynb, run in a real kernel."""

import json
import os
import re
import shlex
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from model.artifacts.archive import open_bundle
from model.artifacts.registry import Registry
from model.version import VERSION
from pipeline.dataset.sample import write_sample
from tests.checkpoints import save_llama
from tests.fork_server import write_program
from tests.test_docs import find_unknown

NOTEBOOK = Path(__file__).parents[1] / "docs" / "train_on_colab.ipynb"
PRETENDING = """\
import shlex, sys
from pathlib import Path
with Path("commands").open("a") as file:
    print(shlex.join(sys.argv[1:]), file=file)
if sys.argv[2:4] == ["models", "export"]:
    Path(sys.argv[-1]).touch()
"""


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A folder with a wheel and programs `pip` and `understudy` that only note their words."""
    (tmp_path / f"understudy_bot-{VERSION}-py3-none-any.whl").touch()
    (tmp_path / "result.json").touch()
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("pip", "understudy"):
        write_program(programs / name, sys.executable, "-c", PRETENDING, name)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "jupyter"))
    return tmp_path


def run(folder, seconds=120, **values):
    """Run the notebook in a folder with these values in place of its own; return it."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    for name, value in values.items():
        found = 0
        for cell in notebook.cells:
            cell.source, number = re.subn(
                rf"^{name} = .*?(?=  #|$)", f"{name} = {value!r}", cell.source, flags=re.MULTILINE
            )
            found += number
        assert found == 1, name
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=seconds, resources=resources).execute()
    return notebook


def printed(notebook):
    return "".join(
        output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", ())
    )


def test_the_notebook_holds_no_output_of_anybody():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)

    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells)


def test_every_command_of_the_notebook_exists_and_gets_the_answers(desk):
    run(desk, AGREED=["Hugo", "Ana Sá"], EXCLUDED=["O'Neil"], CHAT="Friends & more")

    commands = [shlex.split(line) for line in (desk / "commands").read_text().splitlines()]
    [(_, *installed)] = [command for command in commands if command[0] == "pip"]
    assert installed[-1] == f"understudy_bot-{VERSION}-py3-none-any.whl[train]"
    ours = [command[1:] for command in commands if command[0] == "understudy"]
    for words in ours:
        assert find_unknown("understudy", " " + shlex.join(words)) is None, words
    assert [words[0] for words in ours] == ["doctor", "inspect", "start", "simulate", "models"]
    agreed = [word for flag, word in zip(ours[2], ours[2][1:], strict=False) if flag == "--agreed"]
    assert agreed == ["Hugo", "Ana Sá"]
    assert ours[2][ours[2].index("--exclude") + 1] == "O'Neil"
    assert ours[2][ours[2].index("--chat") + 1] == "Friends & more"


def test_nobody_is_imitated_before_somebody_agreed(desk):
    with pytest.raises(CellExecutionError, match="write the names of the friends who agreed"):
        run(desk)

    assert "start" not in (desk / "commands").read_text()


@pytest.mark.soak
def test_the_notebook_trains_a_version_from_a_cut_of_the_demo_chat(desk, monkeypatch):
    (desk / "bin" / "understudy").unlink()  # the real one, but still no real pip
    programs = os.pathsep.join((str(desk / "bin"), str(Path(sys.executable).parent)))
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    export = json.loads(write_sample(desk / "sample").read_text("utf-8"))
    export["messages"] = export["messages"][:3000]
    (desk / "result.json").write_text(json.dumps(export), "utf-8")
    names = sorted({one["from"] for one in export["messages"] if "from" in one})[:2]
    base = save_llama(desk / "base", texts=("hello there", "what are you doing?"))

    done = run(desk, 1200, AGREED=names, BASE=str(base), MINUTES=2, MIN_MESSAGES=50)

    with open_bundle(desk / "friends.zip") as bundle:
        assert bundle.manifest.version.startswith("0001-")
    roster = Registry(desk / "artifacts").open().card.roster
    assert {one.name for one in roster.people if one.imitate == "yes"} == set(names)
    assert "🎭" in printed(done)
