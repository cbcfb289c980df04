"""Check the token, chats and webhook with Telegram."""

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

from bot.checks.finding import Finding, note, ok, wrong
from bot.errors import SettingsError
from bot.services.access import is_admin as runs
from bot.settings import Settings
from bot.texts import EN
from model.artifacts.artifact import Card, Chat
from model.chat.names import make_printable, make_printable_name

NO_ADMINS = "nobody yet: write /start to the bot in private, it answers with the line for .env"


async def groups(bot: Bot, card: Card | None) -> list[Finding]:
    """Look at privacy mode and at the chats that the model learned from."""
    learned_from = () if card is None or card.public else card.chats
    found = [await _group(bot, chat) for chat in learned_from]
    is_admin = bool(found) and all(is_admin for _, is_admin in found)
    return [_privacy(bot, is_admin=is_admin), *(finding for finding, _ in found)]


async def admins(bot: Bot, ids: Iterable[int]) -> Finding:
    """Look at whether each admin can be written to: a bot may not begin a talk."""
    silent = [user_id for user_id in sorted(ids) if not await _is_known(bot, user_id)]
    if not silent:
        return admins_unasked(ids)
    return wrong(
        "ADMINS",
        f"{_listed(silent)} cannot be told anything: each admin must write /start to "
        f"@{bot.username} in private once; or the id is mistyped",
    )


def admins_unasked(ids: Iterable[int]) -> Finding:
    """Say who the admins are."""
    listed = _listed(sorted(ids))
    return ok("ADMINS", listed) if listed else wrong("ADMINS", NO_ADMINS)


async def _is_known(bot: Bot, user_id: int) -> bool:
    try:
        await bot.get_chat(user_id)
    except (BadRequest, Forbidden):
        return False
    return True


async def _group(bot: Bot, chat: Chat) -> tuple[Finding, bool]:
    """Look at whether the bot is in a chat, and whether as an admin."""
    name = f"{make_printable_name(chat.title)} ({chat.chat_id})"
    try:
        await bot.get_chat(chat.chat_id)
        me = await bot.get_chat_member(chat.chat_id, bot.id)
    except ChatMigrated as error:
        says = (
            f"{name} became the supergroup {error.new_chat_id}, which the model does not know: "
            "export it again, then `understudy build` and `understudy train`"
        )
    except Forbidden as error:
        why = make_printable(error.message)
        says = f"the bot is not in {name} any more ({why}): add @{bot.username} again"
    except BadRequest as error:
        why = make_printable(error.message)
        says = f"{name} is unknown to the bot ({why}): add @{bot.username} to that group"
    else:
        is_admin = runs(me)
        return ok("group", f"{name}, as {'an admin' if is_admin else 'a member'}"), is_admin
    return wrong("group", says), False


def _privacy(bot: Bot, *, is_admin: bool) -> Finding:
    """Look at privacy mode, which is right for a bot that is an admin."""
    if bot.bot.can_read_all_group_messages:
        return ok("privacy mode", "off, the bot hears all that is said")
    if is_admin:
        return ok("privacy mode", "on, and as an admin the bot hears all that is said")
    return note("privacy mode", EN.privacy_mode_on)


def _listed(ids: Iterable[int]) -> str:
    return ", ".join(map(str, ids))


TELEGRAM = Settings.model_fields["telegram_api_url"].default
PORTS = (443, 80, 88, 8443)  # core.telegram.org/bots/api#setwebhook


def check_webhook(settings: Settings) -> list[Finding]:
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


MOST_OFF = timedelta(minutes=1)


async def check_telegram(settings: Settings, card: Card | None, poll_seconds: int) -> list[Finding]:
    """Ask Telegram; where it does not answer, look at the admins alone."""
    ahead: list[timedelta] = []
    try:
        async with _bot(settings, ahead) as bot:
            return [
                ok("BOT_TOKEN", f"it is @{bot.username}'s"),
                *map(clock, ahead[:1]),
                await _updates(settings, bot, poll_seconds),
                *await groups(bot, card),
                await admins(bot, settings.admins),
            ]
    except SettingsError as error:
        unasked = wrong("BOT_TOKEN", str(error))
    except TelegramError as error:
        unasked = refusal(settings, error)
    return [unasked, admins_unasked(settings.admins)]


def refusal(settings: Settings, error: TelegramError) -> Finding:
    """Say why Telegram cannot be asked, without the token, which some errors have."""
    url = settings.telegram_api_url
    if isinstance(error, InvalidToken):
        says = (
            "Telegram does not know this BOT_TOKEN, it is mistyped or was revoked: copy it again "
            "from @BotFather (/mybots, API Token) into .env"
        )
        own = "" if url == TELEGRAM else f"; or {url} is no Bot API server"
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
        return delivery(settings, info)
    if info.url:
        return left_over(info)
    if info.pending_update_count:  # whoever polled would have taken them
        return ok("polling", f"nobody else does, {waiting(info)}")
    try:
        await bot.get_updates(timeout=poll_seconds)  # without an offset: none is taken
    except Conflict:
        return note(
            "polling",
            "another process polls with this token. If that is not your own bot, which is up: stop "
            "it, or have @BotFather make a new token (/revoke); of two that poll each hears half",
        )
    return ok("polling", "nobody else does")
