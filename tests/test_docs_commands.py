"""Run the commands of the documentation, page by page, with a small model and a small chat.

All commands in code blocks count, and those of our programs in code spans. A page's commands run
in its order; what they need and cannot have in a test is substituted by `SUBSTITUTES`.
"""

import asyncio
import re
import shlex
import shutil
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from importlib import import_module
from pathlib import Path

import pytest

from bot import __main__ as bot_program
from bot.playground.telegram import TOKEN, Telegram
from bot.store.database import open_database
from bot.store.messages import MessageStore
from model.artifacts.registry import Registry
from model.chat.conversation import Message
from pipeline.cli import start
from pipeline.evaluation import evaluate
from pipeline.evaluation.intervals import resample_sessions
from pipeline.training import bases
from tests import habits
from tests.checkpoints import save_llama
from tests.command_line import run_main, understudy
from tests.fork_server import write_program
from tests.model.fake_artifacts import make
from tests.telegram_server import serve
from tests.test_docs import FOLLOWED, ROOT, read_code

GROUP = -(10**12 + habits.CHAT_ID)
AFTER_THE_EXPORT = datetime(2024, 3, 30, 12, tzinfo=UTC)
ADMIN = habits.IDS["Hugo"]
SECONDS = 60
USAGE_ERROR = 2

ELSEWHERE = {
    "make demo": "trains for minutes; tests/pipeline/cli/test_demo.py runs its steps",
    "make install": "needs PyPI",
    "make check": "checks all code",
    "make test": "runs the tests",
    "make test-scale": "runs this test and others that take long",
    "make coverage": "runs all tests",
    "make bench": "measures for minutes",
    "git clone *": "needs the repository's address",
    "cd understudy": "enters the clone",
    "rm -rf build": "prepares the wheel, which tests/test_packaging.py builds in an empty folder",
    "pip *": "needs PyPI; tests/test_packaging.py builds the wheel, and as a soak test installs it",
    "python3 -m venv .venv": "tests/test_packaging.py makes an environment, as a soak test",
    ". .venv/bin/activate": "tests/test_packaging.py runs its programs, as a soak test",
    "understudy models rebuild *": "needs a damaged database; test_rebuild.py runs it",
    "sudo *": "needs root; tests/bot/test_setup.py checks the units",
    "rm -r /srv/understudy": "deletes the bot's folder",
    "cp .env.example .env": "tests/bot/test_setup.py compares it with the file of `setup`",
    "chmod 600 .env": "tests/bot/checks/test_settings_and_database.py checks who can read it",
    "docker compose *": "needs Docker; tests/test_packaging.py checks Dockerfile and compose.yaml",
    "set -e": "sets an option of the shell",
    "umask 077": "sets an option of the shell",
    "trap *": "sets an option of the shell",
    "rm -f live.json": "deletes the dump",
    "understudy models roster current artifacts/groups/*": "tests/pipeline/cli/test_models.py",
    "understudy start --models-dir *": "asks questions; tests/pipeline/start/test_start.py",
    "understudy start": "asks questions, which tests/pipeline/start/test_start.py answers",
    "understudy-bot health": "needs a running bot, which tests/bot/test_health.py has",
    "understudy-bot playground --opening *": "tests/test_playground_live.py",
}
"""Commands that are not run here, with the reason or the test that covers them."""

SUBSTITUTES = {
    "--base smollm2": "--base {base}",
    "--minutes 60": "--epochs 0.02",
    "understudy retrain ": "understudy retrain --epochs 0.02 --force-promotion 'a test' ",
    "understudy start --yes": "understudy start --yes --export ChatExport_2024-03-31",
    "understudy chat ": "understudy chat --seed 1 ",
    "understudy simulate ": "understudy simulate --seed 1 ",
    "--chat Friends": "--chat Habits",
    "--chat -1001234567890": f"--chat {GROUP}",
    "--agreed Ana": "--agreed Raul",
    "--person NAME": "--person João",
    "123456789:AAE-…": TOKEN,
    '"$1"': "{home}/home/ChatExport_…/result.json",
    "~/": "{home}/",
}
"""Words of the commands, and what they are here: a small base, few steps, our chat and files."""

RESULTS = {
    "understudy build": ("Next: understudy train", "demo/dataset/summary.json"),
    "understudy chat": ("🎭 Hugo: ", None),
    "understudy doctor": ("smollm2", None),
    "understudy evaluate --out trial.json": ("Wrote trial.json", "trial.json"),
    "understudy evaluate": ("Wrote artifacts", "artifacts/versions/*/scorecard.json"),
    "understudy inspect": ("Wrote roster.toml", "roster.toml"),
    "understudy models export": ("Wrote ", "*.zip"),
    "understudy models import": ("contents sha256", "artifacts/versions/*/model.json"),
    "understudy models list": (r"\* +0008-", None),
    "understudy models promote": ("is the current version now", "artifacts/current"),
    "understudy people": ("learned from", None),
    "understudy models purge": ("0005-.* deleted", "artifacts/models.db"),
    "understudy models remove": ("is deleted", "artifacts/models.db"),
    "understudy models roster": ("Nothing changed", None),
    "understudy models show 8 --receipt": ("Decision", None),
    "understudy models show": ("may be imitated", None),
    "understudy report": ("It contains words from the chat", "*.html"),
    "understudy retrain --help": ("Usage: understudy retrain", None),
    "understudy retrain": ("is now the current version|new messages since", None),
    "understudy demo-chat": ("Wrote demo/export", "demo/export/result.json"),
    "understudy settings": ("speaker-dropout", None),
    "understudy simulate": ("(🎭 [^🎭]+){8}", None),
    "understudy start": ("really said: ", "artifacts/current"),
    "understudy train": ("understudy evaluate", "artifacts/versions/*/model.json"),
    "understudy-bot check": ("ok     model: ", None),
    "understudy-bot db backup": ("contains 3 messages", "before.db"),
    "understudy-bot db upgrade": ("up to date", None),
    "understudy-bot dump": ("contains 3 messages", "live.json"),
    "understudy-bot playground": ("🎭 ", None),
    "understudy-bot run": ("@understudy_bot is up", "understudy.db"),
    "understudy-bot setup --systemd": ("systemctl", "systemd/understudy-bot.service"),
    "understudy-bot setup": ("Wrote ", ".env"),
}
"""What a command prints, and which file it writes."""

LINE = re.compile(r"(?:(home|server)\$ +)?((?:[\d*]+ ){5})?(.*)")
"""A machine's prompt, the times of a line for cron, and commands."""

INCOMPLETE = re.compile(r"Missing |is missing|requires an argument")

NOT_YET = {
    "tutorial.md": ("home/artifacts", "home/.env", "home/understudy.db"),
    "server.md": ("server/artifacts", "server/.env"),
}
"""What does not exist at a page's start, because its commands make it."""


@dataclass(frozen=True)
class Command:
    """A command, its machine if the page names one, and whether it is in a code span."""

    text: str
    machine: str = ""
    is_span: bool = False


def split_block(block):
    """Yield the commands of a code block."""
    for line in block.replace("\\\n", " ").splitlines():
        code = re.sub(r"(^|\s+)#.*", "", line)
        machine, _times, text = LINE.fullmatch(code).groups()
        for part in re.split(r"\s*(?:&&|;)\s+", text):
            if command := re.sub(r"^(nice )?(\.venv/bin/)?", "", part):
                yield Command(command, machine or "")


def read_commands():
    """Return each page's commands: of its blocks, then those that are only in its code spans."""
    code = {page.name: read_code(page) for page in FOLLOWED}
    found = {name: [list(split_block(one)) for one in blocks] for name, (blocks, _) in code.items()}
    known = {command.text for blocks in found.values() for block in blocks for command in block}
    for name, (_, spans) in code.items():
        own = re.compile(r"(understudy|understudy-bot|python -m pipeline\S+) [^…]+")
        new = dict.fromkeys(one for one in spans if own.fullmatch(one) and one not in known)
        known.update(new)
        found[name].append([Command(one, is_span=True) for one in new])
    return {name: blocks for name, blocks in found.items() if any(blocks)}


COMMANDS = read_commands()
ALL = [command for blocks in COMMANDS.values() for block in blocks for command in block]


def explain_absence(command):
    """Return why a command is not run here, None if it is."""
    return next((why for one, why in ELSEWHERE.items() if fnmatchcase(command.text, one)), None)


@pytest.fixture(scope="module")
def telegram():
    """The URL of a Telegram with the group and the bot's admin, served by another thread."""
    telegram = Telegram(can_read_all=True)
    telegram.chat(GROUP, title="Habits")
    telegram.private(telegram.user(ADMIN, "Hugo"))
    loop, serving = asyncio.new_event_loop(), serve(telegram)

    def wait_for(coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(SECONDS)

    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield wait_for(serving.__aenter__())
    wait_for(serving.__aexit__(None, None, None))
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture(scope="module")
def programs(tmp_path_factory, bot_python):
    """A folder with Python and `understudy-bot`, which start as forks."""
    folder = tmp_path_factory.mktemp("bin")
    for name, options in (("python", ()), ("understudy-bot", ("-m", "bot"))):
        write_program(folder / name, bot_python, *options)
    return folder


@pytest.fixture(scope="module")
def base(trained, tmp_path_factory):
    """A base that speaks after a few steps of training, because it is the trained model."""
    folder = tmp_path_factory.mktemp("base")
    save_llama(folder, texts=[" ".join(habits.HABITS.values())])
    return shutil.copytree(trained.open().weights, folder, dirs_exist_ok=True)


@pytest.fixture(scope="module")
def database(empty_database, tmp_path_factory):
    """The bot's database, with a message of each friend."""
    file = Path(shutil.copy(empty_database, tmp_path_factory.mktemp("database")))

    async def fill():
        async with open_database(f"sqlite+aiosqlite:///{file}") as engine:
            for number, (name, user) in enumerate(habits.IDS.items(), 100_000):
                text = f"hello there {habits.HABITS[name]}"
                message = Message(GROUP, number, user, name, text, AFTER_THE_EXPORT)
                await MessageStore(engine).save(message)

    asyncio.run(fill())
    return file


@pytest.fixture(scope="module")
def folders(trained, habits_dataset, database, tmp_path_factory):
    """What the pages assume: at home the export, versions 3, 5 and 7, and the bot's files.

    The server has version 7 and the bot's files.
    """
    root = tmp_path_factory.mktemp("machines")
    home, server = root / "home", root / "server"
    for name in ("ChatExport_2024-03-31", "ChatExport_…"):
        habits.write_export(home / name, 60)  # 240 messages more than the model has learned
    shutil.copytree(habits_dataset, home / "dataset")
    (home / "demo").mkdir()
    lines = "".join(f"{name}: hello there {habit}\n" for name, habit in habits.HABITS.items())
    (home / "demo" / "conversation.txt").write_text(lines, "utf-8")
    path = trained.open().path
    for folder in (home, server):
        versions = folder / "artifacts" / "versions"
        seventh = shutil.copytree(path, versions / path.name.replace("0001", "0007"))
        Registry(folder / "artifacts").promote(seventh.name)
        shutil.copy(database, folder / "understudy.db")
        write_settings(folder)
    versions = home / "artifacts" / "versions"
    shutil.copytree(path, versions / path.name.replace("0001", "0003"))
    make(versions / "0005-00000000")  # which has learned João's words
    return root


def write_settings(folder):
    """Write the token and the admin into `.env`, as a person does after `understudy-bot setup`."""
    file = folder / ".env"
    text = file.read_text("utf-8") if file.exists() else "BOT_TOKEN=\nADMINS=\n"
    for name, value in (("BOT_TOKEN", TOKEN), ("ADMINS", ADMIN)):
        text = re.sub(rf"^{name}=.*", f"{name}={value}", text, flags=re.MULTILINE)
    file.write_text(text, "utf-8")
    file.chmod(0o600)


@dataclass
class Reader:
    """A person who follows a page; `root` is the home folder, with the machines' folders in it."""

    root: Path
    programs: Path
    base: Path
    folder: Path
    env: dict = field(default_factory=dict)

    def follow(self, command):
        """Run a command, and check its exit status and its result."""
        if command.machine:
            self.folder = self.root / command.machine
        text = command.text
        for old, new in SUBSTITUTES.items():
            text = text.replace(old, new)
        words = shlex.split(
            text.replace("{base}", str(self.base)).replace("{home}", str(self.root))
        )
        if words[0] == "cd":
            self.folder = self.root / "server"
            return
        if words[0] == "export":
            self.env.update([words[1].split("=", 1)])
            return
        before = find_stamps(self.folder)
        done = self.run(*words)
        if command.is_span and done.returncode == USAGE_ERROR and INCOMPLETE.search(done.stderr):
            return
        assert done.returncode == 0, f"{command.text}\n{done.stdout}\n{done.stderr}"
        self.check_result(command.text, done.stdout, find_stamps(self.folder) - before)
        self.do_what_the_page_says_next(command.text)

    def run(self, *words):
        if words == ("understudy-bot", "run"):
            return self.run_bot()
        how = {"cwd": self.folder, "env": self.env, "input": "what about friday?\n"}
        if words[0] == "understudy":
            return understudy(*words[1:], **how)
        if words[0] == "understudy-bot":
            return run_main(bot_program.main, *words, **how)
        if words[:2] == ("python", "-m"):
            return run_main(import_module(words[2]).main, *words[2:], **how)
        return pytest.fail(f"{shlex.join(words)}: run it, or list it in ELSEWHERE")

    def run_bot(self):
        """Start the bot; stop it as soon as it is up."""
        command = [self.programs / "understudy-bot", "run"]
        with (
            (self.root / "bot.log").open("wb") as log,
            subprocess.Popen(
                command, cwd=self.folder, stdout=subprocess.PIPE, stderr=log, text=True
            ) as process,
        ):
            watchdog = threading.Timer(SECONDS, process.kill)
            watchdog.start()
            line = process.stdout.readline()
            process.terminate()
            status = process.wait()
            watchdog.cancel()
        return subprocess.CompletedProcess(
            command, status, line, (self.root / "bot.log").read_text("utf-8")
        )

    def check_result(self, text, printed, written):
        name = next((one for one in RESULTS if begins(text, one)), None)
        assert name, f"{text}: add its result to RESULTS"
        pattern, file = RESULTS[name]
        assert re.search(pattern, printed), f"{text} printed {printed}"
        files = [path.relative_to(self.folder).as_posix() for path, _ in written]
        assert not file or any(fnmatchcase(one, file) for one in files), f"{text} wrote {files}"

    def do_what_the_page_says_next(self, text):
        """Agree in the roster, write the token, and copy files to the other machine."""
        if text.startswith("understudy inspect"):
            roster = self.folder / "roster.toml"
            said = roster.read_text("utf-8")
            roster.write_text(said.replace('imitate = "ask"', 'imitate = "yes"'), "utf-8")
        elif text.startswith("understudy-bot setup"):
            write_settings(self.folder)
        for file in (*self.folder.glob("*.zip"), *self.folder.glob("live.json")):
            for folder in {self.root, self.root / "home", self.root / "server"} - {self.folder}:
                shutil.copy(file, folder)


def begins(text, words):
    """Whether a command begins with these words."""
    return f"{text} ".startswith(f"{words} ")


def find_stamps(folder):
    """Return all files below a folder with their times."""
    return {(path, path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def _small(monkeypatch):
    """Evaluate little, write a small sample chat, and do without the hub."""
    import huggingface_hub

    size = evaluate.GATE.with_replies(2)
    for name in ("GATE", "QUICK", "FULL"):
        monkeypatch.setattr(evaluate, name, size)
    monkeypatch.setattr(resample_sessions, "__defaults__", (100,))
    monkeypatch.setattr(
        "pipeline.dataset.sample.write_sample",
        lambda folder: habits.write_demo(folder, 70),
    )
    monkeypatch.setattr(bases.urllib.request, "getproxies", dict)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")


@pytest.fixture
def reader(request, folders, base, programs, telegram, tmp_path, monkeypatch, _small):
    """The reader of a page, before its first command."""
    root = shutil.copytree(folders, tmp_path / "machines", symlinks=True)
    for name in NOT_YET.get(request.node.callspec.params["page"], ()):
        path = root / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for name in ("BOT_TOKEN", "ADMINS", "MODELS_DIR", "DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TELEGRAM_API_URL", telegram)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr("bot.setup._TEMPORARY", ())  # where pytest's folders are
    monkeypatch.setattr(sys, "executable", str(programs / "python"))
    reader = Reader(root, programs, base, root / "home")
    monkeypatch.setattr(start, "run_bot", lambda: check_bot(reader.run_bot()))
    return reader


def check_bot(done):
    """Fail unless the bot was up."""
    assert (done.returncode, "is up" in done.stdout) == (0, True), done.stderr


@pytest.mark.scale
@pytest.mark.parametrize("trained", ["decoder-only"], indirect=True)
@pytest.mark.parametrize("page", COMMANDS)
def test_the_commands_of_a_page_work_in_their_order(page, reader):
    for block in COMMANDS[page]:
        reader.folder = reader.root / "home"
        for command in block:
            if explain_absence(command) is None:
                reader.follow(command)


def test_every_command_of_a_code_block_is_in_one_of_the_tables():
    known = ("cd", "export", *RESULTS)
    commands = [one for one in ALL if not one.is_span and explain_absence(one) is None]

    assert not [one for one in commands if not any(begins(one.text, words) for words in known)]


def test_the_tables_hold_nothing_that_the_pages_lack():
    texts = [command.text for command in ALL]

    assert not [one for one in ELSEWHERE if not any(fnmatchcase(text, one) for text in texts)]
    assert not [one for one in SUBSTITUTES if not any(one in text for text in texts)]
    assert not [one for one in RESULTS if not any(begins(text, one) for text in texts)]
    assert not [name for name in NOT_YET if name not in COMMANDS]


def test_the_tests_that_are_named_exist():
    named = re.findall(r"tests/\S+?\.py", " ".join(ELSEWHERE.values()))

    assert named
    assert not [name for name in named if not (ROOT / name).is_file()]
