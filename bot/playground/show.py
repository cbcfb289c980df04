"""The real bot in a loopback group: friends talk, ask for a voice, and let it simulate."""

import asyncio
import os
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.text import Text

from bot.errors import PlaygroundError
from bot.playground.objects import Chat, Json, User
from bot.playground.server import serve
from bot.playground.telegram import Telegram, add_bot
from model.artifacts.artifact import Artifact
from model.chat.eligibility import VOICE_EMOJI, parse_voice_header
from model.chat.prompt import parse_lines

GROUP = -1_000_000_000_042
START_SECONDS = 60.0
REPLY_SECONDS = 60.0
SETTLED_SECONDS = 8.0  # longer than a turn takes on one slow core, so that a thread has ended

SILENT = "the bot did not answer: run `understudy-bot check`, which says what to mend"


@dataclass(slots=True)
class Group:
    """The loopback group: who is in it, and the terminal that shows what is said."""

    telegram: Telegram
    chat: Chat
    console: Console
    people: dict[str, User]

    async def say(self, name: str, text: str, *, reply_to: Json | None = None) -> Json:
        """Let a friend say something, and show it."""
        arrow = "↩ " if reply_to else ""
        self.console.print(Text.assemble(" │ ", (f"{name}: ", "bold"), f"{arrow}{text}"))
        return await self.telegram.say(self.chat, self._user(name), text, reply_to=reply_to)

    async def answers(self, since: int) -> Json:
        """Show what the bot says until it has been silent for a while; return its last message.

        Raises:
            PlaygroundError: It says nothing.
        """
        try:
            await self.telegram.wait_for("sendMessage", since=since, timeout=REPLY_SECONDS)
        except TimeoutError as error:
            raise PlaygroundError(SILENT) from error
        shown, last = since, {}
        while len(self.telegram.calls) > shown or await self._speaks_again(shown):
            for call in self.telegram.calls[shown:]:
                if call.method == "sendMessage" and call.error is None:
                    last = call.result
                    self._show(str(call.params["text"]))
            shown = len(self.telegram.calls)
        return last

    async def _speaks_again(self, since: int) -> bool:
        try:
            await self.telegram.wait_for("sendMessage", since=since, timeout=SETTLED_SECONDS)
        except TimeoutError:
            return False
        return True

    def _show(self, text: str) -> None:
        if played := parse_voice_header(text):
            name, words = played
            line = Text.assemble(
                f"{VOICE_EMOJI} ", (f"{name}: ", "bold magenta"), (words, "magenta")
            )
        else:
            line = Text(f"    {text}", "yellow")
        self.console.print(line)

    def _user(self, name: str) -> User:
        if name not in self.people:
            self.people[name] = self.telegram.user(900 + len(self.people), name)
        return self.people[name]


def read_conversation(path: Path) -> list[str]:
    """Read the lines that the friends will say.

    Raises:
        PlaygroundError: There is no such file, or a line without a name.
    """
    try:
        return parse_lines(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise PlaygroundError(f"cannot read {path}: a text file of lines `Name: words`") from error
    except ValueError as error:
        raise PlaygroundError(f"{path}: {error}") from error


async def show(
    artifact: Artifact, models_dir: str, conversation: Sequence[str], console: Console
) -> None:
    """Play a conversation of lines `Name: words` in a group with the real bot, as a process.

    Raises:
        PlaygroundError: The bot does not start, or does not answer.
    """
    telegram = Telegram(can_read_all=True)
    chat = telegram.chat(GROUP, title="Five friends")
    people = {
        person.name: telegram.user(person.ids[0], person.name)
        for person in artifact.card.roster.people
    }
    group = Group(telegram, chat, console, people)
    admin = next(iter(people))
    bot = partial(_bot, telegram.token, models_dir=models_dir, admin=people[admin])
    async with serve(telegram) as url, bot(url) as greeting:
        console.print(f"  {greeting}", style="dim")
        mark = len(telegram.calls)
        await add_bot(telegram, chat, people[admin])
        await group.answers(mark)
        if not artifact.card.public:
            mark = len(telegram.calls)
            await group.say(admin, "/allow")
            await group.answers(mark)
        last = await _talk(group, conversation)
        voices = [person.name for person in artifact.card.roster.voices]
        voice = next((v for v in ("Hugo", *voices) if v in voices and v != last), last)
        mark = len(telegram.calls)
        await group.say(last, f"/as {voice}")
        answer = await group.answers(mark)
        mark = len(telegram.calls)
        await group.say(last, "haha why?", reply_to=answer)
        await group.answers(mark)
        mark = len(telegram.calls)
        await group.say(last, "/simulate 4")
        await group.answers(mark)


async def _talk(group: Group, conversation: Sequence[str]) -> str:
    """Let the friends say the conversation; return who spoke last."""
    name = next(iter(group.people))
    for line in conversation:
        name, _, words = line.partition(": ")
        await group.say(name, words)
    return name


@asynccontextmanager
async def _bot(token: str, url: str, *, models_dir: str, admin: User) -> AsyncIterator[str]:
    """Run `understudy-bot run` in a folder of its own; yield the line it says when it is up."""
    with tempfile.TemporaryDirectory(prefix="understudy-") as folder:
        settings = {
            "BOT_TOKEN": token,
            "TELEGRAM_API_URL": url,
            "PACE": "0",
            "MODELS_DIR": models_dir,
            "ADMINS": str(admin.id),
            "DATABASE_URL": f"sqlite+aiosqlite:///{folder}/playground.db",
            "LOG_LEVEL": "WARNING",
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bot", "run",
            cwd=folder, env={**os.environ, **settings}, stdin=DEVNULL, stdout=PIPE,
        )  # fmt: skip
        if process.stdout is None:
            raise PlaygroundError("the bot's output cannot be read")
        try:
            yield await _greeting(process.stdout)
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


async def _greeting(output: asyncio.StreamReader) -> str:
    try:
        async with asyncio.timeout(START_SECONDS):
            said = await output.readline()
    except TimeoutError as error:
        raise PlaygroundError(
            f"the bot did not start within {START_SECONDS:.0f} seconds: run `understudy-bot check`"
        ) from error
    if not said:
        raise PlaygroundError("the bot did not start; its own line above says why")
    return said.decode().strip()
