"""A simulated Telegram with a group in it, and python-telegram-bot's Bot that talks to it."""

import pytest
from telegram import Bot

from bot.playground.request import LocalRequest
from tests.simulated_telegram import FaultyTelegram


@pytest.fixture
def telegram():
    return FaultyTelegram()


@pytest.fixture
def connect(telegram, telegram_url):
    """Make a Bot of python-telegram-bot at the simulated Telegram."""

    def connect(url=telegram_url, token=telegram.token):
        if url:
            return Bot(token, base_url=f"{url}/bot", base_file_url=f"{url}/file/bot")
        request = LocalRequest(telegram)
        return Bot(token, request=request, get_updates_request=request)

    return connect


@pytest.fixture
async def bot(connect):
    async with connect() as bot:
        yield bot


@pytest.fixture
async def other_bot(connect):
    """The same bot a second time, as where somebody forgot one that runs."""
    async with connect() as bot:
        yield bot


@pytest.fixture
def friends(telegram):
    return telegram.chat(-1001234, title="Friends")


@pytest.fixture
def hugo(telegram):
    return telegram.user(7, "Hugo", last_name="Silva", username="hugo")


@pytest.fixture
def private(telegram, hugo):
    return telegram.private(hugo)
