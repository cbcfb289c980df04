"""The debug log holds no token and no text of people."""

import io
import logging

import pytest

from bot import logs
from bot.transport.webhook import LARGEST_BODY
from tests.bot.transport.test_webhook import hook, knock, port, update  # noqa: F401  fixtures

SECRETS = ("the cake is a lie", "what the model said")


@pytest.fixture
def log(stage):
    """Return a function that returns the whole log, as JSON and as text."""
    root = logging.getLogger()
    saved, level = root.handlers[:], root.level
    streams = []
    logs.set_up_logging("DEBUG", "json", stage.telegram.token)
    for formatter in (logs.JsonFormatter, logs.RedactingFormatter):
        streams.append(io.StringIO())
        handler = logging.StreamHandler(streams[-1])
        handler.setFormatter(formatter(stage.telegram.token))
        handler.addFilter(logs.hide_updates)
        root.addHandler(handler)
    yield lambda: "".join(stream.getvalue() for stream in streams)
    root.handlers[:] = saved
    root.setLevel(level)


def holds_nothing(text, stage):
    return not any(secret in text for secret in (*SECRETS, stage.telegram.token))


async def test_polling_an_update_that_cannot_be_read(stage, group, zoe, log):
    stage.speaker.replies.append((SECRETS[1],))
    async with stage.running():
        await stage.telegram.say(group, zoe, SECRETS[0], date="soon")
        stage.telegram.fail_next("sendMessage", 502, "Bad Gateway")
        await stage.telegram.say(group, zoe, f"/as João {SECRETS[0]}")
        await stage.telegram.wait_for("sendMessage", refused=True)
        stage.speaker.replies.append(RuntimeError(SECRETS[0]))
        await stage.answer(group, zoe, f"/as João {SECRETS[0]}")

    assert "cannot be read (TypeError): set aside" in log()
    assert "RuntimeError" in log()
    assert holds_nothing(log(), stage)


@pytest.mark.over_http
async def test_a_webhook_receives_an_update_that_cannot_be_read(stage, hook, knock, group, log):  # noqa: F811
    async with hook():
        await knock(update(7, text=SECRETS[0], date="soon"))
        await knock(f'{{"no": "{SECRETS[0]}"')
        await knock(update(8, text=SECRETS[0]), secret=SECRETS[0])
        await knock(SECRETS[0] * (LARGEST_BODY // 10))

    assert "cannot be read" in log()
    assert holds_nothing(log(), stage)
