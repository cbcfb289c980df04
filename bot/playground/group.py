"""The playground's group: the people of a model, and the real bot in the same process."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from bot.playground.objects import Json, Member, SimulatedChat, User
from bot.playground.request import LocalRequest
from bot.playground.telegram import Telegram
from bot.run import build, run_until_stopped
from bot.services.model_holder import make_loader
from bot.settings import load_settings
from model.artifacts.artifact import Artifact
from model.artifacts.registry import Registry
from model.files import temporary_folder

GROUP = -1_000_000_000_042
TITLE = "Friends"
LANGUAGES = ("en", "pt")
IN_GROUPS: Json = {"type": "all_group_chats"}
FIRST_GUEST_ID = 900

View: TypeAlias = Callable[[Json], object]
"""Receives each change to a group, in order."""


@dataclass(frozen=True, slots=True)
class RunningBot:
    """The line that the bot prints when it is up, and its database."""

    greeting: str
    database_url: str


class SimulatedGroup:
    """A group of a simulated Telegram; the page in the browser and the terminal are its views.

    `people` maps names to users; the first is the bot's admin.
    """

    def __init__(
        self, telegram: Telegram, chat: SimulatedChat, people: Iterable[User], voices: Iterable[str]
    ) -> None:
        self.telegram, self.chat = telegram, chat
        self.people = {user.first_name: user for user in people}
        self.views: list[View] = []
        self._voices = tuple(voices)
        telegram.world.listeners.append(self._forward)

    @property
    def admin(self) -> User:
        """Return the admin of the bot."""
        return next(iter(self.people.values()))

    async def say(self, name: str, text: str, reply_to: Json | None = None) -> Json:
        """Post a message of a person and return it."""
        return await self.telegram.say(self.chat, self.people[name], text, reply_to=reply_to)

    @asynccontextmanager
    async def running_bot(self, models: Registry, *, pace: float = 0) -> AsyncIterator[RunningBot]:
        """Run the bot while the block runs; if it ends with an error, cancel the block.

        Its database is in a temporary folder.

        Raises:
            UnderstudyError: The bot does not start, or exits.
        """
        loop = asyncio.get_running_loop()
        greeting: asyncio.Future[str] = loop.create_future()
        stop = asyncio.Event()
        with temporary_folder(Path(tempfile.gettempdir()), "understudy-playground") as folder:
            settings = load_settings(
                _env_file=None,
                bot_token=self.telegram.token,
                pace=pace,
                models_dir=models.root,
                admins=frozenset({self.admin.id}),
                database_url=f"sqlite+aiosqlite:///{folder}/playground.db",
                consent="roster",  # as in `understudy chat`: everybody who did not refuse
                retrain_command=None,
                webhook_url=None,
            )
            request = LocalRequest(self.telegram)
            load = make_loader(settings)
            app = build(settings, models, load, greeting.set_result, request=request)
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(run_until_stopped(settings, app, stop))
                    yield RunningBot(await greeting, settings.database_url)
                    stop.set()
            except BaseExceptionGroup as errors:
                raise errors.exceptions[0] from None

    def describe(self, most: int) -> Json:
        """Return the state of the group, with its `most` newest messages."""
        people = [
            {
                "id": user.id,
                "name": user.first_name,
                "isAdmin": self.chat.member(user).is_admin,
                "isVoice": user.first_name in self._voices,
            }
            for user in self.people.values()
        ]
        messages = [
            message
            for (chat_id, _), message in sorted(self.telegram.world.messages.items())
            if chat_id == self.chat.id
        ]
        return {
            "kind": "group",
            "title": self.chat.title,
            "bot": self.telegram.me.json(),
            "people": people,
            "commands": self._commands(),
            "messages": [self._with_votes(message) for message in messages[-most:]],
        }

    def _commands(self) -> Json:
        """Return the menu of commands in groups, by language.

        The first that is set counts, as core.telegram.org/bots/api#botcommandscope says.
        """
        menu = self.telegram.world.menu
        return {
            language: menu(IN_GROUPS, language)
            or menu(IN_GROUPS, None)
            or menu(None, language)
            or menu(None, None)
            for language in LANGUAGES
        }

    def _with_votes(self, message: Json) -> Json:
        """Return a message with its reactions, and a poll with its votes."""
        world = self.telegram.world
        reactions = world.reactions.get((message["chat"]["id"], message["message_id"]), {})
        shown = message | {"reactions": {str(user): emoji for user, emoji in reactions.items()}}
        if poll := message.get("poll"):
            votes = world.votes.get(poll["id"], {})
            shown["votes"] = {str(user): option for user, option in votes.items()}
        return shown

    def _forward(self, kind: str, body: Json) -> None:
        """Pass a change in the world to the views, if it concerns this group."""
        if kind == "commands":
            self._show({"kind": kind, "commands": self._commands()})
        elif kind == "callback_answer":
            person = self.telegram.world.queries[body["callback_query_id"]]
            answer = {"text": body.get("text", ""), "isAlert": bool(body.get("show_alert"))}
            self._show({"kind": "answer", "person": person, **answer})
        elif body["chat"]["id"] != self.chat.id:
            return
        elif kind == "message":
            self._show({"kind": kind, "message": self._with_votes(body)})
        elif kind == "deleted":
            self._show({"kind": kind, "message": body["message_id"]})
        elif kind == "action":
            self._show({"kind": kind, "action": body["action"]})

    def _show(self, change: Json) -> None:
        for view in self.views:
            view(change)


def open_group(
    artifact: Artifact,
    lines: Iterable[str],
    *,
    is_training_group: bool = False,
    clock: Callable[[], float] = time.time,
) -> SimulatedGroup:
    """Create a group of the people of a model and of lines `Name: words`; the first owns it.

    With `is_training_group`, it is the group that the model learned from, where the bot needs no
    `/allow`.
    """
    card = artifact.card
    telegram = Telegram(can_read_all=True, clock=clock)
    group_id, title = GROUP, TITLE
    if is_training_group and not card.public and card.chats:
        group_id, title = card.chats[0].chat_id, card.chats[0].title
    chat = telegram.chat(group_id, title=title)
    ids = {person.name: person.ids[0] for person in card.roster.people if person.ids}
    names = dict.fromkeys([*ids, *(line.partition(": ")[0] for line in lines)])
    people = [
        telegram.user(ids.get(name, FIRST_GUEST_ID + index), name)
        for index, name in enumerate(names)
    ]
    for index, user in enumerate(people):
        chat.members[user.id] = Member(user, "member" if index else "creator")
    return SimulatedGroup(telegram, chat, people, [voice.name for voice in card.roster.voices])
