"""One member fills a group with hostile messages; other chats must not be affected."""

import asyncio
import threading
from itertools import cycle

import pytest

from model import joining
from tests.bot.conftest import until
from tests.bot.response_times import figures, measured, other_chats

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

    for module in ("bot.services.replies", "bot.handlers.guess", "model.joining"):
        monkeypatch.setattr(f"{module}.make_line", spied(joining.make_line))
    return threads


async def test_messages_are_never_parsed_on_the_event_loop(live, group, hugo, joao, readers):
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


@pytest.mark.soak
async def test_a_hostile_group_delays_others_little(tuned, stage, group, hugo, zoe, capsys):
    async with stage.running() as app:
        chats = await other_chats(stage, app, 12)

        async def attack():
            commands = ("/as Hugo Sá", "/guess", f"/simulate {HOSTILE[6]}"[:LONGEST], "/as anyone")
            for number, text in enumerate(cycle(HOSTILE)):
                await stage.telegram.say(group, hugo, f"{number}{text}"[:LONGEST])
                await stage.telegram.say(group, hugo, commands[number % len(commands)])
                await asyncio.sleep(0.3)

        await measured(stage, chats[:4], zoe)  # warm-up
        alone = await measured(stage, chats[4:8], zoe)
        for number, text in enumerate(HOSTILE * 3):
            await stage.telegram.say(group, hugo, f"{number}{text}"[:LONGEST])

        async def all_handled():
            return not (await app.inbox.count_open()).waiting

        await until(all_handled, 60)
        attacking = asyncio.create_task(attack())
        attacked = await measured(stage, chats[8:], zoe)
        attacking.cancel()

    with capsys.disabled():
        print(f"\nfour chats alone: {figures(*alone)}")  # noqa: T201  a measurement
        print(f"beside a hostile group: {figures(*attacked)}")  # noqa: T201  a measurement
    assert attacked[1].busy < alone[1].busy + 100
