"""Kills the bot's process again and again while people talk, and counts what that cost."""

import asyncio
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter, defaultdict
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bot.playground.telegram import add_bot
from bot.store.database import open_database, prepare_database
from bot.store.groups import Group, Groups
from bot.texts import EN
from tests.habits import IDS
from tests.kill_bot import FRIENDS, GROUP
from tests.simulated_telegram import FaultyTelegram, remove_bot
from tests.telegram_server import serve

COMMANDS_A_KILL = 5
HELP = 0.4  # of the commands in groups that want bursts
TURNS = 2  # of a simulation
WITHDRAWALS = ("/optout", "/forget all", "/forget")
LATEST = 1.0  # seconds after a command until the person whose voice it asks for withdraws
MOST_OPEN = 16  # commands that are not handled yet, in all chats
BEHIND = 40  # commands, beyond which a process runs longer
LONGEST_LIFE = 2.4
ADMIN = str(next(iter(IDS.values())))  # the first of a talk's people
PART = re.compile(r"(tag\d+) (\w+) (\d+)/(\d+)")
ANSWERS = {
    "/help": "/as",
    "/forget": EN.forget_done,
    "/forget all": EN.forget_all_done.partition("{")[2].partition("}")[2],
    "/optout": EN.optout_done.partition("{")[0],
    "/optin": "now speak in your voice",
}
"""What the answers to commands contain."""


class WatchedTelegram(FaultyTelegram):
    """A Telegram that records when the bot requests updates."""

    def __init__(self, **given):
        super().__init__(**given)
        self.polled = asyncio.Event()

    async def call(self, method, params):
        if method == "getUpdates":
            self.polled.set()
        return await super().call(method, params)


class Lives:
    """The bot's process, which restarts quickly: see `tests.kill_bot`."""

    def __init__(self, telegram, url, folder, **settings):
        self.telegram, self.folder = telegram, folder
        self.url, self.settings = url, settings
        self.pid = None
        self._parent = None
        self._reader = None
        self._end = None

    @property
    def is_alive(self):
        return self._end is not None and not self._end.done()

    @property
    def database(self):
        return f"sqlite+aiosqlite:///{self.folder}/bot.db"

    @property
    def log(self):
        return self.folder / "bot.log"

    @asynccontextmanager
    async def possible(self):
        """Allow starts of the process while the block runs."""
        settings = {
            "BOT_TOKEN": self.telegram.token,
            "TELEGRAM_API_URL": self.url,
            "DATABASE_URL": self.database,
            "LOG_LEVEL": "WARNING",
            **self.settings,
        }
        with self.log.open("ab") as log:
            self._parent = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.kill_bot",
                env={**os.environ, **settings, "PYTHONPATH": str(Path.cwd())},
                cwd=self.folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
            )  # fmt: skip
        try:
            yield self
        finally:
            if self.is_alive:
                await self.kill()
            self._parent.stdin.close()
            await self._parent.wait()
            if self._reader:
                self._reader.close()

    async def begin(self):
        self.telegram.polled.clear()
        self._parent.stdin.write(b"live\n")
        self.pid = int(await self._parent.stdout.readline())
        self._end = asyncio.create_task(self._parent.stdout.readline())

    async def up(self, seconds=60):
        """Wait until the bot requests updates."""
        async with asyncio.timeout(seconds):
            await self.telegram.polled.wait()

    async def ended(self, seconds=60):
        """Return the exit status of the process."""
        async with asyncio.timeout(seconds):
            return int(await self._end)

    async def kill(self):
        os.kill(self.pid, signal.SIGKILL)
        return await self.ended()

    async def stop(self):
        """Stop the bot with SIGTERM; return its exit status and the seconds that this took."""
        began = time.monotonic()
        os.kill(self.pid, signal.SIGTERM)
        return await self.ended(), time.monotonic() - began

    def rows(self, query):
        if self._reader is None:
            self._reader = sqlite3.connect(self.folder / "bot.db", timeout=30)
        return self._reader.execute(query).fetchall()


@asynccontextmanager
async def lives_in(folder, **settings):
    telegram = WatchedTelegram(can_read_all=True)
    async with serve(telegram) as url, Lives(telegram, url, folder, **settings).possible() as lives:
        yield lives


@dataclass(frozen=True)
class Asked:
    """A command, its update, what answers it, and the message that it forgets.

    `withdraws` is the tag of the reply that was asked for just before a withdrawal.
    """

    number: int
    chat: int
    kind: str
    tag: str
    forgets: dict | None = None
    withdraws: str | None = None


@dataclass
class Toll:
    """The results of the commands.

    `left_over`: forgotten words, and lines that had to go. `unknown`: lines that a later withdrawal
    would not find.
    """

    commands: int = 0
    lost: list = field(default_factory=list)
    doubled: list = field(default_factory=list)
    uncertain: int = 0
    set_aside: int = 0
    messages: int = 0
    withdrawals: int = 0
    out_of_order: int = 0
    left_over: list = field(default_factory=list)
    unknown: list = field(default_factory=list)

    def __str__(self):
        return (
            f"{self.commands} commands, {self.messages} messages: {len(self.lost)} lost, "
            f"{len(self.doubled)} doubled, {self.out_of_order} out of order, "
            f"{self.uncertain} uncertain "
            f"({self.uncertain / max(1, self.commands):.2%}), {self.set_aside} set aside, "
            f"{self.withdrawals} withdrawals while a reply was sent, "
            f"{len(self.left_over)} forgotten messages or lines left, {len(self.unknown)} unknown"
        )


class Talk:
    """Groups whose members send commands to the bot, a few at a time.

    There are four kinds: some ask for bursts and for help, some for simulations, and some ask for
    a burst and then have the message before it forgotten. In the fourth kind, the person whose
    voice is asked for withdraws while the reply is generated or sent.
    """

    def __init__(self, lives, chance, groups=30):
        self.lives, self.chance, self.telegram = lives, chance, lives.telegram
        self.people = [self.telegram.user(number, name) for name, number in IDS.items()]
        self.groups = [
            self.telegram.chat(GROUP - 1 - number, title=f"Group {number}")
            for number in range(groups)
        ]
        self.asked = []
        self.secrets = []
        self.due = 0
        self._step = Counter()
        self._silent = set()  # the groups whose person has opted out
        self._open = {}

    async def prepare(self):
        """Let the bot into all groups."""
        await prepare_database(self.lives.database)
        async with open_database(self.lives.database) as engine:
            for chat in self.groups:
                group = Group(chat.id, chat.title, authorised=True, allowed=frozenset({GROUP}))
                await Groups(engine).save(group)

    async def go_on(self, total):
        """Send commands until so many are sent, at random moments, as the bot handles them."""
        while len(self.asked) < total:
            while (chat := self._free()) is None:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            await self._ask(chat)
            await asyncio.sleep(self.chance.random() * 0.2)

    def open(self):
        """Return the commands that the bot has not handled yet."""
        open_ = {update["update_id"] for update in self.telegram.updates.pending}
        waiting = "SELECT update_id FROM inbox WHERE state = 'waiting'"
        open_.update(number for (number,) in self.lives.rows(waiting))
        self._open = {number: one for number, one in self._open.items() if number in open_}
        return self._open

    def _free(self):
        """Return a group that may send a command now, if there is one."""
        if len(self.asked) >= self.due or len(still_open := self.open()) >= MOST_OPEN:
            return None
        busy = Counter(one.chat for one in still_open.values())
        free = [
            chat
            for chat in self.groups
            if busy[chat.id] < (2 if self._kind(chat) == "bursts" else 1)
        ]
        return self.chance.choice(free) if free else None

    async def ask_for_burst(self, chat):
        tag = f"tag{len(self.asked)}"
        await self._say(chat, f"/as Hugo: {tag}", "/as", tag)

    async def _ask(self, chat):
        step = self._step[chat.id] = self._step[chat.id] + 1
        tag = f"tag{len(self.asked)}"
        if self._kind(chat) == "bursts":
            kind = "/help" if self.chance.random() < HELP else "/as"
            await self._say(chat, kind if kind == "/help" else f"/as Hugo: {tag}", kind, tag)
        elif self._kind(chat) == "withdrawals":
            await self._withdraw(chat, tag)
        elif self._kind(chat) == "simulations":
            await self._say(chat, f"/simulate {TURNS} about {tag}", "/simulate", tag)
        elif step % 2:
            secret = f"secret{len(self.asked)}x"
            said = await self.telegram.say(chat, self.people[0], secret)
            self.secrets.append(said)
            await self._say(chat, f"/as Hugo: {tag}", "/as", tag)
        else:
            await self._say(chat, "/forget", "/forget", tag, self._newest_secret(chat))

    def _kind(self, chat):
        number = chat.id % 10
        if number in {1, 2}:
            return "withdrawals"
        return "simulations" if not number else "secrets" if number < 5 else "bursts"

    async def _withdraw(self, chat, tag):
        """Ask for a reply in a person's voice, who withdraws soon afterwards."""
        number, name = FRIENDS[GROUP - 1 - chat.id]
        friend = self.telegram.user(number, name)
        if chat.id in self._silent:
            self._silent.discard(chat.id)
            await self._say(chat, "/optin", "/optin", tag, by=friend)
            return
        kind, secret = self.chance.choice(WITHDRAWALS), f"secret{len(self.asked)}x"
        said = await self.telegram.say(chat, friend, secret)
        await self._say(chat, f"/as {name}: {tag}", "/as, withdrawn", tag)
        await asyncio.sleep(self.chance.random() * LATEST)
        await self._say(chat, kind, kind, f"tag{len(self.asked)}", said, by=friend, withdraws=tag)
        if kind == "/optout":
            self._silent.add(chat.id)

    def _newest_secret(self, chat):
        return [one for one in self.secrets if one["chat"]["id"] == chat.id][-1]

    async def _say(self, chat, text, kind, tag, forgets=None, by=None, withdraws=None):
        author = by or self.people[0]
        said = await self.telegram.say(chat, author, text, reply_to=forgets)
        pending = self.telegram.updates.pending
        number = next(one["update_id"] for one in pending if one.get("message") is said)
        one = Asked(number, chat.id, kind, tag, forgets, withdraws)
        self.asked.append(one)
        self._open[number] = one

    async def until_handled(self, seconds=180):
        """Wait until the bot has nothing more to do."""
        async with asyncio.timeout(seconds):
            while not self.is_idle():  # noqa: ASYNC110
                await asyncio.sleep(0.2)

    def is_idle(self):
        waiting = self.lives.rows("SELECT 1 FROM inbox WHERE state = 'waiting'")
        return not waiting and not self.telegram.updates.pending

    def count(self):
        """Compare the commands with the answers that arrived, and search for forgotten words."""
        aside = self.lives.rows("SELECT update_id FROM inbox WHERE state = 'set aside'")
        doubts = self.lives.rows("SELECT update_id FROM replies WHERE state = 'uncertain'")
        uncertain, set_aside = {number for (number,) in doubts}, {number for (number,) in aside}
        toll = Toll(
            commands=len(self.asked),
            messages=len(self.telegram.sent("sendMessage")),
            uncertain=sum(one.number in uncertain for one in self.asked),
            set_aside=sum(one.number in set_aside for one in self.asked),
            withdrawals=sum(one.withdraws is not None for one in self.asked),
        )
        self._count_turns(toll, uncertain)
        self._count_out_of_order(toll)
        self._count_texts(toll, uncertain)
        self._count_left_over(toll, uncertain)
        return toll

    def _count_left_over(self, toll, uncertain):
        """Check that no forgotten word is in the database, and no reply to it in a chat."""
        content = b"".join(path.read_bytes() for path in self.lives.folder.glob("bot.db*"))
        stored = set(self.lives.rows("SELECT chat_id, message_id FROM lines"))
        numbers = {one.tag: one.number for one in self.asked}
        standing = defaultdict(set)  # the words of the lines that stay, by tag
        for ref, message in self.telegram.world.messages.items():
            is_own = message["from"]["id"] == self.telegram.me.id
            if is_own and (found := PART.search(message["text"])):
                standing[found[1]].add(found[2])
                if ref not in stored and numbers[found[1]] not in uncertain:
                    toll.unknown.append((ref, found[0]))
        newest = {}
        for one in self.asked:
            if one.forgets and one.forgets["text"].encode() in content:
                toll.left_over.append(one.forgets["text"])
            earlier = newest.get(one.chat)
            words = standing[earlier.tag] if one.forgets else set()
            if one.withdraws and one.kind != "/optout":  # a reply may be generated after it
                words = {word for word in words if word.startswith("s")}
            if words and earlier.number not in uncertain:
                toll.left_over.append((one, earlier, words))
            newest[one.chat] = one

    def _count_turns(self, toll, uncertain):
        """Check that each turn has one word and that each of its messages arrived once."""
        turns = defaultdict(lambda: defaultdict(Counter))
        for call in self.telegram.sent("sendMessage"):
            if found := PART.search(call.params["text"]):
                tag, word, number, count = found.groups()
                turns[tag][word, int(count)][int(number)] += 1
        for one in self.asked:
            if one.kind not in {"/as", "/simulate", "/as, withdrawn"}:
                continue
            wanted, found = 1 if one.kind == "/as" else TURNS, turns[one.tag]
            has_all = all(len(came) == count for (_, count), came in found.items())
            is_whole = has_all and len(found) == wanted
            if one.kind != "/as, withdrawn" and not is_whole and one.number not in uncertain:
                toll.lost.append((one, dict(found)))
            if len(found) > wanted or any(max(came.values()) > 1 for came in found.values()):
                toll.doubled.append((one, dict(found)))

    def _count_out_of_order(self, toll):
        """Count the replies that were sent before one to an earlier command of the same group."""
        newest = Counter()
        for call in self.telegram.sent("sendMessage"):
            if found := PART.search(call.params["text"]):
                number, chat = int(found[1].removeprefix("tag")), call.params["chat_id"]
                toll.out_of_order += number < newest[chat]
                newest[chat] = max(newest[chat], number)

    def _count_texts(self, toll, uncertain):
        """Check that each command that needs no model was answered once in its chat."""
        texts = defaultdict(list)
        for call in self.telegram.sent("sendMessage"):
            texts[call.params["chat_id"]].append(call.params["text"])
        for chat in self.groups:
            for kind, answer in ANSWERS.items():
                asked = [one for one in self.asked if (one.chat, one.kind) == (chat.id, kind)]
                doubts = sum(one.number in uncertain for one in asked)
                came = sum(answer in text for text in texts[chat.id])
                if came < len(asked) - doubts:
                    toll.lost.append((chat.id, kind, len(asked), came, doubts))
                if came > len(asked):
                    toll.doubled.append((chat.id, kind, len(asked), came, doubts))


async def killed(lives, chance, kills, tell=lambda _: None):
    """Kill the bot at random moments, let it finish in its last life, and count."""
    talk = Talk(lives, chance)
    await talk.prepare()
    people = asyncio.create_task(talk.go_on(kills * COMMANDS_A_KILL))
    for kill in range(kills):
        await lives.begin()
        talk.due = (kill + 1) * COMMANDS_A_KILL
        if chance.random() < 0.2:  # it is killed while it starts
            await asyncio.sleep(chance.random() * 0.5)
        else:
            await lives.up()
            if kill * COMMANDS_A_KILL - len(talk.asked) > BEHIND:
                await asyncio.sleep(LONGEST_LIFE)
            await asyncio.sleep(chance.random() * LONGEST_LIFE)
        await lives.kill()
        if people.done():
            await people
        if kill % 50 == 49:
            tell(f"{kill + 1} kills, {len(talk.asked)} commands")
    await lives.begin()
    await lives.up()
    await people
    await talk.until_handled()
    status, _ = await lives.stop()
    assert status == 0, status
    return talk.count()


async def killed_when_added(lives, chance, times):
    """Kill or stop the bot just after an admin has added it and a command followed; count."""
    telegram, talk = lives.telegram, Talk(lives, chance, groups=1)
    admin, [chat] = talk.people[0], talk.groups
    await talk.prepare()
    for number in range(times):
        await lives.begin()
        await lives.up()
        await talk.until_handled()
        await remove_bot(telegram, chat, admin)
        await talk.until_handled()
        telegram.polled.clear()
        await add_bot(telegram, chat, admin)
        await talk.ask_for_burst(chat)
        await telegram.polled.wait()  # they are stored
        await asyncio.sleep(chance.random() * 0.02)
        await (lives.stop() if number % 2 else lives.kill())
    await lives.begin()
    await lives.up()
    await talk.until_handled()
    return talk.count()
