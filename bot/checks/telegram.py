"""Check the token, the chats and the webhook, by asking Telegram."""

from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from telegram import Bot, WebhookInfo
from telegram.error import (
    BadRequest,
    ChatMigrated,
    Conflict,
    Forbidden,
    InvalidToken,
    NetworkError,
    TelegramError,
)
from telegram.request import HTTPXRequest

from bot.errors import SettingsError
from bot.services.access import is_admin as has_admin_rights
from bot.settings import Settings
from bot.store.database import is_postgres
from bot.texts import EN
from model.artifacts.artifact import Card, LearnedChat
from model.chat.names import make_printable, make_printable_name
from model.findings import Finding, fix, note, ok

NO_ADMINS = "none yet: send /start to the bot in private; it answers with the line to add to .env"
TELEGRAM = Settings.model_fields["telegram_api_url"].default
PORTS = (443, 80, 88, 8443)  # core.telegram.org/bots/api#setwebhook
MAX_CLOCK_DIFFERENCE = timedelta(minutes=1)


def check_webhook(settings: Settings) -> list[Finding]:
    """Check the webhook settings without asking Telegram; return nothing if the bot polls."""
    if settings.webhook_url is None:
        return []
    found = [_check_address(settings, settings.webhook_url)]
    if settings.webhook_secret is None and is_postgres(settings.database_url):
        found.append(fix("WEBHOOK_SECRET", "not set, but required with a PostgreSQL database"))
    elif settings.webhook_secret is None:
        text = "not set: `understudy-bot run` generates a new one at each start, for Telegram only"
        found.append(ok("WEBHOOK_SECRET", text))
    return found


def check_delivery(settings: Settings, info: WebhookInfo) -> Finding:
    """Check whether Telegram reaches the webhook."""
    waiting = _count_waiting(info)
    if not info.url:
        return ok("webhook", f"not set yet; `understudy-bot run` sets it; {waiting}")
    if info.url.rstrip("/") != (settings.webhook_url or "").rstrip("/"):
        return note(
            "webhook", f"still {info.url}; `understudy-bot run` sets WEBHOOK_URL; {waiting}"
        )
    if info.last_error_message and info.pending_update_count:
        return fix(
            "webhook",
            f"Telegram could not deliver ({info.last_error_message}); {waiting}: start the bot and "
            f"check that {info.url} leads to {settings.webhook_listen}, with a valid certificate",
        )
    if info.last_error_message:
        return note("webhook", f"it works; the last error was: {info.last_error_message}")
    return ok("webhook", f"Telegram posts to {info.url}; {waiting}")


async def check_telegram(
    settings: Settings, cards: Iterable[Card], poll_seconds: int
) -> list[Finding]:
    """Run the checks that ask Telegram; if it does not answer, only list the admins."""
    ahead: list[timedelta] = []
    try:
        async with _bot(settings, ahead) as bot:
            return [
                ok("token", f"belongs to @{bot.username}"),
                *map(check_clock, ahead[:1]),
                await _check_updates(settings, bot, poll_seconds),
                *await _check_groups(bot, cards),
                await _check_admins(bot, settings.admins),
            ]
    except SettingsError as error:
        failure = fix("token", str(error))
    except TelegramError as error:
        failure = _explain_refusal(settings, error)
    return [failure, _list_admins(settings.admins)]


def check_clock(ahead: timedelta) -> Finding:
    """Compare this machine's clock with Telegram's: the bot measures pauses in the chat with it."""
    if abs(ahead) <= MAX_CLOCK_DIFFERENCE:
        return ok("clock", "the same as Telegram's")
    minutes = abs(ahead) / timedelta(minutes=1)
    side = "ahead of" if ahead > timedelta() else "behind"
    return fix(
        "clock",
        f"{minutes:,.0f} min {side} Telegram's, so the bot splits conversations in the wrong "
        "places: let the system set it (`timedatectl set-ntp true`)",
    )


async def _check_groups(bot: Bot, cards: Iterable[Card]) -> list[Finding]:
    """Check privacy mode, and the chats that the models were trained on."""
    chats = {chat.chat_id: chat for card in cards if not card.public for chat in card.chats}
    found = [await _check_group(bot, chat) for chat in chats.values()]
    is_admin = bool(found) and all(is_admin for _, is_admin in found)
    return [_check_privacy_mode(bot, is_admin=is_admin), *(finding for finding, _ in found)]


async def _check_admins(bot: Bot, ids: Iterable[int]) -> Finding:
    """Check that the bot can write to each admin: a bot cannot start a private chat."""
    unreachable = [user_id for user_id in sorted(ids) if not await _can_write_to(bot, user_id)]
    if not unreachable:
        return _list_admins(ids)
    return fix(
        "ADMINS",
        f"the bot cannot write to {_listed(unreachable)}: each admin must send /start to "
        f"@{bot.username} in private once; or the id is wrong",
    )


def _list_admins(ids: Iterable[int]) -> Finding:
    """List the admins, without asking Telegram."""
    listed = _listed(sorted(ids))
    return ok("ADMINS", listed) if listed else fix("ADMINS", NO_ADMINS)


async def _can_write_to(bot: Bot, user_id: int) -> bool:
    try:
        await bot.get_chat(user_id)
    except (BadRequest, Forbidden):
        return False
    return True


async def _check_group(bot: Bot, chat: LearnedChat) -> tuple[Finding, bool]:
    """Check that the bot is in a chat; return whether it is an admin there."""
    name = f"{make_printable_name(chat.title)} ({chat.chat_id})"
    try:
        await bot.get_chat(chat.chat_id)
        me = await bot.get_chat_member(chat.chat_id, bot.id)
    except ChatMigrated as error:
        text = (
            f"{name} became the supergroup {error.new_chat_id}, on which the model was not "
            "trained: export it again and run `understudy retrain`"
        )
    except Forbidden as error:
        reason = make_printable(error.message)
        text = f"the bot is no longer in {name} ({reason}): add @{bot.username} again"
    except BadRequest as error:
        reason = make_printable(error.message)
        text = f"the bot does not know {name} ({reason}): add @{bot.username} to that group"
    else:
        is_admin = has_admin_rights(me)
        return ok("group", f"{name}, as {'an admin' if is_admin else 'a member'}"), is_admin
    return fix("group", text), False


def _check_privacy_mode(bot: Bot, *, is_admin: bool) -> Finding:
    """Check privacy mode, which does not matter to a bot that is an admin."""
    if bot.bot.can_read_all_group_messages:
        return ok("privacy mode", "off; the bot receives all messages")
    if is_admin:
        return ok("privacy mode", "on, but as an admin the bot receives all messages")
    return note("privacy mode", EN.privacy_mode_on)


def _listed(ids: Iterable[int]) -> str:
    return ", ".join(map(str, ids))


def _report_other_webhook(info: WebhookInfo) -> Finding:
    """Report a webhook although the bot polls: only a person knows whose it is."""
    error = f"; last error: {info.last_error_message}" if info.last_error_message else ""
    return note(
        "polling",
        f"a webhook is set to {info.url} ({_count_waiting(info)}{error}); `understudy-bot run` "
        "removes it. If another machine runs this bot there, stop that one, or add its "
        "WEBHOOK_URL to .env here",
    )


def _count_waiting(info: WebhookInfo) -> str:
    """Say how many updates wait for the bot."""
    count = info.pending_update_count
    return "1 update is waiting" if count == 1 else f"{count or 'no'} updates are waiting"


def _check_address(settings: Settings, url: str) -> Finding:
    parts = urlsplit(url)
    own_server = settings.telegram_api_url != TELEGRAM
    if parts.scheme != "https":
        text = (
            f"{url} is not https, which Telegram requires: put a proxy with TLS in front of "
            f"WEBHOOK_LISTEN ({settings.webhook_listen})"
        )
        if own_server:
            more = "your own Bot API server accepts it with --local"
            return note("WEBHOOK_URL", f"{text}; {more}")
        return fix("WEBHOOK_URL", text)
    if (parts.port or PORTS[0]) not in PORTS and not own_server:
        ports = ", ".join(map(str, PORTS))
        return fix(
            "WEBHOOK_URL", f"Telegram does not post to port {parts.port}: use one of {ports}"
        )
    return ok("WEBHOOK_URL", url)


def _explain_refusal(settings: Settings, error: TelegramError) -> Finding:
    """Explain an error of Telegram, without the token, which some errors contain."""
    url = settings.telegram_api_url
    if isinstance(error, InvalidToken):
        text = (
            "Telegram does not know this BOT_TOKEN; it is mistyped or was revoked: copy it again "
            "from @BotFather (/mybots, API Token) into .env"
        )
        own = "" if url == TELEGRAM else f"; or {url} is not a Bot API server"
        return fix("token", f"{text}{own}")
    reason = error.message.replace(settings.token, "[token]")
    if isinstance(error, BadRequest) or not isinstance(error, NetworkError):
        advice = "check that it is a Bot API server, and the one that the bot was last moved to"
        return fix("TELEGRAM_API_URL", f"{url} refused the request ({reason}): {advice}")
    advice = "check the network, a proxy or firewall, and the address"
    return fix("TELEGRAM_API_URL", f"{url} cannot be reached ({reason}): {advice}")


def _bot(settings: Settings, ahead: list[timedelta]) -> Bot:
    """Return a client that appends to `ahead` how far our clock is ahead of the server's.

    Raises:
        SettingsError: There is no token.
    """

    async def compare(response: Any) -> None:  # noqa: ANN401  httpx, which python-telegram-bot has
        with suppress(ValueError):  # no date, or an invalid one
            date = parsedate_to_datetime(response.headers.get("date", ""))
            ahead.append(datetime.now(UTC) - date.astimezone(UTC))

    hooks = {"event_hooks": {"response": [compare]}}
    return Bot(
        settings.token,
        base_url=f"{settings.telegram_api_url}/bot",
        request=HTTPXRequest(httpx_kwargs=hooks),
    )


async def _check_updates(settings: Settings, bot: Bot, poll_seconds: int) -> Finding:
    """Check how updates arrive: by webhook, by polling, or at another process."""
    info = await bot.get_webhook_info()
    if settings.webhook_url:
        return check_delivery(settings, info)
    if info.url:
        return _report_other_webhook(info)
    if info.pending_update_count:  # another poller would have taken them
        return ok("polling", f"no other process is polling; {_count_waiting(info)}")
    try:
        await bot.get_updates(timeout=poll_seconds)  # without an offset: none is taken
    except Conflict:
        return note(
            "polling",
            "another process is polling with this token. If it is not your own running bot, stop "
            "it, or get a new token from @BotFather (/revoke): each process receives only some "
            "updates",
        )
    return ok("polling", "no other process is polling")
