"""What the check says of a webhook: its settings, and what Telegram says of it."""

import pytest
from telegram import WebhookInfo

from bot.checks.telegram import check_delivery, check_webhook
from bot.settings import Settings

pytestmark = pytest.mark.over_http

URL = "https://bot.example.org/hook"


def settings(**changes):
    return Settings(_env_file=None, **{"webhook_url": URL, "webhook_secret": "s3cret", **changes})


def info(url=URL, waiting=0, error=None):
    return WebhookInfo(url, has_custom_certificate=False, pending_update_count=waiting,
                       last_error_message=error)  # fmt: skip


def said(findings):
    return [f"{finding.severity.value} {finding.topic} {finding.text}" for finding in findings]


def test_a_bot_that_polls_has_no_webhook_to_look_at():
    assert check_webhook(settings(webhook_url=None, webhook_secret=None)) == []


def test_a_webhook_that_is_well():
    assert said(check_webhook(settings())) == [f"ok WEBHOOK_URL {URL}"]


def test_telegram_posts_to_https_alone():
    [found] = said(check_webhook(settings(webhook_url="http://bot.example.org")))

    assert found.startswith("FIX WEBHOOK_URL http://bot.example.org is not https")
    assert found.endswith("put a proxy with TLS in front of WEBHOOK_LISTEN (127.0.0.1:8443)")


def test_a_bot_api_server_of_ones_own_may_post_to_http():
    own = {"webhook_url": "http://127.0.0.1:8443", "telegram_api_url": "http://127.0.0.1:8081"}

    [found] = said(check_webhook(settings(**own)))

    assert found.startswith("note WEBHOOK_URL http://127.0.0.1:8443 is not https")
    assert found.endswith("; your own Bot API server accepts it with --local")


@pytest.mark.parametrize(
    ("port", "severity"), [("", "ok"), (":443", "ok"), (":8443", "ok"), (":8080", "FIX")]
)
def test_telegram_posts_to_four_ports(port, severity):
    [found] = said(check_webhook(settings(webhook_url=f"https://bot.example.org{port}/hook")))

    assert found.startswith(f"{severity} WEBHOOK_URL")


def test_an_unset_secret_is_made_by_run():
    [_, found] = said(check_webhook(settings(webhook_secret=None)))

    assert found.startswith("ok WEBHOOK_SECRET not set: `understudy-bot run` generates a new one")


def test_several_processes_need_a_secret():
    shared = {"webhook_secret": None, "database_url": "postgresql:///understudy"}

    [_, found] = said(check_webhook(settings(**shared)))

    assert found.startswith("FIX WEBHOOK_SECRET not set, but required with a PostgreSQL database")


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (
            info(url=""),
            "ok webhook not set yet; `understudy-bot run` sets it; no updates are waiting",
        ),
        (info(url="https://old.example.org"), "note webhook still https://old.example.org; `under"),
        (info(), f"ok webhook Telegram posts to {URL}; no updates are waiting"),
        (info(error="Timed out"), "note webhook it works; the last error was: Timed out"),
        (info(waiting=1, error="SSL error"), "FIX webhook Telegram could not deliver (SSL error"),
    ],
    ids=["not yet", "another one", "well", "an old error", "an error"],
)
def test_what_telegram_says_of_it(told, words):
    [found] = said([check_delivery(settings(), told)])

    assert found.startswith(words)


async def test_telegram_is_asked_about_it(desk, stage, group, joao):
    await stage.telegram.updates.set_webhook({"url": "http://127.0.0.1:9/hook"})
    await stage.telegram.say(group, joao, "hello")
    stage.telegram.updates.last_error = "Connection refused"

    found = await desk.says("webhook", webhook_url="http://127.0.0.1:9/hook")

    assert found.startswith("FIX Telegram could not deliver (")
    assert "1 update is waiting" in found
