"""Receive exports that admins send in private, and retrain from them."""

import asyncio
import logging
import os
import signal
import zipfile
import zlib
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from telegram import Document, Message
from telegram.constants import FileSizeLimit
from telegram.error import TelegramError

from bot.application import Context
from bot.errors import ExportRefused
from bot.settings import Settings
from bot.store.database import database_file
from bot.texts.en import Wording
from bot.transport.incoming import place_of
from bot.transport.outgoing import truncate
from bot.transport.polling import Client
from model.files import PRIVATE_FILE, make_folder

FOLDER, EXPORT, DOWNLOAD = "incoming", "result.json", "arriving"
MAX_BYTES = 200 * 2**20
STOP_SECONDS = 1.5
"""Seconds that a retraining process has to exit when the bot stops; then it is killed."""
HINTS = ("Receipt:", "Next:")
"""Prefixes of the last lines that `understudy retrain` prints: commands for a terminal."""

_CHUNK = 2**20
_ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, RuntimeError, EOFError, UnicodeDecodeError)
"""What zipfile raises for damaged data and names; RuntimeError is for an encrypted entry."""
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""With other methods, a few bytes can unpack to gigabytes."""

logger = logging.getLogger(__name__)


def export_file(settings: Settings) -> Path:
    """Return the path of the current export, in a folder that only the bot's user can read."""
    return database_file(settings.database_url).absolute().parent / FOLDER / EXPORT


def delete_exports_before(settings: Settings, moment: datetime) -> None:
    """Delete an unused export, and files of interrupted uploads, if older than `moment`."""
    export = export_file(settings)
    for file in (export, _partial_file(export), export.with_name(DOWNLOAD)):
        with suppress(OSError):
            if datetime.fromtimestamp(file.stat().st_mtime, UTC) < moment:
                file.unlink()


def unpack_export(download: Path, export: Path) -> None:
    """Unpack a downloaded export and move it into place, readable only by the bot's user.

    A zip must contain exactly one `.json`. The size is counted while unpacking, because the sizes
    that a zip claims may be false. Names in the zip never decide where a file is written.

    Raises:
        ExportRefused: The file is not an export, or is too large.
    """
    partial = _partial_file(export)
    try:
        if zipfile.is_zipfile(download):
            _unzip(download, partial)
        else:
            _check_json(download)
            download.replace(partial)
        partial.chmod(PRIVATE_FILE)
        partial.replace(export)
    finally:
        partial.unlink(missing_ok=True)


def _partial_file(export: Path) -> Path:
    return export.with_name(f".{export.name}")


def _unzip(archive: Path, target: Path) -> None:
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = [
                entry for entry in opened.infolist() if entry.filename.lower().endswith(".json")
            ]
            if len(entries) != 1:
                raise ExportRefused(f"the zip contains {len(entries)} .json files instead of one")
            if entries[0].compress_type not in _COMPRESSIONS:
                raise ExportRefused("the zip uses an unusual compression method: zip it again")
            size = 0
            descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE_FILE)
            with opened.open(entries[0]) as source, os.fdopen(descriptor, "wb") as file:
                while chunk := source.read(_CHUNK):
                    size += len(chunk)
                    if size > MAX_BYTES:
                        limit = MAX_BYTES // 2**20
                        raise ExportRefused(f"it is larger than {limit} MB when unpacked")
                    file.write(chunk)
    except _ZIP_ERRORS as error:
        raise ExportRefused("the zip is damaged or password-protected") from error
    _check_json(target)


def _check_json(file: Path) -> None:
    """Refuse a file that does not begin like JSON."""
    with file.open("rb") as opened:
        if not opened.read(64).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{"):
            raise ExportRefused("it is not a result.json: export the chat as JSON, not HTML")


@dataclass(slots=True)
class ExportUploads:
    """Handles documents in an admin's private chat, one export at a time."""

    settings: Settings
    _is_busy: bool = False
    _retraining: asyncio.Task[None] | None = None

    async def receive(self, message: Message, context: Context) -> None:
        """Download an export and retrain from it, or explain how to."""
        user, texts, command = message.from_user, context.texts, self.settings.retrain_command
        if message.document is None or user is None or user.id not in self.settings.admins:
            return
        if self._is_busy:
            await context.delivery.send_text(place_of(message), texts.retraining_busy)
            return
        self._is_busy = True
        try:
            export = export_file(self.settings)
            failure = await _download(message.document, export, context)
            success = texts.retraining_started if command else texts.export_saved
            text = failure or success.format(path=export)
            await context.delivery.send_text(place_of(message), text)
            if command and not failure:
                work = _retrain((*command, str(export)), export, user.id, context.bot, texts)
                self._retraining = asyncio.create_task(work)
                self._retraining.add_done_callback(self._finish)
        finally:
            self._is_busy = self._retraining is not None

    async def close(self) -> None:
        """Stop retraining in progress; the model version in use does not change."""
        if self._retraining:
            self._retraining.cancel()
            await asyncio.gather(self._retraining, return_exceptions=True)

    def _finish(self, task: asyncio.Task[None]) -> None:
        self._retraining, self._is_busy = None, False
        if not task.cancelled() and (error := task.exception()):
            logger.error("the retraining could not be completed", exc_info=error)


async def _download(document: Document, export: Path, context: Context) -> str:
    """Download and unpack an export; return the reason if it failed, else ""."""
    texts = context.texts
    if (document.file_size or 0) > FileSizeLimit.FILESIZE_DOWNLOAD:
        return texts.export_too_large.format(file=EXPORT)
    download = export.with_name(DOWNLOAD)
    try:
        await asyncio.to_thread(make_folder, download.parent)
        file = await context.bot.get_file(document)
        await file.download_to_drive(download)
        await asyncio.to_thread(unpack_export, download, export)
    except ExportRefused as error:
        return texts.export_refused.format(reason=error)
    except (TelegramError, OSError) as error:
        logger.warning("an export could not be downloaded: %s", type(error).__name__)
        return texts.export_not_downloaded
    finally:
        download.unlink(missing_ok=True)
    return ""


async def _retrain(
    command: tuple[str, ...], export: Path, admin: int, bot: Client, texts: Wording
) -> None:
    """Run the retrain command, delete the export and report the result to the admin."""
    try:
        text = await _run_command(command, texts)
    finally:
        await asyncio.to_thread(export.unlink, missing_ok=True)
    try:
        await bot.send_message(admin, truncate(text))
    except TelegramError as error:
        logger.warning("the result of the retraining was not sent: %s", type(error).__name__)


async def _run_command(command: tuple[str, ...], texts: Wording) -> str:
    """Run a command without a shell; return the text that describes its result."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # its own process group, so that all of it can be stopped
        )
    except OSError as error:
        return texts.retraining_failed.format(reason=f"{command[0]}: {error.strerror}")
    try:
        output, errors = await process.communicate()
    except asyncio.CancelledError:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        raise
    logger.info("the retraining exited with status %d", process.returncode)
    if process.returncode == 0:
        return texts.retraining_done.format(result=_last_line(output)).strip()
    why = _last_line(errors) or f"status {process.returncode}"
    return texts.retraining_failed.format(reason=why)


def _last_line(output: bytes) -> str:
    """Return the last line of a command's output that is not a hint for a terminal."""
    lines = output.decode("utf-8", "replace").strip().splitlines()
    return next((line for line in reversed(lines) if not line.startswith(HINTS)), "")
