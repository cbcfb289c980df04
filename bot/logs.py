"""How the bot logs: to stderr, as text or JSON, without tokens and without what people wrote."""

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from bot.settings import LogFormat, LogLevel
from model.chat.names import make_printable
from model.errors import UnderstudyError, traceback_without_text

REDACTED = "[token]"

_SAFE = {"telegram.error", "sqlalchemy.exc", "sqlite3"}
"""Whose errors quote no message: the database's engine hides values."""

_LAYOUT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class RedactingFormatter(logging.Formatter):
    """Writes a record as a line of text, its traceback below it, with the token blotted out."""

    def __init__(self, token: str) -> None:
        super().__init__(_LAYOUT)
        self._token = token

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's text without the token."""
        return self._blot(super().format(record))

    def formatException(self, ei: Any) -> str:  # noqa: ANN401, N802  logging's own signature
        """Return a traceback without what an error quotes: that may be what somebody wrote."""
        return traceback_without_text(ei[1], _quotes_nobody)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  logging's own name
        """Return the record's line without line breaks and control characters."""
        record.message = make_printable(record.message)
        return super().formatMessage(record)

    def _blot(self, text: str) -> str:
        return text.replace(self._token, REDACTED) if self._token else text


class JsonFormatter(RedactingFormatter):
    """Writes a record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON without the token."""
        moment = datetime.fromtimestamp(record.created, UTC)
        line = {
            "time": moment.isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": make_printable(record.getMessage()),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return self._blot(json.dumps(line, ensure_ascii=False))


def _quotes_nobody(error: BaseException) -> bool:
    """Whether an error's text quotes no user."""
    return isinstance(error, UnderstudyError | OSError) or type(error).__module__ in _SAFE


class _HiddenArgument:
    """Replaces a log argument that may quote a user."""

    def __repr__(self) -> str:
        return "[hidden]"


def without_updates(record: logging.LogRecord) -> bool:
    """Hide what python-telegram-bot's records may quote; numbers stay. A logging filter.

    The library logs a whole update, with its text, when it cannot parse it.
    """
    if record.name.split(".")[0] == "telegram":
        kind = record.exc_info[0] if record.exc_info else None
        if isinstance(record.args, Mapping):
            named = {name: _shown(value) for name, value in record.args.items()}
            record.args = named if "%(" in str(record.msg) else (_HiddenArgument(),)
        else:
            record.args = tuple(map(_shown, record.args or ()))
        record.msg = f"{record.msg} ({kind.__name__})" if kind else record.msg
        record.exc_info = record.exc_text = None
    return True


def _shown(argument: object) -> object:
    return argument if isinstance(argument, int | float) else _HiddenArgument()


def set_up(level: LogLevel, layout: LogFormat, token: str) -> None:
    """Let the process log to stderr."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter(token) if layout == "json" else RedactingFormatter(token))
    handler.addFilter(without_updates)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for noisy in ("httpx", "httpcore", "aiosqlite", "alembic", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)  # httpx logs addresses with the token
    for noisy in ("telegram", "apscheduler"):
        logging.getLogger(noisy).setLevel(max(logging.INFO, logging.getLevelName(level)))
    # Its errors are retries that the bot's own rate limiter makes.
    logging.getLogger("telegram.ext.AIORateLimiter").setLevel(logging.CRITICAL)
