"""One member fills a group with hostile messages: no other chat may notice."""

import asyncio
import statistics
import threading
import time

import pytest

from model import occasions
from tests.bot.conftest import FRIENDS

LONGEST = 4096
PATTERNS = (
    "+123456789 ",
    "1.2.",
    "a@b.",
    "12/34/56 ",
    "https://a?",
    "(+1) 2-3 ",
    "Hugo ",
    "[ ",
    "0x0x",
    "key=a ",
    "straße 1 ",
    "e\u0301",
)
HOSTILE = [(pattern * LONGEST)[:LONGEST] for pattern in PATTERNS]


@pytest.fixture
def readers(monkeypatch):
    """Return the threads in which messages are read for a prompt."""
    threads = []

    def spied(line_of):
        def spy(message, roster):
            threads.append(threading.current_thread())
            return line_of(message, roster)

        return spy

    for module in ("bot.replies", "bot.handlers.guessing", "model.occasions"):
        monkeypatch.setattr(f"{module}.line_of", spied(occasions.line_of))
    return threads


async def test_what_people_wrote_is_never_read_on_the_event_loop(live, group, hugo, joao, readers):
    for number in range(12):
        await live.telegram.say(group, joao, f"call +12345678{number} at 12/34/56")
    await live.telegram.say(group, joao, "I bring the wine and nothing else")
    await live.answer(group, hugo, "/as Hugo Sá")
    read_for_a_reply = len(readers)
    since = len(live.telegram.calls)
    await live.telegram.say(group, hugo, "/guess")
    await live.telegram.wait_for("sendPoll", since=since)

    assert read_for_a_reply == 11  # the command and as many as the prompt holds
    assert len(readers) > read_for_a_reply
    assert threading.current_thread() not in readers


ROUNDS = 20
"""Three of four are answered: Telegram lets a bot send 20 messages a minute to a group."""
DOING = ("/as João", "/help", "/voices", "hello")


async def ordinary(stage, chats, user):
    """Let four chats do ordinary things, and return how long each answer took, in ms."""
    took = []

    async def one(chat):
        for number in range(ROUNDS):
            began = time.perf_counter()
            words = DOING[number % len(DOING)]
            await stage.telegram.say(chat, user, words)
            if words.startswith("/"):
                await stage.telegram.wait_for(
                    "sendMessage", since=len(stage.telegram.calls), chat_id=chat.id, timeout=300
                )
                took.append(1000 * (time.perf_counter() - began))
            await asyncio.sleep(0.05)

    await asyncio.gather(*map(one, chats))
    return took


async def latency(ended):
    """Return by how much the event loop was late at worst, in ms."""
    worst = 0.0
    while not ended.is_set():
        began = time.perf_counter()
        await asyncio.sleep(0.01)
        worst = max(worst, 1000 * (time.perf_counter() - began - 0.01))
    return worst


def figures(took, late):
    p95 = statistics.quantiles(took, n=20)[-1]
    return (
        f"p50 {statistics.median(took):.0f}, p95 {p95:.0f}, worst {max(took):.0f} ms; "
        f"the event loop was at most {late:.0f} ms late"
    )


@pytest.mark.soak
async def test_how_long_a_hostile_group_delays_others(stage, group, hugo, zoe, capsys):
    chats = [stage.telegram.chat(FRIENDS - 1 - n, title="Others") for n in range(12)]
    async with stage.running() as app:
        house = app.bot_data["house"]
        for chat in chats:
            known = house.group(chat.id)
            await house.change(type(known)(chat.id, authorised=True, allowed=frozenset({FRIENDS})))

        async def measured(chats):
            ended = asyncio.Event()
            probe = asyncio.create_task(latency(ended))
            took = await ordinary(stage, chats, zoe)
            ended.set()
            return took, await probe

        async def attack():
            while True:
                for text in HOSTILE * 3:
                    await stage.telegram.say(group, hugo, text)
                    await asyncio.sleep(0.02)
                for command in ("/as Hugo Sá", "/guess", f"/simulate {HOSTILE[6]}"[:LONGEST]):
                    await stage.telegram.say(group, hugo, command)

        await measured(chats[:4])  # what is slow only once
        alone = await measured(chats[4:8])
        for text in HOSTILE * 3:
            await stage.telegram.say(group, hugo, text)
        attacking = asyncio.create_task(attack())
        attacked = await measured(chats[8:])
        attacking.cancel()

    with capsys.disabled():
        print(f"\nfour chats alone: {figures(*alone)}")  # noqa: T201  a measurement
        print(f"beside a hostile group: {figures(*attacked)}")  # noqa: T201  a measurement
    assert statistics.median(attacked[0]) < statistics.median(alone[0]) + 1000
