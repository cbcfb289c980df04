"""All settings of the bot, from the environment or a file `.env`."""

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from bot.errors import SettingsError

Consent = Literal["ask", "roster"]
Device = Literal["auto", "cpu", "cuda"]
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]
LogFormat = Literal["text", "json"]

SQLITE = "sqlite+aiosqlite:///"

_ADDRESS = re.compile(r"https?://[^\s/]\S*")


class Settings(BaseSettings):
    """What whoever runs the bot may choose; `.env.example` explains each."""

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
    consent: Consent = "ask"
    device: Device = "auto"
    pace: Annotated[float, Field(ge=0, le=5)] = 1.0
    log_level: LogLevel = "INFO"
    log_format: LogFormat = "text"

    @field_validator("admins", mode="before")
    @classmethod
    def _split_ids(cls, value: object) -> object:
        """Take ids apart at commas and spaces; pydantic-settings would want JSON."""
        if not isinstance(value, str):
            return value
        words = value.replace(",", " ").split()
        if wrong := [word for word in words if not word.isdecimal()]:
            raise ValueError(f"{wrong[0]!r} is no user id: write numbers, such as ADMINS=123,456")
        return frozenset(int(word) for word in words)

    @field_validator("database_url")
    @classmethod
    def _is_a_file(cls, value: str) -> str:
        if not value.startswith(SQLITE) or value.removeprefix(SQLITE) in {"", ":memory:"}:
            raise ValueError(f"it names a file as {SQLITE}understudy.db does")
        return value

    @field_validator("log_level", mode="before")
    @classmethod
    def _in_capitals(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @field_validator("telegram_api_url")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        """Take an address without the slash at its end."""
        if not _ADDRESS.fullmatch(value):
            raise ValueError("write an address such as https://api.telegram.org")
        return value.rstrip("/")

    @property
    def token(self) -> str:
        """Return the bot's token.

        Raises:
            SettingsError: There is none.
        """
        token = self.bot_token.get_secret_value().strip() if self.bot_token else ""
        if not token:
            raise SettingsError(
                "BOT_TOKEN is not set: ask @BotFather for a bot and write its token into .env"
            )
        return token


def load_settings() -> Settings:
    """Read the settings.

    Raises:
        SettingsError: One says something impossible; the text names it, never its value.
    """
    try:
        return Settings()
    except UnicodeDecodeError as error:
        raise SettingsError(".env is not UTF-8 text: save it again as UTF-8") from error
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        name = str(first["loc"][0]).upper() if first["loc"] else "settings"
        raise SettingsError(f"{name}: {first['msg'].removeprefix('Value error, ')}") from error
