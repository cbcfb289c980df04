"""Log to stderr as text or JSON, without the token and without people's messages."""

import copy
import json
import logging
import math
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TextIO

from bot.settings import LogFormat, LogLevel
from model.chat.names import make_printable
from model.errors import UnderstudyError, traceback_without_text

REDACTED = "[token]"
REPEAT_SECONDS = 60.0
"""Seconds after an error in which the same error is only counted."""

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


@dataclass(slots=True)
class _Repeated:
    """The last record of an error, when it was last written, and how often it came since."""

    record: logging.LogRecord
    written_at: float
    count: int = 0


class RepeatingHandler(logging.StreamHandler[TextIO]):
    """Write an error once per `REPEAT_SECONDS`, then the number of repetitions.

    The number is written with the next record of any kind, or when the process ends.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        super().__init__(stream)
        self._errors: dict[tuple[str, str, type[BaseException] | None], _Repeated] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Write or count a record."""
        self._write_counts(before=record.created - REPEAT_SECONDS)
        if record.levelno >= logging.ERROR:
            kind = record.exc_info[0] if record.exc_info else None
            key = record.name, record.getMessage(), kind
            if known := self._errors.get(key):
                known.record, known.count = record, known.count + 1
                return
            self._errors[key] = _Repeated(record, record.created)
        super().emit(record)

    def close(self) -> None:
        """Write the remaining numbers."""
        with self.lock or nullcontext():
            self._write_counts(before=math.inf)
        super().close()

    def _write_counts(self, before: float) -> None:
        """Write how often errors were repeated that were written before a time; forget them."""
        for key, known in [*self._errors.items()]:
            if known.written_at > before:
                return  # the later ones are newer
            del self._errors[key]
            if known.count:
                summary = copy.copy(known.record)
                times = "1 time" if known.count == 1 else f"{known.count} times"
                summary.msg = f"{summary.getMessage()} (repeated {times} since)"
                summary.args = summary.exc_info = summary.exc_text = None
                super().emit(summary)


def set_up_logging(level: LogLevel, layout: LogFormat, token: str) -> None:
    """Send the log of this process to stderr."""
    handler = RepeatingHandler()
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
