"""Ten minutes without a network, the waits shortened: nothing that is said is lost or doubled."""

import asyncio
from urllib.parse import urlsplit

import pytest

from bot.playground.telegram import Telegram
from bot.services import delivery
from model.chat.eligibility import parse_voice_header
from tests.bot.conftest import FRIENDS, FakeSpeaker, Stage
from tests.telegram_server import serve

MINUTES = 10 * 60
HASTE = 1000  # so much shorter are the waits


@pytest.fixture
def _hasty(monkeypatch):
    for name in ("FIRST_WAIT", "MAX_WAIT", "RETRY_SECONDS"):
        monkeypatch.setattr(delivery, name, getattr(delivery, name) / HASTE)


class Network:
    """A Telegram whose network can be cut, and comes back at the same address."""

    def __init__(self):
        self.telegram = Telegram(can_read_all=True)
        self._server, self.url = None, None

    async def join(self):
        port = urlsplit(self.url).port if self.url else 0
        self._server = serve(self.telegram, port)
        self.url = await self._server.__aenter__()

    async def cut(self):
        await self._server.__aexit__(None, None, None)


@pytest.fixture
async def network():
    network = Network()
    await network.join()
    yield network
    await network.cut()


@pytest.fixture
def afar(network, tmp_path, card):
    return Stage(network.telegram, network.url, FakeSpeaker(), tmp_path, card)


@pytest.mark.usefixtures("_hasty")
async def test_a_reply_made_in_an_outage_arrives_once_after_it(network, afar):
    group = afar.telegram.chat(FRIENDS, title="Friends")
    zoe = afar.telegram.user(99, "Zoe")
    async with afar.running():
        afar.speaker.open.clear()
        await afar.telegram.say(group, zoe, "/as João")
        await afar.telegram.wait_for("sendChatAction")
        await network.cut()
        afar.speaker.open.set()

        await asyncio.sleep(MINUTES / HASTE)
        before = afar.said()
        await network.join()
        await afar.telegram.wait_for("sendMessage", timeout=5)
        await asyncio.sleep(0.2)

    assert before == []
    assert [parse_voice_header(text)[0] for text in afar.said()] == ["João"]


async def test_a_stop_in_an_outage_is_quick_and_the_reply_comes_with_the_next_start(network, afar):
    group = afar.telegram.chat(FRIENDS, title="Friends")
    zoe = afar.telegram.user(99, "Zoe")
    loop = asyncio.get_running_loop()
    async with afar.running():
        afar.speaker.open.clear()
        await afar.telegram.say(group, zoe, "/as João")
        await afar.telegram.wait_for("sendChatAction")
        await network.cut()
        afar.speaker.open.set()
        await asyncio.sleep(0.5)
        began = loop.time()
    took = loop.time() - began

    await network.join()
    async with afar.running():
        sent = await afar.telegram.wait_for("sendMessage")

    assert took < 5
    assert parse_voice_header(sent.params["text"])[0] == "João"
