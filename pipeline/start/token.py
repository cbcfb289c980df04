"""Check a bot's token with Telegram, find its admin, and write `.env`."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import httpx
from dotenv import dotenv_values

from model.chat.names import make_printable, make_printable_name
from model.chat.telegram_ids import BOT_TOKEN
from model.errors import UnderstudyError
from model.files import write_text

ENV_FILE = Path(".env")
TELEGRAM = "https://api.telegram.org"
_SECONDS = 10.0
_REFUSED = {401, 403, 404}
_CONFLICT = 409


class TokenError(UnderstudyError):
    """A token cannot be used: `is_wrong` if Telegram refuses it, else Telegram cannot be asked."""

    def __init__(self, text: str, *, is_wrong: bool) -> None:
        super().__init__(text)
        self.is_wrong = is_wrong


@dataclass(frozen=True, slots=True)
class Bot:
    """A bot: its username, and whether it receives all messages of groups."""

    username: str
    reads_all: bool


@dataclass(frozen=True, slots=True)
class Sender:
    """A person who wrote to the bot in private."""

    user_id: int
    name: str


def read_settings() -> dict[str, str]:
    """Return the bot's settings: from the environment, else from .env."""
    found = {name: value or "" for name, value in dotenv_values(ENV_FILE).items()}
    return {**found, **{name: os.environ[name] for name in os.environ if name in _READ}}


_READ = {"BOT_TOKEN", "ADMINS", "TELEGRAM_API_URL", "MODELS_DIR"}


def check_token(token: str, api: str) -> Bot:
    """Ask Telegram whose token this is.

    Raises:
        TokenError: It has the wrong form, Telegram does not know it, or cannot be reached.
    """
    if not BOT_TOKEN.fullmatch(token):
        raise TokenError(
            "This is not a token: it looks like 123456789:AAE…, as @BotFather sends it",
            is_wrong=True,
        )
    me = _call("getMe", token, api)
    if not isinstance(me, dict) or not isinstance(me.get("username"), str):
        raise TokenError(f"{api} is not a Bot API server", is_wrong=False)
    return Bot(make_printable_name(me["username"]), me.get("can_read_all_group_messages") is True)


def find_senders(token: str, api: str) -> list[Sender]:
    """Return who wrote to the bot in private recently, the latest first; no update is taken.

    Raises:
        TokenError: Telegram cannot be asked, or another process is receiving the updates.
    """
    updates = _call("getUpdates", token, api)
    found: dict[int, Sender] = {}
    for update in reversed(updates if isinstance(updates, list) else []):
        message = update.get("message") if isinstance(update, dict) else None
        chat, sender = ((message or {}).get(key) or {} for key in ("chat", "from"))
        if chat.get("type") == "private" and isinstance(sender.get("id"), int):
            name = make_printable_name(str(sender.get("first_name") or sender["id"]))
            found.setdefault(sender["id"], Sender(sender["id"], name))
    return list(found.values())


def write_settings(values: Mapping[str, str]) -> None:
    """Set these settings in `.env`, which only its owner can read; all other lines stay.

    Raises:
        UnderstudyError: A value cannot stand there.
    """
    lines = ENV_FILE.read_text("utf-8").splitlines() if ENV_FILE.is_file() else []
    for name, value in values.items():
        line = f"{name}={_quote(name, value)}"
        indices = [n for n, one in enumerate(lines) if re.match(rf"\s*(export\s+)?{name}\s*=", one)]
        if indices:
            lines[indices[-1]] = line  # the last one counts
        else:
            lines.append(line)
    write_text(ENV_FILE.resolve(), "".join(f"{line}\n" for line in lines))


def _quote(name: str, value: str) -> str:
    """Return a value as `.env` needs it: in quotes if a part would be a comment or get lost."""
    if not value.isprintable() or "${" in value:
        raise UnderstudyError(
            f"{make_printable(value)} cannot be used as {name} in .env: rename it"
        )
    if not re.search(r"""[\s#'"\\]""", value):
        return value
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _call(method: Literal["getMe", "getUpdates"], token: str, api: str) -> Any:  # noqa: ANN401  JSON
    """Return the result of a method. The library's errors are not shown: they contain the token."""
    try:
        response = httpx.get(f"{api}/bot{token}/{method}", timeout=_SECONDS)
    except (httpx.HTTPError, httpx.InvalidURL):
        raise TokenError(f"{api} cannot be reached: check the network", is_wrong=False) from None
    if response.status_code in _REFUSED:
        raise TokenError(
            "Telegram does not know this token: copy it again from @BotFather (/mybots, API Token)",
            is_wrong=True,
        )
    if response.status_code == _CONFLICT:
        raise TokenError(
            "another process is receiving this bot's messages: stop it", is_wrong=False
        )
    try:
        value = response.json()
        if value["ok"] is True:
            return value["result"]
    except (KeyError, TypeError, ValueError):
        pass
    raise TokenError(f"{api} refused the request ({response.status_code})", is_wrong=False)
