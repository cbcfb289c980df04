"""The real bot, as a process, with really trained models, in a group on loopback."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from bot.playground.server import serve
from bot.playground.telegram import Telegram
from model.marker import parse_spoken
from tests.habits import CHAT_ID, HABITS, IDS

GROUP = -(10**12 + CHAT_ID)


class Friends:
    """The group, its friends, and the bot's process."""

    def __init__(self, telegram, url, models, folder):
        self.telegram, self.url, self.models, self.folder = telegram, url, models, folder
        self.chat = telegram.chat(GROUP, title="Habits")
        self.people = {name: telegram.user(number, name) for name, number in IDS.items()}
        self.people |= {name: telegram.user(n, name) for n, name in ((21, "Ana"), (22, "Rui"))}
        self.process = None

    def start(self):
        settings = {
            "BOT_TOKEN": self.telegram.token,
            "TELEGRAM_API_URL": self.url,
            "MODELS_DIR": str(self.models.root),
            "DATABASE_URL": f"sqlite+aiosqlite:///{self.folder}/bot.db",
            "DEVICE": "cpu",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bot", "run"],
            cwd=self.folder, env={**os.environ, **settings, "PYTHONPATH": str(Path.cwd())},
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip

    async def stop(self):
        self.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + 20
        while self.process.poll() is None and time.monotonic() < deadline:
            await self.telegram.call("getMe", {})
            await asyncio.sleep(0.05)
        self.process.stdout.close()
        return self.process.returncode

    async def say(self, name, text, **extra):
        return await self.telegram.say(self.chat, self.people[name], text, **extra)

    async def asks(self, name, text, **extra):
        """Say something and return what the bot answers first."""
        mark = len(self.telegram.calls)
        await self.say(name, text, **extra)
        call = await self.telegram.wait_for("sendMessage", since=mark, timeout=30)
        return call.result

    async def spoken(self, mark):
        """Return the voices of the bot's lines since, once it is silent."""
        await self.telegram.wait_for("sendMessage", since=mark, timeout=30)
        seen, last = -1, time.monotonic()
        while time.monotonic() - last < 2.0:
            await asyncio.sleep(0.1)
            now = len(self.telegram.calls)
            if now != seen:
                seen, last = now, time.monotonic()
        texts = [c.params["text"] for c in self.telegram.calls[mark:] if c.method == "sendMessage"]
        return [parse_spoken(text) for text in texts]


@asynccontextmanager
async def friends_of(models, folder):
    telegram = Telegram(can_read_all=True)
    async with serve(telegram) as url:
        friends = Friends(telegram, url, models, folder)
        friends.start()
        try:
            await telegram.wait_for("setMyCommands", timeout=30)
            yield friends
        finally:
            if friends.process.poll() is None:
                friends.process.kill()
            friends.process.wait()
            friends.process.stdout.close()


@pytest.fixture
async def friends(trained, tmp_path):
    async with friends_of(trained, tmp_path) as group:
        for name in ("Hugo", "Tiago", "Raul", "Ana", "Rui"):
            await group.say(name, f"hello there {HABITS.get(name, '')}".strip())
        yield group


async def test_as_answers_in_that_voice(friends):
    answer = await friends.asks("Tiago", "/as Hugo")

    voice, words = parse_spoken(answer["text"])
    assert voice == "Hugo"
    assert HABITS["Hugo"] in words


async def test_a_reply_to_an_answer_goes_on_in_its_voice(friends):
    answer = await friends.asks("Tiago", "/as Raul what about friday?")

    again = await friends.asks("Hugo", "shall we go? woof woof", reply_to=answer)

    assert parse_spoken(again["text"])[0] == "Raul"
    assert HABITS["Raul"] in again["text"]


async def test_simulate_shows_turns_of_friends_one_by_one(friends):
    mark = len(friends.telegram.calls)

    await friends.say("Ana", "/simulate 6")

    said = await friends.spoken(mark)
    assert len(said) >= 6
    assert {name for name, _ in said} <= set(HABITS)
    own = sum(HABITS[name] in words for name, words in said)
    assert own >= 0.8 * len(said)


async def test_an_unknown_voice_gets_the_nearest_names(friends):
    answer = await friends.asks("Ana", "/as Hugoo")

    assert "Hugo" in answer["text"]
    assert parse_spoken(answer["text"]) is None


async def test_sigterm_ends_it_and_the_context_is_there_after_a_new_start(friends):
    assert await friends.stop() == 0
    mark = len(friends.telegram.calls)
    friends.start()
    await friends.telegram.wait_for("setMyCommands", since=mark, timeout=30)

    answer = await friends.asks("Ana", "/as Tiago")

    assert parse_spoken(answer["text"])[0] == "Tiago"
    assert stored_texts(friends.folder / "bot.db").issuperset(
        f"hello there {habit}" for habit in HABITS.values()
    )


async def test_an_edit_changes_what_the_bot_has_stored(friends):
    message = await friends.say("Ana", "before")
    await friends.telegram.edit(message, "after")

    await friends.asks("Tiago", "/as Hugo")

    texts = stored_texts(friends.folder / "bot.db")
    assert "after" in texts
    assert "before" not in texts


def stored_texts(path):
    with closing(sqlite3.connect(path)) as database:
        return {text for (text,) in database.execute("select text from messages")}
