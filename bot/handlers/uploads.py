"""Receive exports that admins send in private, and retrain from them."""

import asyncio
import logging
import os
import signal
import zipfile
import zlib
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from telegram import Document, Update
from telegram.constants import FileSizeLimit
from telegram.error import TelegramError

from bot.errors import ExportRefused
from bot.services.context import Bot, Context
from bot.services.state import BotState
from bot.settings import Settings
from bot.store.database import database_file
from bot.texts.wording import Wording
from bot.transport.incoming import place_of
from bot.transport.outgoing import truncate
from model.files import PRIVATE_FILE, make_folder

MOST_BYTES = 200 * 2**20
_CHUNK = 2**20
_DAMAGED = (zipfile.BadZipFile, zlib.error, RuntimeError, EOFError, UnicodeDecodeError)
"""What zipfile raises of damaged bytes, names and all, and RuntimeError of a locked entry."""

_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # of others a few bytes unpack to gigabytes


def unpack(arrived: Path, export: Path) -> None:
    """Put the export into its place, whole or not at all; only its owner may read it.

    A zip holds exactly one `.json`; its bytes are counted while they are unpacked, as what a zip
    says of itself may be a lie. Nothing of the names within decides where anything is written.

    Raises:
        ExportRefused: It is no export, or too large.
    """
    part = unfinished(export)
    try:
        if zipfile.is_zipfile(arrived):
            _unzip(arrived, part)
        else:
            _check(arrived)
            arrived.replace(part)
        part.chmod(PRIVATE_FILE)
        part.replace(export)
    finally:
        part.unlink(missing_ok=True)


def unfinished(export: Path) -> Path:
    """Return where an export is while it is being unpacked."""
    return export.with_name(f".{export.name}")


def _unzip(arrived: Path, part: Path) -> None:
    try:
        with zipfile.ZipFile(arrived) as archive:
            inside = [one for one in archive.infolist() if one.filename.lower().endswith(".json")]
            if len(inside) != 1:
                raise ExportRefused(f"the zip holds {len(inside)} .json files, one is wanted")
            if inside[0].compress_type not in _PACKINGS:
                raise ExportRefused("the zip is packed in a rare way: pack it as usual")
            with archive.open(inside[0]) as source:
                _copy(source, part)
    except _DAMAGED as error:
        raise ExportRefused("the zip is damaged, or locked with a password") from error
    _check(part)


def _copy(source: IO[bytes], part: Path) -> None:
    written = 0
    with os.fdopen(
        os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE_FILE), "wb"
    ) as file:
        while chunk := source.read(_CHUNK):
            written += len(chunk)
            if written > MOST_BYTES:
                raise ExportRefused(f"unpacked it is larger than {MOST_BYTES // 2**20} MB")
            file.write(chunk)


def _check(path: Path) -> None:
    """Refuse what does not begin as JSON does."""
    with path.open("rb") as file:
        if not file.read(64).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{"):
            raise ExportRefused("it is no result.json: export the chat as JSON, not HTML")


FOLDER, EXPORT, ARRIVING = "incoming", "result.json", "arriving"
ENDING_SECONDS = 1.5
"""Seconds that a retraining has to exit when the bot stops; then it is killed."""
RECEIPT = "receipt:"
"""How the line that `understudy retrain` ends with begins: a place on this machine."""

logger = logging.getLogger(__name__)


def export_of(settings: Settings) -> Path:
    """Return where an export is kept, in a folder that only the bot's user can read."""
    return database_file(settings.database_url).absolute().parent / FOLDER / EXPORT


def drop_before(settings: Settings, moment: datetime) -> None:
    """Delete an export that came before a moment and that nobody has trained on.

    What a kill left of one goes too.
    """
    export = export_of(settings)
    for file in (export, unfinished(export), export.with_name(ARRIVING)):
        with suppress(OSError):
            if datetime.fromtimestamp(file.stat().st_mtime, UTC) < moment:
                file.unlink()


@dataclass(slots=True)
class Receiving:
    """The handler of documents in an admin's private chat; one export at a time."""

    state: BotState
    _busy: bool = False
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def export(self) -> Path:
        """Return where an export is kept."""
        return export_of(self.state.settings)

    async def document(self, update: Update, context: Context) -> None:
        """Fetch an export and retrain from it, or say how to."""
        message = update.message
        if message is None or message.document is None:
            return
        user, texts = message.from_user, context.texts
        if user is None or user.id not in self.state.settings.admins:
            return
        if self._busy:
            await context.delivery.say(place_of(message), texts.retraining_busy)
            return
        self._busy = True
        try:
            refusal = await self._fetched(message.document, context.bot, texts)
            command = self.state.settings.retrain_command
            usual = (
                texts.retraining_started if command else texts.export_saved.format(path=self.export)
            )
            await context.delivery.say(place_of(message), refusal or usual)
            if command and not refusal:
                self._start((*command, str(self.export)), user.id, context.bot, texts)
        finally:
            self._busy = bool(self._tasks)

    async def close(self) -> None:
        """End the retraining in progress; the version that serves goes on to."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _fetched(self, document: Document, bot: Bot, texts: Wording) -> str:
        """Put the export into its place; return why it is not there, nothing where it is."""
        if (document.file_size or 0) > FileSizeLimit.FILESIZE_DOWNLOAD:
            return texts.export_too_large.format(file=EXPORT)
        arriving = self.export.with_name(ARRIVING)
        try:
            await asyncio.to_thread(make_folder, arriving.parent)
            file = await bot.get_file(document)
            await file.download_to_drive(arriving)
            await asyncio.to_thread(unpack, arriving, self.export)
        except ExportRefused as error:
            return texts.export_refused.format(why=error)
        except (TelegramError, OSError) as error:
            logger.warning("an export could not be fetched: %s", type(error).__name__)
            return texts.export_not_downloaded
        finally:
            arriving.unlink(missing_ok=True)
        return ""

    def _start(self, command: tuple[str, ...], admin: int, bot: Bot, texts: Wording) -> None:
        """Let a retraining go on while the bot goes on to other things."""
        task = asyncio.create_task(self._retrain(command, admin, bot, texts))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._busy = False
        if not task.cancelled() and (error := task.exception()):
            logger.error("a retraining could not be completed", exc_info=error)

    async def _retrain(
        self, command: tuple[str, ...], admin: int, bot: Bot, texts: Wording
    ) -> None:
        """Run the command and say what came of it; the export is deleted whatever that is."""
        try:
            text = await _outcome(command, texts)
        finally:
            self.export.unlink(missing_ok=True)
        try:
            await bot.send_message(admin, truncate(text))
        except TelegramError as error:
            logger.warning("an admin could not be told of a retraining: %s", type(error).__name__)


async def _outcome(command: tuple[str, ...], texts: Wording) -> str:
    """Run a command without a shell; return what to say of its end."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # a group of its own, which ends whole
        )
    except OSError as error:
        return texts.retraining_failed.format(why=f"{command[0]}: {error.strerror}")
    try:
        printed, errors = await process.communicate()
    except asyncio.CancelledError:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            async with asyncio.timeout(ENDING_SECONDS):
                await process.wait()
        except TimeoutError:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        raise
    logger.info("the retraining ended with status %d", process.returncode)
    if process.returncode == 0:
        return texts.retraining_done.format(says=_last_line(printed)).strip()
    why = _last_line(errors) or f"status {process.returncode}"
    return texts.retraining_failed.format(why=why)


def _last_line(printed: bytes) -> str:
    """Return the last line of what a command printed that says how it ended."""
    lines = printed.decode("utf-8", "replace").strip().splitlines()
    return next((line for line in reversed(lines) if not line.startswith(RECEIPT)), "")
