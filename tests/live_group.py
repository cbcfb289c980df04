"""A group on loopback with the real bot in it, as a process, and what its people and admin do."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot.services.replies import ReplyRequest, load_lines
from bot.store.database import open_database
from bot.store.messages import MessageStore, Place
from model.artifacts.registry import Registry
from model.chat.eligibility import parse_voice_header
from model.chat.prompt import render_context
from tests.habits import CHAT_ID, IDS
from tests.pipeline.chats import write
from tests.pipeline.retrain.retrain_runner import told

GROUP = -(10**12 + CHAT_ID)
ANYBODY = {**IDS, "Ana": 21, "Rui": 22}
ASKED = 5  # times in a piece somebody wishes for an answer


class Friends:
    """The group, its friends by name and id, and the bot's process with more settings."""

    python = sys.executable

    def __init__(self, telegram, url, models, folder, ids=ANYBODY, chat=GROUP, **settings):
        self.telegram, self.url, self.models, self.folder = telegram, url, models, folder
        self.chat = telegram.chat(chat, title="Habits")
        self.people = {name: telegram.user(number, name) for name, number in ids.items()}
        self.database = f"sqlite+aiosqlite:///{folder}/bot.db"
        self.settings = settings
        self.process = None

    def start(self):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [self.python, "-m", "bot", "run"],
                cwd=self.folder, env=self.environment, stdout=subprocess.DEVNULL, stderr=log,
            )  # fmt: skip

    @property
    def environment(self):
        settings = {
            "BOT_TOKEN": self.telegram.token,
            "TELEGRAM_API_URL": self.url,
            "MODELS_DIR": str(self.models.root),
            "DATABASE_URL": self.database,
            "DEVICE": "cpu",
            "PACE": "0",
            **self.settings,
        }
        return {**os.environ, **settings, "PYTHONPATH": str(Path.cwd())}

    @property
    def log(self):
        return self.folder / "bot.log"

    async def wait_for(self, method, since=0):
        """Wait for a call of the bot; where none comes, show how its log ends."""
        try:
            return await self.telegram.wait_for(method, since=since, timeout=30)
        except TimeoutError:
            self.fail(f"the bot made no call of {method}")

    def fail(self, what):
        tail = "\n".join(self.log.read_text("utf-8").splitlines()[-20:])
        pytest.fail(f"{what}; its log ends:\n{tail}")

    async def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            return await asyncio.to_thread(self.process.wait, 20)
        except subprocess.TimeoutExpired:
            self.fail("the bot does not stop")

    async def say(self, name, text, **extra):
        return await self.telegram.say(self.chat, self.people[name], text, **extra)

    async def asks(self, name, text, **extra):
        """Say something and return what the bot answers first."""
        mark = len(self.telegram.calls)
        await self.say(name, text, **extra)
        return (await self.wait_for("sendMessage", mark)).result

    async def spoken(self, mark):
        """Return the voices of the bot's lines since, once it is silent."""
        await self.wait_for("sendMessage", mark)
        seen, last = -1, time.monotonic()
        while time.monotonic() - last < 2.0:
            await asyncio.sleep(0.1)
            now = len(self.telegram.calls)
            if now != seen:
                seen, last = now, time.monotonic()
        texts = [c.params["text"] for c in self.telegram.calls[mark:] if c.method == "sendMessage"]
        return [parse_voice_header(text) for text in texts]

    async def context(self):
        """Return the lines that the bot would put to the model now."""
        card = self.models.open("current").card
        roster = card.roster.with_understudy(self.telegram.me.id)
        async with open_database(self.database) as engine:
            place = Place(self.chat.id)
            now, store = datetime.now(UTC), MessageStore(engine)
            lines = await load_lines(store, ReplyRequest(place, "", now), roster, card.window)
            return render_context(lines)


class Group:
    """The group's life after its first export; `friends` have its first admin's id in `ADMINS`."""

    def __init__(self, friends, about, earlier, clock):
        self.friends, self.about, self.earlier, self.clock = friends, about, earlier, clock
        self.telegram, self.chat = friends.telegram, friends.chat
        self.chat.last_message_id = earlier[-1]["id"]
        self.admin = next(iter(friends.people.values()))
        self.telegram.private(self.admin)
        self._files, self._said = 0, {}

    async def lives(self, piece, voice):
        """Let people say what a piece of an export holds; some ask for a voice now and then."""
        every = max(1, len(piece) // ASKED)
        for number, one in enumerate(piece, 1):
            self.clock.now = int(one["date_unixtime"])
            user = self.friends.people[one["from"]]
            message = await self.telegram.say(self.chat, user, plain(one["text"]))
            self._said[one["id"]] = message["message_id"]
            if number % every == 0:
                await self.says(one["from"], f"/as {voice}")
        await self.until_heard()

    async def until_heard(self):
        """Wait until the bot has taken all that Telegram had for it."""
        async with asyncio.timeout(120):
            while self.telegram.updates.pending:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await self.tells("/help")  # what came before it was handled

    def said(self, one):
        """Return what was said of a piece, as it stands now."""
        return self.telegram.message(self.chat, self._said[one["id"]])

    async def says(self, name, text, **extra):
        """Let a friend say something, and return what the bot answers in the group."""
        mark = len(self.telegram.calls)
        await self.telegram.say(self.chat, self.friends.people[name], text, **extra)
        call = await self.telegram.wait_for(
            "sendMessage", since=mark, chat_id=self.chat.id, timeout=60
        )
        return call.params["text"]

    async def speaks(self, voice):
        """Whether the bot speaks in a voice when it is asked to."""
        answer = parse_voice_header(await self.says(self.admin.first_name, f"/as {voice}"))
        return answer is not None and answer[0] == voice

    async def tells(self, text):
        """Return what the bot answers its admin in private."""
        mark = len(self.telegram.calls)
        await self.telegram.say(self.telegram.private(self.admin), self.admin, text)
        call = await self.telegram.wait_for(
            "sendMessage", since=mark, chat_id=self.admin.id, timeout=60
        )
        return call.params["text"]

    async def told_of(self, version, since):
        """Return what the admin was told when a version came to speak, however it did."""
        async with asyncio.timeout(60):
            while True:
                for call in self.telegram.calls[since:]:
                    text = str(call.params.get("text"))
                    if call.params.get("chat_id") == self.admin.id and f"version {version}" in text:
                        return text
                await asyncio.sleep(0.05)

    @property
    def messages(self):
        """Return the group's messages as Telegram Desktop would export them now."""
        said = [
            one for (chat, _), one in self.telegram.world.messages.items() if chat == self.chat.id
        ]
        return [*self.earlier, *map(entry_of, said)]

    def export(self, folder, messages=None):
        """Write result.json."""
        self._files += 1
        value = {**self.about, "messages": self.messages if messages is None else messages}
        return write(folder / f"export{self._files}", value)

    def dump(self, folder):
        """Let the bot's command write what it keeps, while the bot runs."""
        self._files += 1
        file = folder / f"dump{self._files}.json"
        command = [self.friends.python, "-m", "bot", "dump", str(file), "--chat", str(self.chat.id)]
        subprocess.run(command, cwd=folder, env=self.friends.environment, check=True)
        return file


def entry_of(message):
    """Return a message of the Bot API as Telegram Desktop exports it."""
    author, text = message["from"], message.get("text", "")
    bot = {"via_bot": ""} if "via_bot" in message else {}
    reply = message.get("reply_to_message")
    edited = message.get("edit_date")
    return {
        "id": message["message_id"],
        "type": "message",
        **moment("date", message["date"]),
        **(moment("edited", edited) if edited else {}),
        "from": author["first_name"],
        "from_id": f"user{author['id']}",
        **({"reply_to_message_id": reply["message_id"]} if reply else {}),
        **bot,
        "text": text,
        "text_entities": [{"type": "plain", "text": text}],
    }


def moment(key, seconds):
    local = datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)
    return {key: local.isoformat(), f"{key}_unixtime": str(seconds)}


def plain(text):
    """Return an export's text without its formatting."""
    if isinstance(text, str):
        return text
    return "".join(part if isinstance(part, str) else part["text"] for part in text)


async def retrained(python, root, *words):
    """Retrain while the bot goes on; return the receipt of the version that serves then."""
    command = [python, "-m", "pipeline.cli", "retrain", *map(str, words), "--quiet"]
    command += ["--models-dir", str(root)]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr + done.stdout
    receipt = told(root, Registry(root).current)
    serves, *others = done.stdout.splitlines()
    new = f"with {receipt['new']:,} new messages"
    assert serves.startswith(f"{receipt['version']} is now the current version, {new}")
    if not receipt["excluded"]:  # else it says how to delete versions that learned their words
        assert [line.split()[0] for line in others] == ["Receipt:"]
    return receipt


async def killed(root, seconds, *words):
    """Kill a retraining after each of these times; what serves stays the same, and whole."""
    command = [sys.executable, "-m", "pipeline.cli", "retrain", *map(str, words)]
    for lasts in seconds:
        serving = Registry(root).current
        process = await asyncio.create_subprocess_exec(
            *command, "--models-dir", str(root), stdout=subprocess.DEVNULL, start_new_session=True
        )
        await asyncio.sleep(lasts)
        assert process.returncode is None, "it had ended before it was to be killed"
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        assert Registry(root).current == serving
        Registry(root).open_verified("current")


def read(export):
    """Return an export's messages, and all else of it."""
    about = json.loads(export.read_text("utf-8"))
    return about.pop("messages"), about


class Calendar:
    """A clock that a test moves."""

    def __init__(self, now):
        self.now = now

    def __call__(self):
        return self.now
