"""How fast the bot is beside its model, measured by `make soak`."""

import statistics
import time

import pytest

from bot.store.messages import Place
from tests.bot.conftest import until

COMMANDS = 100
UPDATES = 2000

pytestmark = pytest.mark.soak


async def test_the_time_from_a_command_to_its_answer_without_the_model(stage, zoe, capsys):
    groups = [stage.telegram.chat(-1001234 - n, title="Friends") for n in range(10)]
    allowed = frozenset({-1001234})
    took, busy = [], time.process_time()
    async with stage.running() as app:
        house = app.bot_data["house"]
        for chat in groups:
            group = house.group(chat.id)
            await house.change(type(group)(chat.id, authorised=True, allowed=allowed))
        for number in range(COMMANDS):
            began = time.perf_counter()
            await stage.answer(groups[number % len(groups)], zoe, "/as João")
            took.append(1000 * (time.perf_counter() - began))

    median, late = statistics.median(took), statistics.quantiles(took, n=20)[-1]
    busy = 1000 * (time.process_time() - busy) / COMMANDS
    with capsys.disabled():
        print(  # noqa: T201  a measurement
            f"\n{COMMANDS} commands: p50 {median:.1f} ms, p95 {late:.1f} ms; "
            f"{busy:.1f} ms of the processor each, the loopback Telegram's included"
        )
    assert median < 1000


async def test_how_many_updates_are_stored_in_a_second(stage, group, zoe, capsys):
    async with stage.running() as app:
        began, busy = time.perf_counter(), time.process_time()
        for number in range(UPDATES):
            await stage.telegram.say(group, zoe, f"message {number}")

        async def all_handled():
            pending = stage.telegram.updates.pending
            return not pending and (await app.inbox.queue()).waiting == 0

        await until(all_handled, 300)
        took = time.perf_counter() - began
        busy = 1000 * (time.process_time() - busy) / UPDATES
        store = app.bot_data["house"].shelves.messages
        kept = await store.earlier(Place(group.id), UPDATES, lambda _: True)

    with capsys.disabled():
        print(  # noqa: T201  a measurement
            f"\n{UPDATES} updates: {UPDATES / took:.0f} a second; {busy:.1f} ms of the processor "
            "each, the loopback Telegram's included"
        )
    assert [message.text for message in kept] == [f"message {n}" for n in range(UPDATES)]
