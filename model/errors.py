"""The exceptions of understudy as a tree, and how errors are shown.

UnderstudyError           says what happened and what to do; the command line prints it
├── ExportError           not a chat export, or one that cannot be used
├── RosterError           an inconsistent roster
├── DatasetError          a dataset that is missing, empty or of another version
├── BaseError             base weights that are missing or cannot be used
├── TrainingError         training that cannot start or continue
├── ArtifactError         a trained model that is missing, damaged or of another version
├── VoiceError            an unknown name, or a person who may not be imitated
└── GenerationStopped     a generation was told to stop before it ended
"""

import json
import os
import re
import sqlite3
import tomllib
import traceback
from collections.abc import Callable

# SQLite's fixed text for each code, without the details that an error adds.
_SQLITE = {
    sqlite3.SQLITE_BUSY: "database is locked",
    sqlite3.SQLITE_CANTOPEN: "unable to open database file",
    sqlite3.SQLITE_CORRUPT: "database disk image is malformed",
    sqlite3.SQLITE_FULL: "database or disk is full",
    sqlite3.SQLITE_IOERR: "disk I/O error",
    sqlite3.SQLITE_NOTADB: "file is not a database",
    sqlite3.SQLITE_READONLY: "attempt to write a readonly database",
}
_TOML_PLACE = re.compile(r"\(at (line \d+, column \d+|end of document)\)$")


class UnderstudyError(Exception):
    """Anything that a person can mend; its text says how."""


class ExportError(UnderstudyError):
    """Not a chat export, or one that cannot be used."""


class RosterError(UnderstudyError):
    """An inconsistent roster."""


class DatasetError(UnderstudyError):
    """A dataset is missing, empty or of another version."""


class BaseError(UnderstudyError):
    """Base weights are missing or cannot be used."""


class TrainingError(UnderstudyError):
    """Training cannot start or continue."""


class ArtifactError(UnderstudyError):
    """A trained model is missing, damaged or of another version."""


class VoiceError(UnderstudyError):
    """An unknown name, or a person who may not be imitated."""


class GenerationStopped(UnderstudyError):  # noqa: N818  a requested stop, not a mistake
    """A generation was told to stop before it ended."""


def describe_error(error: BaseException) -> str:  # noqa: PLR0911  one case a line
    """Describe an error by its type and position.

    A library's own text is left out: it may quote the chat that the library was reading.
    """
    match error:
        case UnderstudyError():
            return str(error)
        case UnicodeDecodeError():
            return f"it is not UTF-8 at byte {error.start}"
        case json.JSONDecodeError():  # and orjson's, which is one
            return f"it is not valid JSON at line {error.lineno}, column {error.colno}"
        case tomllib.TOMLDecodeError():
            place = _TOML_PLACE.search(str(error))
            return f"it is not valid TOML{f' at {place[1]}' if place else ''}"
        case sqlite3.Error():
            return _SQLITE.get(getattr(error, "sqlite_errorcode", 0) & 0xFF, "SQLite refuses it")
        case OSError() if error.errno:
            return os.strerror(error.errno)
        case EOFError():
            return "it ends too early"
        case LookupError():
            return "a field is missing"
        case _:
            return "it does not have the expected form"


def traceback_without_text(
    error: BaseException | None, keeps_text: Callable[[BaseException], bool] = lambda _: False
) -> str:
    """Format a traceback, and those of its causes, without the errors' own texts.

    An error's text may quote a chat. `keeps_text` says which errors keep their text.
    """
    parts: list[str] = []
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        seen.append(error)
        kind = type(error)
        says = f": {error}" if keeps_text(error) else ""
        where = "".join(traceback.format_tb(error.__traceback__))
        parts.append(
            f"Traceback (most recent call last):\n{where}{kind.__module__}.{kind.__name__}{says}"
        )
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\n\nThen:\n\n".join(reversed(parts))
