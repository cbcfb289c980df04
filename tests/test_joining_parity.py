"""Parity of joining: the bot's chances are those that the pipeline's conversations give.

The same chat reaches the bot as Telegram's updates and the pipeline as an export.
"""

import asyncio
import random
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from telegram import Update

from bot.access import Access
from bot.handlers.keeping import keeping
from bot.incoming import message_of, place_of
from bot.store import messages as paging
from bot.store.database import opened, prepare
from bot.store.messages import Store
from bot.store.shelves import Shelves
from model.conversation import Window
from model.marker import parse_spoken
from model.occasions import FEATURES, MEMORY, conversations, is_heard
from model.propensity import LEVELS, Propensity, Weights
from pipeline.export.archive import opened as opened_exports
from pipeline.pairs import sessions_of
from tests.parity_chats import BOT, ROSTER, Chat, chats, windows


def drawn():
    """Return a model of drawn weights: two conversations of different features differ in it."""
    chance = random.Random(0)
    names = [person.name for person in ROSTER.people if person.learn == "yes"]

    def weights():
        features = tuple(chance.uniform(-1, 1) for _ in FEATURES)
        after = {name: chance.uniform(-1, 1) for name in [*names, ""]}
        return Weights(chance.uniform(-1, 1), features, after, (0.5,) * len(LEVELS))

    return Propensity({person.name: weights() for person in ROSTER.voices})


MODEL = drawn()


async def bots_chances(chat, database, window):
    """Return the chances that the live bot finds after the chat's last message."""
    async with opened(f"sqlite+aiosqlite:///{database}") as engine:
        store = Store(engine)
        access = Access(ROSTER, frozenset({chat.id}), frozenset(), "ask")
        keep = keeping(Shelves.of(engine), lambda: access).callback
        for number, fields in enumerate(chat.updates()):
            update = Update.de_json({"update_id": number, **fields}, None)
            message = update.effective_message
            if message.from_user.id != BOT:
                await keep(update, None)
            elif parse_spoken(message.text):
                await store.save(message_of(message))
        last = Update.de_json({"update_id": 0, "message": chat.bodies[-1]}, None).message
        recent = await store.earlier(place_of(last), MEMORY, lambda m: is_heard(m, ROSTER))
    return MODEL.chances(recent, ROSTER, window.gap)


def pipelines_chances(chat, folder, window):
    """Return the chances by what the pipeline would learn from, at the same place."""
    with opened_exports([chat.export(folder)]) as archive:
        messages = list(archive.spool.messages(archive.only(None).chat_id))
    last = max(messages, key=lambda message: (message.sent_at, message.message_id))
    topic = [message for message in messages if message.topic_id == last.topic_id]
    if not is_heard(last, ROSTER):
        return {}
    sessions = sessions_of(topic, ROSTER, window)
    heard = [one for s in sessions for one in conversations(s.lines, ROSTER, window.gap)]
    return {person.name: MODEL.chance(heard[-1], person.name) for person in ROSTER.voices}


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory):
    path = tmp_path_factory.mktemp("joining") / "empty.db"
    asyncio.run(prepare(f"sqlite+aiosqlite:///{path}"))
    return path


@settings(max_examples=40, deadline=None)
@given(
    said=chats.filter(lambda said: said and said[-1].author != BOT and said[-1].medium != "dice"),
    window=windows | st.just(Window()),
    kind=st.sampled_from(["private_supergroup", "private_group"]),
    page=st.sampled_from([2, 64]),
)
def test_the_bots_chances_are_the_pipelines(empty_database, said, window, kind, page):
    chat = Chat(said, kind)

    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(paging, "PAGE", page)
        patch.setenv("PTB_TIMEDELTA", "1")
        database = shutil.copy(empty_database, Path(folder) / "bot.db")
        live = asyncio.run(bots_chances(chat, database, window))
        offline = pipelines_chances(chat, Path(folder), window)

    assert live == offline
