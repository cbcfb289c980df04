"""Run the real bot in a group on this machine, and show what it answers."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.text import Text

from bot.errors import PlaygroundError
from bot.playground.objects import Chat, Json, User
from bot.playground.process import GROUP, TITLE, run_bot
from bot.playground.server import serve
from bot.playground.telegram import Telegram, add_bot
from bot.store.inbox import read_waiting
from model.artifacts.artifact import Artifact
from model.chat.eligibility import VOICE_EMOJI, parse_voice_header
from model.chat.names import make_printable, make_printable_lines
from model.chat.prompt import parse_conversations

REPLY_SECONDS = 60.0
CHECK_SECONDS = 0.2  # between checks whether the bot has finished

NO_ANSWER = "the bot did not answer: run `understudy-bot check`, which explains problems"


@dataclass(slots=True)
class Group:
    """The group, its people, the terminal that shows the messages, and the bot's database."""

    telegram: Telegram
    chat: Chat
    console: Console
    people: dict[str, User]
    database_url: str

    async def say(self, name: str, text: str, *, reply_to: Json | None = None) -> Json:
        """Post a message of a friend, and show it."""
        arrow = "↩ " if reply_to else ""
        self.console.print(
            Text.assemble(" │ ", (f"{make_printable(name)}: ", "bold"), arrow, make_printable(text))
        )
        return await self.telegram.say(self.chat, self._user(name), text, reply_to=reply_to)

    async def show_answers(self, since: int) -> Json:
        """Show the bot's messages until it has handled all updates; return the last one.

        Raises:
            PlaygroundError: It sends nothing.
        """
        try:
            await self.telegram.wait_for("sendMessage", since=since, timeout=REPLY_SECONDS)
        except TimeoutError as error:
            raise PlaygroundError(NO_ANSWER) from error
        last: Json = {}
        is_finished = False
        while not is_finished:
            await asyncio.sleep(CHECK_SECONDS)
            is_finished = not (await read_waiting(self.database_url))[0]
            calls = self.telegram.calls[since:]
            since += len(calls)
            for call in calls:
                if call.method == "sendMessage" and call.error is None:
                    last = call.result
                    self._show(str(call.params["text"]))
        return last

    def _show(self, text: str) -> None:
        if spoken := parse_voice_header(text):
            name, words = map(make_printable_lines, spoken)
            line: RenderableType = Text.assemble(
                f"{VOICE_EMOJI} ", (f"{name}: ", "bold magenta"), (words, "magenta")
            )
        else:
            line = Padding.indent(Text(make_printable_lines(text), "yellow"), 4)
        self.console.print(line)

    def _user(self, name: str) -> User:
        if name not in self.people:
            self.people[name] = self.telegram.user(900 + len(self.people), name)
        return self.people[name]


def read_conversations(path: Path) -> list[list[str]]:
    """Read the lines of the friends, conversation by conversation.

    Raises:
        PlaygroundError: There is no such file, or a line has no name.
    """
    try:
        return parse_conversations(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise PlaygroundError(
            f"cannot read {path}: name a text file of lines `Name: words`"
        ) from error
    except ValueError as error:
        raise PlaygroundError(f"{path}: {error}") from error


async def show(
    artifact: Artifact, models_dir: str, conversation: Sequence[str], console: Console
) -> None:
    """Play a conversation of lines `Name: words` in a group with the real bot.

    Raises:
        PlaygroundError: The bot does not start or answer.
    """
    telegram = Telegram(can_read_all=True)
    chat = telegram.chat(GROUP, title=TITLE)
    people = {
        person.name: telegram.user(person.ids[0], person.name)
        for person in artifact.card.roster.people
    }
    admin = next(iter(people))
    bot = partial(run_bot, telegram.token, models_dir=models_dir, admin=people[admin])
    async with serve(telegram) as url, bot(url) as running:
        group = Group(telegram, chat, console, people, running.database_url)
        console.print(f"  {running.greeting}", style="dim")
        mark = len(telegram.calls)
        await add_bot(telegram, chat, people[admin])
        await group.show_answers(mark)
        if not artifact.card.public:
            mark = len(telegram.calls)
            await group.say(admin, "/allow")
            await group.show_answers(mark)
        last = admin
        for line in conversation:
            last, _, words = line.partition(": ")
            await group.say(last, words)
        voices = [person.name for person in artifact.card.roster.voices]
        voice = next((v for v in ("Hugo", *voices) if v in voices and v != last), last)
        mark = len(telegram.calls)
        await group.say(last, f"/as {voice}")
        answer = await group.show_answers(mark)
        mark = len(telegram.calls)
        await group.say(last, "haha why?", reply_to=answer)
        await group.show_answers(mark)
        mark = len(telegram.calls)
        await group.say(last, "/simulate 4")
        await group.show_answers(mark)
