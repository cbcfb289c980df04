"""One bot in several chats and topics: whatever happens, no prompt and no reply crosses over.

Each thing said bears a tag of the place it is said in, and the fake model says again which tags it
read: a tag in another place than its own is a leak.
"""

import random
import re
from collections import Counter
from dataclasses import replace

import pytest

from bot.playground.telegram import add_bot
from bot.texts import EN
from bot.transport import polling
from bot.transport.outgoing import Limiter
from model.artifacts.artifact import LearnedChat

FRIENDS, ALLOWED, SILENT, OWN = -1001234, -1002222, -1003333, -1004444
STEPS = 24


def tag(key, number):
    return f"<<{key}:{number}>>"


def tags(text):
    """Return the places whose tags a text bears."""
    return set(re.findall(r"<<([^:>]+):\d+>>", text))


class Town:
    """The chats of one bot, and people who do all they can think of in them."""

    def __init__(self, stage, people, seed):
        self.stage, self.people, self.random = stage, people, random.Random(seed)
        telegram = stage.telegram
        chats = {
            "friends": telegram.chat(FRIENDS, title="Friends", is_forum=True),
            "allowed": telegram.chat(ALLOWED, title="Others", is_forum=True),
            "silent": telegram.chat(SILENT, title="Strangers"),
            "own": telegram.chat(OWN, title="Climbers"),
            "private": telegram.private(people[0]),
        }
        self.places = {name: (chat, None) for name, chat in chats.items()}
        for name in ("friends", "allowed"):
            for topic in ("trips", "food"):
                thread = telegram.topic(chats[name], topic)
                self.places[f"{name}-{topic}"] = (chats[name], thread)
        self.said = {key: [] for key in self.places}
        self.number = 0
        stage.speaker.reply = self.echo
        self.contexts = []

    def echo(self, context, voice, begins="", should_stop=None):
        """Stand in for the model: say again what was read last."""
        self.contexts.append(context)
        return (f"I read {' '.join(context[-3:])}"[:300],)

    async def settle(self, admin):
        for name in ("friends", "allowed", "silent", "own"):
            await self.stage.enter(self.places[name][0], admin)
        await self.stage.answer(self.places["allowed"][0], admin, "/allow")

    async def step(self):
        """Let somebody do something somewhere."""
        key = self.random.choice(list(self.places))
        self.number += 1
        acts = (
            self.say,
            self.say,
            self.forward,
            self.edit,
            self.ask,
            self.ask,
            self.go_on,
            self.play,
        )
        user = self.people[0] if key == "private" else self.random.choice(self.people)
        await self.random.choice(acts)(key, user, tag(key, self.number))

    async def put(self, key, user, text, **more):
        chat, thread = self.places[key]
        message = await self.stage.telegram.say(chat, user, text, thread=thread, **more)
        self.said[key].append(message)
        return message

    async def say(self, key, user, mine):
        await self.put(key, user, f"talk {mine}")

    async def forward(self, key, user, mine):
        """Carry over what was said elsewhere, as only a person may."""
        others = [m for other in self.said if other != key for m in self.said[other]]
        if others:
            text = self.random.choice(others)["text"]
            origin = {"type": "user", "date": 1, "sender_user": user.json()}
            await self.put(key, user, text, forward_origin=origin)

    async def edit(self, key, user, mine):
        own = [m for m in self.said[key] if m["text"].startswith("talk")]
        if own:
            await self.stage.telegram.edit(self.random.choice(own), f"talk, changed {mine}")

    async def ask(self, key, user, mine):
        return await self._answered(key, f"/as João {mine}", user)

    async def play(self, key, user, mine):
        if not key.startswith("silent"):
            await self._answered(key, "/simulate 1", user)

    async def go_on(self, key, user, mine):
        """Reply to what the bot said there, and press a button there."""
        answer = await self.ask(key, user, mine)
        if not key.startswith("silent"):
            await self._answered(key, f"go on {mine}", user, reply_to=answer)
            question = await self._answered(key, "/as", user)
            await self.stage.press(question, user, "as:12")

    async def _answered(self, key, text, user, **more):
        chat, thread = self.places[key]
        return await self.stage.answer(chat, user, text, thread=thread, **more)

    def sent(self):
        """Yield each place and a text that the bot sent there."""
        for call in self.stage.telegram.sent("sendMessage"):
            at = call.params["chat_id"], call.params.get("message_thread_id")
            [key] = [k for k, (chat, thread) in self.places.items() if (chat.id, thread) == at]
            yield key, call.params["text"]


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    """Let more be said in a minute than Telegram takes from a bot in one group."""
    monkeypatch.setattr(polling, "Limiter", lambda _: Limiter(group_max_rate=0))


@pytest.fixture
def town(stage, joao, hugo, zoe):
    return lambda seed: Town(stage, [joao, hugo, zoe], seed)


@pytest.mark.parametrize("seed", range(3))
async def test_no_place_ever_hears_of_another(stage, joao, town, seed):
    here = town(seed)
    climbers = replace(stage.card, chats=(LearnedChat(OWN, "Climbers"),))
    async with stage.running(own=[climbers], admins="13"):
        await here.settle(joao)
        for _ in range(STEPS):
            await here.step()
        await stage.answer(here.places["private"][0], joao, "/help")  # the last reply has ended
        since = len(stage.telegram.calls)
        for key in here.places:  # at once, so that the replies overlap
            await here.put(key, joao, f"/as João {tag(key, 0)}")
        for chat, thread in here.places.values():
            at = {"chat_id": chat.id, "message_thread_id": thread}
            await stage.telegram.wait_for("sendMessage", since=since, timeout=20, **at)

    mixed = [context for context in here.contexts if len(tags(" ".join(context))) > 1]
    leaks = [(key, text) for key, text in here.sent() if tags(text) - {key}]
    heard = Counter(key for context in here.contexts for key in tags(" ".join(context)))
    assert not mixed
    assert not leaks
    assert set(heard) == set(here.places) - {"silent"}


async def test_the_second_of_two_groups_hears_nothing(stage, group, joao, zoe):
    second = stage.telegram.chat(SILENT, title="Strangers")
    async with stage.running(admins="13"):
        await add_bot(stage.telegram, group, joao)
        await add_bot(stage.telegram, second, joao)
        await stage.telegram.wait_for("sendMessage", chat_id=SILENT)
        voiced = await stage.answer(group, joao, "/as João")
        question = await stage.answer(group, joao, "/as")
        since = len(stage.telegram.calls)
        for text in sorted(
            f"/{name}" for name in EN.command_names - {"privacy", "optin", "optout", "forget"}
        ):
            await stage.telegram.say(second, zoe, text)
        carried = voiced | {"chat": second.json(), "message_id": 800}
        await stage.telegram.say(second, zoe, "go on", reply_to=carried)
        moved = question | {"chat": second.json(), "message_id": 801}
        stage.telegram.world.messages[SILENT, 801] = moved
        await stage.telegram.press(moved, zoe, "as:13")
        await stage.telegram.say(group, joao, "/help")
        await stage.telegram.wait_for("sendMessage", since=since, chat_id=group.id)

    calls = [c for c in stage.telegram.calls[since:] if c.params.get("chat_id") == SILENT]
    told = [call.params.get("text") for call in calls]
    assert {call.method for call in calls} == {"sendMessage"}
    assert set(told) <= {EN.silent_here, EN.admins_only}
    assert len(stage.speaker.asked) == 1
