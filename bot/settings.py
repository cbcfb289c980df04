"""The settings of the bot, read from the environment or from `.env`."""

import json
import re
import shlex
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import unquote, urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from bot.errors import SettingsError
from model.chat.telegram_ids import BOT_TOKEN

ConsentRule = Literal["ask", "roster"]
Device = Literal["auto", "cpu", "cuda"]
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]
LogFormat = Literal["text", "json"]

SQLITE = "sqlite+aiosqlite:///"
"""The start of DATABASE_URL; the name of a driver in it has no effect."""
HEALTH = "/health"
"""The path of the health check, on the port of the webhook."""

_POSTGRES = re.compile(r"postgresql(\+\w+)?://[^\s/]*/[^\s/?]+(\?\S*)?")
_ADDRESS = re.compile(r"https?://[^\s/]\S*")
_LISTEN = re.compile(r"(?:[\w.-]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})")
_SECRET = re.compile(r"[A-Za-z0-9_-]{1,256}")  # the form of setWebhook's secret_token
_LAST_PORT = 65535


class Settings(BaseSettings):
    """The settings; `.env.example` explains each."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
    )

    bot_token: SecretStr | None = None
    admins: Annotated[frozenset[int], NoDecode] = frozenset()
    database_url: str = f"{SQLITE}understudy.db"
    models_dir: Path = Path("artifacts")
    telegram_api_url: str = "https://api.telegram.org"
    webhook_url: str | None = None
    webhook_listen: str = "127.0.0.1:8443"
    webhook_secret: SecretStr | None = None
    metrics_listen: str | None = None
    consent: ConsentRule = "ask"
    retention_days: Annotated[int, Field(ge=0, le=3650)] = 2
    device: Device = "auto"
    parallel_replies: Annotated[int, Field(ge=1, le=16)] = 1
    loaded_models: Annotated[int, Field(ge=1, le=1000)] = 2
    generation_url: str | None = None
    retrain_command: Annotated[tuple[str, ...] | None, NoDecode] = None
    pace: Annotated[float, Field(ge=0, le=5)] = 1.0
    log_level: LogLevel = "INFO"
    log_format: LogFormat = "text"

    @field_validator("admins", mode="before")
    @classmethod
    def _split_ids(cls, value: object) -> object:
        """Split ids at commas and spaces; pydantic-settings expects JSON."""
        if not isinstance(value, str):
            return value
        words = value.replace(",", " ").split()
        if invalid := [word for word in words if not word.isdecimal()]:
            raise ValueError(f"{invalid[0]} is not a user id: use numbers, as in ADMINS=123,456")
        return frozenset(int(word) for word in words)

    @field_validator("database_url")
    @classmethod
    def _check_database(cls, value: str) -> str:
        return check_database_url(value)

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper_case(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @field_validator("generation_url")
    @classmethod
    def _check_generation_url(cls, value: str | None) -> str | None:
        if value is not None and not _is_address(value):
            raise ValueError("use an address such as http://127.0.0.1:8000/v1")
        return value

    @field_validator("telegram_api_url")
    @classmethod
    def _check_api_url(cls, value: str) -> str:
        """Return the address without a slash at its end."""
        if not _is_address(value):
            raise ValueError("use an address such as https://api.telegram.org")
        return value.rstrip("/")

    @field_validator("webhook_url")
    @classmethod
    def _check_webhook_url(cls, value: str | None) -> str | None:
        if value is not None and not _is_address(value):
            raise ValueError("use an address such as https://bot.example.org/telegram")
        if value is not None and unquote(urlsplit(value).path).rstrip("/").endswith(HEALTH):
            raise ValueError(
                f"{HEALTH} is the path of the health check: use another path, such as "
                "https://bot.example.org/telegram"
            )
        return value

    @field_validator("webhook_listen", "metrics_listen")
    @classmethod
    def _check_listen_address(cls, value: str | None) -> str | None:
        if value is None:
            return None
        match = _LISTEN.fullmatch(value)
        if not match or not 0 < int(match[1]) <= _LAST_PORT:
            raise ValueError("use an address and a port, such as 127.0.0.1:8443")
        return value

    @field_validator("webhook_secret")
    @classmethod
    def _check_secret(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not _SECRET.fullmatch(value.get_secret_value()):
            raise ValueError("use 1 to 256 characters: A-Z, a-z, 0-9, _ and -")
        return value

    @field_validator("retrain_command", mode="before")
    @classmethod
    def _split_words(cls, value: object) -> object:
        """Split a command as a shell does, or read it as a JSON list of words."""
        if not isinstance(value, str):
            return value
        try:
            words = json.loads(value) if value.lstrip().startswith("[") else shlex.split(value)
        except (ValueError, RecursionError) as error:
            raise ValueError("use a command as in a shell, or a JSON list of words") from error
        if not words or not words[0] or not all(isinstance(word, str) for word in words):
            raise ValueError("use a command as in a shell, or a JSON list of words")
        return tuple(words)

    @property
    def token(self) -> str:
        """Return the bot's token.

        Raises:
            SettingsError: There is none, or it is not a valid token.
        """
        token = self.bot_token.get_secret_value().strip() if self.bot_token else ""
        if not token:
            raise SettingsError(
                "BOT_TOKEN is not set: create a bot with @BotFather and write its token into .env, "
                "which `understudy-bot setup` creates"
            )
        if not BOT_TOKEN.fullmatch(token):
            raise SettingsError(
                "BOT_TOKEN is not a valid token: copy it again from @BotFather; it looks like "
                "123456:ABC-DEF"
            )
        return token


def check_database_url(value: str) -> str:
    """Return the address of a database.

    Raises:
        ValueError: It is neither an SQLite file nor a database on a PostgreSQL server.
    """
    kind, _, path = value.partition(":///")
    is_file = kind in {"sqlite", SQLITE.partition(":")[0]} and path not in {"", ":memory:"}
    if is_file or _POSTGRES.fullmatch(value):
        return value
    raise ValueError(
        f"use an SQLite file, as in {SQLITE}understudy.db, or a database on a PostgreSQL server, "
        "as in postgresql+asyncpg://user:password@host/understudy"
    )


def _is_address(value: str) -> bool:
    """Whether this is an http address with a host and, if it has a port, a valid one."""
    try:
        parts = urlsplit(value)
        return bool(_ADDRESS.fullmatch(value) and parts.hostname and parts.port != 0)
    except ValueError:  # an invalid port or IPv6 address
        return False


def load_settings(**given: Any) -> Settings:  # noqa: ANN401  the fields of Settings
    """Read the settings; those that are `given` replace the environment's.

    Raises:
        SettingsError: One is invalid; the text names the setting, not its value.
    """
    try:
        return Settings(**given)
    except UnicodeDecodeError as error:
        raise SettingsError(".env is not UTF-8 text: save it as UTF-8") from error
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        name = str(first["loc"][0]).upper() if first["loc"] else "settings"
        text = first["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
        text = text.split(", unable to parse")[0]  # pydantic names Python's types there
        raise SettingsError(f"{name}: {text}") from error
