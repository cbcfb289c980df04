"""Play a conversation in a simulated group in the terminal, and ask the real bot for replies."""

import asyncio
from collections.abc import Awaitable, Sequence
from pathlib import Path

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.text import Text

from bot.errors import PlaygroundError
from bot.playground.group import SimulatedGroup, open_group
from bot.playground.objects import Json
from bot.playground.telegram import add_bot
from bot.store.inbox import read_waiting
from model.artifacts.artifact import Artifact
from model.artifacts.registry import Registry
from model.chat.eligibility import VOICE_EMOJI, parse_voice_header
from model.chat.names import make_printable, make_printable_lines
from model.chat.prompt import parse_conversations

REPLY_SECONDS = 60.0
CHECK_SECONDS = 0.2  # between checks whether the bot has finished

NO_ANSWER = "the bot did not answer: run `understudy-bot check`, which explains problems"


class Terminal:
    """A view of a group that prints each text once."""

    def __init__(self, group: SimulatedGroup, console: Console) -> None:
        self._console = console
        self._last_id = 0
        group.views.append(self._show)

    def _show(self, change: Json) -> None:
        message = change["message"] if change["kind"] == "message" else {}
        if "text" in message and message["message_id"] > self._last_id:
            self._last_id = message["message_id"]
            self._console.print(_render(message))


def _render(message: Json) -> RenderableType:
    text, sender = message["text"], message["from"]
    if not sender["is_bot"]:
        arrow = "↩ " if "reply_to_message" in message else ""
        name = f"{make_printable(sender['first_name'])}: "
        return Text.assemble(" │ ", (name, "bold"), arrow, make_printable(text))
    if spoken := parse_voice_header(text):
        name, words = map(make_printable_lines, spoken)
        return Text.assemble(f"{VOICE_EMOJI} ", (f"{name}: ", "bold magenta"), (words, "magenta"))
    return Padding.indent(Text(make_printable_lines(text), "yellow"), 4)


async def answer_to(action: Awaitable[object], group: SimulatedGroup, database_url: str) -> Json:
    """Await an action in the group; return the last message with which the bot answers it.

    Raises:
        PlaygroundError: The bot sends nothing.
    """
    since = len(group.telegram.calls)
    await action
    try:
        await group.telegram.wait_for("sendMessage", since=since, timeout=REPLY_SECONDS)
    except TimeoutError as error:
        raise PlaygroundError(NO_ANSWER) from error
    while group.telegram.updates.pending or (await read_waiting(database_url))[0]:  # noqa: ASYNC110  another thread reads the database
        await asyncio.sleep(CHECK_SECONDS)
    last: Json = group.telegram.sent("sendMessage")[-1].result
    return last


def read_conversations(path: Path) -> list[list[str]]:
    """Read the lines of the friends, conversation by conversation.

    Raises:
        PlaygroundError: There is no such file, or a line has no name.
    """
    try:
        return parse_conversations(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise PlaygroundError(
            f"cannot read {path}: use a text file with lines `Name: words`"
        ) from error
    except ValueError as error:
        raise PlaygroundError(f"{path}: {error}") from error


async def show(
    artifact: Artifact, models: Registry, conversation: Sequence[str], console: Console
) -> None:
    """Play a conversation of lines `Name: words` in a group with the real bot.

    Raises:
        UnderstudyError: The bot does not start or answer.
    """
    group = open_group(artifact, conversation)
    Terminal(group, console)
    admin = group.admin.first_name
    async with group.running_bot(models) as bot:

        async def answered(action: Awaitable[object]) -> Json:
            return await answer_to(action, group, bot.database_url)

        console.print(f"  {bot.greeting}", style="dim")
        await answered(add_bot(group.telegram, group.chat, group.admin))
        if not artifact.card.public:
            await answered(group.say(admin, "/allow"))
        last = admin
        for line in conversation:
            last, _, words = line.partition(": ")
            await group.say(last, words)
        voices = [person.name for person in artifact.card.roster.voices]
        voice = next((v for v in ("Hugo", *voices) if v in voices and v != last), last)
        answer = await answered(group.say(last, f"/as {voice}"))
        await answered(group.say(last, "haha why?", answer))
        await answered(group.say(last, "/simulate 4"))
