"""Log to stderr as text or JSON, without the token and without people's messages."""

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from bot.settings import LogFormat, LogLevel
from model.chat.names import make_printable
from model.errors import UnderstudyError, traceback_without_text

REDACTED = "[token]"

_SAFE_MODULES = {"telegram.error", "sqlalchemy.exc", "sqlite3"}
"""The modules of errors that quote no message: the database engine hides values."""

_LAYOUT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class RedactingFormatter(logging.Formatter):
    """Format a record as one line and its traceback below, without the token."""

    def __init__(self, token: str) -> None:
        super().__init__(_LAYOUT)
        self._token = token

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's text without the token."""
        return self._redact(super().format(record))

    def formatException(self, ei: Any) -> str:  # noqa: ANN401, N802  logging's own signature
        """Return a traceback without the errors' texts, which may quote a message."""
        return traceback_without_text(ei[1], _is_safe)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  logging's own name
        """Return the record's line without line breaks and control characters."""
        record.message = make_printable(record.message)
        return super().formatMessage(record)

    def _redact(self, text: str) -> str:
        return text.replace(self._token, REDACTED) if self._token else text


class JsonFormatter(RedactingFormatter):
    """Format a record as one line of JSON."""

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
        return self._redact(json.dumps(line, ensure_ascii=False))


def _is_safe(error: BaseException) -> bool:
    """Whether an error's text quotes no message."""
    return isinstance(error, UnderstudyError | OSError) or type(error).__module__ in _SAFE_MODULES


class _HiddenArgument:
    """Replaces a log argument that may quote a message."""

    def __repr__(self) -> str:
        return "[hidden]"


def hide_updates(record: logging.LogRecord) -> bool:
    """Replace the arguments of python-telegram-bot's records, except numbers. A logging filter.

    The library logs a whole update, with its text, when it cannot parse it.
    """
    if record.name.split(".")[0] == "telegram":
        kind = record.exc_info[0] if record.exc_info else None
        if isinstance(record.args, Mapping):
            arguments = {name: _hide(value) for name, value in record.args.items()}
            record.args = arguments if "%(" in str(record.msg) else (_HiddenArgument(),)
        else:
            record.args = tuple(map(_hide, record.args or ()))
        record.msg = f"{record.msg} ({kind.__name__})" if kind else record.msg
        record.exc_info = record.exc_text = None
    return True


def _hide(argument: object) -> object:
    return argument if isinstance(argument, int | float) else _HiddenArgument()


def set_up_logging(level: LogLevel, layout: LogFormat, token: str) -> None:
    """Send the log of this process to stderr."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter(token) if layout == "json" else RedactingFormatter(token))
    handler.addFilter(hide_updates)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for noisy in ("httpx", "httpcore", "alembic", "asyncio", "procrastinate"):
        logging.getLogger(noisy).setLevel(logging.WARNING)  # httpx logs addresses, with the token
    for noisy in ("telegram", "apscheduler"):
        logging.getLogger(noisy).setLevel(max(logging.INFO, logging.getLevelName(level)))
    # It logs errors of connecting, which may quote a part of DATABASE_URL; the store reports them.
    logging.getLogger("psycopg").setLevel(logging.CRITICAL)
    # Its errors are about retries that the bot's own rate limiter makes.
    logging.getLogger("telegram.ext.AIORateLimiter").setLevel(logging.CRITICAL)
