"""Looks at what Telegram says: of the token, the time, other pollers, the chats and the admins."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from telegram import Bot
from telegram.error import BadRequest, Conflict, InvalidToken, NetworkError, TelegramError
from telegram.request import HTTPXRequest

from bot.checks import chats, webhook
from bot.checks.finding import Finding, note, ok, wrong
from bot.errors import SettingsError
from bot.settings import Settings
from model.artifact import Card

MOST_OFF = timedelta(minutes=1)


async def look(settings: Settings, card: Card | None, poll_seconds: int) -> list[Finding]:
    """Ask Telegram; where it does not answer, look at the admins alone."""
    ahead: list[timedelta] = []
    try:
        async with _bot(settings, ahead) as bot:
            return [
                ok("BOT_TOKEN", f"it is @{bot.username}'s"),
                *map(clock, ahead[:1]),
                await _updates(settings, bot, poll_seconds),
                *await chats.groups(bot, card),
                await chats.admins(bot, settings.admins),
            ]
    except SettingsError as error:
        unasked = wrong("BOT_TOKEN", str(error))
    except TelegramError as error:
        unasked = refusal(settings, error)
    return [unasked, chats.admins_unasked(settings.admins)]


def refusal(settings: Settings, error: TelegramError) -> Finding:
    """Say why Telegram cannot be asked, without the token, which some errors have."""
    url = settings.telegram_api_url
    if isinstance(error, InvalidToken):
        says = (
            "Telegram does not know this BOT_TOKEN, it is mistyped or was revoked: copy it again "
            "from @BotFather (/mybots, API Token) into .env"
        )
        own = "" if url == webhook.TELEGRAM else f"; or {url} is no Bot API server"
        return wrong("BOT_TOKEN", f"{says}{own}")
    reason = error.message.replace(settings.token, "[token]")
    if isinstance(error, BadRequest) or not isinstance(error, NetworkError):
        advice = "see that it is a Bot API server, and the one that the bot was last moved to"
        return wrong("TELEGRAM_API_URL", f"{url} refused ({reason}): {advice}")
    advice = "check the network, a proxy or firewall, and the address"
    return wrong("TELEGRAM_API_URL", f"{url} cannot be reached ({reason}): {advice}")


def clock(ahead: timedelta) -> Finding:
    """Compare this machine's clock with Telegram's: the bot tells by it how long nobody spoke."""
    if abs(ahead) <= MOST_OFF:
        return ok("clock", "as Telegram's")
    minutes = abs(ahead) / timedelta(minutes=1)
    way = "ahead of" if ahead > timedelta() else "behind"
    return wrong(
        "clock",
        f"{minutes:,.0f} min {way} Telegram's, so that the bot takes the wrong messages for one "
        "conversation: let the system set it (`timedatectl set-ntp true`)",
    )


def _bot(settings: Settings, ahead: list[timedelta]) -> Bot:
    """Return a client that notes how far our clock is ahead of the server's.

    Raises:
        SettingsError: There is no token.
    """

    async def compare(response: Any) -> None:  # noqa: ANN401  httpx, which python-telegram-bot has
        with suppress(ValueError):  # no date, or none that can be read
            said = parsedate_to_datetime(response.headers.get("date", ""))
            ahead.append(datetime.now(UTC) - said.astimezone(UTC))

    hooks = {"event_hooks": {"response": [compare]}}
    return Bot(
        settings.token,
        base_url=f"{settings.telegram_api_url}/bot",
        request=HTTPXRequest(httpx_kwargs=hooks),
    )


async def _updates(settings: Settings, bot: Bot, poll_seconds: int) -> Finding:
    """Say how updates come: by webhook, by polling, or to somebody else."""
    info = await bot.get_webhook_info()
    if settings.webhook_url:
        return webhook.delivery(settings, info)
    if info.url:
        return webhook.left_over(info)
    if info.pending_update_count:  # whoever polled would have taken them
        return ok("polling", f"nobody else does, {webhook.waiting(info)}")
    try:
        await bot.get_updates(timeout=poll_seconds)  # without an offset: none is taken
    except Conflict:
        return note(
            "polling",
            "another process polls with this token. If that is not your own bot, which is up: stop "
            "it, or have @BotFather make a new token (/revoke); of two that poll each hears half",
        )
    return ok("polling", "nobody else does")
