"""What the bot's dump says besides its messages: who decided what, and what must be forgotten."""

import re
from codecs import BOM_UTF8
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import orjson

from model.errors import ExportError, describe_error
from model.roster import Decision, Said
from pipeline.retrain.ledger import Notes

_KEY = re.compile(rb'"understudy"\s*:')
_CHUNK = 1 << 20
_KEY_LENGTH = 64  # more than the key and the spaces after it


def notes_of(file: Path) -> Notes | None:
    """Return what a dump notes; None for a file that is no dump of the bot's.

    Raises:
        ExportError: It is one, and damaged: nobody's no may get lost.
    """
    if not _is_dump(file):
        return None
    try:
        value = orjson.loads(file.read_bytes().removeprefix(BOM_UTF8))
        return _notes(file, value["understudy"])
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise ExportError(
            f"{file} is a damaged dump ({describe_error(error)}): "
            "write it again with `understudy-bot dump`"
        ) from error


def _is_dump(file: Path) -> bool:
    """Whether the key stands anywhere in the file: exports are too large to be parsed for it.

    Within a message's text its quotes would be escaped, and Telegram has no such key.
    """
    rest = b""
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            if _KEY.search(rest + chunk):
                return True
            rest = chunk[-_KEY_LENGTH:]
    return False


def _notes(file: Path, value: Mapping[str, Any]) -> Notes:
    return Notes(
        file=file,
        chat_id=_whole(value["chat_id"]),
        written_at=_moment(value["written_at"]),
        decisions=tuple(map(_decision, value["decisions"])),
        forgotten=tuple(map(_whole, value["forgotten"])),
    )


def _decision(value: Mapping[str, Any]) -> Decision:
    if value["decision"] not in get_args(Said):
        raise ValueError(f"what is {value['decision']!r}?")
    return Decision(_whole(value["user_id"]), value["decision"], _moment(value["at"]))


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{value!r} is no id")
    return value


def _moment(value: object) -> datetime:
    moment = datetime.fromisoformat(str(value))
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
