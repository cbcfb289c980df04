"""Show other processes that the bot works: a file next to the database, and systemd's watchdog."""

import os
import socket
import time
from contextlib import suppress
from pathlib import Path

from bot.store.database import make_backend
from model.files import PRIVATE_FILE

BEAT_SECONDS = 10.0
MAX_SILENCE = 90.0
"""Seconds without a heartbeat after which the bot counts as hung. A long write, such as a VACUUM on
a slow disk, delays a heartbeat.
"""


def heartbeat_file(url: str) -> Path:
    """Return the file next to a database whose modification time is the bot's last heartbeat."""
    path = make_backend(url).file
    return path.with_name(f"{path.name}.heartbeat")


def write_beat(url: str) -> None:
    """Report that the bot works."""
    heartbeat_file(url).touch(mode=PRIVATE_FILE)
    notify_systemd("READY=1\nWATCHDOG=1")


def read_silence(url: str) -> float | None:
    """Return the seconds since the last heartbeat, or None if the bot has sent none yet."""
    try:
        beat_at = heartbeat_file(url).stat().st_mtime
    except FileNotFoundError:
        return None
    return abs(time.time() - beat_at)  # a clock that was set back must not hide a silent bot


def notify_systemd(state: str) -> None:
    """Send a state to systemd if it asked for it, as sd_notify(3) does."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address:
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.settimeout(0)
            sender.connect(f"\0{address[1:]}" if address.startswith("@") else address)
            sender.sendall(state.encode())
