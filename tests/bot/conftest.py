"""The real bot at a simulated Telegram, with a fake model, and friends who talk to it."""

import asyncio
import gc
import inspect
import ssl
import sys
import threading
from collections import deque
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import cache

import pytest

from bot.errors import StoppingError
from bot.playground.request import LocalRequest
from bot.playground.telegram import TOKEN, add_bot
from bot.run import build, run_until_stopped, tune_interpreter
from bot.settings import Settings
from bot.transport.polling import (
    ALLOWED_UPDATES,
)
from model.artifacts.artifact import Artifact, Card, LearnedChat
from model.chat.conversation import Window
from model.chat.person import Person
from model.chat.roster import Roster
from model.errors import ArtifactError, VoiceError
from tests.bot import postgres_server
from tests.bot.database_files import find_words
from tests.simulated_telegram import FaultyTelegram
from tests.telegram_server import serve

FRIENDS = -1001234
PEOPLE = (
    Person("Hugo Silva", (11,), imitate="yes"),
    Person("Hugo Sá", (12,), imitate="yes"),
    Person("João", (13,), imitate="yes"),
    Person("李雷", (14,), aliases=("Lei",), imitate="yes"),
    Person("Ana", (15,), imitate="ask"),
    Person("Rui", (16,), imitate="no"),
    Person("Eva", (17,), learn="no"),
)
CARD = Card(
    base="google/flan-t5-small",
    family="encoder-decoder",
    roster=Roster(PEOPLE),
    chats=(LearnedChat(FRIENDS, "Friends"),),
    window=Window(),
    max_prompt_tokens=512,
)


class FakeSpeaker:
    """A model with a queue of what it will say, and a history of what it was asked."""

    def __init__(self):
        self.replies = deque()
        self.next_voices = deque()
        self.asked = []
        self.begun = []
        self.rejected = {}
        self.tokens = 0
        self.offered = []
        self.open = threading.Event()
        self.open.set()

    def fork(self):
        return self

    def reply(self, context, voice, begins="", should_stop=None):
        self.asked.append((voice, context))
        self.begun.append(begins)
        assert self.open.wait(10)
        words = f"{begins} {voice} number {len(self.asked)}".lstrip()
        said = self.replies.popleft() if self.replies else (words,)
        if isinstance(said, Exception):
            raise said
        return said

    def choose_voice(self, context, voices):
        self.offered.append(voices)
        return self.next_voices.popleft() if self.next_voices else voices[0]

    def turn(self, context, voices, begins="", should_stop=None):
        left = list(voices)
        while left:
            voice = self.choose_voice(context, tuple(left))
            try:
                return voice, self.reply(context, voice, begins)
            except VoiceError:
                left.remove(voice)
        raise NOTHING_CAME_OUT

    @property
    def context(self):
        """What it was asked last."""
        return self.asked[-1][1]


class FakeModels:
    """A models folder, of which one serves, and those of groups with their own."""

    def __init__(self, artifact, own=()):
        self.artifact, self.own = artifact, own
        self.earlier = None

    def group_folders(self):
        return {one.path.name: FakeModels(one) for one in self.own}

    @property
    def names(self):
        return [self.artifact.path.name]

    def rollback(self):
        if self.earlier is None:
            raise ArtifactError("no version served before this one")
        self.artifact = self.earlier
        return self.artifact.path.name

    def fingerprint(self):
        return f"{self.artifact.path.name} {id(self.artifact)}"

    def open(self, wanted="current"):
        assert wanted == "current"
        return self.artifact


NOTHING_CAME_OUT = VoiceError("nothing sayable came out")


@dataclass
class Stage:
    """A simulated Telegram, the fake model, and where the bot keeps things.

    `url` is the server of the Telegram; without one, the bot calls it in this process.
    """

    telegram: FaultyTelegram
    url: str | None
    speaker: FakeSpeaker
    folder: object
    card: Card
    lines: list = field(default_factory=list)
    models: FakeModels | None = None
    app: object = None

    def settings(self, **changes):
        given = {
            "bot_token": TOKEN,
            "telegram_api_url": self.url or "http://127.0.0.1:9",
            "database_url": f"sqlite+aiosqlite:///{self.folder}/bot.db",
            "pace": 0,
            **changes,
        }
        return Settings(_env_file=None, **given)

    @asynccontextmanager
    async def running(self, card=None, own=(), **settings):
        """Run the bot; `own` are cards of groups with models of their own."""
        artifact = Artifact(self.folder / "0001-abcdef01", card or self.card)
        others = [Artifact(self.folder / f"own {n}", one) for n, one in enumerate(own)]
        self.models = FakeModels(artifact, others)
        app = build(
            self.settings(**settings),
            self.models,
            lambda _: self.speaker,
            self.lines.append,
            model_check_seconds=0.05,
            request=self.request(),
        )
        try:
            await app.initialize()
            await app.post_init(app)
            await app.start()
            await app.updater.start_polling(allowed_updates=ALLOWED_UPDATES)
            self.app = app
            yield app
        finally:
            self.speaker.open.set()
            if app.running:
                await app.updater.stop()
                await app.stop()
            await app.shutdown()
            await app.post_shutdown(app)

    @asynccontextmanager
    async def running_process(self, **settings):
        """Run the bot as `understudy-bot run` does, which may be one of several processes."""
        chosen, up, stop = self.settings(**settings), asyncio.Event(), asyncio.Event()
        self.models = FakeModels(Artifact(self.folder / "0001-abcdef01", self.card))
        app = build(
            chosen,
            self.models,
            lambda _: self.speaker,
            lambda _: up.set(),
            request=self.request(),
        )
        running = asyncio.create_task(run_until_stopped(chosen, app, stop))
        waiting = asyncio.create_task(up.wait())
        try:
            await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
            if not up.is_set():
                await running
            yield app
        finally:
            self.speaker.open.set()
            waiting.cancel()
            stop.set()
            with suppress(StoppingError):  # it was still starting
                await running

    async def answer(self, chat, user, text, **more):
        """Say something; return the next message that the bot sends to this chat.

        Waits until the bot has handled it: it stores a message only after others can see it.
        """
        return await self._answer_to(self.telegram.say(chat, user, text, **more), chat_id=chat.id)

    async def first_message(self, chat, user, text, **more):
        """Say something; return the first message of the answer, of which more may follow."""
        return await self._next_message(
            self.telegram.say(chat, user, text, **more), chat_id=chat.id
        )

    async def enter(self, chat, by, **more):
        """Let somebody add the bot to a chat, and return the next message that it sends."""
        return await self._answer_to(add_bot(self.telegram, chat, by, **more))

    async def press(self, asked, user, data):
        """Press a button and return the next message that the bot sends."""
        return await self._answer_to(self.telegram.press(asked, user, data))

    def request(self):
        """Return the requests of a bot that calls the Telegram in this process."""
        return None if self.url else LocalRequest(self.telegram)

    async def _answer_to(self, action, **filters):
        first = self.telegram.updates.next_id
        answer = await self._next_message(action, **filters)
        if self.app is not None and self.app.running:
            await self.wait_until_handled(range(first, self.telegram.updates.next_id))
        return answer

    async def _next_message(self, action, **filters):
        since = len(self.telegram.calls)
        await action
        return (await self.telegram.wait_for("sendMessage", since=since, **filters)).result

    async def find_after_vacuum(self, *words):
        """Return which of these words are still in the database's files after a VACUUM."""
        await self.app.bot_data["state"].store.vacuum.run()
        return find_words(self.folder, *words)

    async def wait_until_handled(self, update_ids=None, seconds=20):
        """Wait until the bot has handled some updates, or all."""

        async def are_handled():
            received = [*self.telegram.updates.pending, *await self.app.inbox.waiting()]
            return not any(
                update_ids is None or update["update_id"] in update_ids for update in received
            )

        await until(are_handled, seconds)

    def said(self):
        """Return the texts of all that the bot sent."""
        return [call.params["text"] for call in self.telegram.sent("sendMessage")]


@pytest.fixture(scope="session", autouse=True)
def _cached_ssl_context():
    """Cache the SSL context: each HTTP client would load the certificates again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssl, "create_default_context", cache(ssl.create_default_context))
        yield


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL server; the test is skipped where there is none."""
    with postgres_server.running() as server:
        yield server


@pytest.fixture
def tuned():
    """Tune the interpreter as `understudy-bot run` does."""
    interval = sys.getswitchinterval()
    tune_interpreter()
    yield
    gc.unfreeze()
    sys.setswitchinterval(interval)


@pytest.fixture(autouse=True)
def _durations(monkeypatch):
    monkeypatch.setenv("PTB_TIMEDELTA", "1")


@pytest.fixture
def card():
    return CARD


@pytest.fixture
def telegram():
    return FaultyTelegram(can_read_all=True)


@pytest.fixture
async def telegram_url(request, telegram):
    """The address of the Telegram's server; None unless the test is marked `over_http`."""
    is_served = request.node.get_closest_marker("over_http")
    async with serve(telegram) if is_served else nullcontext() as url:
        yield url


@pytest.fixture
def stage(telegram, telegram_url, tmp_path, card):
    return Stage(telegram, telegram_url, FakeSpeaker(), tmp_path, card)


@pytest.fixture
async def live(stage):
    """The stage with the bot up."""
    async with stage.running():
        yield stage


@pytest.fixture
def group(stage):
    return stage.telegram.chat(FRIENDS, title="Friends")


@pytest.fixture
def hugo(stage):
    return stage.telegram.user(11, "Hugo", "Silva")


@pytest.fixture
def joao(stage):
    return stage.telegram.user(13, "João")


@pytest.fixture
def zoe(stage):
    """A stranger."""
    return stage.telegram.user(99, "Zoe", "Martin")


async def until(find, seconds=5):
    """Return what `find` finds, as soon as it finds something."""
    async with asyncio.timeout(seconds):
        while True:
            found = find()
            if found := await found if inspect.isawaitable(found) else found:
                return found
            await asyncio.sleep(0.01)
