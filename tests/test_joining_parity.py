"""Parity of joining: the bot's chances are those that the pipeline's conversations give.

The same chat reaches the bot as Telegram's updates and the pipeline as an export.
"""

import asyncio
import random
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from bot.transport.incoming import place_of
from model.chat.conversation import Window
from model.joining import (
    FEATURES,
    LEVELS,
    LOOKBACK_LINES,
    Propensity,
    VoiceWeights,
    is_conversation_line,
    split_conversations,
)
from pipeline.dataset.pairs import SessionRules, make_sessions
from tests.parity import heard, page_of, read
from tests.parity_chats import BOT, ROSTER, Chat, chats, windows


def drawn():
    """Return a model of drawn weights: two conversations of different features differ in it."""
    chance = random.Random(0)
    names = [person.name for person in ROSTER.people if person.learn == "yes"]

    def weights():
        features = tuple(chance.uniform(-1, 1) for _ in FEATURES)
        after = {name: chance.uniform(-1, 1) for name in [*names, ""]}
        return VoiceWeights(chance.uniform(-1, 1), features, after, (0.5,) * len(LEVELS))

    return Propensity({person.name: weights() for person in ROSTER.voices})


MODEL = drawn()


async def bots_chances(chat, database, window):
    """Return the chances that the live bot finds after the chat's last message."""
    async with heard(chat, database) as (store, last):
        recent = await store.find_newest(
            place_of(last), LOOKBACK_LINES, lambda m: is_conversation_line(m, ROSTER)
        )
    return MODEL.probabilities(recent, ROSTER, window.gap)


def pipelines_chances(chat, folder, window):
    """Return the chances by what the pipeline would learn from, at the same place."""
    last, topic = read(chat, folder)
    # A message whose words are all quoted is empty: the bot keeps it, an export's reader does not.
    if last.message_id != chat.bodies[-1]["message_id"] or not is_conversation_line(last, ROSTER):
        return {}
    sessions = make_sessions(topic, SessionRules(ROSTER, window))
    conversed = [one for s in sessions for one in split_conversations(s.lines, ROSTER, window.gap)]
    return {person.name: MODEL.probability(conversed[-1], person.name) for person in ROSTER.voices}


@settings(max_examples=40, deadline=None)
@given(
    said=chats.filter(lambda said: said and said[-1].author != BOT and said[-1].medium != "dice"),
    window=windows | st.just(Window()),
    kind=st.sampled_from(["private_supergroup", "private_group"]),
    page=st.sampled_from([2, 64]),
)
def test_the_bots_chances_are_the_pipelines(empty_database, said, window, kind, page):
    chat = Chat(said, kind)

    with TemporaryDirectory() as folder, page_of(page):
        database = shutil.copy(empty_database, Path(folder) / "bot.db")
        live = asyncio.run(bots_chances(chat, database, window))
        offline = pipelines_chances(chat, Path(folder), window)

    assert live == offline
