"""Exceptions, and descriptions of errors that reveal nothing from a chat.

UnderstudyError             states the problem and the solution; the command line prints it
├── ExportError
├── RosterError
├── DatasetError
├── BaseError
├── TrainingError
├── ArtifactError
├── VoiceError
└── GenerationStopped
    └── ServerError
        └── ServerBusyError
"""

import json
import os
import re
import sqlite3
import tomllib
import traceback
from collections.abc import Callable

# SQLite's fixed text for each code, without details from the error.
_SQLITE = {
    sqlite3.SQLITE_BUSY: "database is locked",
    sqlite3.SQLITE_CANTOPEN: "unable to open database file",
    sqlite3.SQLITE_CORRUPT: "database disk image is malformed",
    sqlite3.SQLITE_FULL: "database or disk is full",
    sqlite3.SQLITE_IOERR: "disk I/O error",
    sqlite3.SQLITE_NOTADB: "file is not a database",
    sqlite3.SQLITE_READONLY: "attempt to write a readonly database",
}
_TOML_POSITION = re.compile(r"\(at (line \d+, column \d+|end of document)\)$")


class UnderstudyError(Exception):
    """A problem that the user can solve; the message says how."""


class ExportError(UnderstudyError):
    """A file is not a chat export, or the export cannot be used."""


class RosterError(UnderstudyError):
    """A roster is inconsistent."""


class DatasetError(UnderstudyError):
    """A dataset is missing, empty or from another version."""


class BaseError(UnderstudyError):
    """Base weights are missing or cannot be used."""


class TrainingError(UnderstudyError):
    """Training cannot start or continue."""


class ArtifactError(UnderstudyError):
    """A trained model is missing, damaged or from another version."""


class VoiceError(UnderstudyError):
    """A name is unknown, or the person may not be imitated."""


class GenerationStopped(UnderstudyError):  # noqa: N818  often a requested stop, not an error
    """A generation was stopped before it ended."""


class ServerError(GenerationStopped):
    """The generation server cannot be reached, or failed."""


class ServerBusyError(ServerError):
    """The generation server refused a request because it has too many."""


def describe_error(error: BaseException) -> str:  # noqa: PLR0911  one case a line
    """Describe an error by its type and position.

    A library's own message is not used, because it may quote the chat.
    """
    match error:
        case UnderstudyError():
            return str(error)
        case UnicodeDecodeError():
            return f"it is not UTF-8 at byte {error.start}"
        case json.JSONDecodeError():  # and orjson's, which is one
            return f"it is not valid JSON at line {error.lineno}, column {error.colno}"
        case tomllib.TOMLDecodeError():
            position = _TOML_POSITION.search(str(error))
            return f"it is not valid TOML{f' at {position[1]}' if position else ''}"
        case sqlite3.Error():
            return _SQLITE.get(
                getattr(error, "sqlite_errorcode", 0) & 0xFF, "SQLite reports an error"
            )
        case OSError() if error.errno:
            return os.strerror(error.errno)
        case EOFError():
            return "it ends too early"
        case LookupError():
            return "a field is missing"
        case _:
            return "it does not have the expected form"


def traceback_without_text(
    error: BaseException | None, is_safe: Callable[[BaseException], bool] = lambda _: False
) -> str:
    """Format an error's traceback and those of its causes without the errors' messages.

    A message may quote a chat. It stays if `is_safe(error)` is true.
    """
    parts: list[str] = []
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        seen.append(error)
        kind = type(error)
        message = f": {error}" if is_safe(error) else ""
        frames = "".join(traceback.format_tb(error.__traceback__))
        name = f"{kind.__module__}.{kind.__name__}"
        parts.append(f"Traceback (most recent call last):\n{frames}{name}{message}")
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\n\nThen:\n\n".join(reversed(parts))
