"""Kills the bot's process again and again while people talk, and counts what that cost."""

import asyncio
import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field

from bot.store.database import opened, prepare
from bot.store.groups import Group, Groups
from tests.habits import HABITS
from tests.test_live import GROUP

A_KILL = 3  # conversations for each kill
SINGLE = "/help"  # answered by one message, however the model feels
UP_SECONDS = 1.2


@dataclass
class Toll:
    """What became of what was said; `set_aside` was begun in three lives without an end."""

    lost: list = field(default_factory=list)
    doubled: list = field(default_factory=list)
    uncertain: int = 0
    set_aside: int = 0
    answered: int = 0


class Talk:
    """Groups, in each of which somebody says something and asks once for an answer."""

    def __init__(self, friends, chance, kills):
        self.friends, self.chance = friends, chance
        self.groups = [
            friends.telegram.chat(GROUP - 1 - number, title=f"Group {number}")
            for number in range(kills * A_KILL)
        ]
        self.said = []
        self._left = iter(self.groups)

    async def prepare(self):
        """Let the bot into all groups."""
        await prepare(self.friends.database)
        async with opened(self.friends.database) as engine:
            for chat in self.groups:
                group = Group(chat.id, chat.title, authorised=True, allowed=frozenset({GROUP}))
                await Groups(engine).save(group)

    async def go_on(self, count):
        """Let people talk in some more groups, at random moments."""
        telegram, people = self.friends.telegram, self.friends.people
        for _ in range(count):
            chat, name = next(self._left), self.chance.choice(list(HABITS))
            command = SINGLE if self.is_single(chat) else f"/as {self.chance.choice(list(HABITS))}"
            for text in (f"shall we go? {HABITS[name]}", command):
                self.said.append(await telegram.say(chat, people[name], text))
                await asyncio.sleep(self.chance.random() * 0.15)

    def is_single(self, chat):
        return chat.id % 2 == 0

    async def until_handled(self, seconds=120):
        """Wait until Telegram has nothing more for the bot, and the bot nothing more to do."""
        async with asyncio.timeout(seconds):
            while self.friends.telegram.updates.pending or self._waiting():  # noqa: ASYNC110
                await asyncio.sleep(0.1)

    def count(self):
        """Compare what was said with what the bot kept, and what arrived with its journal."""
        kept = set(self._rows("SELECT chat_id, message_id FROM messages"))
        states = dict(self._rows("SELECT chat_id, state FROM replies WHERE part >= 0"))
        lines = dict(self._rows("SELECT chat_id, count(*) FROM lines GROUP BY chat_id"))
        bodies = self._rows("SELECT body FROM inbox WHERE state = 'set aside'")
        aside = {json.loads(body)["message"]["chat"]["id"] for (body,) in bodies}
        said = {(one["chat"]["id"], one["message_id"]) for one in self.said}
        toll = Toll(lost=sorted(said - kept))
        for chat in self.groups:
            arrived = len(self.friends.telegram.sent("sendMessage", chat_id=chat.id))
            uncertain = states.get(chat.id) == "uncertain"
            most = 1 if self.is_single(chat) else lines.get(chat.id, 0) + uncertain
            toll.uncertain += uncertain
            toll.answered += arrived > 0
            toll.set_aside += arrived == 0 and chat.id in aside
            if arrived == 0 and not uncertain and chat.id not in aside:
                toll.lost.append(chat.id)
            if arrived > max(most, 1):
                toll.doubled.append((chat.id, arrived, most))
        return toll

    def _waiting(self):
        return self._rows("SELECT 1 FROM inbox WHERE state = 'waiting'")

    def _rows(self, query):
        with closing(sqlite3.connect(self.friends.folder / "bot.db")) as connection:
            return connection.execute(query).fetchall()


async def killed(friends, chance, kills):
    """Kill the bot at random moments, let it finish in its last life, and count."""
    talk = Talk(friends, chance, kills)
    await talk.prepare()
    for _ in range(kills):
        mark = len(friends.telegram.calls)
        friends.start()
        people = asyncio.create_task(talk.go_on(A_KILL))
        if chance.random() < 0.75:  # else it is killed while it starts
            await friends.wait_for("setMyCommands", mark)
        await asyncio.sleep(chance.random() * UP_SECONDS)
        friends.process.kill()
        await asyncio.to_thread(friends.process.wait)
        await people
    friends.start()
    await talk.until_handled()
    await friends.stop()
    return talk.count()
