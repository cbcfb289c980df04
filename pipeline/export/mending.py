"""Mends one message's bytes where Telegram Desktop, or a disk, wrote what is no JSON."""

import json
import re
from typing import Any

import orjson

Item = dict[str, Any]
"""One entry of an export's `messages`, as JSON has it."""

_ESCAPE = re.compile(rb"\\(?:u[0-9A-Fa-f]{4}|x([0-9A-Fa-f]{2})|(.)|$)", re.DOTALL)
_KNOWN = b'"\\/bfnrt'
_HALF = re.compile(rb"\\u[Dd][89A-Fa-f]")
_CONTROL = re.compile(rb"[\x01-\x08\x0b\x0c\x0e-\x1f]")
_BARE = re.compile(
    rb'("document_id"\s*:\s*)((?!-?\d+\s*[,}\r\n])[^"\s][^"\r\n]*?)(\s*,?\s*)$', re.MULTILINE
)


def parse(piece: bytes) -> Item | None:
    """Return the object that these bytes are, None where they are none."""
    try:
        value = orjson.loads(piece)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def mend(piece: bytes) -> tuple[Item, str] | None:
    r"""Return an object that could not be parsed, and what was wrong with it; None if all is.

    Known faults are `\x0B` for a control character, an unquoted `document_id` (4.0.4 to 4.1.1),
    halves of surrogate pairs and bytes that are no UTF-8. A brace that damage took is put back.
    Zeros are what a disk has where it lost bytes, maybe the end of one message and the beginning
    of another: what they stand in is not mended.
    """
    lines = piece.split(b"\n")
    candidates = (
        piece,
        b"{" + piece,
        b"\n".join(lines[:-1]) + b"}",  # its last line was the closing brace
        b"{" + b"\n".join(lines[1:]),  # its first line was the opening one
    )
    for number, candidate in enumerate(candidates):
        if found := _mended(candidate):
            item, fault = found
            return item, "a brace was missing" if number else fault
    return None


def _mended(piece: bytes) -> tuple[Item, str] | None:
    if b"\x00" in piece:
        return None
    fixed = _BARE.sub(_quote, _ESCAPE.sub(_escape, _CONTROL.sub(_as_escape, piece)))
    text = fixed.decode("utf-8", "replace")
    try:
        value = _clean(json.loads(text, strict=False))
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    if fixed == piece and "\ufffd" in text:
        fault = "bytes that are no UTF-8"
    elif fixed == piece and _HALF.search(piece):
        fault = "half a surrogate pair"
    else:
        fault = "an escape or a value that is no JSON"
    return value, fault


def _escape(found: re.Match[bytes]) -> bytes:
    if found[1]:
        return b"\\u00" + found[1]
    if found[2] is None and not found[0].startswith(b"\\u"):
        return b"\\\\"
    return found[0] if found[2] is None or found[2] in _KNOWN else b"\\" + found[0]


def _as_escape(found: re.Match[bytes]) -> bytes:
    return b"\\u%04x" % ord(found[0])


def _quote(found: re.Match[bytes]) -> bytes:
    return found[1] + json.dumps(found[2].decode("utf-8", "replace")).encode() + found[3]


def _clean(value: Any) -> Any:  # noqa: ANN401  JSON's border
    """Return a value whose texts UTF-8 can hold: halves of pairs joined, lone ones replaced."""
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, list):
        return [_clean(part) for part in value]
    if isinstance(value, dict):
        return {_clean(key): _clean(part) for key, part in value.items()}
    return value
