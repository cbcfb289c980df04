"""Run the real bot as a process against the playground.

As a program, it is that process: the bot, until standard input ends. A playground that is killed
cannot stop the bot, but its end of the pipe is closed.
"""

import asyncio
import os
import runpy
import signal
import sys
import tempfile
import threading
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bot.errors import PlaygroundError
from bot.playground.objects import User
from model.files import temporary_folder

GROUP = -1_000_000_000_042
TITLE = "Friends"
START_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class RunningBot:
    """The bot's process, the line that it printed when it was up, and its database."""

    process: Process
    greeting: str
    database_url: str


@asynccontextmanager
async def run_bot(
    token: str, url: str, *, models_dir: str, admin: User, pace: float = 0
) -> AsyncIterator[RunningBot]:
    """Run `understudy-bot run` in a temporary folder while the block runs.

    Raises:
        PlaygroundError: The bot does not start.
    """
    with temporary_folder(Path(tempfile.gettempdir()), "understudy-playground") as folder:
        database_url = f"sqlite+aiosqlite:///{folder}/playground.db"
        settings = {
            "BOT_TOKEN": token,
            "TELEGRAM_API_URL": url,
            "PACE": str(pace),
            "MODELS_DIR": models_dir,
            "ADMINS": str(admin.id),
            "DATABASE_URL": database_url,
            "CONSENT": "roster",  # as in `understudy chat`: everybody who did not refuse
            "LOG_LEVEL": "WARNING",
            "RETRAIN_COMMAND": "",
            "WEBHOOK_URL": "",
            "NO_PROXY": "*",  # a proxy cannot reach this machine, and must not see the token
            "no_proxy": "*",
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bot.playground.process",
            cwd=folder, env={**os.environ, **settings}, stdin=PIPE, stdout=PIPE,
        )  # fmt: skip
        if process.stdout is None:
            raise PlaygroundError("the bot's output cannot be read")
        try:
            yield RunningBot(process, await _greeting(process.stdout), database_url)
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


async def _greeting(output: asyncio.StreamReader) -> str:
    try:
        async with asyncio.timeout(START_SECONDS):
            line = await output.readline()
    except TimeoutError as error:
        raise PlaygroundError(
            f"the bot did not start within {START_SECONDS:.0f} seconds: run `understudy-bot check`"
        ) from error
    if not line:
        raise PlaygroundError("the bot did not start: see its message above")
    return line.decode().strip()


def _stop_when_input_ends() -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=_stop_when_input_ends, daemon=True).start()
    sys.argv = ["understudy-bot", "run"]
    runpy.run_module("bot", run_name="__main__")
