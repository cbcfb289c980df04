"""The real `understudy-bot` process: what it says where something is missing or wrong."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from model.artifacts.artifact import save_card
from model.artifacts.registry import Registry
from tests.bot.conftest import until

pytestmark = pytest.mark.over_http

FAKE_SPEAKER = """
import sys, types
fake = types.ModuleType("model.speaking.speaker")
class Speaker:
    rejected = {}
    tokens = 0
    def fork(self): return self
    def reply(self, context, voice, *_): return (f"{voice} heard {len(context)}",)
    def turn(self, context, voices, *_): return voices[0], self.reply(context, voices[0])
fake.open_speaker = lambda artifact, device, workers, server: Speaker()
sys.modules["model.speaking.speaker"] = fake
sys.argv[0] = "understudy-bot"
from bot.__main__ import main
main()
"""


@dataclass
class Outcome:
    code: int
    out: str
    err: str


@dataclass
class Desk:
    """A folder that the bot is started in, and what is in its .env."""

    folder: Path
    env: dict
    python: str
    mode: int = 0o600

    @asynccontextmanager
    async def started(self, *command):
        lines = "".join(f"{name}={value}\n" for name, value in self.env.items())
        (self.folder / ".env").write_text(lines, "utf-8")
        (self.folder / ".env").chmod(self.mode)
        bare = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        bare["PYTHONPATH"] = str(Path(__file__).parents[2])  # the code beside these tests
        process = await asyncio.create_subprocess_exec(
            *(self.python, *command),
            cwd=self.folder,
            env=bare,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()

    async def call(self, *words):
        async with self.started("-m", "bot", *words) as process, asyncio.timeout(120):
            out, err = await process.communicate()
            return Outcome(process.returncode, out.decode(), err.decode())


@pytest.fixture
def desk(stage, tmp_path, card, bot_python):
    finished = tmp_path / "finished"
    (finished / "engine").mkdir(parents=True)
    (finished / "engine" / "model.bin").touch()
    (finished / "tokenizer.json").touch()
    save_card(card, finished)
    folder = tmp_path / "a desk"
    registry = Registry(folder / "artifacts")
    registry.promote(registry.add(finished))
    env = {"BOT_TOKEN": stage.telegram.token, "TELEGRAM_API_URL": stage.url, "ADMINS": "13"}
    return Desk(folder, env, bot_python)


def database(desk):
    return desk.folder / "understudy.db"


def says_one_line(outcome, words):
    assert outcome.err.count("\n") == 1, outcome.err
    assert outcome.err.startswith("understudy-bot: ")
    assert words in outcome.err
    assert "PLAYGROUND" not in outcome.err
    return outcome.code == 1 and not outcome.out


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("BOT_TOKEN", "", "BOT_TOKEN is not set"),
        ("BOT_TOKEN", "42:PLAYGROUNDS", "Telegram does not know this BOT_TOKEN"),
        ("MODELS_DIR", "elsewhere", "there is no model in elsewhere"),
        ("TELEGRAM_API_URL", "http://127.0.0.1:9", "Telegram cannot be reached"),
        ("CONSENT", "never", "CONSENT: must be 'ask' or 'roster'"),
    ],
)
async def test_a_setting_with_which_the_bot_cannot_run_is_named(desk, name, value, words):
    desk.env[name] = value

    assert says_one_line(await desk.call("run"), words)
    assert not database(desk).exists()


async def test_a_webhook_path_that_ends_in_health_is_refused(desk):
    desk.env["WEBHOOK_URL"] = "https://bot.example.org/bot/health"

    assert says_one_line(await desk.call("run"), "WEBHOOK_URL: /health is the path of the")
    assert says_one_line(await desk.call("check"), "WEBHOOK_URL: /health is the path of the")


@pytest.mark.parametrize("words", [("run",), ("db", "upgrade")], ids=["run", "upgrade"])
async def test_another_programs_database_is_refused(desk, words):
    connection = sqlite3.connect(database(desk))
    connection.execute("CREATE TABLE messages (id)")
    connection.close()

    refused = await desk.call(*words)
    checked = await desk.call("check")

    assert says_one_line(
        refused, "understudy.db is another program's database: choose another file"
    )
    assert "FIX    database: understudy.db is another program's database" in checked.out
    assert checked.code == 1


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (".", "is not a file"),
        (".env/bot.db", "cannot be created below a file"),
        ("/proc/bot.db", "the database /proc/bot.db"),
        (".env", "cannot be read as a database"),
    ],
    ids=["a folder", "below a file", "a folder that cannot be written", "no database"],
)
@pytest.mark.parametrize("command", [("run",), ("db", "upgrade")], ids=["run", "upgrade"])
async def test_a_place_for_no_database_is_refused(desk, place, words, command):
    desk.env["DATABASE_URL"] = f"sqlite+aiosqlite:///{place}"

    assert says_one_line(await desk.call(*command), words)


async def test_an_upgrade_makes_the_database(desk):
    first = await desk.call("db", "upgrade")
    second = await desk.call("db", "upgrade")

    assert (first.code, first.out) == (0, "understudy.db is now up to date.\n")
    assert (second.code, second.out) == (0, "understudy.db was already up to date.\n")


async def test_a_backup_says_what_it_holds(desk):
    await desk.call("db", "upgrade")

    made = await desk.call("db", "backup", "copy.db")
    refused = await desk.call("db", "backup", "copy.db")
    forced = await desk.call("db", "backup", "copy.db", "--force")

    assert (made.code, made.err) == (forced.code, forced.err) == (0, "")
    assert made.out == forced.out == "copy.db contains 0 messages (0.1 MiB).\n"
    assert says_one_line(refused, "copy.db already exists: choose another file")


async def test_a_backup_of_no_database(desk):
    assert says_one_line(await desk.call("db", "backup", "copy.db"), "there is no database under")
    assert not database(desk).exists()
    assert not (desk.folder / "copy.db").exists()


async def test_a_dump_says_what_it_holds(desk, stage, group, joao, zoe):
    async with desk.started("-c", FAKE_SPEAKER, "run") as process, asyncio.timeout(120):
        await process.stdout.readline()
        await stage.telegram.say(group, zoe, "a stranger's words")
        await stage.telegram.say(group, joao, "/as João hello")
        await stage.telegram.wait_for("sendMessage", timeout=10)
        since = len(stage.telegram.calls)
        await stage.telegram.say(group, joao, "/optin")
        await stage.telegram.wait_for("sendMessage", since=since, timeout=10)
        process.send_signal(signal.SIGTERM)
        await process.communicate()

    by_itself = await desk.call("dump", "live.json")
    named = await desk.call("dump", "live.json", "--chat", str(group.id))
    other = await desk.call("dump", "live.json", "--chat", "-5")

    words = "live.json contains 2 messages of friends who agreed, 1 of the bot,"
    assert by_itself.out == named.out == f"{words} and 1 decisions, all from chat -1001234.\n", (
        by_itself.err
    )
    assert other.code == 1
    assert (
        "no messages of chat -5 are stored: choose a chat with --chat ID\n  -1001234  Friends"
        in other.err
    )
    assert "a stranger's" not in (desk.folder / "live.json").read_text("utf-8")


async def test_a_dump_of_no_database(desk):
    assert says_one_line(await desk.call("dump", "live.json"), "there is no database understudy.db")
    assert not database(desk).exists()


@pytest.mark.usefixtures("group")
async def test_a_check_of_what_is_well(desk, stage, joao):
    stage.telegram.private(joao)

    outcome = await desk.call("check")

    assert (outcome.code, outcome.err) == (0, ""), outcome.out
    assert all(line.startswith(("ok     ", "       ")) for line in outcome.out.splitlines())
    assert "ok     token: belongs to @understudy_bot\n" in outcome.out
    assert not database(desk).exists()


async def test_a_check_says_all_that_is_wrong(desk, stage):
    stage.telegram.world.can_read_all = False
    desk.env |= {
        "ADMINS": "",
        "MODELS_DIR": "elsewhere",
        "DATABASE_URL": "sqlite+aiosqlite:///.env",
    }

    outcome = await desk.call("check")

    marked = [line for line in outcome.out.splitlines() if line.startswith(("note", "FIX"))]
    assert outcome.code == 1
    assert [line.split(": ")[0] for line in marked] == [
        "note   privacy mode",
        "FIX    ADMINS",
        "FIX    database",
        "FIX    model",
    ]
    lines = [line for line in outcome.out.splitlines() if "/pytest-" not in line]
    assert max(map(len, lines)) <= 80  # a path is not cut


@pytest.mark.usefixtures("group")
async def test_privacy_mode_alone_is_nothing_wrong(desk, stage, joao):
    stage.telegram.private(joao)
    stage.telegram.world.can_read_all = False

    outcome = await desk.call("check")

    assert outcome.code == 0
    assert "\nnote   privacy mode: Privacy mode is on" in outcome.out


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_process_speaks_stops_and_remembers(desk, stage, group, joao, number):
    for said, heard in (("/as João hello", 1), ("/as Hugo Sá", 2)):
        async with desk.started("-c", FAKE_SPEAKER, "run") as process, asyncio.timeout(120):
            up = await process.stdout.readline()
            since = len(stage.telegram.calls)
            await stage.telegram.say(group, joao, said)
            call = await stage.telegram.wait_for("sendMessage", since=since, timeout=10)
            process.send_signal(number)
            out, err = await process.communicate()

        assert up.decode().startswith("@understudy_bot is up, model 0001-")
        assert f"heard {heard}" in call.params["text"]
        assert (process.returncode, out) == (0, b"")
        assert "hello" not in err.decode()
        assert "can read" not in err.decode()
        assert "Traceback" not in err.decode()


async def test_a_second_process_on_the_same_database_is_refused(desk, stage, group, joao):
    stage.telegram.private(joao)
    async with desk.started("-c", FAKE_SPEAKER, "run") as process, asyncio.timeout(60):
        await process.stdout.readline()
        calls = len(stage.telegram.calls)
        second = await desk.call("run")
        checked = await desk.call("check")
        process.kill()
        await process.communicate()
    async with desk.started("-c", FAKE_SPEAKER, "run") as process, asyncio.timeout(60):
        again = await process.stdout.readline()

    assert says_one_line(second, "another understudy-bot is using the database understudy.db: stop")
    assert {call.method for call in stage.telegram.calls[calls:]} >= {"getMe"}
    assert "ok     database: understudy.db is up to date; a bot is using it now" in checked.out
    assert checked.code == 0
    assert b" is up, " in again


async def test_a_token_that_others_can_read_is_in_the_log(desk):
    desk.mode = 0o644
    async with desk.started("-c", FAKE_SPEAKER, "run") as process, asyncio.timeout(60):
        await process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        _, err = await process.communicate()

    assert "WARNING" in err.decode()
    assert "other users can read .env and the token: run chmod 600 .env" in err.decode()


def is_line_stored(desk):
    with closing(sqlite3.connect(database(desk))) as connection:
        return connection.execute("SELECT 1 FROM lines").fetchone()


async def test_a_kill_while_something_is_forgotten(desk, stage, group, joao):
    async with desk.started("-c", FAKE_SPEAKER, "run") as process, asyncio.timeout(120):
        await process.stdout.readline()
        said = await stage.telegram.say(group, joao, "the treasure lies below the oak")
        await stage.telegram.say(group, joao, "/as João")
        await stage.telegram.wait_for("sendMessage", timeout=10)
        await until(lambda: is_line_stored(desk))
        stage.telegram.delay_next("deleteMessage", 20)
        await stage.telegram.say(group, joao, "/forget", reply_to=said)
        await stage.telegram.wait_for("deleteMessage", timeout=10)
        process.kill()

    async with desk.started("-c", FAKE_SPEAKER, "run"), asyncio.timeout(120):
        answer = await stage.telegram.wait_for(
            "sendMessage", since=len(stage.telegram.calls), timeout=15
        )
        files = [file.read_bytes() for file in desk.folder.glob("understudy.db*")]

    assert answer.params["text"].startswith("Forgotten")
    assert b"treasure" not in b"".join(files)


async def test_replies_in_progress_are_finished(desk, stage, group, joao):
    slow = FAKE_SPEAKER.replace("return (f", "import time; time.sleep(1); return (f")
    async with desk.started("-c", slow, "run") as process, asyncio.timeout(120):
        await process.stdout.readline()
        await stage.telegram.say(group, joao, "/as João hello")
        await stage.telegram.wait_for("sendChatAction", timeout=10)
        process.send_signal(signal.SIGTERM)
        await process.communicate()

    assert process.returncode == 0
    assert len(stage.said()) == 1


def test_the_bot_imports_neither_torch_nor_the_pipeline():
    code = (
        "import sys, bot.run, bot.checks, bot.__main__, model.speaking.speaker\n"
        "print([name for name in ('torch', 'transformers', 'pipeline') if name in sys.modules])"
    )

    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert found.stdout == "[]\n"
