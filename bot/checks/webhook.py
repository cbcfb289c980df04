"""Looks at the settings of a webhook, and at what Telegram says of it."""

from urllib.parse import urlsplit

from telegram import WebhookInfo

from bot.checks.finding import Finding, note, ok, wrong
from bot.settings import Settings

TELEGRAM = Settings.model_fields["telegram_api_url"].default
PORTS = (443, 80, 88, 8443)  # core.telegram.org/bots/api#setwebhook


def look(settings: Settings) -> list[Finding]:
    """Look at what can be told without asking Telegram; nothing where the bot polls."""
    if settings.webhook_url is None:
        return []
    found = [_address(settings, settings.webhook_url)]
    if settings.webhook_secret is None:
        says = (
            "not set: `understudy-bot run` makes a new one each time it starts and sends it only "
            "to Telegram"
        )
        found.append(ok("WEBHOOK_SECRET", says))
    return found


def delivery(settings: Settings, info: WebhookInfo) -> Finding:
    """Say whether Telegram reaches the webhook."""
    wait = waiting(info)
    if not info.url:
        return ok("webhook", f"not set yet, `understudy-bot run` sets it; {wait}")
    if info.url.rstrip("/") != (settings.webhook_url or "").rstrip("/"):
        return note("webhook", f"still {info.url}, `understudy-bot run` sets WEBHOOK_URL; {wait}")
    if info.last_error_message and info.pending_update_count:
        return wrong(
            "webhook",
            f"Telegram could not deliver ({info.last_error_message}), {wait}: start the bot, and "
            f"see that {info.url} leads to {settings.webhook_listen} with a valid certificate",
        )
    if info.last_error_message:
        return note("webhook", f"it works; the last error was {info.last_error_message!r}")
    return ok("webhook", f"Telegram posts to {info.url}; {wait}")


def left_over(info: WebhookInfo) -> Finding:
    """Say that there is a webhook though the bot polls: only a person knows whose it is."""
    error = f", last error {info.last_error_message!r}" if info.last_error_message else ""
    return note(
        "polling",
        f"a webhook is set to {info.url} ({waiting(info)}{error}), which `understudy-bot run` "
        "takes away: if another machine serves this bot there, stop that one, or write its "
        "WEBHOOK_URL into .env here",
    )


def waiting(info: WebhookInfo) -> str:
    """Return how many updates wait for the bot."""
    count = info.pending_update_count
    return "1 update waits" if count == 1 else f"{count or 'no'} updates wait"


def _address(settings: Settings, url: str) -> Finding:
    parts = urlsplit(url)
    own_server = settings.telegram_api_url != TELEGRAM
    if parts.scheme != "https":
        says = (
            f"{url} is not https, and Telegram posts to nothing else: put a proxy with TLS before "
            f"WEBHOOK_LISTEN ({settings.webhook_listen})"
        )
        if own_server:
            more = "a Bot API server of your own takes it with --local"
            return note("WEBHOOK_URL", f"{says}; {more}")
        return wrong("WEBHOOK_URL", says)
    if (parts.port or PORTS[0]) not in PORTS and not own_server:
        ports = ", ".join(map(str, PORTS))
        return wrong("WEBHOOK_URL", f"Telegram posts to no port but {ports}, not to {parts.port}")
    return ok("WEBHOOK_URL", url)
